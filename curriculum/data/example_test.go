package data_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
)

// lengths is a tokenizer that knows words by how long they are.
type lengths struct{}

func (lengths) Encode(text string) (ids []int32, err error) {
	for word := range strings.FieldsSeq(text) {
		ids = append(ids, int32(len(word)))
	}
	return ids, nil
}

func (lengths) Size() int  { return 100 }
func (lengths) Pad() int32 { return 0 }

func Example() {
	dir, err := os.MkdirTemp("", "data")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	train, eval := filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "eval.jsonl")
	for path, text := range map[string]string{
		train: `{"text": "Mary went to the garden", "label": "garden"}
			{"text": "John is at home", "label": "home"}
			{"text": "Where am I", "label": "home"}`,
		eval: `{"text": "Daniel", "label": "garden"}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}

	set, err := data.Prepare(context.Background(), data.Options{
		Train: []string{train}, Eval: []string{eval}, Dir: dir, Tokenizer: lengths{}, TokenizerID: "lengths",
		Long: data.CutLeft,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	fmt.Println("classes:", set.Labels.Words())
	samples, err := set.Train(4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(samples.Len(), "samples,", samples.Cut(), "of them cut to 4 tokens")
	order := data.Shuffle{Seed: 42, Purpose: tasks.Training}.Order(samples.Len(), samples.Len(), 2)
	for step := range 2 {
		for _, i := range order(step) {
			s, err := samples.Sample(i)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("step", step, "sample", i, s.IDs, "label", s.Label)
		}
	}
	// Output:
	// classes: [garden home]
	// 3 samples, 1 of them cut to 4 tokens
	// step 0 sample 2 [0 5 2 1] label 1
	// step 0 sample 0 [4 2 3 6] label 0
	// step 1 sample 1 [4 2 2 4] label 1
}

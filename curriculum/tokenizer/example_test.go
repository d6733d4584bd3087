package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/synapnet/synapnet-train/curriculum/tokenizer"
)

// Words are trained on the data and go with the checkpoint as a Spec.
func Example() {
	var words tokenizer.WordCounter
	for _, text := range []string{"Mary went to the garden.", "John went to the kitchen."} {
		if err := words.Add(text); err != nil {
			log.Fatal(err)
		}
	}
	t, err := words.Train(1000)
	if err != nil {
		log.Fatal(err)
	}

	kept, err := tokenizer.FromSpec(t.Spec())
	if err != nil {
		log.Fatal(err)
	}
	ids, err := kept.Encode("Mary went to the office.")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(kept.Size(), kept.Pad(), ids)
	// Output: 10 0 [7 5 4 3 1 2]
}

func ExampleOpen() {
	t, err := tokenizer.Open("testdata/bert-uncased.json")
	if err != nil {
		log.Fatal(err)
	}
	ids, err := t.Encode("Naïve [MASK]")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Size(), t.Pad(), ids[0], ids[len(ids)-2:])

	_, err = tokenizer.Open("words")
	fmt.Println(err)
	// Output:
	// 420 0 2 [4 3]
	// the tokeniser words is trained on the data (WordCounter) and cannot be opened; what can is bytes or a file
}

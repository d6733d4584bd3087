package curriculum

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tokenizer"
)

// rooms writes n questions that a model can learn to answer: who went where last, of two people and four places.
func rooms(t testing.TB, dir, name string, n int, seed uint64) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	var text strings.Builder
	places := []string{"garden", "hall", "kitchen", "office"}
	for range n {
		who := []string{"Mary", "John"}[rng.IntN(2)]
		place := places[rng.IntN(4)]
		_, _ = fmt.Fprintf(&text, `{"text":"%s went to the %s. %d times. Where is %s?","label":"%s"}`+"\n", who, place,
			rng.IntN(1000), who, place)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ownConfig is a small run on data, whose vocabulary, classes, samples and context are those of the data.
func ownConfig(train string) Config {
	c := tiny()
	c.Curriculum, c.SamplesPerStage, c.Model.VocabSize, c.Model.NumClasses = nil, 0, 0, 0
	c.Data = &Data{Train: []string{train}, EvalShare: 0.2, Tokenizer: Words}
	return c
}

func beginOn(t testing.TB, c Config) *Trainer {
	t.Helper()
	dir := t.TempDir()
	r, err := NewOn(t.Context(), c, FloatBase, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	r.CheckpointPath, r.CheckpointEvery = filepath.Join(dir, "checkpoint.safetensors"), 3
	return r
}

// What the configuration leaves open is the data's: the vocabulary of their words, a class a label, all samples, the
// longest of them.
func TestARunTakesItsSizesFromItsData(t *testing.T) {
	r := beginOn(t, ownConfig(rooms(t, t.TempDir(), "train.jsonl", 120, 1)))
	counts := r.Own.Set.Counts
	if c := r.Config; c.Model.NumClasses != 4 || c.Model.VocabSize < 100 ||
		c.SamplesPerStage != int(counts.Train.Samples) ||
		len(c.Curriculum) != 1 || c.Curriculum[0] != counts.Train.Longest {
		t.Errorf("%+v of %+v", c, counts)
	}
	if counts.Train.Samples+counts.Eval.Samples != 120 || counts.Eval.Samples < 8 {
		t.Errorf("%d and %d samples", counts.Train.Samples, counts.Eval.Samples)
	}
}

// Given again as it was, with a path from where one stands and without what the data decide, a configuration is that of
// the run that it began; another one is not.
func TestAContinuedConfigurationIsTheRuns(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	rooms(t, dir, "train.jsonl", 60, 1)
	given := ownConfig("train.jsonl")
	was := beginOn(t, given).Config
	was.Rates = []Rate{{4, 1e-4}} // it diverged and went on
	if now, err := given.Continued(was); err != nil || !reflect.DeepEqual(now, was) {
		t.Errorf("%v: %+v\nwant %+v", err, now, was)
	}
	given.LR *= 2
	if now, err := given.Continued(was); err != nil || reflect.DeepEqual(now, was) {
		t.Errorf("%v: another rate is the run's", err)
	}
}

// A run on data that was stopped anywhere and resumed ends in the same bytes, whether its store is still there or not;
// the model has its tokeniser and its labels with it.
func TestRunsOnDataContinueExactly(t *testing.T) {
	train := rooms(t, t.TempDir(), "train.jsonl", 60, 1)
	whole := beginOn(t, ownConfig(train))
	want := finished(t, whole)
	for _, at := range []int{0, 1, 4, whole.Done() / 2, whole.Done() - 1} {
		r := beginOn(t, ownConfig(train))
		stopped(t, r, at)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if at == 4 {
			if err := os.RemoveAll(DataFolder(filepath.Dir(r.CheckpointPath))); err != nil {
				t.Fatal(err)
			}
		}
		again := resumed(t, r.CheckpointPath)
		if got := finished(t, again); got != want {
			t.Errorf("stopped after step %d, it ends in other bytes", at)
		}
		words, err := TokenizerOf(again.Model.Extra)
		if err != nil || words.Spec().Kind != tokenizer.KindJSON || words.Size() != again.Config.Model.VocabSize {
			t.Errorf("%v, %v", words, err)
		}
		labels, err := LabelsOf(again.Model.Extra)
		if err != nil || strings.Join(labels.Words(), " ") != "garden hall kitchen office" {
			t.Errorf("%v, %v", labels, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Data that have changed since the run began are refused.
func TestChangedDataAreRefused(t *testing.T) {
	dir := t.TempDir()
	train := rooms(t, dir, "train.jsonl", 60, 1)
	r := beginOn(t, ownConfig(train))
	if err := r.Save(); err != nil {
		t.Fatal(err)
	}
	rooms(t, dir, "train.jsonl", 61, 1)
	if _, err := Resume(r.CheckpointPath); err == nil ||
		!strings.Contains(err.Error(), "train.jsonl has changed since the run") {
		t.Errorf("got %v", err)
	}
}

func TestValidateData(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"data.train is []: name at least one file":                func(c *Config) { c.Data.Train = nil },
		"data.eval_share is 1: it must be at least 0 and below 1": func(c *Config) { c.Data.EvalShare = 1 },
		"data.ignore is [id label]: samples are made of label: leave it out": func(c *Config) {
			c.Data.Ignore = []string{"id", "label"}
		},
		`data.long_samples is "lef": it must be one of`: func(c *Config) { c.Data.LongSamples = "lef" },
		"mixture is [niah_single=1]: a run learns from tasks or from data:": func(c *Config) {
			c.Mixture = staged().Stage[2].Mixture
		},
	} {
		c := ownConfig("train.jsonl")
		change(&c)
		if err := c.ValidateUnread(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := New(ownConfig("x").Unread()); err == nil {
		t.Error("a run on data that are not ready was begun")
	}
}

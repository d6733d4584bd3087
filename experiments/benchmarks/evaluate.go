package benchmarks

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/tokenizer"
	"github.com/synapnet/synapnet-train/layers"
)

// Reader is what a model reads files with.
type Reader struct {
	Tokenizer tokenizer.Tokenizer
	Labels    *data.Labels
	Vocab     int // ids are below it
	Most      int // tokens of a sample that are kept
	// Long is what becomes of longer samples; "": what the benchmark does with them.
	Long data.Long
}

// Set is a file of a benchmark, ready for a model.
type Set struct {
	Name   string
	Metric string
	Cut    int // samples that were longer than Reader.Most

	dataset *dataset
	reader  Reader
	words   []string // of the labels, by class
	samples []Sample // their Text is let go
	ids     [][]int32
	file    File
	outside int
}

// UnfitError says why a file cannot be scored with a classifier, or with this one. It is no mistake in the file.
type UnfitError struct {
	Dataset string
	Reason  string
	whole   bool // it is not a matter of one sample
}

// Error is the reason with the name of the dataset.
func (e *UnfitError) Error() string { return e.Dataset + ": " + e.Reason }

// Result is the score on one set.
type Result struct {
	Dataset string  `json:"dataset"`
	File    string  `json:"file"`
	Metric  string  `json:"metric"`
	Score   float64 `json:"score"` // from 0 to 100, rounded as the benchmark's own code does
	N       int     `json:"n"`
	// Accuracy is there if each sample scored 0 or 1, so that the score is a proportion.
	Accuracy *curriculum.Accuracy `json:"accuracy,omitempty"`
	Context  int                  `json:"context"`
	Cut      int                  `json:"cut"`     // samples that were longer
	Outside  int                  `json:"outside"` // samples for which no label of the model would score
}

// Read reads a file of the benchmark. Its error is an *UnfitError if the file is sound, but nothing for the reader's
// model.
func (b *Benchmark) Read(ctx context.Context, f File, r Reader) (*Set, error) {
	if r.Long == "" {
		r.Long = b.Long
	}
	s := &Set{reader: r, file: f}
	for class := range r.Labels.Len() {
		label := r.Labels.Label(class)
		if label.Word == "" {
			label.Word = fmt.Sprint(label.Class)
		}
		s.words = append(s.words, label.Word)
	}
	err := f.rows(func(row *row) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		of, sample, err := b.sample(f.String(), row)
		switch {
		case err != nil:
			return fmt.Errorf("%w; a sample of %s is %s", err, b.Title, b.form)
		case of.freeForm:
			return &UnfitError{of.name, "its answers are free-form (" + of.metric + "): it needs a language model", true}
		case s.dataset == nil:
			s.dataset, s.Name, s.Metric = of, of.name, of.metric
		case of.name != s.Name:
			return fmt.Errorf("it is of %s, and those before it are of %s: give a file of each", of.name, s.Name)
		}
		return s.add(sample)
	})
	if err != nil {
		return nil, err
	}
	return s, s.check()
}

// check is an error if there is nothing that the model could get right.
func (s *Set) check() error {
	if len(s.samples) == 0 {
		return fmt.Errorf("%s has no samples", s.file)
	}
	if s.outside < len(s.samples) {
		return nil
	}
	return &UnfitError{s.Name, fmt.Sprintf("none of its %d answers is among the %d labels that the model learnt: it "+
		"needs a model that was trained on such, or a language model", len(s.samples), len(s.words)), true}
}

// add takes in a sample.
func (s *Set) add(sample Sample) error {
	r := &s.reader
	ids, err := r.Tokenizer.Encode(sample.Text)
	if err != nil {
		return fmt.Errorf("the tokenizer fails: %w", err)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= r.Vocab {
			return fmt.Errorf("the tokenizer gives the id %d, and the model's vocabulary is 0 to %d", id, r.Vocab-1)
		}
	}
	if len(ids) > r.Most {
		if r.Long == data.Refuse {
			return &UnfitError{s.Name, fmt.Sprintf("it has %d tokens, more than the %d of the context: --long-samples left, "+
				"right or middle cuts there", len(ids), r.Most), false}
		}
		s.Cut++
		if ids, err = r.Long.Fit(ids, r.Most, r.Tokenizer.Pad()); err != nil {
			return err
		}
	}
	sample.Text = ""
	if !s.answerable(&sample) {
		s.outside++
	}
	s.samples, s.ids = append(s.samples, sample), append(s.ids, slices.Clone(ids))
	return nil
}

// answerable says whether a label of the model scores anything.
func (s *Set) answerable(sample *Sample) bool {
	return slices.ContainsFunc(s.words, func(word string) bool {
		return sample.allows(word) && s.dataset.score(word, sample) > 0
	})
}

// allows says whether a word is one that the sample can be answered with.
func (s *Sample) allows(word string) bool {
	return s.Classes == nil || slices.Contains(s.Classes, word)
}

// Len is the number of samples.
func (s *Set) Len() int { return len(s.samples) }

// Longest is the number of tokens of the longest sample, as it was cut.
func (s *Set) Longest() int {
	longest := 0
	for _, ids := range s.ids {
		longest = max(longest, len(ids))
	}
	return longest
}

// Evaluate has the model answer all samples at a context that no sample is longer than, and scores its answers.
func (s *Set) Evaluate(ctx context.Context, m *layers.Model, length, batch int) (Result, error) {
	given, answered := 0, 0
	sum, right, whole := 0.0, 0, true
	next := func() (tasks.Sample, error) {
		ids, err := s.reader.Long.Fit(s.ids[given], length, s.reader.Tokenizer.Pad())
		given++
		return tasks.Sample{IDs: ids, Task: s.Name}, err
	}
	err := curriculum.Classify(ctx, m, s.Len(), length, batch, next, func(_ tasks.Sample, logits []float32) {
		score := s.dataset.score(s.answer(&s.samples[answered], logits), &s.samples[answered])
		answered++
		sum += score
		switch score {
		case 0:
		case 1:
			right++
		default:
			whole = false
		}
	})
	if err != nil {
		return Result{}, err
	}
	r := Result{Dataset: s.Name, File: filepath.ToSlash(s.file.String()), Metric: s.Metric, N: s.Len(), Context: length,
		Cut: s.Cut, Outside: s.outside, Score: s.dataset.percent(sum, s.Len())}
	if whole {
		accuracy := curriculum.NewAccuracy(right, s.Len())
		r.Accuracy = &accuracy
	}
	return r, nil
}

// answer is the label with the highest logit of those that the sample allows; "": it allows none.
func (s *Set) answer(sample *Sample, logits []float32) string {
	best := -1
	for class, word := range s.words {
		if sample.allows(word) && (best < 0 || logits[class] > logits[best]) {
			best = class
		}
	}
	if best < 0 {
		return ""
	}
	return s.words[best]
}

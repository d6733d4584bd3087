package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/synapnet/synapnet-train/internal/foreign"
)

// maxEval is how many evaluation samples may be given as files: their hashes are held while training data are read.
var maxEval int64 = 1_000_000

// builder reads the sources into a store.
type builder struct {
	ctx      context.Context
	o        *Options
	w        *writer
	spool    *hashes // of the training side
	progress *progress

	contents
	labels labelCount
	kinds  kinds
	given  map[uint64]given // evaluation samples of files, by hash
	shared shared
	buf    []byte
}

// given is the evaluation samples of one hash.
type given struct {
	at      int64 // of the first
	source  int32
	samples int32
	found   bool // in training data
}

// shared is how many samples are in evaluation and training data, with the first such pair.
type shared struct {
	samples int64
	eval    given
	train   string
}

func newBuilder(ctx context.Context, o *Options, w *writer, spool *hashes) *builder {
	return &builder{ctx: ctx, o: o, w: w, spool: spool, given: map[uint64]given{}, labels: newLabelCount(o)}
}

// build reads all sources, those of the evaluation first.
func (b *builder) build(want Key, now []seen) error {
	b.Key, b.Width = want, b.w.width
	b.progress = b.o.newProgress(now, 2)
	if err := b.w.begin(); err != nil {
		return err
	}
	paths := append(append([]string{}, b.o.Eval...), b.o.Train...)
	units := make([]string, len(paths))
	for i, source := range b.Key.sources() {
		r, err := open(b.ctx, paths[i], b.o.Ignore, &b.kinds, b.progress.read)
		if err != nil {
			return err
		}
		units[i] = r.source.unit()
		err = r.each(b.ctx, func(record Record) error { return b.add(r, record, int32(i), i < len(b.o.Eval)) })
		source.SHA256 = digest(r.sum)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		if after, err := look(paths[i]); err != nil {
			return err
		} else if after != now[i] {
			return fmt.Errorf("%s has changed while it was read: begin again when it is complete", paths[i])
		}
	}
	if s := b.shared; s.samples > 0 {
		return fmt.Errorf("%d of %d evaluation samples are in the training data as well, the first at %s %s %d and at %s: "+
			"remove them from one of the two", s.samples, b.Eval.Samples, paths[s.eval.source], units[s.eval.source],
			s.eval.at, s.train)
	}
	return b.finish()
}

func (b *builder) finish() error {
	switch share := b.o.EvalShare; {
	case b.Train.Samples == 0 && len(b.o.Train) > 0:
		return fmt.Errorf("all %d samples are held out by an eval_share of %v: make it smaller", b.Eval.Samples, share)
	case b.Eval.Samples == 0 && share > 0:
		return fmt.Errorf("none of %d samples is held out by an eval_share of %v: make it larger, or give evaluation data",
			b.Train.Samples, share)
	}
	var err error
	if b.Labels, b.Classes, err = b.labels.finish(); err != nil {
		return err
	}
	if b.o.Expect != nil {
		if err := b.Key.Changed(*b.o.Expect); err != nil {
			return err
		}
	}
	if b.Duplicates, err = b.spool.repeated(b.ctx); err != nil {
		return err
	}
	return b.w.finish(&b.contents)
}

// each visits all records.
func (r *Reader) each(ctx context.Context, visit func(Record) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = visit(record)
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err() // however the reader words it
		case err != nil:
			return err
		}
	}
}

// add takes in a record.
func (b *builder) add(r *Reader, record Record, source int32, eval bool) error {
	ids, err := b.ids(record)
	if err != nil {
		return r.Wrap(err)
	}
	label, err := b.labels.number(record.Label, eval, r.place)
	if err != nil {
		return r.Wrap(err)
	}
	hash, buf := hashOf(ids, b.buf)
	b.buf = buf
	b.progress.Samples++
	place := func() string { return fmt.Sprintf("%s %s %d", filepath.Base(r.path), r.source.unit(), record.At) }
	switch {
	case eval:
		if b.Eval.Samples >= maxEval {
			return r.Wrap(fmt.Errorf("there are more than %d evaluation samples: give fewer", maxEval))
		}
		seen, known := b.given[hash]
		if !known {
			seen = given{at: record.At, source: source}
		}
		seen.samples++
		b.given[hash] = seen
	case float64(hash) < b.o.EvalShare*math.MaxUint64:
		eval = true
	default:
		b.compare(hash, r)
		if err := b.spool.add(hash); err != nil {
			return fmt.Errorf("cannot write to %s: %w", b.o.Dir, err)
		}
	}
	side := &b.Train
	if eval {
		side = &b.Eval
	}
	return b.w.add(side, ids, label, hash, place)
}

// compare notes a training sample that is one of the evaluation's, too.
func (b *builder) compare(hash uint64, r *Reader) {
	seen, known := b.given[hash]
	if !known || seen.found {
		return
	}
	if b.shared.samples == 0 {
		b.shared.eval, b.shared.train = seen, r.place()
	}
	b.shared.samples += int64(seen.samples)
	seen.found = true
	b.given[hash] = seen
}

// ids are the tokens of a record, all below the vocabulary.
func (b *builder) ids(record Record) ([]int32, error) {
	all := record.IDs
	if all == nil {
		if b.o.Tokenizer == nil {
			return nil, errors.New("it is text, and there is no tokenizer: give samples of ids, or train with one")
		}
		var err error
		if all, err = b.o.Tokenizer.Encode(record.Text); err != nil {
			return nil, fmt.Errorf("the tokenizer fails: %w", err)
		}
		if len(all) == 0 {
			return nil, errors.New("its text has no token: a sample has at least one")
		}
	}
	vocab := b.o.vocab()
	for i, id := range all {
		if id < 0 || vocab > 0 && int(id) >= vocab {
			return nil, fmt.Errorf("ids[%d] is %d: the vocabulary has %d ids, from 0 to %d", i, id, vocab, vocab-1)
		}
	}
	return all, nil
}

// labelCount numbers labels as they come, and finds their classes at the end.
type labelCount struct {
	known *Labels // given
	limit int     // classes of the model; 0: any

	words map[string]*labelWord
	list  []string // words as they came
	// The highest numbers, and the place of the evaluation's.
	train, eval int32
	evalAt      string
}

type labelWord struct {
	number int32
	at     string // the first place
	train  bool
}

func newLabelCount(o *Options) labelCount {
	return labelCount{known: o.Labels, limit: o.Classes, words: map[string]*labelWord{}, train: -1, eval: -1}
}

// ClassError is a label for which there is no class left.
type ClassError struct{ problem string }

// Error says which label, and how many classes there are.
func (e *ClassError) Error() string { return e.problem }

// number is what the store has for a label: a class for a number, and for a word of Labels that are given.
func (c *labelCount) number(l Label, eval bool, place func() string) (int32, error) {
	switch {
	case c.known != nil:
		class, err := c.known.Class(l)
		return int32(class), err
	case l.Word == "":
		if c.limit > 0 && int(l.Class) >= c.limit {
			return 0, &ClassError{fmt.Sprintf("the label %d is out of range: the model has %d classes, from 0 to %d", l.Class,
				c.limit, c.limit-1)}
		}
		if !eval {
			c.train = max(c.train, l.Class)
		} else if l.Class > c.eval {
			c.eval, c.evalAt = l.Class, place()
		}
		return l.Class, nil
	}
	w := c.words[l.Word]
	if w == nil {
		most := MaxClasses
		if c.limit > 0 {
			most = c.limit
		}
		if len(c.list) == most {
			return 0, &ClassError{fmt.Sprintf("the label %s is one more than the %d classes that there can be: a label is one "+
				"of few words, free-form answers need a language model", foreign.Word(l.Word), most)}
		}
		w = &labelWord{number: int32(len(c.list)), at: place()}
		c.words[l.Word] = w
		c.list = append(c.list, l.Word)
	}
	w.train = w.train || !eval
	return w.number, nil
}

// finish gives words their classes. The error is that of an evaluation's label that training does not have.
func (c *labelCount) finish() (_ *Labels, classes []int32, err error) {
	switch {
	case c.known != nil:
		return c.known, nil, nil
	case len(c.list) == 0:
		known := Numbered(int(c.train) + 1)
		if _, err := known.Class(Label{Class: c.eval}); c.eval >= 0 && err != nil {
			return nil, nil, fmt.Errorf("%s: training data do not have it: %w", c.evalAt, err)
		}
		return known, nil, nil
	}
	var trained []string
	for _, word := range c.list {
		if c.words[word].train {
			trained = append(trained, word)
		}
	}
	known := NewLabels(trained)
	for _, word := range c.list {
		class, err := known.Class(Label{Word: word})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: training data do not have it: %w", c.words[word].at, err)
		}
		classes = append(classes, int32(class))
	}
	return known, classes, nil
}

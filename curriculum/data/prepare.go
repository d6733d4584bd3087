package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/synapnet/synapnet-train/internal/files"
)

// Tokenizer makes ids of text, such as those of package tokenizer.
type Tokenizer interface {
	// Encode returns the ids of a text, each below Size.
	Encode(text string) ([]int32, error)
	// Size is the number of different ids.
	Size() int
	// Pad is the id that fills up shorter samples.
	Pad() int32
}

// Options say which samples, and how they are read.
type Options struct {
	// Train and Eval are the files of samples. With neither Eval nor EvalShare there is no evaluation; with Eval alone,
	// Labels are those of a model.
	Train, Eval []string
	// EvalShare is the share of Train, from 0 to 1, that is held out where there is no Eval: samples are chosen by a hash
	// of their ids, so that equal ones are on the same side, whatever their order and whatever others there are.
	EvalShare float64
	// Dir is a folder for the store.
	Dir string

	Tokenizer   Tokenizer // nil: samples are ids
	TokenizerID string    // tells a tokenizer from all others, such as the SHA-256 of its file
	Vocab       int       // ids are below; 0: below Tokenizer's Size if there is one, else any
	Pad         int32     // fills up samples where there is no Tokenizer
	Classes     int       // of the model; 0: as many as there are
	Labels      *Labels   // of a model that was trained before; nil: those of Train
	Ignore      []string  // keys and columns to leave out

	Long Long   // what becomes of samples that are longer than a context
	Task string // name of the samples' task; "" is "data"

	// Expect is the key that a run began with, which goes on only with the same data; nil: any.
	Expect *Key
	// Progress is told how far the reading is; nil: nobody is.
	Progress func(Progress)
}

// Progress is how far reading is.
type Progress struct {
	Scan        bool  // before the store is made; see Scan
	Read, Total int64 // bytes of the files; those of Parquet count twice, since they are hashed before they are read
	Samples     int64 // so far
}

func (o *Options) vocab() int {
	if o.Vocab == 0 && o.Tokenizer != nil {
		return o.Tokenizer.Size()
	}
	return o.Vocab
}

func (o *Options) check() error {
	switch {
	case len(o.Train)+len(o.Eval) == 0:
		return errors.New("no data are given: name a file of samples")
	case len(o.Train) == 0 && o.Labels == nil:
		return errors.New("evaluation data alone need the labels of a model: give training data, too")
	case !(o.EvalShare >= 0 && o.EvalShare < 1):
		return fmt.Errorf("eval_share is %v: it must be at least 0 and below 1", o.EvalShare)
	case len(o.Eval) > 0 && o.EvalShare > 0:
		return fmt.Errorf("eval_share is %v and evaluation data are given: leave one of them out", o.EvalShare)
	case o.Vocab < 0 || o.Classes < 0 || o.Classes > MaxClasses:
		return fmt.Errorf("a vocabulary of %d and %d classes: neither is below 0, and classes are at most %d", o.Vocab,
			o.Classes, MaxClasses)
	case o.Tokenizer != nil && o.Tokenizer.Size() > o.vocab():
		return fmt.Errorf("the tokenizer has %d ids, the vocabulary %d: use a model whose vocabulary is at least that large",
			o.Tokenizer.Size(), o.vocab())
	}
	if i := slices.IndexFunc(o.Ignore, Reads); i >= 0 {
		return fmt.Errorf("ignore has %q, which samples are made of: leave it out of ignore", o.Ignore[i])
	}
	return cmp.Or(o.Long.Check(), Distinct(slices.Concat(o.Eval, o.Train)...))
}

// Distinct is an error if two of the files are the same, by whatever names. What is wrong with one says who reads it.
func Distinct(paths ...string) error {
	infos := make([]os.FileInfo, len(paths))
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		infos[i] = info
		if j := slices.IndexFunc(infos[:i], func(other os.FileInfo) bool {
			return other != nil && os.SameFile(info, other)
		}); j >= 0 {
			if paths[j] == path {
				return fmt.Errorf("%s is given twice: give each file of samples once", path)
			}
			return fmt.Errorf("%s and %s are the same file: give it once", paths[j], path)
		}
	}
	return nil
}

// Set is data that are ready: samples for training and evaluation at any context length, and what is known of them.
type Set struct {
	Labels *Labels
	Key    Key // for Options.Expect of a run that goes on
	Counts Counts

	store   *store
	options Options
	pad     int32
}

// Counts are what a user is told.
type Counts struct {
	Train, Eval SideCounts
	// Duplicates is how many samples of training have the same ids as one before.
	Duplicates int64
	// Reused says that the samples were ready, and nothing was read.
	Reused bool
}

// SideCounts are those of one side.
type SideCounts struct {
	Samples   int64
	Tokens    int64
	Highest   int32         // id
	Longest   int           // tokens of a sample
	LongestAt string        // file and line
	Lengths   map[int]int64 // samples by their tokens
	PerClass  []int64       // samples
}

// Prepare reads the files once, from front to end, and makes the store in o.Dir, unless the one that is there is of the
// same files and settings; a run that goes on takes the one that it began with where a file is gone. Nothing is left
// behind when it fails or ctx ends. Memory does not grow with training data:
// it is that of the largest sample, of about 64 bytes for each evaluation sample of Eval, which are compared with those
// of training, and of some 10 MB for counting duplicates.
func Prepare(ctx context.Context, o Options) (*Set, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Task == "" {
		o.Task = "data"
	}
	want, now, err := o.key()
	if errors.Is(err, fs.ErrNotExist) && o.Expect != nil {
		if s := o.left(); s != nil {
			return o.set(s, true), nil
		}
	}
	if err != nil {
		return nil, err
	}
	if o.Expect != nil {
		if err := want.Changed(*o.Expect); err != nil {
			return nil, err
		}
	}
	if err := files.MakeFolder(o.Dir); err != nil {
		return nil, fmt.Errorf("cannot make the folder %s of the samples: %w; move away what is there", o.Dir,
			files.Cause(err))
	}
	if err := checkPlace(o.Dir); err != nil {
		return nil, err
	}
	path := filepath.Join(o.Dir, storeName)
	if err := files.Sweep(path); err != nil {
		return nil, err
	}
	s, err := o.find(ctx, want, now)
	if err != nil {
		return nil, err
	}
	reused := s != nil
	if !reused {
		if err := o.make(ctx, path, want, now); err != nil {
			return nil, err
		}
		if s, err = openStore(path); err != nil {
			return nil, err
		}
	} else if o.Expect != nil {
		if err := s.Key.Changed(*o.Expect); err != nil {
			return nil, errors.Join(err, s.file.Close())
		}
	}
	return o.set(s, reused), nil
}

func (o *Options) set(s *store, reused bool) *Set {
	set := &Set{Labels: s.Labels, Key: s.Key, store: s, options: *o, pad: o.Pad}
	if o.Tokenizer != nil {
		set.pad = o.Tokenizer.Pad()
	}
	set.Counts = Counts{s.counts(&s.Train), s.counts(&s.Eval), s.Duplicates, reused}
	return set
}

func (s *store) counts(of *side) SideCounts {
	return SideCounts{of.Samples, of.Tokens, of.Highest, of.Longest, of.LongestAt, of.Lengths, s.perClass(of)}
}

// Train is the samples of training at a context of length tokens. The error of too long ones counts them.
func (s *Set) Train(length int) (*Dataset, error) {
	if s.store.Train.Samples == 0 {
		return nil, errors.New("there are no training samples: give training data")
	}
	return s.newDataset(&s.store.Train, length)
}

// Eval is the samples of the evaluation at a context of length tokens.
func (s *Set) Eval(length int) (*Dataset, error) {
	if s.store.Eval.Samples == 0 {
		return nil, errors.New("there are no evaluation samples: give evaluation data or an eval_share")
	}
	return s.newDataset(&s.store.Eval, length)
}

// Close closes the store, which stays for the next time.
func (s *Set) Close() error { return s.store.file.Close() }

// make reads the sources and writes the store.
func (o *Options) make(ctx context.Context, path string, want Key, now []seen) (err error) {
	spool, err := newHashes(o.Dir)
	if err != nil {
		return fmt.Errorf("cannot write to %s: %w", o.Dir, files.Cause(err))
	}
	defer func() { err = errors.Join(err, spool.close()) }()
	var size int64
	for _, s := range now {
		size += s.Size
	}
	var w *writer
	var failed error // of the data
	err = files.Replace(path, size, func(out io.Writer) error {
		w = newWriter(out, o.width())
		failed = newBuilder(ctx, o, w, spool).build(want, now)
		return failed
	})
	switch {
	case failed != nil && w.failed == nil: // a line of data, which is not a matter of the store's path
		return failed
	case err != nil:
		return err
	}
	return o.note(now)
}

// Scan visits the samples of files in their order, for what has to know all of them before Prepare, such as a tokenizer
// of words. Memory is that of the largest sample. Errors of visit are told with file and line; tell may be nil.
func Scan(ctx context.Context, paths, ignore []string, tell func(Progress), visit func(Record) error) error {
	o := Options{Train: paths, Progress: tell}
	_, now, err := o.key()
	if err != nil {
		return err
	}
	p, all := o.newProgress(now, 2), new(kinds)
	p.Scan = true
	for _, path := range paths {
		if err := scan(ctx, path, ignore, all, p.read, visit); err != nil {
			return err
		}
	}
	return nil
}

func scan(ctx context.Context, path string, ignore []string, all *kinds, read func(int64),
	visit func(Record) error) (err error) {
	r, err := open(ctx, path, ignore, all, read)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.each(ctx, func(record Record) error {
		if err := visit(record); err != nil {
			return r.Wrap(err)
		}
		return nil
	})
}

// width is how many bytes an id of the store has.
func (o *Options) width() int {
	if v := o.vocab(); v > 0 && v <= math.MaxUint16+1 {
		return 2
	}
	return 4
}

// progress adds up what is read.
type progress struct {
	Progress
	tell func(Progress)
}

// newProgress counts the files once, or those of Parquet as often as said.
func (o *Options) newProgress(now []seen, parquet int64) *progress {
	p := &progress{tell: o.Progress}
	for _, s := range now {
		if s.parquet {
			p.Total += parquet * s.Size
		} else {
			p.Total += s.Size
		}
	}
	return p
}

func (p *progress) read(n int64) {
	p.Read += n
	if p.tell != nil && n > 0 {
		p.tell(p.Progress)
	}
}

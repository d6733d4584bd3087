package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

// dataFlags say what a run learns from: tasks, or samples of the user's own.
func dataFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "tasks",
			Usage: "`NAME=SHARE`s of the samples: --tasks niah_single=0.4 fa=0.6 (default: the " +
				"training mixture)"},
		&cli.StringSliceFlag{Name: "data",
			Usage: "`FILE`s of samples of your own, in place of tasks: JSON lines or arrays, also " +
				"gzip or zstd, or Parquet"},
		&cli.StringSliceFlag{Name: "eval-data", Usage: "`FILE`s of held-out samples (default: a share of --data)"},
		&cli.Float64Flag{Name: "eval-share", Usage: "share of --data that is held out, by a hash of each sample",
			Value: curriculum.DefaultEvalShare},
		&cli.StringFlag{Name: "tokenizer",
			Usage: "what makes ids of text: bytes, words (trained on --data), or the `FILE` of a " +
				"tokenizer.json or of a SentencePiece model"},
		&cli.StringFlag{Name: "long-samples",
			Usage: "samples longer than the context are cut `WHERE`: left, right, middle; or " +
				"refused", Value: string(data.Refuse)},
	}
}

// dataSettings are the settings of own data that have a flag.
func dataSettings(d *curriculum.Data) []setting {
	return []setting{{"data", "", &d.Train}, {"eval-data", "", &d.Eval}, {"eval-share", "", &d.EvalShare},
		{"tokenizer", "", &d.Tokenizer}, {"long-samples", "", &d.LongSamples}}
}

// overrideData sets what the flags say of the samples.
func overrideData(c *cli.Context, conf *curriculum.Config) error {
	if words := c.StringSlice("tasks"); len(words) > 0 {
		conf.Mixture = nil
		for _, word := range words {
			name, text, ok := strings.Cut(word, "=")
			share, err := strconv.ParseFloat(text, 64)
			if !ok || err != nil {
				return usagef(c, "--tasks %s: it must be NAME=SHARE, e.g. niah_single=0.4", printable(word))
			}
			conf.Mixture = append(conf.Mixture, tasks.Weight{Task: name, Share: share})
		}
	}
	var d curriculum.Data
	if conf.Data != nil {
		d = *conf.Data
	}
	override(c, dataSettings(&d)...)
	switch { // one takes the place of the other in the file
	case c.IsSet("eval-data") && !c.IsSet("eval-share"):
		d.EvalShare = 0
	case c.IsSet("eval-share") && !c.IsSet("eval-data"):
		d.Eval = nil
	}
	if c.IsSet("eval-share") && d.EvalShare == 0 {
		return usagef(c,
			"--eval-share 0: a run is evaluated on samples that it does not learn from: give a share above 0, or "+
				"--eval-data")
	}
	if len(d.Train) > 0 {
		conf.Data = &d
		return nil
	}
	for _, s := range dataSettings(&d) {
		if c.IsSet(s.flag) {
			return usagef(c, "--%s says how --data are read: give --data FILE, too", s.flag)
		}
	}
	return nil
}

// sharesLine tells that the shares of a mixture do not add up to 1, so that a stage has another number of samples than
// the one that was given; "" if they do.
func sharesLine(conf curriculum.Config) string {
	sum := 0.0
	for _, w := range conf.Mixture {
		sum += w.Share
	}
	s := conf.Stages()[0]
	drawn, err := s.Drawn() // of a validated configuration it does not fail
	if len(conf.Mixture) == 0 || math.Abs(sum-1) < 1e-6 || err != nil {
		return ""
	}
	return fmt.Sprintf("the shares of the tasks add up to %.4g: each is that part of the %s samples of stage 1, which "+
		"has %s", sum, grouped(s.Samples), grouped(drawn))
}

// told tells how far the reading of data is, every tenth of it; words are counted before the store is made.
func told(p *progress) func(data.Progress) {
	next, counting := int64(1), false
	return func(d data.Progress) {
		if d.Scan != counting {
			next, counting = 1, d.Scan
		}
		what := "reading data"
		if counting {
			what = "counting the words of the data"
		}
		if d.Total > 0 && 10*d.Read >= next*d.Total {
			p.Line("%s: %s of %s", what, megabytes(int(d.Read)), megabytes(int(d.Total)))
			next = 10*d.Read/d.Total + 1
		}
	}
}

// whileReading is the error of a run that was told to stop while its data were read: nothing is lost, and the same
// command does it again.
func whileReading(c *cli.Context, err error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w while the data were read; run it again with: %s", train.ErrInterrupted, wholeCommand(c))
}

// ofData is an error of data that a setting does not go with, in the words of the command line.
func ofData(c *cli.Context, conf curriculum.Config, err error) error {
	if _, ok := errors.AsType[*data.ClassError](err); ok && conf.Model.NumClasses > 0 {
		err = bounds.Wrong("model.num_classes", conf.Model.NumClasses, "%v", err)
	}
	if _, ok := errors.AsType[*bounds.Error](err); ok {
		return pretrainError(c, &conf, err)
	}
	return err
}

// dataLine tells what a run learns from.
func dataLine(own *curriculum.Own, contexts []int) string {
	n := own.Set.Counts
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "data: %s training and %s held-out samples, %d labels, ids below %d, up to %d tokens",
		grouped(int(n.Train.Samples)), grouped(int(n.Eval.Samples)), own.Set.Labels.Len(),
		max(n.Train.Highest, n.Eval.Highest)+1, max(n.Train.Longest, n.Eval.Longest))
	if n.Duplicates > 0 {
		_, _ = fmt.Fprintf(&b, "; %s of training are there more than once", grouped(int(n.Duplicates)))
	}
	for _, t := range slices.Compact(slices.Sorted(slices.Values(contexts))) {
		if set, err := own.Set.Train(t); err == nil && set.Cut() > 0 {
			_, _ = fmt.Fprintf(&b, "; %s are cut at %d tokens", grouped(int(set.Cut())), t)
		}
	}
	return b.String()
}

// noData refuses data for a run that continues: it keeps those that it began with.
func noData(c *cli.Context) error {
	for _, s := range append(dataSettings(&curriculum.Data{}), setting{flag: "tasks"}) {
		if c.IsSet(s.flag) {
			return usagef(c, "--%s: a run that continues has its samples: leave it out", s.flag)
		}
	}
	return nil
}

// portion says which samples of --data are meant.
type portion int

// The portions. Of a run whose evaluation samples had files of their own, what may be learnt is everything.
const (
	everything portion = iota
	learnable          // but for the share that the model's run held out
	heldOut            // that share
)

// ownSamples are the samples of --data that a command asks for.
type ownSamples struct {
	*data.Set
	of      func(length int) (*data.Dataset, error) // as many tokens long
	reading curriculum.Reading
	dir     string // of their store, for as long as they are open
}

// openSamples reads the files of --data for a model, as its run read its samples: with its tokeniser, its labels and
// its vocabulary, cut where they were cut.
func openSamples(c *cli.Context, m *layers.Model, which portion) (*ownSamples, error) {
	reading, err := curriculum.ReadingOf(m.Extra)
	if err != nil {
		return nil, err
	}
	share := reading.EvalShare
	if which == heldOut && share == 0 {
		return nil, usagef(c, "--held-out: the model's run held nothing out of its --data: leave it out, and give the files "+
			"of its evaluation")
	}
	o := data.Options{Vocab: m.Config.VocabSize, Classes: m.Config.NumClasses}
	if o.Eval = c.StringSlice("data"); which != everything && share > 0 {
		o.Train, o.Eval, o.EvalShare = o.Eval, nil, share
	}
	if o.Long, err = longSamples(c, reading.LongSamples); err != nil {
		return nil, err
	}
	if o.Labels, err = curriculum.LabelsOf(m.Extra); err != nil {
		return nil, err
	}
	if o.Labels == nil {
		o.Labels = data.Numbered(m.Config.NumClasses)
	}
	if err := curriculum.Tokenize(&o, m.Extra); err != nil {
		return nil, err
	}
	if o.Dir, err = os.MkdirTemp("", "synapnet-data-"); err != nil {
		return nil, fmt.Errorf("no temporary directory: %w; set TMPDIR to one that can be written", err)
	}
	set, err := data.Prepare(c.Context, o)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(o.Dir))
	}
	s := &ownSamples{set, set.Eval, reading, o.Dir}
	if len(o.Train) > 0 && which == learnable {
		s.of = set.Train
	}
	return s, nil
}

// Close removes what reading them took.
func (s *ownSamples) Close() error { return errors.Join(s.Set.Close(), os.RemoveAll(s.dir)) }

// context is the number of tokens at which the model reads them: that at which it learnt, or the longest one's.
func (s *ownSamples) context(m layers.Config) int {
	longest := max(s.Counts.Train.Longest, s.Counts.Eval.Longest, layers.MinContext)
	return min(cmp.Or(s.reading.Context, longest), m.MaxLen)
}

// longSamplesFlag is that of commands that read samples for a model.
func longSamplesFlag() cli.Flag {
	return &cli.StringFlag{Name: "long-samples",
		Usage: "samples longer than the context are cut `WHERE`: left, right, middle; or refuse (default: as the model " +
			"learnt)"}
}

// longSamples is what --long-samples says, or else `otherwise`.
func longSamples(c *cli.Context, otherwise data.Long) (data.Long, error) {
	if !c.IsSet("long-samples") {
		return otherwise, nil
	}
	long := data.Long(c.String("long-samples"))
	if long.Check() != nil {
		return "", usagef(c, "--long-samples %s: it must be left, right, middle or refuse", printable(string(long)))
	}
	return long, nil
}

// learntOwn says whether a model learnt from data of the user's own: its ids and classes mean nothing in our tasks.
func learntOwn(extra map[string]string) bool {
	_, own := extra[curriculum.LabelsName]
	return own
}

// refuseOwn refuses a command that works on the tasks of the program for a model that learnt from own data.
func refuseOwn(c *cli.Context, path string) error {
	extra, err := layers.ReadExtra(path)
	if err != nil || !learntOwn(extra) { // what is wrong with the file, its reader says
		return nil //nolint:nilerr // see above
	}
	return usagef(c, "%s learnt from data of its own, and %s works on the tasks that 'pretrain' makes: name another model",
		foreign.Path(path), c.Command.Name)
}

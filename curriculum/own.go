package curriculum

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/tokenizer"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

// Data are samples of the user's own, which a run learns from in place of tasks.
type Data struct {
	Train []string `json:"train" toml:"train"`         // files; see package data
	Eval  []string `json:"eval,omitempty" toml:"eval"` // files; none: EvalShare of Train
	// EvalShare is the share of the training samples that is held out without Eval; 0 is DefaultEvalShare.
	EvalShare float64 `json:"eval_share,omitempty" toml:"eval_share"`
	// Tokenizer makes ids of text: "bytes", "words" (trained on the data), or a file; see package tokenizer. "": samples
	// are ids.
	Tokenizer   string    `json:"tokenizer,omitempty" toml:"tokenizer"`
	LongSamples data.Long `json:"long_samples,omitempty" toml:"long_samples"`
	Ignore      []string  `json:"ignore,omitempty" toml:"ignore"` // keys of samples to leave out
}

// DefaultEvalShare of the training samples is held out where there are no evaluation data.
const DefaultEvalShare = 0.05

// mostWords is how many ids a tokeniser of words has where the model has no vocabulary yet.
const mostWords = 1 << 16

// Words is the tokeniser that is trained on the data.
const Words = "words"

// The names of what goes with a model that learnt from own data (layers.Model.Extra).
const (
	TokenizerName = "tokenizer"
	LabelsName    = "labels"
	ReadingName   = "reading"
)

// Own are a run's own samples, ready to be learnt from.
type Own struct {
	Set   *data.Set
	Extra map[string]string // what goes with the model
}

// readyData reads the run's data into a store in dir, and gives the configuration with what depends on them: where they
// are 0, the model's vocabulary and classes and the samples of a stage are those of the data, without a stage there is
// one of the longest sample's length, and files have absolute paths, so that the run goes on from any folder. A run
// that continues gives the key that it began with. A model that there is already gives what goes with it: its tokeniser
// and labels are those of the data, too.
func (c Config) readyData(ctx context.Context, dir string, since *data.Key, extra map[string]string,
	progress func(data.Progress)) (Config, *Own, error) {
	d := c.Data
	o := data.Options{Train: d.Train, Eval: d.Eval, EvalShare: d.EvalShare, Dir: dir, Long: d.LongSamples,
		Ignore: d.Ignore,
		Vocab:  c.Model.VocabSize, Classes: c.Model.NumClasses, Expect: since, Progress: progress}
	if len(d.Eval) == 0 && d.EvalShare == 0 {
		o.EvalShare = DefaultEvalShare
	}
	var err error
	if since != nil {
		o.Vocab, o.Classes, o.Labels = since.Vocab, since.Classes, since.Labels
	} else if o.Labels, err = LabelsOf(extra); err != nil {
		return c, nil, err
	}
	if err := data.Distinct(slices.Concat(d.Train, d.Eval)...); err != nil { // before words are counted
		return c, nil, err
	}
	own := &Own{Extra: map[string]string{}}
	spec, ok := extra[TokenizerName]
	if !ok && d.Tokenizer != "" {
		if spec, err = c.tokenizer(ctx, progress); err != nil {
			return c, nil, err
		}
	}
	if spec != "" {
		own.Extra[TokenizerName] = spec
	}
	if err := Tokenize(&o, own.Extra); err != nil {
		return c, nil, err
	}
	if own.Set, err = data.Prepare(ctx, o); err != nil {
		return c, nil, err
	}
	labels, err := json.Marshal(own.Set.Labels)
	if err != nil {
		return c, nil, errors.Join(err, own.Set.Close())
	}
	own.Extra[LabelsName] = string(labels)
	if c, err = c.fitted(own.Set, o.Tokenizer); err == nil {
		c.Data, err = d.Absolute()
	}
	if err != nil {
		return c, nil, errors.Join(err, own.Set.Close())
	}
	contexts := c.Contexts()
	reading, err := json.Marshal(Reading{contexts[len(contexts)-1], d.LongSamples, o.EvalShare})
	if err != nil {
		return c, nil, errors.Join(err, own.Set.Close())
	}
	own.Extra[ReadingName] = string(reading)
	return c, own, nil
}

// Continued is the configuration, as it is given again to a run that began as `was`, with what that run noted of
// itself: the hash of its model, lower rates, files that are found from any folder, and what its data decided.
func (c Config) Continued(was Config) (_ Config, err error) {
	if c.InitFrom != "" {
		c.InitSHA256 = cmp.Or(c.InitSHA256, was.InitSHA256)
	}
	c.Rates = was.Rates
	if c.Data == nil {
		return c, nil
	}
	c.Model.VocabSize = cmp.Or(c.Model.VocabSize, was.Model.VocabSize)
	c.Model.NumClasses = cmp.Or(c.Model.NumClasses, was.Model.NumClasses)
	c.SamplesPerStage = cmp.Or(c.SamplesPerStage, was.SamplesPerStage)
	if len(c.Curriculum)+len(c.Stage) == 0 {
		c.Curriculum = was.Curriculum
	}
	c.Data, err = c.Data.Absolute()
	return c, err
}

// Absolute is d with files that are found from any folder.
func (d *Data) Absolute() (*Data, error) {
	all := *d
	for _, list := range []*[]string{&all.Train, &all.Eval} {
		*list = slices.Clone(*list)
		for i, path := range *list {
			full, err := filepath.Abs(path)
			if err != nil {
				return nil, err
			}
			(*list)[i] = full
		}
	}
	return &all, nil
}

// fitted is the configuration with what depends on the data.
func (c Config) fitted(set *data.Set, t data.Tokenizer) (Config, error) {
	counts := set.Counts
	if c.Model.VocabSize == 0 && t != nil {
		c.Model.VocabSize = t.Size()
	}
	if c.Model.VocabSize == 0 {
		c.Model.VocabSize = int(max(counts.Train.Highest, counts.Eval.Highest)) + 1
	}
	if c.Model.NumClasses == 0 {
		c.Model.NumClasses = set.Labels.Len()
	}
	if c.Model.NumClasses < 2 {
		return c, fmt.Errorf("the data have %d label: a classification needs at least 2", c.Model.NumClasses)
	}
	if c.SamplesPerStage == 0 {
		c.SamplesPerStage = int(counts.Train.Samples)
	}
	if len(c.Curriculum)+len(c.Stage) == 0 {
		c.Curriculum = []int{min(max(counts.Train.Longest, counts.Eval.Longest, layers.MinContext), c.Model.MaxLen)}
	}
	for i, s := range c.Stages() {
		if int64(s.Samples) > counts.Train.Samples {
			key := "samples_per_stage"
			if len(c.Stage) > 0 && c.Stage[i].Samples+c.Stage[i].Tokens > 0 {
				key = fmt.Sprintf("stage.%d.samples", i+1)
			}
			return c, bounds.Wrong(key, s.Samples, "the data have %d for training (stage %d)", counts.Train.Samples, i+1)
		}
		_, learnt := set.Train(s.Context)
		_, asked := set.Eval(s.Context)
		if err := cmp.Or(learnt, asked); err != nil {
			return c, err
		}
	}
	return c, c.Validate()
}

// tokenizer is the one that the configuration names, or trains on the data, as it goes with a model.
func (c Config) tokenizer(ctx context.Context, progress func(data.Progress)) (string, error) {
	t, err := c.openTokenizer(ctx, progress)
	if err != nil {
		return "", err
	}
	return specOf(t)
}

// specOf is a tokeniser as it goes with a model.
func specOf(t tokenizer.Tokenizer) (string, error) {
	spec, err := json.Marshal(t.Spec())
	return string(spec), err
}

func (c Config) openTokenizer(ctx context.Context, progress func(data.Progress)) (tokenizer.Tokenizer, error) {
	if c.Data.Tokenizer != Words {
		return tokenizer.Open(c.Data.Tokenizer)
	}
	var counter tokenizer.WordCounter
	err := data.Scan(ctx, c.Data.Train, c.Data.Ignore, progress, func(r data.Record) error {
		if r.IDs != nil {
			return errors.New("it has ids: leave the tokeniser words out")
		}
		return counter.Add(r.Text)
	})
	if err != nil {
		return nil, err
	}
	t, err := counter.Train(cmp.Or(c.Model.VocabSize, mostWords))
	if errors.Is(err, tokenizer.ErrNoWords) {
		return nil, fmt.Errorf("%s: %w", strings.Join(c.Data.Train, ", "), err)
	}
	return t, err
}

// TokenizerOf is the tokeniser that goes with a model; nil if none does.
func TokenizerOf(extra map[string]string) (tokenizer.Tokenizer, error) {
	text, ok := extra[TokenizerName]
	if !ok {
		return nil, nil
	}
	var spec tokenizer.Spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return nil, fmt.Errorf("the tokeniser in the header is not valid: %w", foreign.JSON(err))
	}
	t, err := tokenizer.FromSpec(spec)
	if err != nil {
		return nil, fmt.Errorf("the tokeniser in the header: %w", err)
	}
	return t, nil
}

// Tokenize has samples read with the tokeniser that goes with a model, if one does.
func Tokenize(o *data.Options, extra map[string]string) error {
	t, err := TokenizerOf(extra)
	if err != nil || t == nil {
		return err
	}
	sum := sha256.Sum256([]byte(extra[TokenizerName]))
	o.Tokenizer, o.TokenizerID = t, hex.EncodeToString(sum[:])
	return nil
}

// LabelsOf are the labels that go with a model; nil if none do.
func LabelsOf(extra map[string]string) (*data.Labels, error) {
	text, ok := extra[LabelsName]
	if !ok {
		return nil, nil
	}
	var l data.Labels
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return nil, fmt.Errorf("the labels in the header are not valid: %w", foreign.JSON(err))
	}
	return &l, nil
}

// Reading is how the samples were read that a model learnt from, so that others are read alike.
type Reading struct {
	// Context is the number of tokens of the last stage's samples, 0 if it is not known. Shorter samples are filled to it
	// on the left, since the positions of their tokens are then those that the model knows.
	Context     int       `json:"context"`
	LongSamples data.Long `json:"long_samples,omitempty"`
	// EvalShare of them was held out; 0: evaluation samples had files of their own.
	EvalShare float64 `json:"eval_share,omitempty"`
}

// ReadingOf is the one that goes with a model; the zero value if none does.
func ReadingOf(extra map[string]string) (r Reading, err error) {
	text, ok := extra[ReadingName]
	if !ok {
		return r, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("the reading in the header is not valid: %w", foreign.JSON(err))
	}
	if err := cmp.Or(bounds.Check("context", r.Context, layers.MinContext, 1<<24), r.LongSamples.Check(),
		bounds.Check("eval_share", r.EvalShare, 0, 1)); err != nil {
		return r, fmt.Errorf("the reading in the header is not valid: %w", err)
	}
	return r, nil
}

// ownTask names the task of own samples in evaluations.
const ownTask = "data"

// ValidateUnread is Validate of a configuration whose data are not read yet: what they decide may be 0.
func (c Config) ValidateUnread() error { return c.Unread().Validate() }

// Unread is the configuration with a guess at what its data decide, where they are not read yet.
func (c Config) Unread() Config {
	if c.Data == nil {
		return c
	}
	c.Model.VocabSize, c.Model.NumClasses = cmp.Or(c.Model.VocabSize, 4096), cmp.Or(c.Model.NumClasses, 64)
	c.SamplesPerStage = cmp.Or(c.SamplesPerStage, 1)
	if len(c.Curriculum)+len(c.Stage) == 0 {
		c.Curriculum = []int{min(1024, c.Model.MaxLen)}
	}
	return c
}

// dataFolder is where the store of a run's own samples is, beside its checkpoint.
const dataFolder = "data.work"

// DataFolder is the folder of the store of a run in dir.
func DataFolder(dir string) string { return filepath.Join(dir, dataFolder) }

// checkData names the first setting of own data that cannot be.
func (c Config) checkData() error {
	d := c.Data
	if len(d.Train) == 0 {
		return bounds.Wrong("data.train", d.Train, "name at least one file of samples")
	}
	if len(c.Mixture) > 0 || slices.ContainsFunc(c.Stage, func(s Stage) bool { return len(s.Mixture) > 0 }) {
		return bounds.Wrong("mixture", c.Mixture, "a run learns from tasks or from data: leave one of them out")
	}
	if !(d.EvalShare >= 0 && d.EvalShare < 1) || len(d.Eval) > 0 && d.EvalShare > 0 {
		return bounds.Wrong("data.eval_share", d.EvalShare, "it must be at least 0 and below 1, and 0 with evaluation data")
	}
	if i := slices.IndexFunc(d.Ignore, data.Reads); i >= 0 {
		return bounds.Wrong("data.ignore", d.Ignore, "samples are made of %s: leave it out", d.Ignore[i])
	}
	return bounds.Known("data.long_samples", data.Longs(), cmp.Or(d.LongSamples, data.Refuse))
}

// held reads the first evaluation samples, and begins anew with each call.
func held(set *data.Dataset, most int) (n int, next func() (tasks.Sample, error)) {
	at := -1
	return min(most, set.Len()), func() (tasks.Sample, error) {
		at++
		return set.Sample(at)
	}
}

// ownTraining are the stage's samples of the run's own data, with the order of its steps.
func (s Stage) ownTraining(own *Own, seed uint64, stage int) (train.Dataset[tasks.Sample], train.Order, error) {
	set, err := own.Set.Train(s.Context)
	if err != nil {
		return nil, nil, err
	}
	order := data.Shuffle{Seed: seed, Purpose: tasks.Training, Stage: stage}.Order(s.Samples, set.Len(), s.BatchSize)
	return set, order, nil
}

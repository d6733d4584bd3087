package curriculum

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
)

// Stage is a stretch of a run with samples of its own. What it leaves at its zero value is the run's: SamplesPerStage,
// EpochsPerStage, BatchSize, Chunks, Mixture.
type Stage struct {
	Context   int `json:"context" toml:"context"`                 // tokens of a sample
	Samples   int `json:"samples,omitempty" toml:"samples"`       // of an epoch, asked for; see tasks.Counts
	Tokens    int `json:"tokens,omitempty" toml:"tokens"`         // of an epoch, in place of Samples
	BatchSize int `json:"batch_size,omitempty" toml:"batch_size"` // samples a step
	Epochs    int `json:"epochs,omitempty" toml:"epochs"`         // at most, of a stage with Until
	// Fresh draws other samples for each epoch, in place of the same in another order.
	Fresh bool `json:"fresh,omitempty" toml:"fresh"`
	// Until ends the stage with the epoch whose evaluation satisfies it: "TASK > ACCURACY", where TASK may be "overall".
	Until   string         `json:"until,omitempty" toml:"until"`
	Mixture []tasks.Weight `json:"mixture,omitempty" toml:"mixture"`

	// Chunks is the number of chunks of Context / Chunks tokens that a sample is read in, as a stream is: each reads what
	// was written in those before it, the loss is on the questions of the last one, and gradients flow through what is
	// read. In training each sample keeps a random number of the entries that a chunk writes, the most salient ones, so
	// that the model learns to live with eviction; evaluations keep all. 1: one pass.
	Chunks int `json:"chunks,omitempty" toml:"chunks"`
	// KeepFrac is the share of those entries that each sample keeps at the least; 0: one entry. While a read is not learnt
	// yet, samples whose answers are gone only hide what there is to learn.
	KeepFrac float64 `json:"keep_frac,omitempty" toml:"keep_frac"`
	// RandomOffset begins the positions of each sample, or chunk, at a random one of those that leave room for it, so that
	// all are learnt; evaluations begin at 0 (SHAPE, Kiyono et al. 2021).
	RandomOffset bool `json:"random_offset,omitempty" toml:"random_offset"`
	// Replay is the share of the stage's steps that are made as those of the stages before it, each as often as its
	// ReplayWeight says: with other samples of their tasks, in their lengths and batches. So what was learnt first stays.
	Replay float64 `json:"replay,omitempty" toml:"replay"`
	// ReplayWeight is how often later stages replay this one, against 1 of the others; 0: 1.
	ReplayWeight float64 `json:"replay_weight,omitempty" toml:"replay_weight"`
	// LRFactor multiplies the run's learning rate in this stage; 0: 1. Smaller batches want lower rates.
	LRFactor float64 `json:"lr_factor,omitempty" toml:"lr_factor"`
	// KFrac is the share of tokens above the salience threshold in this stage, in training; 0: the model's.
	KFrac float64 `json:"k_frac,omitempty" toml:"k_frac"`
	// SparseAbove is the number of tokens up to which attention is dense in this stage, in training; 0: the model's.
	SparseAbove int `json:"sparse_above,omitempty" toml:"sparse_above"`
	// WriteFrac is the share of a chunk's tokens that are written to memory in this stage, in training; 0: the model's.
	// With more of them, reading is learnt in short chunks, of which the model's share would be an entry or two.
	WriteFrac float64 `json:"write_frac,omitempty" toml:"write_frac"`
}

// tested is the mixture that the stage is evaluated on: with one question a sample, as the tasks have it.
func (s Stage) tested() []tasks.Weight {
	all := slices.Clone(s.Mixture)
	for i := range all {
		all[i].Questions = 0
	}
	return all
}

// Specs are what the training graphs of the stages are made for.
func (c Config) Specs() []layers.TrainSpec {
	var all []layers.TrainSpec
	for _, s := range c.Stages() {
		all = append(all, layers.TrainSpec{
			Batch: s.BatchSize, Tokens: s.Context, Questions: tasks.Questions(s.Mixture), Positions: s.RandomOffset,
			Chunks: s.Chunks, Reads: c.Classifier && s.Chunks > 1, KFrac: s.KFrac, SparseAbove: s.SparseAbove,
			WriteFrac: s.WriteFrac,
		})
	}
	return all
}

// Chunk is the number of tokens of a chunk, all of a sample's where it is read in one pass.
func (s Stage) Chunk() int { return s.Context / max(1, s.Chunks) }

// Overall names the accuracy over all samples of an evaluation, among those of its tasks.
const Overall = "overall"

// goal is what Until says.
type goal struct {
	task  string
	above float64
}

// reached says whether an evaluation satisfies the goal. That of the zero value never does.
func (g goal) reached(e Evaluation) bool {
	switch a, ok := e.PerTask[g.task]; {
	case ok:
		return a.Mean > g.above
	case g.task == Overall:
		return e.Overall.Mean > g.above
	}
	return false
}

// Ends says whether the stage ends with an evaluation, and whether that satisfies Until.
func (s Stage) Ends(e EpochEvaluation) (ends, reached bool) {
	g, err := s.goal() // which Validate has checked
	reached = err == nil && g.reached(e.Evaluation)
	return reached || e.Epoch+1 >= s.Epochs, reached
}

// goal reads Until. The task must be one of the mixture.
func (s Stage) goal() (goal, error) {
	if s.Until == "" {
		return goal{}, nil
	}
	names := []string{Overall}
	for _, w := range s.Mixture {
		names = append(names, w.Task)
	}
	if len(s.Mixture) == 0 {
		names = append(names, ownTask)
	}
	task, text, ok := strings.Cut(s.Until, ">")
	task = strings.TrimSpace(task)
	above, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if !ok || err != nil || !(above >= 0 && above < 1) || !slices.Contains(names, task) {
		return goal{}, bounds.Wrong("until", s.Until,
			"it must be TASK > ACCURACY, the task one of %s and the accuracy from 0 "+
				"to below 1, e.g. %q", strings.Join(names, ", "), names[len(names)-1]+" > 0.9")
	}
	return goal{task, above}, nil
}

// Stages are the stages of the run with everything that they leave to it: those of Curriculum, one a context length,
// where the run has none of its own.
func (c Config) Stages() []Stage {
	all := slices.Clone(c.Stage)
	for _, t := range c.Curriculum {
		all = append(all, Stage{Context: t})
	}
	for i := range all {
		s := &all[i]
		if s.Tokens > 0 {
			s.Samples = max(1, s.Tokens/max(1, s.Context))
		}
		s.Samples, s.BatchSize = cmp.Or(s.Samples, c.SamplesPerStage), cmp.Or(s.BatchSize, c.BatchSize)
		s.Epochs, s.Chunks = cmp.Or(s.Epochs, c.EpochsPerStage), cmp.Or(s.Chunks, c.Chunks)
		if len(s.Mixture) == 0 && c.Data == nil {
			s.Mixture = c.mixture()
		}
	}
	return all
}

// Contexts are the lengths of the stages, tokens.
func (c Config) Contexts() []int {
	var all []int
	for _, s := range c.Stages() {
		all = append(all, s.Context)
	}
	return all
}

// Drawn is the number of samples of an epoch: the mixture's counts, which add up to about Samples. Of the user's own
// data it is Samples.
func (s Stage) Drawn() (int, error) {
	if len(s.Mixture) == 0 {
		return s.Samples, nil
	}
	counts, err := tasks.Counts(s.Samples, s.Mixture)
	n := 0
	for _, k := range counts {
		n += k
	}
	return n, err
}

// StepsPerEpoch is the number of batches of an epoch, the last of which may be smaller.
func (s Stage) StepsPerEpoch() (int, error) {
	n, err := s.Drawn()
	return train.StepsPerEpoch(n, s.BatchSize), err
}

// checkStages names the first setting that a stage cannot have.
func (c Config) checkStages() error {
	for i, s := range c.Stage {
		if s.Samples > 0 && s.Tokens > 0 {
			return bounds.Wrong(fmt.Sprintf("stage.%d.tokens", i+1), s.Tokens, "it stands in place of samples, which are %d: "+
				"leave one of them out", s.Samples)
		}
	}
	switch {
	case len(c.Curriculum)+len(c.Stage) == 0:
		return bounds.Wrong("curriculum", c.Curriculum, "give the context length of each stage, e.g. --curriculum 512 1024")
	case len(c.Curriculum) > 0 && len(c.Stage) > 0:
		return bounds.Wrong("stage", len(c.Stage), "there is a curriculum, too, %v: give the one or the other", c.Curriculum)
	}
	for i, s := range c.Stages() {
		err := s.check(c)
		if err == nil && i == 0 && s.Replay > 0 {
			err = bounds.Wrong("replay", s.Replay, "the first stage has none before it: leave it out")
		}
		if bad, ok := errors.AsType[*bounds.Error](err); ok && len(c.Stage) > 0 {
			return bounds.In(fmt.Sprintf("stage.%d", i+1), bad)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// check names the first setting of a stage of c that cannot work.
func (s Stage) check(c Config) error {
	names := tasks.Settings{Task: "mixture", Length: "curriculum", Vocab: "model.vocab_size", Classes: "model.num_classes"}
	if len(c.Stage) > 0 {
		names.Length = "context"
		if err := cmp.Or(bounds.Check("samples", s.Samples, 1, 1<<24), bounds.Check("tokens", s.Tokens, 0, 1<<40),
			bounds.Check("epochs", s.Epochs, 1, 1<<20), bounds.Check("batch_size", s.BatchSize, 1, 1<<16)); err != nil {
			return err
		}
	}
	if err := s.checkChunks(c, names.Length); err != nil {
		return err
	}
	if s.Tokens > 0 && s.Tokens < s.Context {
		return bounds.Wrong("tokens", s.Tokens, "it must be at least one sample's, %d, or 0", s.Context)
	}
	for _, w := range s.Mixture {
		if err := cmp.Or(names.Check(w.Task, w.Params(c.params(s.Context))), w.Check()); err != nil {
			return err
		}
	}
	if err := cmp.Or(bounds.Check("k_frac", s.KFrac, 0, 1), bounds.Check("sparse_above", s.SparseAbove, 0, math.MaxInt32),
		bounds.Check("write_frac", s.WriteFrac, 0, 1), s.checkKept(), bounds.Check("lr_factor", s.LRFactor, 0, mostFactor),
		s.checkReplay(c), s.checkSynapNet(c)); err != nil {
		return err
	}
	if _, err := s.Drawn(); err != nil {
		return bounds.Wrong("mixture", s.Mixture, "%v", err)
	}
	if s.Fresh && c.Data != nil {
		return bounds.Wrong("fresh", true, "a run's own data are what they are: leave it out")
	}
	if s.Fresh && c.SampleKeys.Version() == tasks.Keys1 {
		return bounds.Wrong("fresh", true, "sample_keys 1 have no place for further samples: use sample_keys 2")
	}
	_, err := s.goal()
	return err
}

// checkChunks names the first setting of what a stage of c reads at a time that cannot be. The key of its context is
// given.
func (s Stage) checkChunks(c Config, context string) error {
	if s.Chunks <= 1 {
		return cmp.Or(bounds.Check("chunks", s.Chunks, 0, math.MaxInt32), c.Model.CheckContexts(context, s.Context))
	}
	switch least := s.Chunks * layers.MinContext; {
	case c.Data != nil:
		return bounds.Wrong("chunks", s.Chunks, "a run's own data are read in one pass: leave it out")
	case s.Context < least:
		return bounds.Wrong("chunks", s.Chunks, "a chunk has at least %d tokens, and %s is %d: give at most %d, or a longer "+
			"context", layers.MinContext, context, s.Context, max(1, s.Context/layers.MinContext))
	case s.Context%s.Chunks != 0:
		return bounds.Wrong("chunks", s.Chunks, "it must divide the context, and %s is %d: give another of the two", context,
			s.Context)
	case s.Chunk() > c.Model.MaxLen:
		return bounds.Wrong("chunks", s.Chunks, "%s %d makes chunks of %d tokens, and the model has %d positions: give at "+
			"least %d", context, s.Context, s.Chunk(), c.Model.MaxLen, (s.Context+c.Model.MaxLen-1)/c.Model.MaxLen)
	}
	if err := c.Model.CheckMemory(); err != nil {
		return bounds.Wrong("chunks", s.Chunks, "%v", err)
	}
	return nil
}

// checkKept refuses a share of what nothing is kept of.
func (s Stage) checkKept() error {
	if s.KeepFrac != 0 && s.Chunks <= 1 {
		return bounds.Wrong("keep_frac", s.KeepFrac, "a stage of one pass keeps nothing for later: leave it out, or give "+
			"chunks")
	}
	return bounds.Check("keep_frac", s.KeepFrac, 0, 1)
}

// mostFactor is the most that a rate or a weight of a stage may be against those of others.
const mostFactor = 1000

// checkReplay refuses what there is nothing to replay of.
func (s Stage) checkReplay(c Config) error {
	if err := bounds.Check("replay_weight", s.ReplayWeight, 0, mostFactor); err != nil {
		return err
	}
	switch {
	case s.Replay == 0:
		return nil
	case !(s.Replay > 0 && s.Replay < 1):
		return bounds.Wrong("replay", s.Replay, "it must be at least 0 and below 1")
	case c.Data != nil:
		return bounds.Wrong("replay", s.Replay, "a run's own data are what they are: leave it out")
	case c.SampleKeys.Version() == tasks.Keys1:
		return bounds.Wrong("replay", s.Replay, "sample_keys 1 have no place for further samples: use sample_keys 2")
	}
	return nil
}

// checkSynapNet refuses what another architecture has not.
func (s Stage) checkSynapNet(c Config) error {
	switch {
	case c.Model.Architecture == layers.SynapNet:
		return nil
	case s.KFrac > 0:
		return bounds.Wrong("k_frac", s.KFrac, "architecture %s has no salience mask: leave it out", c.Model.Architecture)
	case s.SparseAbove > 0:
		return bounds.Wrong("sparse_above", s.SparseAbove, "architecture %s has no sparse attention: leave it out",
			c.Model.Architecture)
	case s.WriteFrac > 0:
		return bounds.Wrong("write_frac", s.WriteFrac, "architecture %s writes what its model says: leave it out",
			c.Model.Architecture)
	}
	return nil
}

// epochs are the training samples of a stage: number e·n + i is row i of epoch e.
type epochs struct {
	n     int
	draw  func(epoch int) ([]tasks.Sample, error)
	epoch int // of the rows that are held
	rows  []tasks.Sample
}

// Len is train.Endless: an epoch follows the other.
func (*epochs) Len() int { return train.Endless }

// Sample draws the rows of its epoch unless they are held.
func (e *epochs) Sample(i int) (s tasks.Sample, err error) {
	if epoch := i / e.n; epoch != e.epoch {
		if e.rows, err = e.draw(epoch); err != nil {
			return s, err
		}
		e.epoch = epoch
	}
	return e.rows[i%e.n], nil
}

// training are the samples of the stage with the order of its steps.
func (s Stage) training(p tasks.Params, from tasks.Source) (train.Dataset[tasks.Sample], train.Order, error) {
	rows, err := tasks.Mixture(s.Samples, p, from, s.Mixture)
	if err != nil {
		return nil, nil, err
	}
	n := len(rows)
	if !s.Fresh {
		return train.Samples[tasks.Sample](rows), Epochs(from, n, s.BatchSize), nil
	}
	data := &epochs{n: n, rows: rows, draw: func(epoch int) ([]tasks.Sample, error) {
		return tasks.Mixture(s.Samples, p, from.Epoch(epoch), s.Mixture)
	}}
	return data, train.Shuffled(n, s.BatchSize, func(epoch int) []int {
		order := from.Order(n, epoch)
		for i := range order {
			order[i] += epoch * n
		}
		return order
	}), nil
}

package eviction

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/results/published"
)

// TrainConfig is the training of retention classifiers over seeds, learning rates and label noise (SPEC section 5).
type TrainConfig struct {
	Seeds         []uint64  `json:"seeds"`
	LearningRates []float64 `json:"learning_rates"`
	Noise         []float64 `json:"noise"` // probability that a label is flipped
	Hidden        int       `json:"hidden"`
	Batch         int       `json:"batch"`
	DataSeed      uint64    `json:"data_seed"`

	// The published protocol: one pass over PaperSequences samples of PaperContext tokens, PaperSteps steps. PublishedRates
	// are the learning rates of the published training.
	PublishedRates []float64 `json:"published_rates"`
	PaperSequences int       `json:"paper_sequences"`
	PaperContext   int       `json:"paper_context"`
	PaperSteps     int       `json:"paper_steps"`

	// The strict protocol: streams of Sequences samples of Context tokens in chunks, Steps steps.
	Tasks       []string `json:"tasks"`
	Sequences   int      `json:"sequences"`
	Context     int      `json:"context"`
	Chunk       int      `json:"chunk"`
	PerDecision int      `json:"per_decision"` // examples of a layer after a chunk, at most
	Steps       int      `json:"steps"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// DefaultTrain is the published protocol, and the strict one with more data. It streams the tasks of pretraining: the
// one that the grid tests on is not among them.
func DefaultTrain() TrainConfig {
	var names []string
	for _, w := range tasks.TrainingMixture() {
		names = append(names, w.Task)
	}
	return TrainConfig{
		Seeds: []uint64{42, 43, 44}, LearningRates: []float64{5e-3, 1e-2, 2e-2}, Noise: []float64{0, 0.1, 0.2}, Hidden: baee.DefaultHidden,
		Batch: 64, DataSeed: 7000, PaperSequences: 32, PaperContext: 1024, PaperSteps: 400,
		PublishedRates: []float64{1e-4, 5e-4, 1e-3},
		Tasks:          names, Sequences: 192, Context: 2048, Chunk: 512, PerDecision: 48, Steps: 3000,
		SampleKeys: tasks.CurrentKeys,
	}
}

// Networks that are trained. All but PublishedNetwork learn from standardised features at a rate that ends at 0.
const (
	PublishedNetwork = "published" // paper only: the retention classifier, trained as the reference trains it
	RetentionNetwork = "retention" // the retention classifier; strict: on attention received in later chunks
	NeedleNetwork    = "needle"    // strict only: the retention classifier, on which tokens carry the answer
	HeadNetwork      = "head"      // strict only: the Locret-style head, which sees the content alone, on attention
)

// TrainKey names a training.
type TrainKey struct {
	Protocol baee.Protocol `json:"protocol"`
	Network  string        `json:"network"`
	LR       float64       `json:"lr"`
	Noise    float64       `json:"noise"`
	Seed     uint64        `json:"seed"`
}

// TrainCell is the result of one training.
type TrainCell struct {
	TrainKey
	AUC float64 `json:"auc"` // ROC, on held-out examples
	// SalienceAUC and UseAUC are those of ranking the same examples by salience or by the share of reads with use alone.
	SalienceAUC float64   `json:"salience_auc"`
	UseAUC      float64   `json:"use_auc"`
	Trained     int       `json:"trained"` // examples
	HeldOut     int       `json:"held_out"`
	Positives   int       `json:"positives"` // of the held-out ones
	Parameters  int       `json:"parameters"`
	Losses      []float32 `json:"losses"` // of training, each the mean of a twentieth of the steps
}

// TrainSummary is a training over the seeds.
type TrainSummary struct {
	Protocol  baee.Protocol   `json:"protocol"`
	Network   string          `json:"network"`
	LR        float64         `json:"lr"`
	Noise     float64         `json:"noise"`
	Seeds     int             `json:"seeds"`
	AUC       result.MeanStd  `json:"auc"`
	Salience  result.MeanStd  `json:"salience"` // the baseline: salience alone
	Use       result.MeanStd  `json:"use"`
	Published *result.MeanStd `json:"published,omitempty"` // Std 0: of one seed
}

// TrainResult is what the experiment writes, anew after every training.
type TrainResult struct {
	Experiment  string              `json:"experiment"`
	Config      TrainConfig         `json:"config"`
	Model       layers.Config       `json:"model"`
	Base        string              `json:"base"`
	BaseSHA256  string              `json:"base_sha256"`
	Protocol    string              `json:"protocol"`
	Environment result.Environment  `json:"environment"` // of the last cell that was measured
	Cost        result.Cost         `json:"cost"`        // of all calls
	Cells       []TrainCell         `json:"cells"`
	Summary     []TrainSummary      `json:"summary"`
	Selected    map[string]TrainKey `json:"selected"`    // by network: the training whose weights are written
	ScorePrior  float64             `json:"score_prior"` // share of positives that the scores of the written weights presume
}

const trainProtocol = "paper: 6,144 entries, label = salience x distinctiveness above the 70% quantile, split 80/20 by entry, noise on all labels, " +
	"Xavier-uniform weights of gain 0.1, AdamW, weight decay 0.01, batch 64, clip 1, 400 steps; network published takes features as they are at a fixed learning rate, " +
	"network retention whitens the content (ridge 0.1) and scales the history to variance 1, with moments of the examples trained on, folded into the first layer's weights after " +
	"training, and lowers a higher learning rate to 0 along a cosine. strict: trained like the latter on streams of the pretraining tasks, which the grid's task is not one of, split 80/20 by " +
	"sequence, noise on the labels trained on only. Label of retention and head = among the 30% of a layer's entries with most attention received in later chunks; " +
	"label of needle = the entry was written at a token that carries the sample's answer. The use feature is the share of reads, of one more than there were, in which the entry " +
	"received at least an even share of the attention. Files, whose logits are moved from the share of positives among the examples to the 30% that the tiers' thresholds presume " +
	"(needles are under 1% of the entries), are strict trainings without noise, first seed, at the learning rate with the best mean AUC: classifier.safetensors " +
	"is network needle, classifier-attention.safetensors network retention, head.safetensors network head"

// Training is the experiment under way.
type Training struct {
	Config      TrainConfig
	Base        *layers.Model
	Dir         string
	Environment result.Environment
	Report      TrainHooks
	// Note, if any, is a line for users about what an earlier call began with.
	Note string

	job     *lab.Job
	file    *lab.ResultFile
	result  TrainResult
	written map[string]TrainKey // by network: what an earlier call wrote the weights of
	data    map[baee.Protocol]*collection
}

// TrainHooks receives news. Any function may be nil.
type TrainHooks struct {
	Collect func(protocol baee.Protocol, sequences, context int)
	Data    func(protocol baee.Protocol, examples, positives int)
	Cell    func(c TrainCell, before bool, done, total int)
}

// The files that the experiment leaves in its folder.
const (
	TrainFile               = "baee-train.json"
	AttentionClassifierFile = "classifier-attention.safetensors"
)

// selectedFiles are where the selected training of each strict network goes.
var selectedFiles = map[string]string{NeedleNetwork: lab.ClassifierFile, RetentionNetwork: AttentionClassifierFile, HeadNetwork: lab.HeadFile}

// NewTraining prepares the experiment on the pretrained model at basePath. What the folder holds already is kept if it was
// made with the same model and settings, and refused otherwise.
func NewTraining(c TrainConfig, basePath, dir string, env result.Environment) (*Training, error) {
	e, err := newTraining(c, basePath, dir, env)
	if err != nil {
		return nil, err
	}
	c.SampleKeys, e.Note = lab.BegunKeys(e.output(), "baee-train", c.SampleKeys)
	e.Config.SampleKeys, e.result.Config.SampleKeys = c.SampleKeys, c.SampleKeys
	if e.job, e.file, err = lab.Standalone(TrainExperiment(), c, lab.ModelInputs(basePath), e.output(), env); err != nil {
		return nil, err
	}
	for _, name := range []string{lab.ClassifierFile, AttentionClassifierFile, lab.HeadFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil && e.job.Earlier() == nil { // of cajq-3phase, or anybody's
			return nil, fmt.Errorf("%s holds a %s but no %s: it is not of this command, and would be replaced; move it away or give another --output-dir", dir, name, TrainFile)
		}
	}
	e.Note = lab.JoinNotes(e.Note, e.file.Note)
	return e, e.load()
}

func newTraining(c TrainConfig, basePath, dir string, env result.Environment) (*Training, error) {
	base, err := measure.LoadBase(basePath)
	if err != nil {
		return nil, err
	}
	if err := c.validate(base.Config); err != nil {
		return nil, err
	}
	e := &Training{Config: c, Base: base, Dir: dir, Environment: env, data: map[baee.Protocol]*collection{}}
	e.result = TrainResult{
		Experiment: "baee-train", Config: c, Model: base.Config, Base: filepath.Base(basePath), BaseSHA256: base.WeightsSHA256(),
		Protocol: trainProtocol, Environment: env, ScorePrior: baee.ScorePrior,
	}
	return e, nil
}

func (c TrainConfig) validate(m layers.Config) error {
	if m.LanguageModel() {
		return fmt.Errorf("the model predicts tokens (num_classes 0): the samples need a model with a classification head")
	}
	if len(c.Seeds) == 0 || len(c.LearningRates) == 0 || len(c.PublishedRates) == 0 || len(c.Noise) == 0 || len(c.Tasks) == 0 {
		return fmt.Errorf("seeds %v, learning rates %v, published rates %v, noise %v, tasks %v: give at least one of each", c.Seeds, c.LearningRates, c.PublishedRates, c.Noise, c.Tasks)
	}
	if err := errors.Join(lab.Once("seed", c.Seeds), lab.Once("learning rate", c.LearningRates), lab.Once("published rate", c.PublishedRates), lab.Once("noise", c.Noise), lab.Once("task", c.Tasks)); err != nil {
		return err
	}
	for _, s := range []struct {
		name         string
		value, least int
	}{{"hidden", c.Hidden, 1}, {"batch", c.Batch, 1}, {"paper sequences", c.PaperSequences, 2}, {"paper steps", c.PaperSteps, 1},
		{"sequences", c.Sequences, 5}, {"per decision", c.PerDecision, 1}, {"steps", c.Steps, 1}} {
		if s.value < s.least {
			return fmt.Errorf("%s %d: it must be at least %d", s.name, s.value, s.least)
		}
	}
	for _, lr := range slices.Concat(c.LearningRates, c.PublishedRates) {
		if !(lr > 0 && lr <= 1) {
			return fmt.Errorf("learning rate %g: it must be above 0 and at most 1", lr)
		}
	}
	for _, p := range c.Noise {
		if !(p >= 0 && p < 0.5) {
			return fmt.Errorf("noise %g: it must be at least 0 and below 0.5, where labels carry nothing", p)
		}
	}
	if c.Chunk < layers.MinContext || c.Chunk > m.MaxLen || c.Context < 2*c.Chunk || c.Context%c.Chunk != 0 {
		return fmt.Errorf("context length %d, chunk %d: the context must be two or more whole chunks, a chunk from %d to the model's max_len %d tokens", c.Context, c.Chunk, layers.MinContext, m.MaxLen)
	}
	if c.PaperContext < layers.MinContext || c.PaperContext > m.MaxLen {
		return fmt.Errorf("paper context length %d: it must be from %d to the model's max_len %d", c.PaperContext, layers.MinContext, m.MaxLen)
	}
	for _, name := range c.Tasks {
		if err := tasks.Check(name, measure.TaskParams(m, c.Context)); err != nil {
			return err
		}
	}
	for _, w := range tasks.TrainingMixture() {
		if err := tasks.Check(w.Task, measure.TaskParams(m, c.PaperContext)); err != nil {
			return err
		}
	}
	return nil
}

// source is that of all samples: what a classifier learns from and what it is tested on are sequences of one set, split.
func (c TrainConfig) source() tasks.Source {
	return tasks.Draw{Keys: c.SampleKeys, Seed: c.DataSeed}.For(tasks.Retention, 0)
}

func (e *Training) output() string { return filepath.Join(e.Dir, TrainFile) }

func (e *Training) load() error {
	var old TrainResult
	found, err := e.job.Before(&old)
	if err != nil || !found {
		return err
	}
	// What a training depends on, besides what it is named by.
	settings := func(c TrainConfig) string {
		c.Seeds, c.LearningRates, c.PublishedRates, c.Noise = nil, nil, nil, nil
		c.SampleKeys = c.SampleKeys.Version()
		return fmt.Sprintf("%+v", c)
	}
	if old.BaseSHA256 != e.result.BaseSHA256 || settings(old.Config) != settings(e.Config) {
		return fmt.Errorf("%s holds results of another base model or of other settings: move it away or give another --output-dir", e.output())
	}
	e.result.Cells, e.result.Cost, e.result.Environment = old.Cells, old.Cost, old.Environment
	if e.job.Earlier().Complete && old.ScorePrior == e.result.ScorePrior { // networks are written last: else the files may be of an earlier run
		e.written = old.Selected
	}
	return nil
}

// keys lists the trainings in the order of reports.
func (e *Training) keys() []TrainKey {
	var all []TrainKey
	for _, kind := range []TrainKey{
		{Protocol: baee.Paper, Network: PublishedNetwork}, {Protocol: baee.Paper, Network: RetentionNetwork},
		{Protocol: baee.Strict, Network: RetentionNetwork}, {Protocol: baee.Strict, Network: NeedleNetwork}, {Protocol: baee.Strict, Network: HeadNetwork},
	} {
		rates := e.Config.LearningRates
		if kind.Network == PublishedNetwork {
			rates = e.Config.PublishedRates
		}
		for _, lr := range rates {
			for _, noise := range e.Config.Noise {
				for _, seed := range e.Config.Seeds {
					all = append(all, TrainKey{kind.Protocol, kind.Network, lr, noise, seed})
				}
			}
		}
	}
	return all
}

func (e *Training) find(k TrainKey) *TrainCell {
	for i := range e.result.Cells {
		if e.result.Cells[i].TrainKey == k {
			return &e.result.Cells[i]
		}
	}
	return nil
}

// Run trains what is missing, writes the selected classifier and head, and returns the whole result. When ctx ends, what is
// finished is in the folder; a later call continues.
func (e *Training) Run(ctx context.Context) (*TrainResult, error) {
	release, err := e.file.Hold()
	if err != nil {
		return nil, err
	}
	defer release()
	watch, before := lab.StartWatch(), e.result.Cost
	keys := e.keys()
	for i, k := range keys {
		done := e.find(k)
		old := done != nil
		if !old {
			cell, _, err := e.train(ctx, k)
			if err != nil {
				return nil, err
			}
			e.result.Cells, e.result.Environment = append(e.result.Cells, *cell), e.Environment
			e.result.Cost = before.Add(watch.Cost())
			if err := e.write(false); err != nil {
				return nil, err
			}
			done = cell
		}
		if e.Report.Cell != nil {
			e.Report.Cell(*done, old, i+1, len(keys))
		}
	}
	if err := e.summarise(); err != nil { // nothing has, if all cells were there
		return nil, err
	}
	if err := e.writeNetworks(ctx); err != nil {
		return nil, err
	}
	e.result.Cost = before.Add(watch.Cost())
	return &e.result, e.write(true)
}

// writeNetworks trains the selected networks once more, to the same weights, and writes them.
func (e *Training) writeNetworks(ctx context.Context) error {
	for network, file := range selectedFiles {
		k, ok := e.result.Selected[network]
		if !ok {
			continue
		}
		path := filepath.Join(e.Dir, file)
		if _, err := os.Stat(path); err == nil && e.written[network] == k {
			continue
		}
		_, trained, err := e.train(ctx, k)
		if err != nil {
			return err
		}
		if err := trained.Save(path); err != nil {
			return err
		}
	}
	return nil
}

// examples collects those of a protocol, once.
func (e *Training) examples(ctx context.Context, p baee.Protocol) (*collection, error) {
	if c := e.data[p]; c != nil {
		return c, nil
	}
	sequences, length := e.Config.Sequences, e.Config.Context
	if p == baee.Paper {
		sequences, length = e.Config.PaperSequences, e.Config.PaperContext
	}
	if e.Report.Collect != nil {
		e.Report.Collect(p, sequences, length)
	}
	var c *collection
	var err error
	if p == baee.Paper {
		c, err = collectPaper(ctx, e.Base, sequences, length, e.Config.source())
	} else {
		c, err = collectStrict(ctx, e.Base, e.Config)
	}
	if err != nil {
		return nil, err
	}
	if e.Report.Data != nil {
		e.Report.Data(p, c.Len(), c.positives())
	}
	e.data[p] = c
	return c, nil
}

// split are the examples to train on and those held out, 80 to 20: by entry in the paper protocol, by sequence in the
// strict one. The head learns from fresh entries alone. Noise is put on as the protocol says.
func (e *Training) split(c *collection, k TrainKey) (train, held baee.Examples) {
	width := c.Width
	if k.Network == HeadNetwork {
		width -= baee.HistoryFeatures
	}
	rng := rand.New(rand.NewPCG(k.Seed, 0x73706c6974))
	unit := func(i int) int { return c.sequence[i] }
	units := slices.Max(c.sequence) + 1
	if k.Protocol == baee.Paper {
		unit, units = func(i int) int { return i }, c.Len()
	}
	trains := make([]bool, units)
	for _, u := range rng.Perm(units)[:int(0.8*float64(units))] {
		trains[u] = true
	}
	labels, wanted := c.Labels, func(i int) bool { return c.later[i] && (k.Network != HeadNetwork || c.fresh[i]) }
	if k.Network == NeedleNetwork {
		labels, wanted = c.needle, func(int) bool { return true }
	}
	train = c.subset(width, labels, func(i int) bool { return wanted(i) && trains[unit(i)] })
	held = c.subset(width, labels, func(i int) bool { return wanted(i) && !trains[unit(i)] })
	flip(train.Labels, k.Noise, rng)
	if k.Protocol == baee.Paper {
		flip(held.Labels, k.Noise, rng)
	}
	return train, held
}

// flip turns each label over with the given probability.
func flip(labels []float32, probability float64, rng *rand.Rand) {
	for i := range labels {
		if rng.Float64() < probability {
			labels[i] = 1 - labels[i]
		}
	}
}

// train is one training with its evaluation. The scores of the network that it returns presume the share ScorePrior of
// positives; the evaluation, which goes by their order, is made before they are moved there.
func (e *Training) train(ctx context.Context, k TrainKey) (*TrainCell, *baee.Classifier, error) {
	c, err := e.examples(ctx, k.Protocol)
	if err != nil {
		return nil, nil, err
	}
	train, held := e.split(c, k)
	cell := &TrainCell{TrainKey: k, Trained: train.Len(), HeldOut: held.Len()}
	steps := e.steps(k)
	part, sum, n := max(1, steps/20), float32(0), 0
	network, err := e.fit(ctx, k, train, func(step int, loss float32) {
		sum, n = sum+loss, n+1
		if step%part == 0 || step == steps {
			cell.Losses = append(cell.Losses, sum/float32(n))
			sum, n = 0, 0
		}
	})
	if err != nil {
		return nil, nil, err
	}
	cell.Parameters = network.Parameters()
	if err := e.evaluate(cell, network, c, held); err != nil {
		return nil, nil, err
	}
	if err := network.MovePrior(train.Share(), baee.ScorePrior); err != nil {
		return nil, nil, fmt.Errorf("%s %s, seed %d: %w: collect more sequences", k.Protocol, k.Network, k.Seed, err)
	}
	return cell, network, nil
}

// fit trains one network as its key says. report is called after each step.
func (e *Training) fit(ctx context.Context, k TrainKey, train baee.Examples, report func(step int, loss float32)) (*baee.Classifier, error) {
	newNetwork, options := baee.NewClassifier, baee.StandardisedFit
	if k.Network == HeadNetwork {
		newNetwork = baee.NewHead
	}
	if k.Network == PublishedNetwork {
		options = baee.DefaultFit
	}
	network, err := newNetwork(e.Base.Config.Dim, e.Config.Hidden, k.Seed)
	if err != nil {
		return nil, err
	}
	o := options(k.Seed)
	o.LR, o.Batch, o.Steps, o.Report = k.LR, e.Config.Batch, e.steps(k), report
	return network, network.Fit(ctx, train, o)
}

// steps of a training under its protocol.
func (e *Training) steps(k TrainKey) int {
	if k.Protocol == baee.Paper {
		return e.Config.PaperSteps
	}
	return e.Config.Steps
}

// evaluate fills in the areas under the curve on the held-out examples.
func (e *Training) evaluate(cell *TrainCell, network *baee.Classifier, c *collection, held baee.Examples) error {
	for _, l := range held.Labels {
		if l > 0.5 {
			cell.Positives++
		}
	}
	var ok bool
	if cell.AUC, ok = baee.AUC(network.Scores(held.Features), held.Labels); !ok {
		return fmt.Errorf("%s %s, seed %d: %d of %d held-out examples are positive: there must be some of both kinds, collect more sequences", cell.Protocol, cell.Network, cell.Seed, cell.Positives, cell.HeldOut)
	}
	if cell.Network == HeadNetwork {
		return nil // its examples have no history to compare with
	}
	column := func(at int) float64 {
		x := make([]float32, held.Len())
		for i := range x {
			x[i] = held.Features[i*held.Width+at]
		}
		auc, _ := baee.AUC(x, held.Labels) // both kinds are there, see above
		return auc
	}
	d := e.Base.Config.Dim
	cell.SalienceAUC, cell.UseAUC = column(d), column(d+3)
	return nil
}

func (e *Training) write(complete bool) error {
	if err := e.summarise(); err != nil {
		return err
	}
	return e.file.Write(e.outcome(), complete)
}

// summarise brings the cells into order, pools them and selects the trainings whose weights are written.
func (e *Training) summarise() error {
	keys := e.keys()
	rank := func(c TrainCell) int {
		if at := slices.Index(keys, c.TrainKey); at >= 0 {
			return at
		}
		return len(keys) // of an earlier call with more seeds, rates or noise
	}
	slices.SortStableFunc(e.result.Cells, func(a, b TrainCell) int { return rank(a) - rank(b) })
	paper, err := publishedStability()
	if err != nil {
		return err
	}
	e.result.Summary = summariseTrain(e.result.Cells, paper)
	e.result.Selected = map[string]TrainKey{}
	best := map[string]float64{}
	for _, s := range e.result.Summary {
		if s.Protocol != baee.Strict || s.Noise != slices.Min(e.Config.Noise) || s.AUC.Mean <= best[s.Network] {
			continue
		}
		best[s.Network] = s.AUC.Mean
		e.result.Selected[s.Network] = TrainKey{s.Protocol, s.Network, s.LR, s.Noise, e.Config.Seeds[0]}
	}
	return nil
}

// summariseTrain pools cells, which are in order, over their seeds.
func summariseTrain(cells []TrainCell, paper func(lr, noise float64) *result.MeanStd) []TrainSummary {
	var order []TrainKey
	of := map[TrainKey][]TrainCell{}
	for _, c := range cells {
		k := c.TrainKey
		k.Seed = 0
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], c)
	}
	var all []TrainSummary
	for _, k := range order {
		over := func(value func(TrainCell) float64) (s result.MeanStd) {
			var x []float64
			for _, c := range of[k] {
				x = append(x, value(c))
			}
			s.Mean, s.Std = result.MeanAndStd(x)
			return s
		}
		s := TrainSummary{
			Protocol: k.Protocol, Network: k.Network, LR: k.LR, Noise: k.Noise, Seeds: len(of[k]),
			AUC:      over(func(c TrainCell) float64 { return c.AUC }),
			Salience: over(func(c TrainCell) float64 { return c.SalienceAUC }),
			Use:      over(func(c TrainCell) float64 { return c.UseAUC }),
		}
		if k.Protocol == baee.Paper {
			lr := k.LR
			if k.Network != PublishedNetwork {
				lr = publishedRate // the one that the published summary is of
			}
			s.Published = paper(lr, k.Noise)
		}
		all = append(all, s)
	}
	return all
}

// publishedRate is the learning rate of the published summary over seeds.
const publishedRate = 5e-4

// publishedStability gives the published AUC at a learning rate and noise: over three seeds at 5e-4 without noise, of one
// seed where one of the two differs, nil elsewhere.
func publishedStability() (func(lr, noise float64) *result.MeanStd, error) {
	type final struct {
		LR    float64 `json:"lr"`
		Noise float64 `json:"noise_prob"`
		Final struct {
			AUC float64 `json:"val_auc"`
		} `json:"final"`
	}
	var file struct {
		Experiments struct {
			LR    []final `json:"lr_sensitivity"`
			Noise []final `json:"noise_robustness"`
		} `json:"experiments"`
		Summary struct {
			Mean float64 `json:"val_auc_mean"`
			Std  float64 `json:"val_auc_std"`
		} `json:"seed_stability_summary"`
	}
	if err := published.Decode("exp_classifier_stability.json", &file); err != nil {
		return nil, err
	}
	return func(lr, noise float64) *result.MeanStd {
		switch {
		case lr == publishedRate && noise == 0:
			return &result.MeanStd{Mean: file.Summary.Mean, Std: file.Summary.Std}
		case lr == publishedRate:
			for _, f := range file.Experiments.Noise {
				if f.Noise == noise {
					return &result.MeanStd{Mean: f.Final.AUC}
				}
			}
		case noise == 0:
			for _, f := range file.Experiments.LR {
				if f.LR == lr {
					return &result.MeanStd{Mean: f.Final.AUC}
				}
			}
		}
		return nil
	}, nil
}

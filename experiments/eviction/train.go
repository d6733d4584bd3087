package eviction

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// TrainConfig is the training of retention classifiers over seeds, learning rates and label noise (SPEC section 5).
type TrainConfig struct {
	Seeds         []uint64  `json:"seeds"`
	LearningRates []float64 `json:"learning_rates"`
	Noise         []float64 `json:"noise"` // probability that a label is flipped
	Hidden        int       `json:"hidden"`
	Batch         int       `json:"batch"`
	DataSeed      uint64    `json:"data_seed"`

	// The published protocol: one pass over PaperSequences samples of PaperContext tokens, PaperSteps steps.
	// PublishedRates are the learning rates of the published training.
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

	// What was chosen is scored on FreshSequences more streams, or PaperSequences samples, of each of these data seeds.
	FreshSeeds     []uint64 `json:"fresh_seeds,omitempty"`
	FreshSequences int      `json:"fresh_sequences,omitempty"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
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
	Fresh    string        `json:"fresh,omitempty"` // data seed of the sequences it is scored on; "": those held out
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

// training is the experiment under way.
type training struct {
	TrainConfig
	job  *lab.Job
	base *layers.Model
	data map[baee.Protocol]*collection // to train on
}

// The files that the experiment leaves in its folder.
const (
	TrainFile               = "baee-train.json"
	AttentionClassifierFile = "classifier-attention.safetensors"
)

// selectedFiles are where the selected training of each strict network goes.
var selectedFiles = map[string]string{NeedleNetwork: lab.ClassifierFile, RetentionNetwork: AttentionClassifierFile,
	HeadNetwork: lab.HeadFile}

// CheckFolder refuses a folder that holds a file of those that a run leaves, but no result of a run: it is somebody
// else's.
func CheckFolder(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, TrainFile)); err == nil {
		return nil
	}
	for _, name := range []string{lab.ClassifierFile, AttentionClassifierFile, lab.HeadFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil { // of cajq-3phase, or anybody's
			return fmt.Errorf("%s holds a %s but no %s: it is not of this command, and would be replaced; move it away or "+
				"give another --output-dir", dir, name, TrainFile)
		}
	}
	return nil
}

// Join implements lab.Joint: what a training is named by may be added to a result.
func (c TrainConfig) Join(held TrainConfig) (whole, rest TrainConfig) {
	whole = c
	whole.Seeds, whole.Noise = lab.Union(held.Seeds, c.Seeds), lab.Union(held.Noise, c.Noise)
	whole.LearningRates = lab.Union(held.LearningRates, c.LearningRates)
	whole.PublishedRates = lab.Union(held.PublishedRates, c.PublishedRates)
	held.Seeds, held.Noise, held.LearningRates, held.PublishedRates = whole.Seeds, whole.Noise, whole.LearningRates,
		whole.PublishedRates
	held.FreshSeeds, held.FreshSequences = whole.FreshSeeds, whole.FreshSequences // cells of them are taken by their seed
	return whole, held
}

// source is that of all samples: what a classifier learns from and what it is tested on are sequences of one set,
// split.
func (c TrainConfig) source() tasks.Source {
	return tasks.Draw{Keys: c.SampleKeys, Seed: c.DataSeed}.For(tasks.Retention, 0)
}

// kinds are those of trainings in the order of reports.
func (TrainConfig) kinds() []TrainKey {
	return []TrainKey{
		{Protocol: baee.Paper, Network: PublishedNetwork}, {Protocol: baee.Paper, Network: RetentionNetwork},
		{Protocol: baee.Strict, Network: RetentionNetwork}, {Protocol: baee.Strict, Network: NeedleNetwork},
		{Protocol: baee.Strict, Network: HeadNetwork},
	}
}

// keys lists the trainings in the order of reports.
func (c TrainConfig) keys() []TrainKey {
	var all []TrainKey
	for _, kind := range c.kinds() {
		rates := c.LearningRates
		if kind.Network == PublishedNetwork {
			rates = c.PublishedRates
		}
		for _, lr := range rates {
			for _, noise := range c.Noise {
				for _, seed := range c.Seeds {
					all = append(all, TrainKey{kind.Protocol, kind.Network, lr, noise, seed, ""})
				}
			}
		}
	}
	return all
}

// name is that of the cell of a training.
func (k TrainKey) name() string {
	name := fmt.Sprintf("%s-%s-%g-%g-%d", k.Protocol, k.Network, k.LR, k.Noise, k.Seed)
	if k.Fresh != "" {
		name += "-fresh-" + k.Fresh
	}
	return name
}

// on is the training scored on the sequences of a data seed.
func (k TrainKey) on(seed uint64) TrainKey {
	k.Fresh = strconv.FormatUint(seed, 10)
	return k
}

// runTraining trains what is missing and writes the selected classifiers and head.
func runTraining(ctx context.Context, j *lab.Job, c TrainConfig) (*lab.Outcome, error) {
	base, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	if err := c.Validate(base.Config); err != nil {
		return nil, err
	}
	whole, keys := j.Whole.(TrainConfig), c.keys()
	cells, err := lab.NewCells[TrainCell](j, len(whole.keys())+len(whole.kinds())*len(whole.FreshSeeds))
	if err != nil {
		return nil, err
	}
	cells.Outcome = func() (*lab.Outcome, error) { return trainOutcome(whole, cells.Done) }
	e := &training{TrainConfig: c, job: j, base: base, data: map[baee.Protocol]*collection{}}
	written, err := e.written(cells.Done)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		note := ""
		if _, ok := cells.Done[k.name()]; ok {
			note = "  done before"
		}
		cell, err := cells.Do(ctx, k.name(), func() (TrainCell, error) {
			cell, _, err := e.train(ctx, k)
			return cell, err
		})
		if err != nil {
			return nil, err
		}
		j.Detail("[%d/%d] %s %s  lr %g  noise %g  seed %d  AUC %.4f%s", i+1, len(keys), k.Protocol, k.Network, k.LR, k.Noise,
			k.Seed, cell.AUC, note)
	}
	if err := e.writeNetworks(ctx, whole.selected(cells.Done), written); err != nil {
		return nil, err
	}
	if err := e.scoreFresh(ctx, whole.chosen(cells.Done), cells); err != nil {
		return nil, err
	}
	return cells.Finish()
}

// scoreFresh scores what was chosen on sequences that nothing was chosen on.
func (e *training) scoreFresh(ctx context.Context, chosen []TrainKey, cells *lab.Cells[TrainCell]) error {
	for _, k := range chosen {
		todo := slices.DeleteFunc(slices.Clone(e.FreshSeeds), func(seed uint64) bool {
			_, done := cells.Done[k.on(seed).name()]
			return done
		})
		if len(todo) == 0 {
			continue
		}
		_, network, err := e.train(ctx, k)
		if err != nil {
			return err
		}
		for _, seed := range todo {
			cell, err := cells.Do(ctx, k.on(seed).name(), func() (TrainCell, error) { return e.fresh(ctx, k, network, seed) })
			if err != nil {
				return err
			}
			e.job.Detail("%s %s  lr %g  noise %g  seed %d  AUC %.4f on sequences of data seed %d", k.Protocol, k.Network, k.LR,
				k.Noise, k.Seed, cell.AUC, seed)
		}
	}
	return nil
}

// fresh scores the network of a training on the sequences of another data seed.
func (e *training) fresh(ctx context.Context, k TrainKey, network *baee.Classifier, seed uint64) (TrainCell, error) {
	c := e.TrainConfig
	c.DataSeed, c.Sequences = seed, c.FreshSequences
	cell := TrainCell{TrainKey: k.on(seed), Parameters: network.Parameters()}
	examples, err := c.collect(ctx, e.base, k.Protocol)
	if err != nil {
		return cell, err
	}
	width, labels, wanted := examples.of(k.Network)
	held := examples.subset(width, labels, wanted)
	cell.HeldOut = held.Len()
	return cell, e.evaluate(&cell, network, held)
}

// written are the trainings whose weights an earlier run wrote, by network, from the cells that it left. Networks are
// written last: else the files may be of a run before it.
func (e *training) written(cells map[string]TrainCell) (map[string]TrainKey, error) {
	r := e.job.Earlier()
	if r == nil || !r.Complete || !e.job.SameVersion(r) {
		return nil, nil
	}
	var held TrainConfig
	if err := json.Unmarshal(r.Config, &held); err != nil {
		return nil, err
	}
	return held.selected(cells), nil
}

// writeNetworks trains the selected networks once more, to the same weights, and writes them.
func (e *training) writeNetworks(ctx context.Context, selected, written map[string]TrainKey) error {
	for _, network := range slices.Sorted(maps.Keys(selected)) {
		k, before, file := selected[network], written[network], selectedFiles[network]
		path := filepath.Join(e.job.Dir, file)
		if _, err := os.Stat(path); err == nil && before == k {
			continue
		}
		if before != k && before != (TrainKey{}) {
			e.job.Line("%s: the training at learning rate %g (noise %g, seed %d) takes the place of that at %g (noise %g, "+
				"seed %d): its AUC is the best now", file, k.LR, k.Noise, k.Seed, before.LR, before.Noise, before.Seed)
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
func (e *training) examples(ctx context.Context, p baee.Protocol) (*collection, error) {
	if c := e.data[p]; c != nil {
		return c, nil
	}
	sequences, length := e.Sequences, e.Context
	if p == baee.Paper {
		sequences, length = e.PaperSequences, e.PaperContext
	}
	e.job.Line("%s: collecting from %d sequences of %d tokens", p, sequences, length)
	c, err := e.collect(ctx, e.base, p)
	if err != nil {
		return nil, err
	}
	e.job.Detail("%s: %d examples, %d positive", p, c.Len(), c.positives())
	e.data[p] = c
	return c, nil
}

// collect collects those of a protocol from the sequences of the data seed.
func (c TrainConfig) collect(ctx context.Context, m *layers.Model, p baee.Protocol) (*collection, error) {
	if p == baee.Paper {
		return collectPaper(ctx, m, c.PaperSequences, c.PaperContext, c.source())
	}
	return collectStrict(ctx, m, c)
}

// of says what a network learns of a collection: how many of the features, which labels, and of which examples.
func (c *collection) of(network string) (width int, labels []float32, wanted func(i int) bool) {
	switch network {
	case NeedleNetwork:
		return c.Width, c.needle, func(int) bool { return true }
	case HeadNetwork: // from fresh entries alone, by their content
		return c.Width - baee.HistoryFeatures, c.Labels, func(i int) bool { return c.later[i] && c.fresh[i] }
	default:
		return c.Width, c.Labels, func(i int) bool { return c.later[i] }
	}
}

// split are the examples to train on and those held out, 80 to 20: by entry in the paper protocol, by sequence in the
// strict one. Noise is put on as the protocol says.
func (e *training) split(c *collection, k TrainKey) (train, held baee.Examples) {
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
	width, labels, wanted := c.of(k.Network)
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
func (e *training) train(ctx context.Context, k TrainKey) (cell TrainCell, network *baee.Classifier, err error) {
	c, err := e.examples(ctx, k.Protocol)
	if err != nil {
		return cell, nil, err
	}
	train, held := e.split(c, k)
	cell = TrainCell{TrainKey: k, Trained: train.Len(), HeldOut: held.Len()}
	steps := e.steps(k)
	part, sum, n := max(1, steps/20), float32(0), 0
	network, err = e.fit(ctx, k, train, func(step int, loss float32) {
		sum, n = sum+loss, n+1
		if step%part == 0 || step == steps {
			cell.Losses = append(cell.Losses, sum/float32(n))
			sum, n = 0, 0
		}
	})
	if err != nil {
		return cell, nil, err
	}
	cell.Parameters = network.Parameters()
	if err := e.evaluate(&cell, network, held); err != nil {
		return cell, nil, err
	}
	if err := network.MovePrior(train.Share(), baee.ScorePrior); err != nil {
		return cell, nil, fmt.Errorf("%s %s, seed %d: %w: %s", k.Protocol, k.Network, k.Seed, err, e.more(k.Protocol))
	}
	return cell, network, nil
}

// more says what gives more examples.
func (e *training) more(p baee.Protocol) string {
	if p == baee.Paper {
		return fmt.Sprintf("collect from more than %d samples (--paper-sequences, setting paper_sequences)", e.PaperSequences)
	}
	return fmt.Sprintf("collect from more than %d streams, or of other tasks (--sequences and --tasks, settings "+
		"sequences and tasks)", e.Sequences)
}

// fit trains one network as its key says. report is called after each step.
func (e *training) fit(ctx context.Context, k TrainKey, train baee.Examples,
	report func(step int, loss float32)) (*baee.Classifier, error) {
	newNetwork, options := baee.NewClassifier, baee.StandardisedFit
	if k.Network == HeadNetwork {
		newNetwork = baee.NewHead
	}
	if k.Network == PublishedNetwork {
		options = baee.DefaultFit
	}
	network, err := newNetwork(e.base.Config.Dim, e.Hidden, k.Seed)
	if err != nil {
		return nil, err
	}
	o := options(k.Seed)
	o.LR, o.Batch, o.Steps, o.Report = k.LR, e.Batch, e.steps(k), report
	return network, network.Fit(ctx, train, o)
}

// steps of a training under its protocol.
func (e *training) steps(k TrainKey) int {
	if k.Protocol == baee.Paper {
		return e.PaperSteps
	}
	return e.Steps
}

// evaluate fills in the areas under the curve on the held-out examples.
func (e *training) evaluate(cell *TrainCell, network *baee.Classifier, held baee.Examples) error {
	for _, l := range held.Labels {
		if l > 0.5 {
			cell.Positives++
		}
	}
	var ok bool
	if cell.AUC, ok = baee.AUC(network.Scores(held.Features), held.Labels); !ok {
		return fmt.Errorf("%s %s, seed %d: %d of %d held-out examples are positive: there must be some of both kinds: %s",
			cell.Protocol, cell.Network, cell.Seed, cell.Positives, cell.HeldOut, e.more(cell.Protocol))
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
	d := e.base.Config.Dim
	cell.SalienceAUC, cell.UseAUC = column(d), column(d+3)
	return nil
}

// groups lists the trainings, each over all seeds, in the order of reports.
func (c TrainConfig) groups() (all []TrainKey) {
	for _, k := range c.keys() {
		k.Seed = 0
		all = lab.AppendNew(all, k)
	}
	return all
}

// over are the cells of a training over the seeds. missing says whether one of them is not there.
func (c TrainConfig) over(k TrainKey, cells map[string]TrainCell) (all []TrainCell, missing bool) {
	for _, k.Seed = range c.Seeds {
		if cell, ok := cells[k.name()]; ok {
			all = append(all, cell)
		} else {
			missing = true
		}
	}
	return all, missing
}

func valuesOf(cells []TrainCell, value func(c TrainCell) float64) (all []float64) {
	for _, c := range cells {
		all = append(all, value(c))
	}
	return all
}

func aucOf(c TrainCell) float64 { return c.AUC }

// selected are the trainings whose weights are written, by network: the chosen ones of the strict protocol.
func (c TrainConfig) selected(cells map[string]TrainCell) map[string]TrainKey {
	best := map[string]TrainKey{}
	for _, k := range c.chosen(cells) {
		if k.Protocol == baee.Strict {
			best[k.Network] = k
		}
	}
	return best
}

// chosen is a training of each kind: without noise, or with the least, the learning rate with the best mean AUC.
func (c TrainConfig) chosen(cells map[string]TrainCell) (best []TrainKey) {
	for _, k := range c.groups() {
		of, _ := c.over(k, cells)
		if k.Noise != slices.Min(c.Noise) || len(of) == 0 {
			continue
		}
		k.Seed = of[0].Seed
		at := slices.IndexFunc(best, func(b TrainKey) bool { return b.Protocol == k.Protocol && b.Network == k.Network })
		if at < 0 {
			best = append(best, k)
		} else if c.better(k, best[at], cells) {
			best[at] = k
		}
	}
	return best
}

// better says whether the mean AUC of one training is above another's. It is that over the seeds that both have: some
// seeds are easier than others. Without such a seed none is better.
func (c TrainConfig) better(k, other TrainKey, cells map[string]TrainCell) bool {
	more := 0.0
	for _, seed := range c.Seeds {
		k.Seed, other.Seed = seed, seed
		cell, ok := cells[k.name()]
		if against, both := cells[other.name()]; ok && both {
			more += cell.AUC - against.AUC
		}
	}
	return more > 0
}

// trainOutcome computes all measurements of the cells that are done.
func trainOutcome(c TrainConfig, cells map[string]TrainCell) (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: c.Seeds}
	for _, k := range c.groups() {
		of, missing := c.over(k, cells)
		o.Partial = o.Partial || missing
		if len(of) == 0 {
			continue
		}
		l := result.Labels{networkLabel: k.Network, rateLabel: number(k.LR), noiseLabel: number(k.Noise)}
		o.Measurements = append(o.Measurements, result.MeanOf(l, string(k.Protocol), "auc", "1", valuesOf(of, aucOf)))
		if k.Network == HeadNetwork {
			continue // its examples have no history to rank by
		}
		for _, x := range []struct {
			feature string
			auc     func(c TrainCell) float64
		}{
			{"salience", func(c TrainCell) float64 { return c.SalienceAUC }},
			{"use", func(c TrainCell) float64 { return c.UseAUC }},
		} {
			l := result.With(l, "feature", x.feature)
			o.Measurements = append(o.Measurements, result.MeanOf(l, string(k.Protocol), "baseline_auc", "1",
				valuesOf(of, x.auc)))
		}
	}
	for _, k := range c.chosen(cells) {
		var of []TrainCell
		for _, seed := range c.FreshSeeds {
			if cell, ok := cells[k.on(seed).name()]; ok {
				of = append(of, cell)
			}
		}
		o.Partial = o.Partial || len(of) < len(c.FreshSeeds)
		if len(of) == 0 {
			continue
		}
		l := result.Labels{networkLabel: k.Network, rateLabel: number(k.LR)}
		o.Measurements = append(o.Measurements, result.MeanOf(l, string(k.Protocol), "fresh_auc", "1", valuesOf(of, aucOf)))
		if k.Network != HeadNetwork {
			o.Measurements = append(o.Measurements, result.MeanOf(l, string(k.Protocol), "fresh_salience_auc", "1",
				valuesOf(of, func(c TrainCell) float64 { return c.SalienceAUC })))
		}
	}
	return o, nil
}

// convertTraining reads the details that results had when they listed all cells, with summaries.
func convertTraining(settings, details json.RawMessage) (*lab.Outcome, error) {
	cells := map[string]TrainCell{}
	add := func(c TrainCell) { cells[c.name()] = c }
	outcome := func(c TrainConfig) (*lab.Outcome, error) { return trainOutcome(c, cells) }
	return convertList(settings, details, add, outcome, cells)
}

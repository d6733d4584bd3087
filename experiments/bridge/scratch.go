package bridge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// scratchSettings are those of training with and without a ScaleBridge from the beginning.
type scratchSettings struct {
	Seeds  []uint64      `json:"seeds"` // initial weights and data
	Paper  scratchPaper  `json:"paper"`
	Strict scratchStrict `json:"strict"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// scratchPaper is the published training: a fixed number of steps on one small dataset.
type scratchPaper struct {
	Model    layers.Config `json:"model"`
	Context  int           `json:"context"` // tokens
	Samples  int           `json:"samples"` // of the training mixture
	Steps    int           `json:"steps"`
	Batch    int           `json:"batch"`
	LR       float64       `json:"lr"`       // falls as a cosine to 0
	Contexts []int         `json:"contexts"` // of the evaluation
	Held     int           `json:"held"`     // samples of the evaluation
}

// scratchStrict is a training until the accuracy on held-out samples stops rising, on ever new data.
type scratchStrict struct {
	Model    layers.Config `json:"model"`
	Short    int           `json:"short"`       // tokens of the first steps
	Opening  int           `json:"short_steps"` // how many these are
	Context  int           `json:"context"`     // tokens of the others
	Batch    int           `json:"batch"`
	LR       float64       `json:"lr"` // constant after a linear warm-up, and linear to 0 at the end
	Warmup   int           `json:"warmup_steps"`
	Every    int           `json:"every"`    // steps between two looks at the held-out samples
	Rise     float64       `json:"rise"`     // what counts as rising
	Patience int           `json:"patience"` // looks without a rise that end the constant part
	Most     int           `json:"most"`     // steps at most, before the rate falls
	Cooldown int           `json:"cooldown"` // steps in which it falls
	Held     int           `json:"held"`     // samples of each look
	Contexts []int         `json:"contexts"` // of the evaluation
	Final    int           `json:"final"`    // samples of the evaluation
}

// ScratchExperiment trains models with and without a bridge from the beginning.
func ScratchExperiment() lab.Experiment {
	m := layers.Reference()
	base := scratchSettings{Paper: scratchPaper{Model: m}, Strict: scratchStrict{Model: m}}
	e := lab.Describe(descriptions, "scale-bridge-scratch", base, runScaleBridgeScratch)
	e.Recompute = func(r *result.Result, _ func() (layers.Config, error)) (*lab.Outcome, error) {
		s, cells, err := lab.Kept[scratchSettings, scratchCell](r)
		if err != nil {
			return nil, err
		}
		run := &scratch{scratchSettings: s, done: &lab.Cells[scratchCell]{Done: cells}}
		return run.outcome(run.models())
	}
	return e
}

// scratchCell is one trained model.
type scratchCell struct {
	Parameters int     `json:"parameters"`
	Steps      int     `json:"steps"`
	Converged  bool    `json:"converged"` // the accuracy had stopped rising; of the strict protocol
	Loss       float64 `json:"loss"`      // of the last step
	// Curve is the accuracy on held-out samples at each look; of the strict protocol.
	Curve    []float64                                 `json:"curve,omitempty"`
	Accuracy map[string]map[string]curriculum.Accuracy `json:"accuracy"` // by context, then task
}

type scratch struct {
	scratchSettings
	job  *lab.Job
	done *lab.Cells[scratchCell]
}

// scratchModel is a variant of a protocol.
type scratchModel struct {
	protocol, variant string
	config            layers.Config
}

func runScaleBridgeScratch(ctx context.Context, j *lab.Job, s scratchSettings) (*lab.Outcome, error) {
	r := &scratch{scratchSettings: s, job: j}
	models := r.models()
	var err error
	if r.done, err = lab.NewCells[scratchCell](j, len(models)*len(s.Seeds)); err != nil {
		return nil, err
	}
	r.done.Outcome = func() (*lab.Outcome, error) { return r.outcome(models) }
	for _, seed := range s.Seeds {
		for _, m := range models {
			cell, err := r.done.Do(ctx, r.name(m, seed), func() (scratchCell, error) {
				if m.protocol == result.Paper {
					return r.paper(ctx, m.config, seed)
				}
				return r.strict(ctx, m, seed)
			})
			if err != nil {
				return nil, err
			}
			j.Line("%s, %s, seed %d: %d steps, loss %.3f", m.protocol, m.variant, seed, cell.Steps, cell.Loss)
		}
	}
	return r.done.Finish()
}

func (r *scratch) name(m scratchModel, seed uint64) string {
	return fmt.Sprintf("%s/%s/%d", m.protocol, m.variant, seed)
}

// models lists the variants of both protocols.
func (r *scratch) models() (all []scratchModel) {
	add := func(protocol string, c layers.Config) layers.Config {
		bare := c
		c.UseScaleBridge, bare.UseScaleBridge = true, false
		all = append(all, scratchModel{protocol, withBridge, c}, scratchModel{protocol, noBridge, bare})
		return c
	}
	add(result.Paper, r.Paper.Model)
	matched := matchedWithoutBridge(add(result.Strict, r.Strict.Model))
	return append(all, scratchModel{result.Strict, matchedBridge, matched})
}

// matchedWithoutBridge is the configuration without a bridge whose feed-forward is so wide that the number of
// parameters comes nearest to that of c, which has one.
func matchedWithoutBridge(c layers.Config) layers.Config {
	want := c.Parameters()
	bare := c
	bare.UseScaleBridge = false
	best := bare
	for hidden := int(float64(c.Dim) * c.MLPRatio); ; hidden++ {
		bare.MLPRatio = (float64(hidden) + 0.5) / float64(c.Dim) // rounded down by the model
		if distance(bare.Parameters(), want) > distance(best.Parameters(), want) {
			return best
		}
		best = bare
	}
}

func distance(a, b int) int { return max(a-b, b-a) }

// scratchTrainer trains one model, on one dataset after another.
type scratchTrainer struct {
	train.Loop[tasks.Sample, train.Update, struct{}]
	model *layers.Model
	batch int
}

type scratchProgram = train.Program[tasks.Sample, train.Update, struct{}]

// trainer begins the training of a model, of so many steps at most.
func (r *scratch) trainer(c layers.Config, seed uint64, batch, most int, rate train.Schedule) (*scratchTrainer, error) {
	m, err := layers.NewModel(c, seed)
	if err != nil {
		return nil, err
	}
	t := &scratchTrainer{Loop: train.New[tasks.Sample, train.Update, struct{}](train.Form{}), model: m, batch: batch}
	d := curriculum.Default()
	t.Optimiser = train.NewOptimiser(train.Recipe{Beta1: d.Beta1, Beta2: d.Beta2, Clip: d.Clip},
		train.Group{Name: "lr", Rate: rate, WeightDecay: d.WeightDecay, Params: m.Params.All()})
	t.Hooks.Step = func(u train.Update) {
		if u.Step%100 == 0 {
			r.job.Line("step %d of at most %d, loss %.3f", u.Step, most, u.Loss)
		}
	}
	return t, nil
}

// run makes some steps on samples of a length.
func (t *scratchTrainer) run(ctx context.Context, length, steps int, data []tasks.Sample, order train.Order) error {
	from := t.Done()
	begin := func(context.Context) (*scratchProgram, error) {
		spec := layers.TrainSpec{Batch: t.batch, Tokens: length}
		g, err := t.model.TrainOn(spec)
		if err != nil {
			return nil, err
		}
		return &scratchProgram{
			From: from, Data: train.Samples[tasks.Sample](data), Order: order, Backward: curriculum.Backward(g, spec),
			Record: func(u train.Update, _ []tasks.Sample) train.Update { return u }, Close: g.Program.Close,
		}, nil
	}
	return t.Run(ctx, train.Phase[tasks.Sample, train.Update, struct{}]{To: from + steps, Begin: begin})
}

// cell is a training that is over, with the accuracies that are kept of its model's evaluation at each context.
func (t *scratchTrainer) cell(ctx context.Context, contexts []int, batch int,
	samples func(length int) ([]tasks.Sample, error),
	kept func(e curriculum.Evaluation) map[string]curriculum.Accuracy) (scratchCell, error) {
	c := scratchCell{Parameters: t.model.Params.Count(), Steps: t.Done(),
		Accuracy: map[string]map[string]curriculum.Accuracy{}}
	if n := len(t.History.Steps); n > 0 {
		c.Loss = t.History.Steps[n-1].Loss
	}
	for _, length := range contexts {
		test, err := samples(length)
		if err != nil {
			return c, err
		}
		e, err := curriculum.EvaluateContext(ctx, t.model, test, batch)
		if err != nil {
			return c, err
		}
		c.Accuracy[strconv.Itoa(length)] = kept(e.Evaluation)
	}
	return c, nil
}

// paper is the published training of one model.
func (r *scratch) paper(ctx context.Context, c layers.Config, seed uint64) (cell scratchCell, err error) {
	p := r.Paper
	data, err := tasks.Mixture(p.Samples, measure.TaskParams(c, p.Context), r.draw(seed).For(tasks.BridgePaper, 0), nil)
	if err != nil {
		return cell, err
	}
	if len(data) < p.Batch {
		return cell, fmt.Errorf("%d samples are fewer than a batch of %d", len(data), p.Batch)
	}
	t, err := r.trainer(c, seed, p.Batch, p.Steps, train.Cosine(p.LR, p.Steps))
	if err != nil {
		return cell, err
	}
	whole := len(data) - len(data)%p.Batch // a smaller last batch is left out
	order := train.Shuffled(whole, p.Batch, func(epoch int) []int {
		rng := rand.New(rand.NewPCG(seed, 0x73637261))
		for range epoch {
			rng.Perm(len(data))
		}
		return rng.Perm(len(data))
	})
	if err := t.run(ctx, p.Context, p.Steps, data, order); err != nil {
		return cell, err
	}
	return t.cell(ctx, p.Contexts, measure.EvalBatch, func(length int) ([]tasks.Sample, error) {
		return tasks.Generate(measure.MetricSingle, p.Held, measure.TaskParams(c, length),
			r.draw(seed).For(tasks.BridgeTest, 0))
	}, func(e curriculum.Evaluation) map[string]curriculum.Accuracy {
		return map[string]curriculum.Accuracy{measure.MetricSingle: e.Overall}
	})
}

// draw is a seed of the experiment's samples.
func (r *scratch) draw(seed uint64) tasks.Draw { return tasks.Draw{Keys: r.SampleKeys, Seed: seed} }

// plateau says when a curve has stopped rising.
type plateau struct {
	rise     float64
	patience int
	best     float64
	waited   int
}

// seen takes the next value and says whether the curve has stopped rising.
func (p *plateau) seen(x float64) bool {
	if x > p.best+p.rise {
		p.best, p.waited = x, 0
		return false
	}
	p.waited++
	return p.waited >= p.patience
}

// strict trains one model until its accuracy on held-out samples stops rising, and evaluates it.
func (r *scratch) strict(ctx context.Context, m scratchModel, seed uint64) (cell scratchCell, err error) {
	s, c := r.Strict, m.config
	t, err := r.trainer(c, seed, s.Batch, s.Most+s.Cooldown, train.Warmup(s.LR, s.Warmup))
	if err != nil {
		return cell, err
	}
	held, err := tasks.Mixture(s.Held, measure.TaskParams(c, s.Context), r.draw(seed).For(tasks.BridgeHeldOut, 0), nil)
	if err != nil {
		return cell, err
	}
	block := 0
	run := func(length, steps int) error {
		data, err := scratchSamples(c, length, steps*s.Batch, r.draw(seed).For(tasks.BridgeTraining, block))
		if err != nil {
			return err
		}
		block++
		return t.run(ctx, length, steps, data, train.InOrder(s.Batch))
	}
	if s.Opening > 0 {
		if err := run(s.Short, s.Opening); err != nil {
			return cell, err
		}
	}
	flat := plateau{rise: s.Rise, patience: s.Patience}
	var curve []float64
	converged := false
	for t.Done() < s.Most && !converged {
		if err := run(s.Context, min(s.Every, s.Most-t.Done())); err != nil {
			return cell, err
		}
		e, err := curriculum.EvaluateContext(ctx, t.model, held, s.Batch)
		if err != nil {
			return cell, err
		}
		curve = append(curve, e.Overall.Mean)
		converged = flat.seen(e.Overall.Mean)
	}
	t.Optimiser.SetRate(0, train.Linear(s.LR, s.Cooldown).From(t.Done()))
	if err := run(s.Context, s.Cooldown); err != nil {
		return cell, err
	}
	cell, err = t.cell(ctx, s.Contexts, s.Batch, func(length int) ([]tasks.Sample, error) {
		return tasks.Mixture(s.Final, measure.TaskParams(c, length), r.draw(seed).For(tasks.BridgeFinal, 0), nil)
	}, func(e curriculum.Evaluation) map[string]curriculum.Accuracy {
		e.PerTask[measure.MixtureTask] = e.Overall
		return e.PerTask
	})
	cell.Curve, cell.Converged = curve, converged
	return cell, err
}

// scratchSamples are exactly n of the training mixture.
func scratchSamples(c layers.Config, length, n int, from tasks.Source) ([]tasks.Sample, error) {
	// The counts of the tasks are rounded down: ask for a few more.
	all, err := tasks.Mixture(n+len(tasks.TrainingMixture()), measure.TaskParams(c, length), from, nil)
	if err != nil {
		return nil, err
	}
	return all[:n], nil
}

func (r *scratch) outcome(models []scratchModel) (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: r.Seeds}
	for _, m := range models {
		var steps []float64
		converged, parameters := 0, 0
		for _, seed := range r.Seeds {
			if cell, ok := r.done.Done[r.name(m, seed)]; ok {
				steps, parameters = append(steps, float64(cell.Steps)), cell.Parameters
				if cell.Converged {
					converged++
				}
			}
		}
		if len(steps) == 0 {
			continue
		}
		l := result.Labels{result.VariantLabel: m.variant}
		o.Measurements = append(o.Measurements, result.Measurement{Labels: l, Protocol: m.protocol, Metric: "parameters",
			Unit: "1", N: 1, Mean: float64(parameters)})
		mean, std := result.MeanAndStd(steps)
		count := result.Measurement{Labels: l, Protocol: m.protocol, Metric: "steps", Unit: "1", N: len(steps), Mean: mean,
			Std: std}
		if m.protocol == result.Strict {
			count.Note = fmt.Sprintf("the accuracy had stopped rising in %d of %d trainings", converged, len(steps))
		}
		o.Measurements = append(o.Measurements, count)
		o.Measurements = append(o.Measurements, r.accuracies(m)...)
	}
	o.Measurements = append(o.Measurements, r.chances(models)...)
	return o, r.guesses(o)
}

// anyWithout are the models without a bridge, of both kinds.
const anyWithout = "any without"

// chances are the exact probabilities of so large a difference between the models with a bridge and those without, if
// it made none.
func (r *scratch) chances(models []scratchModel) (all []result.Measurement) {
	for _, protocol := range []string{result.Paper, result.Strict} {
		contexts, names, _ := r.evaluated(protocol)
		for _, t := range contexts {
			for _, task := range names {
				of := r.byVariant(models, protocol, t, task)
				for _, against := range []string{noBridge, matchedBridge, anyWithout} {
					l := result.Labels{result.AgainstLabel: against, result.TaskLabel: task,
						result.ContextLabel: strconv.Itoa(t)}
					if len(of[withBridge]) > 1 && len(of[against]) > 1 && (against != anyWithout || of[matchedBridge] != nil) {
						all = append(all, result.Permutation(l, protocol, of[withBridge], of[against]))
					}
				}
			}
		}
	}
	return all
}

// byVariant are the accuracies of the models that are done, by variant, and of all without a bridge.
func (r *scratch) byVariant(models []scratchModel, protocol string, t int, task string) map[string][]float64 {
	of := map[string][]float64{}
	for _, m := range models {
		if m.protocol != protocol {
			continue
		}
		for _, seed := range r.Seeds {
			cell, ok := r.done.Done[r.name(m, seed)]
			if !ok {
				continue
			}
			a := cell.Accuracy[strconv.Itoa(t)][task].Mean
			of[m.variant] = append(of[m.variant], a)
			if m.variant != withBridge {
				of[anyWithout] = append(of[anyWithout], a)
			}
		}
	}
	return of
}

// contexts and tasks of a protocol's evaluation.
func (r *scratch) evaluated(protocol string) (contexts []int, names []string, c layers.Config) {
	if protocol == result.Paper {
		return r.Paper.Contexts, []string{measure.MetricSingle}, r.Paper.Model
	}
	return r.Strict.Contexts, append([]string{measure.MixtureTask}, measure.SuiteTasks("mixture")...), r.Strict.Model
}

// accuracies of a variant, and for the one with a bridge what it adds to each of the others.
func (r *scratch) accuracies(m scratchModel) []result.Measurement {
	var all []result.Measurement
	contexts, names, _ := r.evaluated(m.protocol)
	for _, t := range contexts {
		for _, task := range names {
			at := strconv.Itoa(t)
			var seeds []curriculum.Accuracy
			var added []float64
			for _, seed := range r.Seeds {
				cell, ok := r.done.Done[r.name(m, seed)]
				if !ok {
					continue
				}
				seeds = append(seeds, cell.Accuracy[at][task])
				if bridged, ok := r.done.Done[r.name(scratchModel{protocol: m.protocol, variant: withBridge}, seed)]; ok {
					added = append(added, bridged.Accuracy[at][task].Mean-cell.Accuracy[at][task].Mean)
				}
			}
			all = append(all, result.ShareOverSeeds(result.Labels{result.VariantLabel: m.variant, result.TaskLabel: task,
				result.ContextLabel: at}, m.protocol, "accuracy", seeds))
			if m.variant != withBridge && len(added) > 0 {
				all = append(all, result.MeanOf(result.Labels{"against": m.variant, result.TaskLabel: task,
					result.ContextLabel: at}, m.protocol, "difference", "1", added))
			}
		}
	}
	return all
}

// guesses adds the accuracy of guessing to each protocol with an accuracy.
func (r *scratch) guesses(o *lab.Outcome) error {
	n := map[string]int{}
	for _, m := range o.Measurements {
		if m.Metric == "accuracy" {
			n[m.Protocol+m.Labels[result.TaskLabel]+m.Labels[result.ContextLabel]] += m.N
		}
	}
	for _, protocol := range []string{result.Paper, result.Strict} {
		contexts, names, c := r.evaluated(protocol)
		for _, t := range contexts {
			for _, task := range names {
				count := n[protocol+task+strconv.Itoa(t)]
				if count == 0 {
					continue
				}
				p, err := measure.Chance(c, task, t)
				if err != nil {
					return err
				}
				o.Measurements = append(o.Measurements, result.GuessingOf(
					result.Labels{result.TaskLabel: task, result.ContextLabel: result.ContextOf(t)}, protocol, count, p))
			}
		}
	}
	return nil
}

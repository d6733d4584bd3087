package curriculum

import (
	"context"
	"runtime/debug"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// Trainer is a run under way: the loop of package train over the stages of a curriculum.
type Trainer struct {
	Config Config
	Model  *layers.Model
	train.Loop[tasks.Sample, Step, EpochEvaluation]

	perEpoch int        // steps
	epoch    epochCount // of the present one
}

// The forms of the loop's parts.
type (
	phase   = train.Phase[tasks.Sample, Step, EpochEvaluation]
	program = train.Program[tasks.Sample, Step, EpochEvaluation]
)

// Step tells of one optimiser step.
type Step struct {
	Step     int     `json:"step"` // from 1
	Stage    int     `json:"stage"`
	Context  int     `json:"context"`
	Loss     float64 `json:"loss"`     // cross-entropy of the batch, nats
	Accuracy float64 `json:"accuracy"` // of the epoch's batches so far, on training data
	LR       float64 `json:"lr"`
	GradNorm float64 `json:"grad_norm"` // before clipping

	Tokens   int           `json:"-"` // in the batch
	Duration time.Duration `json:"-"`
}

// EpochEvaluation is an evaluation at the end of an epoch.
type EpochEvaluation struct {
	Step    int `json:"step"`
	Stage   int `json:"stage"`
	Context int `json:"context"`
	Epoch   int `json:"epoch"` // within the stage, from 0
	Evaluation
}

// History is what a run tells of itself.
type History = train.History[Step, EpochEvaluation]

// epochCount counts the answers of an epoch's training batches.
type epochCount struct{ Correct, Total int }

// New prepares a run from its beginning.
func New(c Config) (*Trainer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := layers.NewModel(c.Model, c.Seed)
	if err != nil {
		return nil, err
	}
	return newTrainer(c, m)
}

func newTrainer(c Config, m *layers.Model) (*Trainer, error) {
	total, err := c.TotalSteps()
	if err != nil {
		return nil, err
	}
	t := &Trainer{Config: c, Model: m, perEpoch: total / (c.EpochsPerStage * len(c.Curriculum))}
	t.Loop = train.New[tasks.Sample, Step, EpochEvaluation](train.Form{
		StepsPerEpoch: t.perEpoch, Tensors: m.File, Position: t.position,
	})
	t.CheckpointEvery = 100
	t.Optimiser = train.NewOptimiser(train.Recipe{Beta1: c.Beta1, Beta2: c.Beta2, Clip: c.Clip}, train.Group{
		Name: "lr", Rate: c.schedule(total), WeightDecay: c.WeightDecay, Params: m.Params.All(),
	})
	return t, nil
}

// gcPercent is how much garbage the heap may hold in a run, in percent of what is in use. That is hundreds of megabytes
// of planned memory and weights; with Go's 100 the process would slowly grow to twice its size. Collecting is cheap
// here, since the large pieces hold no pointers.
const gcPercent = 5

// Run trains to the end, from wherever the trainer stands. When ctx ends it saves a checkpoint after the current step;
// an evaluation under way is given up and made when the run continues.
func (t *Trainer) Run(ctx context.Context) error {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	perStage := t.perEpoch * t.Config.EpochsPerStage
	var stages []phase
	for stage := range t.Config.Curriculum {
		begin := func(context.Context) (*program, error) { return t.begin(stage, stage*perStage) }
		stages = append(stages, phase{To: (stage + 1) * perStage, Begin: begin})
	}
	return t.Loop.Run(ctx, stages...)
}

// begin makes the program of a stage, which begins with the given step.
func (t *Trainer) begin(stage, from int) (*program, error) {
	c, length := t.Config, t.Config.Curriculum[stage]
	source := c.draw().For(tasks.Training, stage)
	data, err := tasks.Mixture(c.SamplesPerStage, c.params(length), source, c.mixture())
	if err != nil {
		return nil, err
	}
	held, err := tasks.Mixture(c.EvalSamples, c.params(length), c.draw().For(tasks.HeldOut, stage), c.mixture())
	if err != nil {
		return nil, err
	}
	g, err := t.Model.Train(c.BatchSize, length)
	if err != nil {
		return nil, err
	}
	return &program{
		From: from, Data: train.Samples[tasks.Sample](data), Order: Epochs(source, len(data), c.BatchSize),
		Backward: Backward(g, c.BatchSize),
		Record: func(u train.Update, batch []tasks.Sample) Step {
			t.count(u.Step, batch, g.Logits())
			return Step{
				Step: u.Step, Stage: stage, Context: length, Loss: u.Loss, LR: u.Rates[0], GradNorm: u.GradNorm,
				Accuracy: float64(t.epoch.Correct) / float64(t.epoch.Total),
				Tokens:   len(batch) * length, Duration: u.Duration,
			}
		},
		Evaluate: func(ctx context.Context) (EpochEvaluation, error) {
			e, err := EvaluateContext(ctx, t.Model, held, c.BatchSize)
			return EpochEvaluation{t.Done(), stage, length, t.Evaluated() - stage*c.EpochsPerStage, e.Evaluation}, err
		},
		Close: func() {
			g.Program.Close()
			debug.FreeOSMemory() // the next stage plans its own memory: do not hold both
		},
	}, nil
}

// count takes the answers of a step, from 1, into the epoch's.
func (t *Trainer) count(step int, batch []tasks.Sample, logits []float32) {
	if (step-1)%t.perEpoch == 0 {
		t.epoch = epochCount{}
	}
	n := t.Model.Outputs()
	for i, s := range batch {
		t.epoch.Total++
		if Argmax(logits[i*n:(i+1)*n]) == int(s.Label) {
			t.epoch.Correct++
		}
	}
}

// Epochs is the order in which epochs take n samples of a source.
func Epochs(source tasks.Source, n, batch int) train.Order {
	return train.Shuffled(n, batch, func(epoch int) []int { return source.Order(n, epoch) })
}

// Backward computes the loss and the gradients of up to `batch` samples with a training graph of that many.
func Backward(g *layers.Trainer, batch int) func(samples []tasks.Sample) (float64, []gorgonia.ValueGrad, error) {
	return func(samples []tasks.Sample) (float64, []gorgonia.ValueGrad, error) {
		loss, err := g.Run(Collate(samples, batch))
		if err != nil {
			return 0, nil, err
		}
		return float64(loss), g.Program.Gradients(), nil
	}
}

// Collate lays out samples for a program of the given batch size: ids [B, T] and labels [B]. Rows beyond the samples
// repeat the first one and are not counted.
func Collate(samples []tasks.Sample, batch int) (ids, labels []int32) {
	for i := range batch {
		s, label := samples[0], int32(graph.Ignore)
		if i < len(samples) {
			s, label = samples[i], samples[i].Label
		}
		ids, labels = append(ids, s.IDs...), append(labels, label)
	}
	return ids, labels
}

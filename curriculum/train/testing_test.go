package train

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// point is a sample of a line y = 2x - 1.
type point struct{ x, y float32 }

// line is an endless dataset: it has every point.
type line struct{}

func (line) Len() int { return Endless }

func (line) Sample(i int) (point, error) {
	x := float32(i%7) - 3
	return point{x, 2*x - 1}, nil
}

// points are the first n of the line.
func points(n int) (all Samples[point]) {
	for i := range n {
		p, _ := line{}.Sample(i) // it has no errors
		all = append(all, p)
	}
	return all
}

// record is what the regression tells of a step.
type record struct {
	Step int     `json:"step"`
	Loss float64 `json:"loss"`
	LR   float64 `json:"lr"`

	samples int
}

// evaluation is what it tells of an epoch.
type evaluation struct {
	Step int     `json:"step"`
	W    float32 `json:"w"`
}

// The forms of the loop's parts.
type (
	phase   = Phase[point, record, evaluation]
	program = Program[point, record, evaluation]
)

const (
	batchSize = 4
	perEpoch  = 3 // steps: of 10 points, the last batch with 2 of them
	total     = 9
)

// regression fits w·x + b to the line, on finite data in epochs.
type regression struct {
	Loop[point, record, evaluation]
	w, b     *graph.Param
	data     Dataset[point]
	evaluate func(ctx context.Context) error // before an evaluation
}

// regressionPosition is the form of its checkpoints.
type regressionPosition struct {
	Done    int                 `json:"done"`
	Epochs  int                 `json:"epochs"`
	Updates map[string]int      `json:"updates"`
	Metrics *metrics.Mark       `json:"metrics,omitempty"`
	Kernels graph.KernelHistory `json:"kernels,omitempty"`
}

// newRegression begins one at a rate; it is not saved before CheckpointPath is set.
func newRegression(lr float64) *regression {
	r := &regression{w: graph.NewParam("w", 1, 1), b: graph.NewParam("b", 1), data: points(10)}
	r.Loop = New[point, record, evaluation](Form{
		Epochs: Every(perEpoch),
		Tensors: func() (*safetensors.File, error) {
			f := &safetensors.File{Metadata: map[string]string{}}
			return f, layers.AddParams(f, "", []*graph.Param{r.w, r.b})
		},
		Position: func(p Position) any {
			return regressionPosition{p.Done, p.Evaluated, p.Updates, p.Metrics, p.Kernels}
		},
	})
	r.Optimiser = NewOptimiser(Recipe{Beta1: 0.9, Beta2: 0.99},
		Group{Name: "lr", Rate: Cosine(lr, total), WeightDecay: 0.1, Params: []*graph.Param{r.w}},
		Group{Name: "bias_lr", Rate: Constant(lr), Params: []*graph.Param{r.b}})
	return r
}

// saved is one with a checkpoint in a new folder.
func saved(t *testing.T, lr float64) *regression {
	t.Helper()
	r := newRegression(lr)
	r.CheckpointPath, r.CheckpointEvery = filepath.Join(t.TempDir(), "checkpoint.safetensors"), 2
	return r
}

// resumed continues from the checkpoint at path.
func resumed(t *testing.T, path string) *regression {
	t.Helper()
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var p regressionPosition
	if err := json.Unmarshal([]byte(f.Metadata[Key]), &p); err != nil {
		t.Fatal(err)
	}
	r := newRegression(0.1)
	r.CheckpointEvery = 2
	for _, err := range []error{
		layers.SetParams(f, "", []*graph.Param{r.w, r.b}),
		r.Optimiser.Restore(f, p.Updates, p.Done),
		r.Resume(path, Position{Done: p.Done, Evaluated: p.Epochs, Metrics: p.Metrics, Kernels: p.Kernels}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// run makes all steps in two phases, of 2 epochs and of 1.
func (r *regression) run(ctx context.Context) error {
	begin := func(from int) func(context.Context) (*program, error) {
		return func(context.Context) (*program, error) { return r.program(from) }
	}
	return r.Run(ctx, phase{To: 2 * perEpoch, Begin: begin(0)}, phase{To: total, Begin: begin(2 * perEpoch)})
}

func (r *regression) program(from int) (*program, error) {
	var x, y, loss *graph.Node
	g, err := graph.Build(func(g *graph.Graph) {
		x, y = g.Input("x", batchSize, 1), g.Input("y", batchSize, 1)
		loss = graph.MeanSquaredError(g, graph.Linear(g, x, g.Param(r.w), g.Param(r.b), graph.Identity), y)
		g.Keep(loss)
		g.Backward(loss)
	})
	if err != nil {
		return nil, err
	}
	p, err := g.Compile()
	if err != nil {
		return nil, err
	}
	return &program{
		From: from, Data: r.data, Order: r.order(),
		Backward: func(batch []point) (float64, []gorgonia.ValueGrad, error) {
			for i := range batchSize { // a smaller batch is filled up with its first point
				s := batch[0]
				if i < len(batch) {
					s = batch[i]
				}
				g.Floats(x)[i], g.Floats(y)[i] = s.x, s.y
			}
			if err := p.Run(); err != nil {
				return 0, nil, err
			}
			return float64(p.Value(loss)[0]), p.Gradients(), nil
		},
		Record: func(u Update, batch []point) record { return record{u.Step, u.Loss, u.Rates[0], len(batch)} },
		Evaluate: func(ctx context.Context) (evaluation, error) {
			e := evaluation{r.Done(), r.w.Data()[0]}
			if r.evaluate != nil {
				return e, r.evaluate(ctx)
			}
			return e, nil
		},
		Close: p.Close,
	}, nil
}

// order takes a finite dataset in another order each epoch.
func (r *regression) order() Order {
	if r.data.Len() == Endless {
		return InOrder(batchSize)
	}
	return Shuffled(r.data.Len(), batchSize, func(epoch int) []int {
		order := make([]int, r.data.Len())
		for i := range order {
			order[i] = (i + epoch) % len(order)
		}
		return order
	})
}

// left are the bytes of a checkpoint and of the history beside it.
func left(t *testing.T, checkpoint string) (all string) {
	t.Helper()
	for _, path := range []string{checkpoint, metrics.Beside(checkpoint)} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	return all
}

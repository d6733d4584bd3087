package conform

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// The verdict on numbers that another order of summation gave, in files of other shapes, is that they are right, and
// not by a hair; so it is the same on every machine's kernels.
func TestOtherOrdersOfSummationAreRight(t *testing.T) {
	for name, c := range shapes() {
		for what, file := range map[string]func(*testing.T, layers.Config, order) *safetensors.File{
			"gradients": gradientsInOrder, "optimiser steps": stepsInOrder,
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				r, err := File(stored(t, file(t, c, shuffled(c.Dim))))
				if err != nil {
					t.Fatal(err)
				}
				different := 0
				for _, x := range r.Results {
					if !x.OK || x.Worst > 0.6*x.Limit {
						t.Errorf("%s: largest error %.3g of %.3g at %d: got %g, want %g",
							x.Name, x.Worst, x.Limit, x.At, x.Got, x.Want)
					}
					if x.Worst > 0 {
						different++
					}
				}
				if different < len(r.Results)/2 {
					t.Errorf("%d of %d tensors differ: the order of the sums was not another", different, len(r.Results))
				}
			})
		}
	}
}

// A fault of a thousandth in what any weight does, of a hundredth in a bias, is reported. One block stands for all:
// the test would take a minute otherwise.
func TestSmallFaultsAreFound(t *testing.T) {
	const path = "testdata/model-dense.safetensors"
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range f.Tensors {
		if !strings.HasPrefix(x.Name, "w.") || strings.HasPrefix(x.Name, "w.blocks.1.") ||
			strings.HasSuffix(x.Name, "salience_mlp.2.bias") { // r moves with its threshold: it has no effect
			continue
		}
		fault := float32(1.001)
		if strings.HasSuffix(x.Name, "bias") {
			fault = 1.01
		}
		v, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for j := range v {
			v[j] *= fault
		}
		faulty := *f
		faulty.Tensors = slices.Clone(f.Tensors)
		faulty.Tensors[i] = safetensors.FromFloat32(x.Name, x.Shape, v)
		if r, err := File(stored(t, &faulty)); err != nil || r.OK() {
			t.Errorf("%s: %s times %g passes: %v", path, x.Name, fault, err)
		}
	}
}

// A constant of a norm or of the optimiser that is another than the file's is reported.
func TestWrongConstantsAreFound(t *testing.T) {
	for what, change := range map[string]func(c map[string]any){
		"weight decay":    func(c map[string]any) { c["weight_decay"] = 0.011 },
		"no weight decay": func(c map[string]any) { c["weight_decay"] = 0.0 },
		"learning rate":   func(c map[string]any) { c["lr"] = 0.003001 },
		"first moment":    func(c map[string]any) { c["betas"] = []float64{0.901, 0.95} },
		"second moment":   func(c map[string]any) { c["betas"] = []float64{0.9, 0.951} },
		"epsilon":         func(c map[string]any) { c["eps"] = 1e-6 },
		// None: one of another size would be another scale, by which Adam divides.
		"clip": func(c map[string]any) { c["grad_clip"] = 0.0 },
	} {
		f, err := safetensors.Read("testdata/train-adamw.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		var header map[string]any
		if err := json.Unmarshal([]byte(f.Metadata["case"]), &header); err != nil {
			t.Fatal(err)
		}
		change(header)
		text, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		f.Metadata["case"] = string(text)
		if r, err := File(stored(t, f)); err != nil || r.OK() {
			t.Errorf("another %s passes: %v", what, err)
		}
	}
}

// A norm's ε of 1e-6 in place of 1e-5 makes its result larger by 4.5e-6 / variance: here by 1.1e-4, the embeddings
// having a variance of 0.04.
func TestWrongEpsilonOfANormIsFound(t *testing.T) {
	f, err := safetensors.Read("testdata/model-dense.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range f.Tensors {
		if x.Name != "w.blocks.0.norm_in.weight" {
			continue
		}
		v, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for j := range v {
			v[j] *= 1 + 4.5e-6/0.04
		}
		f.Tensors[i] = safetensors.FromFloat32(x.Name, x.Shape, v)
	}
	if r, err := File(stored(t, f)); err != nil || r.OK() {
		t.Errorf("it passes: %v", err)
	}
}

// Two positions whose saliences tie may be in either order, and so may their rows of the bank; others may not.
func TestTiesInSalience(t *testing.T) {
	c := shapes()["wide"]
	for _, tie := range []bool{true, false} {
		f := goldenLike(t, c, 2, 17)
		if tie {
			equalSaliences(t, f, c)
		}
		swapRanks(t, f, c)
		r, err := File(stored(t, f))
		if err != nil || r.OK() != tie {
			t.Errorf("tie %v: OK %v, %v", tie, r.OK(), err)
		}
	}
}

// equalSaliences makes the results those of a model in which all tokens are equally salient.
func equalSaliences(t *testing.T, f *safetensors.File, c layers.Config) {
	t.Helper()
	m, err := layers.NewModel(c, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetWeights(f, "w."); err != nil {
		t.Fatal(err)
	}
	for _, b := range m.Blocks {
		clear(b.Attention.Salience2.W.Param.Data())
	}
	*f = *goldenOf(t, m, 2, 17, nil)
}

// swapRanks exchanges the first two positions of the first row's top, and their rows of the bank.
func swapRanks(t *testing.T, f *safetensors.File, c layers.Config) {
	t.Helper()
	for i, x := range f.Tensors {
		switch x.Name {
		case "out.topk.0":
			v, err := x.Int64s()
			if err != nil {
				t.Fatal(err)
			}
			v[0], v[1] = v[1], v[0]
			f.Tensors[i] = safetensors.FromInt64(x.Name, x.Shape, v)
		case "out.membank.0":
			v, err := x.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			for j := range c.Dim {
				v[j], v[c.Dim+j] = v[c.Dim+j], v[j]
			}
			f.Tensors[i] = safetensors.FromFloat32(x.Name, x.Shape, v)
		}
	}
}

// order is a permutation of a model's features: the same function, whose every sum over features goes another way.
type order []int

func shuffled(dim int) order { return rand.New(rand.NewPCG(5, 5)).Perm(dim) }

// inner are the parameters of which one side is no feature of the model: the inner dimensions of attention and of the
// memory's keys and values keep their places.
var innerRows = []string{"to_q", "to_k", "to_v", "key_proj", "query_proj", "val_proj", "salience_mlp", "ff.1", "head"}
var innerCols = []string{"to_out", "out_proj", "ff.3", "salience_mlp.2"}

// apply moves what belongs to feature i of parameter name to place o[i], or back.
func (o order) apply(name string, shape []int, data []float32, back bool) []float32 {
	is := func(names []string) bool {
		return slices.ContainsFunc(names, func(s string) bool { return strings.Contains(name, s+".") })
	}
	rows, cols := shape[0], len(data)/shape[0]
	vector := len(shape) == 1
	moveRows := rows%len(o) == 0 && !is(innerRows) && !strings.Contains(name, "embed")
	moveCols := !vector && cols%len(o) == 0 && !is(innerCols) && !strings.Contains(name, "dwconv")
	if strings.Contains(name, "pos_embed") || strings.Contains(name, "membank") {
		rows, cols, moveRows, moveCols = len(data)/len(o), len(o), false, true
	}
	at := func(move bool, i int) int {
		if move {
			return i/len(o)*len(o) + o[i%len(o)]
		}
		return i
	}
	out := make([]float32, len(data))
	for r := range rows {
		for c := range cols {
			from, to := r*cols+c, at(moveRows, r)*cols+at(moveCols, c)
			if back {
				from, to = to, from
			}
			out[to] = data[from]
		}
	}
	return out
}

// reorder moves the features of a whole model.
func (o order) reorder(m *layers.Model) {
	for _, p := range m.Params.All() {
		copy(p.Data(), o.apply(p.Name, p.Shape(), p.Data(), false))
	}
}

// gradientsInOrder is goldenLike with the sums in another order.
func gradientsInOrder(t *testing.T, c layers.Config, o order) *safetensors.File {
	t.Helper()
	m := scattered(t, c)
	o.reorder(m)
	return goldenOf(t, m, 2, 17, o)
}

// stepsInOrder is a file of optimiser steps, made with the sums in another order.
func stepsInOrder(t *testing.T, c layers.Config, o order) *safetensors.File {
	t.Helper()
	const steps, batch, tokens = 6, 3, 23
	m := scattered(t, c)
	f := &safetensors.File{}
	floats := func(name string, v []float32, shape ...int) {
		f.Tensors = append(f.Tensors, safetensors.FromFloat32(name, shape, slices.Clone(v)))
	}
	for _, p := range m.Params.All() {
		floats("w0."+p.Name, p.Data(), p.Shape()...)
	}
	o.reorder(m)
	rng := rand.New(rand.NewPCG(2, 2))
	ids, labels := randomInts(rng, steps*batch*tokens, c.VocabSize), randomInts(rng, steps*batch, c.NumClasses)
	train, err := m.Gradients(batch, tokens)
	if err != nil {
		t.Fatal(err)
	}
	opt := graph.NewAdamW(0.9, 0.95, 1, &graph.Group{LR: 3e-3, WeightDecay: 0.01, Params: m.Params.All()})
	var losses, norms []float32
	for i := range steps {
		loss, err := train.Run(ids[i*batch*tokens:][:batch*tokens], labels[i*batch:][:batch])
		if err != nil {
			t.Fatal(err)
		}
		if err := opt.Step(train.Program.Gradients()); err != nil {
			t.Fatal(err)
		}
		losses, norms = append(losses, loss), append(norms, float32(opt.Norm()))
	}
	for _, p := range m.Params.All() {
		floats(fmt.Sprintf("w%d.%s", steps, p.Name), o.apply(p.Name, p.Shape(), p.Data(), true), p.Shape()...)
	}
	floats("out.losses", losses, steps)
	floats("out.grad_norms", norms, steps)
	f.Tensors = append(f.Tensors, wide("in.ids", ids, steps, batch, tokens), wide("in.labels", labels, steps, batch))
	header, err := json.Marshal(caseConfig{
		Config: c, LR: 3e-3, WeightDecay: 0.01, Betas: [2]float64{0.9, 0.95}, GradClip: 1, Eps: 1e-8,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Metadata = map[string]string{"case": string(header)}
	return f
}

func randomInts(rng *rand.Rand, n, below int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = rng.Int32N(int32(below))
	}
	return x
}

func wide(name string, v []int32, shape ...int) safetensors.Tensor {
	x := make([]int64, len(v))
	for i := range v {
		x[i] = int64(v[i])
	}
	return safetensors.FromInt64(name, shape, x)
}

package qat

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// activations runs one batch and gives the attention's input and the input of its output projection, all tokens of a
// block, computed by a graph of their own.
func activations(t *testing.T, m *layers.Model, block, size, tokens int, ids []int32) (n, out []float32) {
	t.Helper()
	var nNode, outNode *graph.Node
	m.Blocks[block].Attention.Observe = func(g *graph.Graph, n, out *graph.Node) { nNode, outNode = n, out }
	defer func() { m.Blocks[block].Attention.Observe = nil }()
	var input []int32
	g, err := graph.Build(func(g *graph.Graph) {
		node := g.InputInts("ids", size, tokens)
		input = g.Ints(node)
		x := m.Embedding.Forward(g, node)
		for _, b := range m.Blocks[:block+1] {
			x = b.Forward(g, x, false)
		}
		g.Keep(nNode, outNode, x)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	copy(input, ids)
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	return append([]float32(nil), p.Value(nNode)...), append([]float32(nil), p.Value(outNode)...)
}

func channelStats(x []float32, dim int) (largest, mean []float64) {
	largest, mean = make([]float64, dim), make([]float64, dim)
	for i, v := range x {
		a := math.Abs(float64(v))
		largest[i%dim] = max(largest[i%dim], a)
		mean[i%dim] += a / float64(len(x)/dim)
	}
	return largest, mean
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-5*max(1, math.Abs(b)) }

// The statistics are over all tokens of every block, the last one of a classifier too, and the norm is a running one.
func TestCalibrationIsOverAllTokensAndBatches(t *testing.T) {
	m := newModel(t, tiny())
	data := calibrationData(t, m.Config, 3)
	c, err := Calibrate(m, data)
	if err != nil {
		t.Fatal(err)
	}
	if c.Batches != 3 || c.Tokens != 3*3*48 {
		t.Errorf("%d batches of %d tokens in all", c.Batches, c.Tokens)
	}
	for block := range m.Blocks {
		largest, norm, outNorm := make([]float64, 32), make([]float64, 32), make([]float64, 32)
		for i, ids := range data.IDs {
			n, out := activations(t, m, block, data.Size, data.Tokens, ids)
			most, mean := channelStats(n, 32)
			_, outMean := channelStats(out, 32)
			for j := range mean {
				largest[j] = max(largest[j], most[j])
				if i == 0 {
					norm[j], outNorm[j] = mean[j], outMean[j]
				} else {
					norm[j], outNorm[j] = (norm[j]+mean[j])/2, (outNorm[j]+outMean[j])/2
				}
			}
		}
		got := c.Blocks[block]
		for j := range largest {
			if !near(float64(got.InputMax[j]), largest[j]) || !near(float64(got.InputNorm[j]), norm[j]) ||
				!near(float64(got.OutNorm[j]), outNorm[j]) {
				t.Fatalf("block %d channel %d: got %v %v %v, want %v %v %v", block, j, got.InputMax[j], got.InputNorm[j],
					got.OutNorm[j], largest[j], norm[j], outNorm[j])
			}
		}
	}
}

func TestCalibrationLeavesTheModelAsItWas(t *testing.T) {
	m := newModel(t, tiny())
	before := logits(t, m)
	if _, err := Calibrate(m, calibrationData(t, m.Config, 1)); err != nil {
		t.Fatal(err)
	}
	for i, b := range m.Blocks {
		if b.Attention.Observe != nil {
			t.Errorf("block %d is still observed", i)
		}
	}
	for i, y := range logits(t, m) {
		if y != before[i] {
			t.Fatalf("logit %d: %v before, %v after", i, before[i], y)
		}
	}
}

// A calibration that is told to stop ends before its next batch, that of a variant too, and no observer stays.
func TestCalibrationIsInterrupted(t *testing.T) {
	m := newModel(t, tiny())
	_, err := CalibrateContext(&looks{t.Context(), 2}, m, calibrationData(t, m.Config, 3))
	if !errors.Is(err, train.ErrInterrupted) || err.Error() != "calibration: interrupted after 2 of 3 batches" {
		t.Errorf("got %v", err)
	}
	if m.Blocks[0].Attention.Observe != nil {
		t.Error("the model is still observed")
	}
	ptq, err := LookupVariants(CAJQPTQ)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ptq[0].Build(&looks{t.Context(), 1}, m, tinyExperiment(), tasks.Seeded(1), Session{}); !errors.Is(err,
		train.ErrInterrupted) {
		t.Errorf("a variant: got %v", err)
	}
}

// With more tokens than the sparse threshold only the salient ones get keys, but the statistics stay those of all.
func TestCalibrationOfSparseAttentionSeesAllTokens(t *testing.T) {
	c := tiny()
	dense := newModel(t, c)
	c.SparseThreshold = 16
	sparse := newModel(t, c)
	data := calibrationData(t, c, 1)
	a, err := Calibrate(dense, data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Calibrate(sparse, data)
	if err != nil {
		t.Fatal(err)
	}
	for j, v := range a.Blocks[0].InputMax {
		if b.Blocks[0].InputMax[j] != v || b.Blocks[0].InputNorm[j] != a.Blocks[0].InputNorm[j] {
			t.Fatalf("channel %d differs in the first block, whose input is the same", j)
		}
	}
}

func TestCalibrationRefusesDataThatDoesNotFit(t *testing.T) {
	m := newModel(t, tiny())
	good := func() Batches { return calibrationData(t, m.Config, 2) }
	for _, c := range []struct {
		name, want string
		data       func() Batches
	}{
		{"another vocabulary", "vocabulary is 0..63", func() Batches { b := good(); b.IDs[1][50] = 64; return b }},
		{"its place", "batch 1, sample 1, position 2", func() Batches { b := good(); b.IDs[1][50] = 64; return b }},
		{"a negative id", "token id -1", func() Batches { b := good(); b.IDs[0][0] = -1; return b }},
		{"nothing", "is empty", func() Batches { return Batches{Size: 1, Tokens: 8} }},
		{"too long samples", "max_len 64",
			func() Batches { return Batches{Size: 1, Tokens: 65, IDs: [][]int32{make([]int32, 65)}} }},
		{"half a sample", "want 3 samples", func() Batches { b := good(); b.IDs[0] = b.IDs[0][:70]; return b }},
	} {
		_, err := Calibrate(m, c.data())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestWeightsThatAreNoNumbersAreRefused(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
		m := newModel(t, tiny())
		c, err := Calibrate(m, calibrationData(t, m.Config, 1))
		if err != nil {
			t.Fatal(err)
		}
		m.Blocks[1].FF1.W.Param.Data()[3] = bad
		for name, f := range map[string]func() error{
			"calibrate": func() error { _, err := Calibrate(m, calibrationData(t, m.Config, 1)); return err },
			"prepare":   func() error { _, err := Prepare(m, c, tinyOptions()); return err },
			"variant": func() error {
				_, err := Variants()[0].Build(t.Context(), m, tinyExperiment(), tasks.Seeded(1), Session{})
				return err
			},
		} {
			if err := f(); err == nil || !strings.Contains(err.Error(), "blocks.1.ff.1.weight") {
				t.Errorf("%s: got %v, want an error naming the weight", name, err)
			}
		}
		if prepared(m) {
			t.Error("the model was changed before the error")
		}
	}
}

package scheme

import (
	"math"
	"slices"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// golden is testdata/quantisers.safetensors: tensors made by the reference implementation.
type golden struct{ file *safetensors.File }

func readGolden(t *testing.T) golden {
	t.Helper()
	f, err := safetensors.Read("testdata/quantisers.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	return golden{f}
}

func (g golden) floats(t *testing.T, name string) []float32 {
	t.Helper()
	tensor, ok := g.file.Lookup(name)
	if !ok {
		t.Fatalf("%s is not in the golden file", name)
	}
	x, err := tensor.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (g golden) codes(t *testing.T, name string) []int8 {
	t.Helper()
	tensor, ok := g.file.Lookup(name)
	if !ok {
		t.Fatalf("%s is not in the golden file", name)
	}
	x, err := tensor.Int64s()
	if err != nil {
		t.Fatal(err)
	}
	codes := make([]int8, len(x))
	for i, v := range x {
		if codes[i] = int8(v); int64(codes[i]) != v {
			t.Fatalf("%s[%d] is %d, no int8", name, i, v)
		}
	}
	return codes
}

func (g golden) param(t *testing.T, name string, shape ...int) *graph.Param {
	t.Helper()
	p := graph.NewParam(name, shape...)
	if n := copy(p.Data(), g.floats(t, name)); n != p.Size() {
		t.Fatalf("%s has %d elements, want %v", name, n, shape)
	}
	return p
}

// agree applies the golden tolerance: 1e-4 relative + 1e-5 absolute.
func agree(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d elements, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i]-w)) <= 1e-4*math.Abs(float64(w))+1e-5) {
			t.Errorf("%s[%d] = %v, want %v", what, i, got[i], w)
		}
	}
}

func TestGolden2Bit(t *testing.T) {
	file := readGolden(t)
	w, logStep := file.param(t, "seq2.w", 8, 24), file.param(t, "seq2.log_step", 8)
	p, y := differentiate(t, func(g *graph.Graph) *graph.Node {
		return SEQ2.Fake(g, g.Param(w), g.Param(logStep), Settings{})
	}, file.floats(t, "seq2.upstream"))
	agree(t, "out", y, file.floats(t, "seq2.out"))
	agree(t, "gradient of w", p.Grad(w), file.floats(t, "seq2.grad_w"))
	agree(t, "gradient of the log step", p.Grad(logStep), file.floats(t, "seq2.grad_log_step"))
}

func TestGoldenInt4(t *testing.T) {
	file := readGolden(t)
	const cols, group = 40, 16
	w := file.param(t, "int4.w", 12, cols)
	q, err := QuantizeInt4(w.Data(), cols, group)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(q.Codes, file.codes(t, "int4.q")) {
		t.Errorf("got codes %v, want %v", q.Codes, file.codes(t, "int4.q"))
	}
	agree(t, "scales", q.Scales, file.floats(t, "int4.scales"))
	agree(t, "zeros", q.Zeros, file.floats(t, "int4.zeros"))
	agree(t, "dequantised", q.Dequantize(), file.floats(t, "int4.deq"))
	y := evaluate(t, func(g *graph.Graph) *graph.Node { return fake(g, Int4Float32, w, Settings{Group: group}) })
	if !slices.Equal(y, q.Dequantize()) {
		t.Error("the codes stand for other values than the fake quantiser's")
	}
}

func TestGoldenInt8(t *testing.T) {
	file := readGolden(t)
	x := file.param(t, "int8.bank", 2, 5, 32)
	q, err := QuantizeInt8(x.Data(), 32)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(q.Codes, file.codes(t, "int8.q")) {
		t.Errorf("got codes %v, want %v", q.Codes, file.codes(t, "int8.q"))
	}
	for i, s := range file.floats(t, "int8.scales") {
		if q.Scales[i].Float32() != s {
			t.Errorf("scale %d is %v, want %v exactly", i, q.Scales[i], s)
		}
	}
	y := evaluate(t, func(g *graph.Graph) *graph.Node { return FakeInt8(g, g.Param(x)) })
	agree(t, "dequantised", y, file.floats(t, "int8.deq"))
	for i, code := range q.Codes {
		if float32(code)*q.Scales[i/q.Cols].Float32() != y[i] {
			t.Fatal("the codes stand for other values than the fake quantiser's")
		}
	}
}

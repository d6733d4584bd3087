package scheme

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/graph"
)

// compactCases are weights of all awkward kinds: short last groups, odd columns, one group a row, zeros, constant and
// one-sided groups, very different magnitudes.
func compactCases() map[string]struct {
	w    []float32
	cols int
	q    Settings
} {
	rng := rand.New(rand.NewPCG(3, 4))
	type c = struct {
		w    []float32
		cols int
		q    Settings
	}
	oneSided := gaussian(rng, 12*64, 0.02)
	for i := range oneSided {
		oneSided[i] = 1 + oneSided[i]
	}
	spread := gaussian(rng, 12*64, 1)
	for i := range spread {
		spread[i] *= float32(math.Pow(10, -float64(i/64)))
	}
	return map[string]c{
		"reference":        {gaussian(rng, 192*192, 0.02), 192, Settings{64, []int{17}}},
		"short last group": {gaussian(rng, 5*100, 0.02), 100, Settings{64, nil}},
		"odd columns":      {gaussian(rng, 7*13, 0.02), 13, Settings{4, []int{0, 12}}},
		"one group a row":  {gaussian(rng, 300*8, 0.02), 8, Settings{64, []int{3}}},
		"odd groups":       {gaussian(rng, 7*26, 0.02), 26, Settings{5, []int{4, 5}}},
		"odd in both":      {gaussian(rng, 7*25, 0.02), 25, Settings{3, nil}},
		"zeros":            {make([]float32, 4*32), 32, Settings{16, nil}},
		"one-sided":        {oneSided, 64, Settings{32, nil}},
		"magnitudes":       {spread, 64, Settings{32, nil}},
	}
}

// A weight is off by no more than half a step, apart from what the rounding of scale and zero clips at a group's ends;
// salient columns are their half-precision values.
func TestInt4Error(t *testing.T) {
	for name, c := range compactCases() {
		t.Run(name, func(t *testing.T) {
			packed, err := packAs(Int4, c.w, []int{len(c.w) / c.cols, c.cols}, c.q)
			if err != nil {
				t.Fatal(err)
			}
			// Half a step, 1/34 of the zero, and 15 steps of half a scale code.
			scales := packed.Unpacker.(int4).scales
			code := math.Log(float64(scales[255]/scales[0])) / 255
			steps := 0.5 + 1.0/34 + 15*(math.Exp(code/2)-1) + 1e-4
			row := make([]float32, c.cols)
			got := packed.Floats()
			for r := range len(c.w) / c.cols {
				c.q.withoutSalient(row, c.w[r*c.cols:(r+1)*c.cols])
				for i, group := range c.q.groups(row) {
					lo, hi := extremes(group)
					scale := max(rawScale(lo, hi), scales[0])
					for j := range group {
						at := r*c.cols + i*c.q.Group + j
						if slices.Contains(c.q.Salient, i*c.q.Group+j) {
							if want := float16.Fromfloat32(c.w[at]).Float32(); got[at] != want {
								t.Fatalf("salient weight %d is %g, want %g", at, got[at], want)
							}
							continue
						}
						if e := math.Abs(float64(got[at] - c.w[at])); e > steps*float64(scale) {
							t.Fatalf("weight %d: %g becomes %g, off by %.3f steps, want at most %.3f", at, c.w[at], got[at],
								e/float64(scale), steps)
						}
					}
				}
			}
		})
	}
}

// pack packs w with steps that clip nothing, if the scheme has steps.
func pack(t testing.TB, spec Spec, w []float32) *Packed {
	t.Helper()
	p, err := Pack(spec, w, storedStepsOf(t, spec, w))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every code in every place survives: the bytes of a weight say exactly what its integers are.
func TestEveryCodeSurvivesPacking(t *testing.T) {
	// Levels: with step 1 each weight sits on the level of its code.
	for _, cols := range []int{4, 7, 9} {
		w := make([]float32, 16*cols)
		for i := range w {
			w[i] = float32((i*7+i/4)%4) - 1.5
		}
		p, err := packSteps(w, []int{16, cols}, make([]float32, 16))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Floats(), w) {
			t.Errorf("%d columns: levels are lost", cols)
		}
		// Integers: a group that has 0 and 15 keeps all others, exactly, at scale 1 and zero 0.
		for i := range w {
			w[i] = float32((i*11 + 3) % 16)
		}
		for r := range 16 {
			w[r*cols], w[r*cols+1] = 0, 15
		}
		q, err := packAs(Int4, w, []int{16, cols}, Settings{Group: 16})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(q.Floats(), w) {
			t.Errorf("%d columns: integers are lost", cols)
		}
	}
}

func TestPackedSizes(t *testing.T) {
	w := gaussian(rand.New(rand.NewPCG(1, 1)), 192*192, 0.02)
	if got, want := len(pack(t, Spec{Scheme: SEQ2.Name, Shape: []int{192, 192}}, w).Bytes()),
		192*192/4+2*192; got != want {
		t.Errorf("2-bit: %d bytes, want %d", got, want)
	}
	spec := Spec{Scheme: Int4.Name, Shape: []int{192, 192}, Settings: Settings{64, []int{5}}}
	if got, want := len(pack(t, spec, w).Bytes()), 192*192/2+2*3*192+8+2*192; got != want {
		t.Errorf("INT4: %d bytes, want %d", got, want)
	}
}

func TestPackRefuses(t *testing.T) {
	nan := float32(math.NaN())
	w := make([]float32, 12)
	bad := slices.Clone(w)
	bad[7] = nan
	cases := map[string]func() error{
		"weight 7 (row 1, column 1) is NaN": func() error {
			_,
				err := packAs(Int4, bad, []int{2, 6}, Settings{Group: 6})
			return err
		},
		"column 1) is NaN: only finite": func() error {
			_,
				err := packSteps(bad, []int{2, 6}, make([]float32, 2))
			return err
		},
		"group size 1: it must be at least 2": func() error {
			_,
				err := packAs(Int4, w, []int{2, 6}, Settings{Group: 1})
			return err
		},
		"group size 0": func() error { _, err := packAs(Int4, w, []int{2, 6}, Settings{}); return err },
		"salient columns [6]: they must ascend and lie in 0..5": func() error {
			_,
				err := packAs(Int4, w, []int{2, 6}, Settings{2, []int{6}})
			return err
		},
		"salient columns [2 2]": func() error {
			_,
				err := packAs(Int4, w, []int{2, 6}, Settings{2, []int{2, 2}})
			return err
		},
		"12 weights, want 14": func() error {
			_,
				err := packAs(Int4, w, []int{2, 7}, Settings{Group: 2})
			return err
		},
		"1 steps, want one for each of the 2 rows": func() error {
			_,
				err := packSteps(w, []int{2, 6}, []float32{0})
			return err
		},
		"beyond half precision": func() error {
			_,
				err := packSteps(w, []int{2, 6}, []float32{0, 20})
			return err
		},
		"is 0 in half precision": func() error {
			_,
				err := packSteps(w, []int{2, 6}, []float32{-30, 0})
			return err
		},
		"step NaN of row 1":             func() error { _, err := packSteps(w, []int{2, 6}, []float32{0, nan}); return err },
		"shape [12]: want two or three": func() error { _, err := packSteps(w, []int{12}, nil); return err },
		"shape [2 2 3]: of three":       func() error { _, err := packSteps(w, []int{2, 2, 3}, nil); return err },
		"shape [-2 -6]":                 func() error { _, err := packSteps(w, []int{-2, -6}, nil); return err },
	}
	for want, f := range cases {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	w := gaussian(rand.New(rand.NewPCG(1, 2)), 15, 1)
	int4 := pack(t, Spec{Scheme: Int4.Name, Shape: []int{3, 5}, Settings: Settings{4, []int{1}}}, w)
	seq2 := pack(t, Spec{Scheme: SEQ2.Name, Shape: []int{3, 5}}, w)
	int8 := pack(t, Spec{Scheme: Int8.Name, Shape: []int{3, 5}}, w)
	damage := func(p *Packed, change func(b []byte, s *Spec)) error {
		b, s := slices.Clone(p.Bytes()), p.Spec()
		change(b, &s)
		_, err := Parse(s, b)
		return err
	}
	cases := map[string]error{
		"bits after the last column of row 2":        damage(int4, func(b []byte, _ *Spec) { b[len(b)-1] |= 0x80 }),
		"bits after the last weight":                 damage(seq2, func(b []byte, _ *Spec) { b[len(b)-1] |= 0x80 }),
		"scales from":                                damage(int4, func(b []byte, _ *Spec) { b[3] |= 0x80 }),
		"half-precision number 0 is":                 damage(int4, func(b []byte, _ *Spec) { b[21], b[20] = 0x7c, 0 }),
		"must not be negative":                       damage(seq2, func(b []byte, _ *Spec) { b[1] |= 0x80 }),
		`unknown scheme "in4": did you mean "int4"?`: damage(int4, func(_ []byte, s *Spec) { s.Scheme = "in4" }),
		"bytes, want":                                damage(int4, func(_ []byte, s *Spec) { s.Shape = []int{3, 50} }),
		"integer -128 at weight 4":                   damage(int8, func(b []byte, _ *Spec) { b[6+4] = 0x80 }),
		"kind seq2 has neither":                      damage(int4, func(_ []byte, s *Spec) { s.Scheme = SEQ2.Name }),
		"dimensions must be from 1 to 16777216": damage(int4,
			func(_ []byte, s *Spec) { s.Shape = []int{1 << 40, 1 << 40} }),
		"group size 1: it must be at least 2": damage(int4, func(_ []byte, s *Spec) { s.Group = 1 }),
		"must ascend and lie in 0..4":         damage(int4, func(_ []byte, s *Spec) { s.Salient = []int{-1} }),
	}
	for want, err := range cases {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// FuzzParse: whatever the bytes and the spec, there is an error or a weight of finite numbers, no panic.
func FuzzParse(f *testing.F) {
	w := gaussian(rand.New(rand.NewPCG(1, 2)), 30, 1)
	for i, spec := range []Spec{
		{Scheme: Int4.Name, Shape: []int{3, 10}, Settings: Settings{4, []int{1}}},
		{Scheme: SEQ2.Name, Shape: []int{6, 5}},
		{Scheme: Int8.Name, Shape: []int{6, 5}},
	} {
		p := pack(f, spec, w)
		salient := -1
		if len(spec.Salient) > 0 {
			salient = spec.Salient[0]
		}
		f.Add(uint8(i), spec.Shape[0], spec.Shape[1], spec.Group, salient, p.Bytes())
	}
	f.Fuzz(func(t *testing.T, kind uint8, rows, cols, group, salient int, data []byte) {
		kinds := []string{Int4.Name, SEQ2.Name, Int8.Name}
		spec := Spec{Scheme: kinds[int(kind)%len(kinds)], Shape: []int{rows, cols}}
		if spec.Scheme == Int4.Name {
			spec.Group = group
		}
		if salient >= 0 {
			spec.Salient = []int{salient}
		}
		p, err := Parse(spec, data)
		if err != nil {
			return
		}
		for i, v := range p.Floats() {
			if v-v != 0 {
				t.Fatalf("weight %d is %g", i, v)
			}
		}
	})
}

// The packed kernels compute what the floating-point ones compute from the unpacked weight, at any number of threads.
func TestPackedKernelsEqualFloatingPoint(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	const batch, tokens = 3, 700
	near := func(t *testing.T, build func(packed bool) func(g *graph.Graph) *graph.Node) {
		t.Helper()
		want, got := evaluate(t, build(false)), evaluate(t, build(true))
		for i := range want {
			if d := math.Abs(float64(want[i] - got[i])); d > 1e-5*(1+math.Abs(float64(want[i]))) {
				t.Fatalf("element %d: packed %g, floating point %g", i, got[i], want[i])
			}
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		if !slices.Equal(evaluate(t, build(true)), got) {
			t.Error("the result depends on the number of threads")
		}
	}
	for _, spec := range []Spec{
		{Scheme: Int4.Name, Shape: []int{200, 72}, Settings: Settings{32, []int{3}}},
		{Scheme: SEQ2.Name, Shape: []int{96, 70}},
		{Scheme: Int4.Name, Shape: []int{1, 9}, Settings: Settings{Group: 4}},
		{Scheme: Int8.Name, Shape: []int{64, 24}},
	} {
		p := pack(t, spec, gaussian(rng, spec.Shape[0]*spec.Shape[1], 0.1))
		x := param("x", gaussian(rng, batch*tokens*spec.Shape[1], 1), batch, tokens, spec.Shape[1])
		w := param("w", p.Floats(), spec.Shape...)
		b := param("b", gaussian(rng, spec.Shape[0], 1), spec.Shape[0])
		for _, act := range []graph.Activation{graph.Identity, graph.Sigmoid, graph.ReLU, graph.GELU, graph.SiLU} {
			for _, bias := range []bool{false, true} {
				t.Run(fmt.Sprint("linear ", spec.Scheme, spec.Shape, act, bias), func(t *testing.T) {
					near(t, func(packed bool) func(g *graph.Graph) *graph.Node {
						return func(g *graph.Graph) *graph.Node {
							var bn *graph.Node
							if bias {
								bn = g.Param(b)
							}
							if packed {
								return graph.LinearPacked(g, g.Param(x), p.PackedMatrix, bn, act)
							}
							return graph.Linear(g, g.Param(x), g.Param(w), bn, act)
						}
					})
				})
			}
		}
	}
	t.Run("conv", func(t *testing.T) {
		const d = 40
		p := pack(t, Spec{Scheme: SEQ2.Name, Shape: []int{d, 1, 9}}, gaussian(rng, d*9, 0.1))
		n := param("n", gaussian(rng, batch*tokens*d, 1), batch, tokens, d)
		gate := param("gate", gaussian(rng, batch*tokens*d, 1), batch, tokens, d)
		w, b := param("w", p.Floats(), d, 1, 9), param("b", gaussian(rng, d, 1), d)
		near(t, func(packed bool) func(g *graph.Graph) *graph.Node {
			return func(g *graph.Graph) *graph.Node {
				if packed {
					return graph.GatedConvPacked(g, g.Param(n), g.Param(gate), p.PackedMatrix, g.Param(b))
				}
				return graph.GatedConv(g, g.Param(n), g.Param(gate), g.Param(w), g.Param(b))
			}
		})
	})
	t.Run("embed", func(t *testing.T) {
		const d, vocab = 24, 50
		tokensP := pack(t, Spec{Scheme: Int4.Name, Shape: []int{vocab, d}, Settings: Settings{Group: 8}},
			gaussian(rng, vocab*d, 0.1))
		posP := pack(t, Spec{Scheme: Int4.Name, Shape: []int{1, tokens, d}, Settings: Settings{Group: 24}},
			gaussian(rng, tokens*d, 0.1))
		w, pos := param("w", tokensP.Floats(), vocab, d), param("p", posP.Floats(), 1, tokens, d)
		near(t, func(packed bool) func(g *graph.Graph) *graph.Node {
			return func(g *graph.Graph) *graph.Node {
				ids := g.InputInts("ids", batch, tokens)
				for i := range g.Ints(ids) {
					g.Ints(ids)[i] = int32(i * 7 % vocab)
				}
				if packed {
					return graph.EmbedPacked(g, ids, tokensP.PackedMatrix, posP.PackedMatrix)
				}
				return graph.Embed(g, ids, g.Param(w), g.Param(pos))
			}
		})
		near(t, func(packed bool) func(g *graph.Graph) *graph.Node { // more tokens than positions, which are given
			return func(g *graph.Graph) *graph.Node {
				ids, at := g.InputInts("ids", batch, 2*tokens), g.InputInts("at", batch, 2*tokens)
				for i := range g.Ints(ids) {
					g.Ints(ids)[i], g.Ints(at)[i] = int32(i*7%vocab), int32(i*5%tokens)
				}
				if packed {
					return graph.EmbedAtPacked(g, ids, at, tokensP.PackedMatrix, posP.PackedMatrix)
				}
				return graph.EmbedAt(g, ids, at, g.Param(w), g.Param(pos))
			}
		})
	})
}

// Two weights of one shape are two kernels.
func TestPackedWeightsAreToldApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	spec := Spec{Scheme: Int4.Name, Shape: []int{8, 8}, Settings: Settings{Group: 8}}
	a, b := pack(t, spec, gaussian(rng, 64, 1)), pack(t, spec, gaussian(rng, 64, 1))
	x := param("x", gaussian(rng, 8, 1), 1, 8)
	y := evaluate(t, func(g *graph.Graph) *graph.Node {
		return graph.Sum(g, graph.LinearPacked(g, g.Param(x), a.PackedMatrix, nil, graph.Identity),
			graph.LinearPacked(g, g.Param(x), b.PackedMatrix, nil, graph.Identity))
	})
	one := evaluate(t, func(g *graph.Graph) *graph.Node {
		return graph.LinearPacked(g, g.Param(x), a.PackedMatrix, nil, graph.Identity)
	})
	if y[0] == 2*one[0] {
		t.Error("both weights gave the same result")
	}
}

// BenchmarkPackedLinear compares the product with packed weights with that in floating point, 1024 tokens, batch 1.
func BenchmarkPackedLinear(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	const tokens = 1024
	for _, s := range []struct{ k, n int }{{192, 192}, {192, 768}, {768, 192}, {576, 576}} {
		w := gaussian(rng, s.k*s.n, 0.02)
		x, bias, weight := param("x", gaussian(rng, tokens*s.k, 1), 1, tokens, s.k), graph.NewParam("b", s.n),
			param("w", w, s.n, s.k)
		forms := []Spec{
			{Scheme: "float"}, {Scheme: Int4.Name, Shape: weight.Shape(), Settings: Settings{64, []int{3}}},
			{Scheme: SEQ2.Name, Shape: weight.Shape()},
			{Scheme: Int8.Name, Shape: weight.Shape()},
		}
		for _, spec := range forms {
			b.Run(fmt.Sprintf("K%d/N%d/%s", s.k, s.n, spec.Scheme), func(b *testing.B) {
				p := program(b, func(g *graph.Graph) *graph.Node {
					if spec.Shape == nil {
						return graph.Linear(g, g.Param(x), g.Param(weight), g.Param(bias), graph.Identity)
					}
					return graph.LinearPacked(g, g.Param(x), pack(b, spec, w).PackedMatrix, g.Param(bias), graph.Identity)
				})
				for b.Loop() {
					if err := p.Run(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(2*float64(tokens*s.k*s.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

// BenchmarkFake is the cost of simulating one feed-forward matrix of the reference model.
func BenchmarkFake(b *testing.B) {
	w := param("w", gaussian(rand.New(rand.NewPCG(1, 2)), 768*192, 0.02), 768, 192)
	for _, of := range All() {
		b.Run(of.Name, func(b *testing.B) {
			p := program(b, func(g *graph.Graph) *graph.Node { return fake(g, of, w, Settings{Group: 64}) })
			for b.Loop() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(w.Size()), "ns/weight")
		})
	}
}

// BenchmarkUnpack is the cost of unpacking alone.
func BenchmarkUnpack(b *testing.B) {
	w := gaussian(rand.New(rand.NewPCG(1, 2)), 192*768, 0.02)
	dst := make([]float32, len(w))
	for _, spec := range []Spec{{Scheme: Int4.Name, Shape: []int{192, 768}, Settings: Settings{Group: 64}},
		{Scheme: SEQ2.Name, Shape: []int{192, 768}}} {
		b.Run(spec.Scheme, func(b *testing.B) {
			p := pack(b, spec, w)
			for b.Loop() {
				p.Rows(dst, 0, 192)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(w)), "ns/weight")
		})
	}
}

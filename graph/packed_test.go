package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/x448/float16"
)

func gaussian(rng *rand.Rand, n int, sigma float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(sigma * rng.NormFloat64())
	}
	return x
}

// evaluate computes one node of float inputs.
func evaluate(t *testing.T, build func(g *Graph) *Node) []float32 {
	t.Helper()
	var y *Node
	g, err := Build(func(g *Graph) {
		y = build(g)
		g.Keep(y)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(p.Value(y))
}

func param(name string, data []float32, shape ...int) *Param {
	p := NewParam(name, shape...)
	copy(p.Data(), data)
	return p
}

func unpacked(p *Packed) []float32 {
	w := make([]float32, p.Size())
	rows, _ := p.Matrix()
	p.Rows(w, 0, rows)
	return w
}

// compactCases are weights of all awkward kinds: short last groups, odd columns, one group a row, zeros, constant and
// one-sided groups, very different magnitudes.
func compactCases() map[string]struct {
	w    []float32
	cols int
	q    Int4Compact
} {
	rng := rand.New(rand.NewPCG(3, 4))
	type c = struct {
		w    []float32
		cols int
		q    Int4Compact
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
		"reference":        {gaussian(rng, 192*192, 0.02), 192, Int4Compact{64, []int{17}}},
		"short last group": {gaussian(rng, 5*100, 0.02), 100, Int4Compact{64, nil}},
		"odd columns":      {gaussian(rng, 7*13, 0.02), 13, Int4Compact{4, []int{0, 12}}},
		"one group a row":  {gaussian(rng, 300*8, 0.02), 8, Int4Compact{64, []int{3}}},
		"odd groups":       {gaussian(rng, 7*26, 0.02), 26, Int4Compact{5, []int{4, 5}}},
		"odd in both":      {gaussian(rng, 7*25, 0.02), 25, Int4Compact{3, nil}},
		"zeros":            {make([]float32, 4*32), 32, Int4Compact{16, nil}},
		"one-sided":        {oneSided, 64, Int4Compact{32, nil}},
		"magnitudes":       {spread, 64, Int4Compact{32, nil}},
	}
}

// What fake quantisation computes is, bit for bit, what the packed bytes hold.
func TestFakeQuantInt4CompactEqualsThePackedForm(t *testing.T) {
	for name, c := range compactCases() {
		t.Run(name, func(t *testing.T) {
			shape := []int{len(c.w) / c.cols, c.cols}
			packed, err := PackInt4(c.w, shape, c.q)
			if err != nil {
				t.Fatal(err)
			}
			w := param("w", c.w, shape...)
			fake := evaluate(t, func(g *Graph) *Node { return FakeQuantInt4Compact(g, g.Param(w), c.q) })
			if got := unpacked(packed); !slices.Equal(got, fake) {
				t.Error("unpacked and fake-quantised weights differ")
			}
		})
	}
}

// A weight is off by no more than half a step, apart from what the rounding of scale and zero clips at a group's ends;
// salient columns are their half-precision values.
func TestInt4CompactError(t *testing.T) {
	for name, c := range compactCases() {
		t.Run(name, func(t *testing.T) {
			packed, err := PackInt4(c.w, []int{len(c.w) / c.cols, c.cols}, c.q)
			if err != nil {
				t.Fatal(err)
			}
			// Half a step, 1/34 of the zero, and 15 steps of half a scale code.
			code := math.Log(float64(packed.scales[255]/packed.scales[0])) / 255
			steps := 0.5 + 1.0/34 + 15*(math.Exp(code/2)-1) + 1e-4
			row := make([]float32, c.cols)
			got := unpacked(packed)
			for r := range len(c.w) / c.cols {
				c.q.start(row, c.w[r*c.cols:(r+1)*c.cols])
				for i, group := range c.q.groups(row) {
					lo, hi := extremes(group)
					scale := max(rawScale(lo, hi), packed.scales[0])
					for j := range group {
						at := r*c.cols + i*c.q.Group + j
						if slices.Contains(c.q.Salient, i*c.q.Group+j) {
							if want := float16.Fromfloat32(c.w[at]).Float32(); got[at] != want {
								t.Fatalf("salient weight %d is %g, want %g", at, got[at], want)
							}
							continue
						}
						if e := math.Abs(float64(got[at] - c.w[at])); e > steps*float64(scale) {
							t.Fatalf("weight %d: %g becomes %g, off by %.3f steps, want at most %.3f", at, c.w[at], got[at], e/float64(scale), steps)
						}
					}
				}
			}
		})
	}
}

func TestFakeQuantInt4CompactPassesTheGradientOn(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	w := param("w", gaussian(rng, 6*10, 0.1), 6, 10)
	upstream := gaussian(rng, 6*10, 1)
	u := param("upstream", upstream, 6, 10)
	u.Frozen = true
	g, err := Build(func(g *Graph) {
		y := FakeQuantInt4Compact(g, g.Param(w), Int4Compact{4, []int{2}})
		g.Backward(Apply(g, weigh{}, y, g.Param(u)))
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Grad(w), upstream) {
		t.Errorf("gradient %v, want %v", p.Grad(w), upstream)
	}
}

func TestPackRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	specs := []PackedSpec{
		{Kind: PackedInt4, Shape: []int{16, 64}, Group: 32, Salient: []int{0, 63}},
		{Kind: PackedInt4, Shape: []int{5, 7}, Group: 4},
		{Kind: PackedInt4, Shape: []int{1, 9, 6}, Group: 6},
		{Kind: PackedSEQ2, Shape: []int{192, 192}},
		{Kind: PackedSEQ2, Shape: []int{5, 1, 9}},
		{Kind: PackedSEQ2, Shape: []int{3, 5}},
		{Kind: PackedInt8, Shape: []int{6, 5}},
	}
	for _, spec := range specs {
		t.Run(fmt.Sprint(spec.Kind, spec.Shape), func(t *testing.T) {
			rows, cols, err := spec.matrix()
			if err != nil {
				t.Fatal(err)
			}
			w := gaussian(rng, rows*cols, 0.05)
			first := pack(t, spec, w)
			again, err := ParsePacked(first.Spec(), slices.Clone(first.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(unpacked(again), unpacked(first)) || !slices.Equal(again.Bytes(), first.Bytes()) {
				t.Error("parsing changes the weight")
			}
			// Rows one by one are what all rows are.
			row := make([]float32, cols)
			for r := range rows {
				again.Rows(row, r, r+1)
				if !slices.Equal(row, unpacked(first)[r*cols:(r+1)*cols]) {
					t.Fatalf("row %d alone differs", r)
				}
			}
		})
	}
}

func pack(t testing.TB, spec PackedSpec, w []float32) *Packed {
	t.Helper()
	var p *Packed
	var err error
	switch spec.Kind {
	case PackedSEQ2:
		rows, _, _ := spec.matrix()
		logStep := InitLogStep(w, rows)
		for i, l := range logStep {
			logStep[i] = HalfLogStep(l)
		}
		p, err = PackSEQ2(w, spec.Shape, logStep)
	case PackedInt8:
		p, err = PackInt8(w, spec.Shape)
	default:
		p, err = PackInt4(w, spec.Shape, spec.compact())
	}
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
		p, err := PackSEQ2(w, []int{16, cols}, make([]float32, 16))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(unpacked(p), w) {
			t.Errorf("%d columns: levels are lost", cols)
		}
		// Integers: a group that has 0 and 15 keeps all others, exactly, at scale 1 and zero 0.
		for i := range w {
			w[i] = float32((i*11 + 3) % 16)
		}
		for r := range 16 {
			w[r*cols], w[r*cols+1] = 0, 15
		}
		q, err := PackInt4(w, []int{16, cols}, Int4Compact{Group: 16})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(unpacked(q), w) {
			t.Errorf("%d columns: integers are lost", cols)
		}
	}
}

func TestPackedSizes(t *testing.T) {
	w := gaussian(rand.New(rand.NewPCG(1, 1)), 192*192, 0.02)
	if got, want := len(pack(t, PackedSpec{Kind: PackedSEQ2, Shape: []int{192, 192}}, w).Bytes()), 192*192/4+2*192; got != want {
		t.Errorf("2-bit: %d bytes, want %d", got, want)
	}
	spec := PackedSpec{Kind: PackedInt4, Shape: []int{192, 192}, Group: 64, Salient: []int{5}}
	if got, want := len(pack(t, spec, w).Bytes()), 192*192/2+2*3*192+8+2*192; got != want {
		t.Errorf("INT4: %d bytes, want %d", got, want)
	}
}

// The 2-bit packed form is the fake-quantised weight, at steps rounded to half precision.
func TestPackSEQ2EqualsFakeQuant(t *testing.T) {
	w := gaussian(rand.New(rand.NewPCG(9, 9)), 192*192, 0.02)
	logStep := InitLogStep(w, 192)
	for i, l := range logStep {
		logStep[i] = HalfLogStep(l - 0.5) // some weights beyond the largest level
	}
	p, err := PackSEQ2(w, []int{192, 192}, logStep)
	if err != nil {
		t.Fatal(err)
	}
	wp, sp := param("w", w, 192, 192), param("s", logStep, 192)
	fake := evaluate(t, func(g *Graph) *Node { return FakeQuant2Bit(g, g.Param(wp), g.Param(sp)) })
	for i, v := range unpacked(p) {
		if math.Abs(float64(v-fake[i])) > 1e-6*math.Abs(float64(fake[i])) {
			t.Fatalf("weight %d: packed %g, simulated %g", i, v, fake[i])
		}
	}
}

func TestPackInt8EqualsFakeQuant(t *testing.T) {
	w := gaussian(rand.New(rand.NewPCG(9, 9)), 64*33, 0.02)
	p, err := PackInt8(w, []int{64, 33})
	if err != nil {
		t.Fatal(err)
	}
	wp := param("w", w, 64, 33)
	if fake := evaluate(t, func(g *Graph) *Node { return FakeQuantInt8(g, g.Param(wp)) }); !slices.Equal(unpacked(p), fake) {
		t.Error("unpacked and fake-quantised weights differ")
	}
}

func TestPackRefuses(t *testing.T) {
	nan := float32(math.NaN())
	w := make([]float32, 12)
	bad := slices.Clone(w)
	bad[7] = nan
	cases := map[string]func() error{
		"weight 7 (row 1, column 1) is NaN":                     func() error { _, err := PackInt4(bad, []int{2, 6}, Int4Compact{Group: 6}); return err },
		"column 1) is NaN: only finite":                         func() error { _, err := PackSEQ2(bad, []int{2, 6}, make([]float32, 2)); return err },
		"group size 1: it must be at least 2":                   func() error { _, err := PackInt4(w, []int{2, 6}, Int4Compact{Group: 1}); return err },
		"group size 0":                                          func() error { _, err := PackInt4(w, []int{2, 6}, Int4Compact{}); return err },
		"salient columns [6]: they must ascend and lie in 0..5": func() error { _, err := PackInt4(w, []int{2, 6}, Int4Compact{2, []int{6}}); return err },
		"salient columns [2 2]":                                 func() error { _, err := PackInt4(w, []int{2, 6}, Int4Compact{2, []int{2, 2}}); return err },
		"12 weights, want 14":                                   func() error { _, err := PackInt4(w, []int{2, 7}, Int4Compact{Group: 2}); return err },
		"1 steps, want one for each of the 2 rows":              func() error { _, err := PackSEQ2(w, []int{2, 6}, []float32{0}); return err },
		"beyond half precision":                                 func() error { _, err := PackSEQ2(w, []int{2, 6}, []float32{0, 20}); return err },
		"is 0 in half precision":                                func() error { _, err := PackSEQ2(w, []int{2, 6}, []float32{-30, 0}); return err },
		"step NaN of row 1":                                     func() error { _, err := PackSEQ2(w, []int{2, 6}, []float32{0, nan}); return err },
		"shape [12]: want two or three":                         func() error { _, err := PackSEQ2(w, []int{12}, nil); return err },
		"shape [2 2 3]: of three":                               func() error { _, err := PackSEQ2(w, []int{2, 2, 3}, nil); return err },
		"shape [-2 -6]":                                         func() error { _, err := PackSEQ2(w, []int{-2, -6}, nil); return err },
	}
	for want, f := range cases {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestParsePackedRefuses(t *testing.T) {
	w := gaussian(rand.New(rand.NewPCG(1, 2)), 15, 1)
	int4 := pack(t, PackedSpec{Kind: PackedInt4, Shape: []int{3, 5}, Group: 4, Salient: []int{1}}, w)
	seq2 := pack(t, PackedSpec{Kind: PackedSEQ2, Shape: []int{3, 5}}, w)
	int8 := pack(t, PackedSpec{Kind: PackedInt8, Shape: []int{3, 5}}, w)
	damage := func(p *Packed, change func(b []byte, s *PackedSpec)) error {
		b, s := slices.Clone(p.Bytes()), p.Spec()
		change(b, &s)
		_, err := ParsePacked(s, b)
		return err
	}
	cases := map[string]error{
		"bits after the last column of row 2":   damage(int4, func(b []byte, _ *PackedSpec) { b[len(b)-1] |= 0x80 }),
		"bits after the last weight":            damage(seq2, func(b []byte, _ *PackedSpec) { b[len(b)-1] |= 0x80 }),
		"scales from":                           damage(int4, func(b []byte, _ *PackedSpec) { b[3] |= 0x80 }),
		"half-precision number 0 is":            damage(int4, func(b []byte, _ *PackedSpec) { b[21], b[20] = 0x7c, 0 }),
		"must not be negative":                  damage(seq2, func(b []byte, _ *PackedSpec) { b[1] |= 0x80 }),
		`kind "int3": want int4, seq2 or int8`:  damage(int4, func(_ []byte, s *PackedSpec) { s.Kind = "int3" }),
		"bytes, want":                           damage(int4, func(_ []byte, s *PackedSpec) { s.Shape = []int{3, 50} }),
		"integer -128 at weight 4":              damage(int8, func(b []byte, _ *PackedSpec) { b[6+4] = 0x80 }),
		"kind seq2 has neither":                 damage(int4, func(_ []byte, s *PackedSpec) { s.Kind = PackedSEQ2 }),
		"dimensions must be from 1 to 16777216": damage(int4, func(_ []byte, s *PackedSpec) { s.Shape = []int{1 << 40, 1 << 40} }),
		"group size 1: it must be at least 2":   damage(int4, func(_ []byte, s *PackedSpec) { s.Group = 1 }),
		"must ascend and lie in 0..4":           damage(int4, func(_ []byte, s *PackedSpec) { s.Salient = []int{-1} }),
	}
	for want, err := range cases {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// FuzzParsePacked: whatever the bytes and the spec, there is an error or a weight of finite numbers, no panic.
func FuzzParsePacked(f *testing.F) {
	w := gaussian(rand.New(rand.NewPCG(1, 2)), 30, 1)
	for i, spec := range []PackedSpec{
		{Kind: PackedInt4, Shape: []int{3, 10}, Group: 4, Salient: []int{1}},
		{Kind: PackedSEQ2, Shape: []int{6, 5}},
		{Kind: PackedInt8, Shape: []int{6, 5}},
	} {
		p := pack(f, spec, w)
		salient := -1
		if len(spec.Salient) > 0 {
			salient = spec.Salient[0]
		}
		f.Add(uint8(i), spec.Shape[0], spec.Shape[1], spec.Group, salient, p.Bytes())
	}
	f.Fuzz(func(t *testing.T, kind uint8, rows, cols, group, salient int, data []byte) {
		kinds := []string{PackedInt4, PackedSEQ2, PackedInt8}
		spec := PackedSpec{Kind: kinds[int(kind)%len(kinds)], Shape: []int{rows, cols}}
		if spec.Kind == PackedInt4 {
			spec.Group = group
		}
		if salient >= 0 {
			spec.Salient = []int{salient}
		}
		p, err := ParsePacked(spec, data)
		if err != nil {
			return
		}
		for i, v := range unpacked(p) {
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
	near := func(t *testing.T, build func(packed bool) func(g *Graph) *Node) {
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
	for _, spec := range []PackedSpec{
		{Kind: PackedInt4, Shape: []int{200, 72}, Group: 32, Salient: []int{3}},
		{Kind: PackedSEQ2, Shape: []int{96, 70}},
		{Kind: PackedInt4, Shape: []int{1, 9}, Group: 4},
		{Kind: PackedInt8, Shape: []int{64, 24}},
	} {
		p := pack(t, spec, gaussian(rng, spec.Shape[0]*spec.Shape[1], 0.1))
		x := param("x", gaussian(rng, batch*tokens*spec.Shape[1], 1), batch, tokens, spec.Shape[1])
		w := param("w", unpacked(p), spec.Shape...)
		b := param("b", gaussian(rng, spec.Shape[0], 1), spec.Shape[0])
		for _, act := range []Activation{Identity, Sigmoid, ReLU, GELU, SiLU} {
			for _, bias := range []bool{false, true} {
				t.Run(fmt.Sprint("linear ", spec.Kind, spec.Shape, act, bias), func(t *testing.T) {
					near(t, func(packed bool) func(g *Graph) *Node {
						return func(g *Graph) *Node {
							var bn *Node
							if bias {
								bn = g.Param(b)
							}
							if packed {
								return LinearPacked(g, g.Param(x), p, bn, act)
							}
							return Linear(g, g.Param(x), g.Param(w), bn, act)
						}
					})
				})
			}
		}
	}
	t.Run("conv", func(t *testing.T) {
		const d = 40
		p := pack(t, PackedSpec{Kind: PackedSEQ2, Shape: []int{d, 1, 9}}, gaussian(rng, d*9, 0.1))
		n := param("n", gaussian(rng, batch*tokens*d, 1), batch, tokens, d)
		gate := param("gate", gaussian(rng, batch*tokens*d, 1), batch, tokens, d)
		w, b := param("w", unpacked(p), d, 1, 9), param("b", gaussian(rng, d, 1), d)
		near(t, func(packed bool) func(g *Graph) *Node {
			return func(g *Graph) *Node {
				if packed {
					return GatedConvPacked(g, g.Param(n), g.Param(gate), p, g.Param(b))
				}
				return GatedConv(g, g.Param(n), g.Param(gate), g.Param(w), g.Param(b))
			}
		})
	})
	t.Run("embed", func(t *testing.T) {
		const d, vocab = 24, 50
		tokensP := pack(t, PackedSpec{Kind: PackedInt4, Shape: []int{vocab, d}, Group: 8}, gaussian(rng, vocab*d, 0.1))
		posP := pack(t, PackedSpec{Kind: PackedInt4, Shape: []int{1, tokens, d}, Group: 24}, gaussian(rng, tokens*d, 0.1))
		w, pos := param("w", unpacked(tokensP), vocab, d), param("p", unpacked(posP), 1, tokens, d)
		near(t, func(packed bool) func(g *Graph) *Node {
			return func(g *Graph) *Node {
				ids := g.InputInts("ids", batch, tokens)
				for i := range g.Ints(ids) {
					g.Ints(ids)[i] = int32(i * 7 % vocab)
				}
				if packed {
					return EmbedPacked(g, ids, tokensP, posP)
				}
				return Embed(g, ids, g.Param(w), g.Param(pos))
			}
		})
	})
}

// Two weights of one shape are two kernels.
func TestPackedWeightsAreToldApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	spec := PackedSpec{Kind: PackedInt4, Shape: []int{8, 8}, Group: 8}
	a, b := pack(t, spec, gaussian(rng, 64, 1)), pack(t, spec, gaussian(rng, 64, 1))
	x := param("x", gaussian(rng, 8, 1), 1, 8)
	y := evaluate(t, func(g *Graph) *Node {
		return Sum(g, LinearPacked(g, g.Param(x), a, nil, Identity), LinearPacked(g, g.Param(x), b, nil, Identity))
	})
	one := evaluate(t, func(g *Graph) *Node { return LinearPacked(g, g.Param(x), a, nil, Identity) })
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
		x := Tensor{Shape: []int{1, tokens, s.k}, F: gaussian(rng, tokens*s.k, 1)}
		out := Tensor{Shape: []int{1, tokens, s.n}, F: make([]float32, tokens*s.n)}
		bias := Tensor{Shape: []int{s.n}, F: make([]float32, s.n)}
		weight := Tensor{Shape: []int{s.n, s.k}, F: w}
		kernels := map[string]struct {
			k  Kernel
			in []Tensor
		}{
			"float": {linear{bias: true}, []Tensor{x, weight, bias}},
			"int4":  {linearPacked{w: pack(b, PackedSpec{Kind: PackedInt4, Shape: weight.Shape, Group: 64, Salient: []int{3}}, w), bias: true}, []Tensor{x, bias}},
			"seq2":  {linearPacked{w: pack(b, PackedSpec{Kind: PackedSEQ2, Shape: weight.Shape}, w), bias: true}, []Tensor{x, bias}},
		}
		for _, name := range []string{"float", "int4", "seq2"} {
			b.Run(fmt.Sprintf("K%d/N%d/%s", s.k, s.n, name), func(b *testing.B) {
				c := &Call{In: kernels[name].in, Out: out, Saved: make([]Tensor, 1)}
				for b.Loop() {
					kernels[name].k.Forward(c)
				}
				b.ReportMetric(2*float64(tokens*s.k*s.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

// BenchmarkFakeQuantInt4Compact is the cost of simulating one feed-forward matrix of the reference model.
func BenchmarkFakeQuantInt4Compact(b *testing.B) {
	w := gaussian(rand.New(rand.NewPCG(1, 2)), 768*192, 0.02)
	c := &Call{In: []Tensor{{Shape: []int{768, 192}, F: w}}, Out: Tensor{Shape: []int{768, 192}, F: make([]float32, len(w))}}
	for b.Loop() {
		fakeInt4Compact{Int4Compact{Group: 64}}.Forward(c)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(w)), "ns/weight")
}

// BenchmarkUnpack is the cost of unpacking alone.
func BenchmarkUnpack(b *testing.B) {
	w := gaussian(rand.New(rand.NewPCG(1, 2)), 192*768, 0.02)
	dst := make([]float32, len(w))
	for _, spec := range []PackedSpec{{Kind: PackedInt4, Shape: []int{192, 768}, Group: 64}, {Kind: PackedSEQ2, Shape: []int{192, 768}}} {
		b.Run(spec.Kind, func(b *testing.B) {
			p := pack(b, spec, w)
			for b.Loop() {
				p.Rows(dst, 0, 192)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(w)), "ns/weight")
		})
	}
}

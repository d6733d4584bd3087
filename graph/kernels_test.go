package graph

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func below(n int) func(*rand.Rand, int) int32 {
	return func(r *rand.Rand, _ int) int32 { return int32(r.IntN(n)) }
}

func uniform(lo, hi float32) func(*rand.Rand, int) float32 {
	return func(r *rand.Rand, _ int) float32 { return lo + (hi-lo)*r.Float32() }
}

// small keeps pre-activations of wide products in the range where activations are curved.
func small(r *rand.Rand, _ int) float32 { return float32(r.NormFloat64() * 0.2) }

func linearCase(act Activation, bias bool, in, out int, rows ...int) kernelCase {
	c := kernelCase{
		name:     fmt.Sprintf("%v%v to %d, bias %t", act, append(rows, in), out, bias),
		operands: []operand{floats(append(rows, in)...), {shape: []int{out, in}, fill: small}},
	}
	if bias {
		c.operands = append(c.operands, floats(out))
	}
	c.apply = func(g *Graph, n []*Node) *Node {
		if bias {
			return Linear(g, n[0], n[1], n[2], act)
		}
		return Linear(g, n[0], n[1], nil, act)
	}
	c.reference = func(in []ref) []float64 {
		if bias {
			return refLinear(in[0], in[1], in[2].f, act)
		}
		return refLinear(in[0], in[1], nil, act)
	}
	return c
}

func TestLinear(t *testing.T) {
	var cases []kernelCase
	for _, act := range []Activation{Identity, Sigmoid, ReLU, GELU, SiLU} {
		for _, bias := range []bool{false, true} {
			cases = append(cases, linearCase(act, bias, 5, 7, 2, 3))
		}
		cases = append(cases,
			linearCase(act, true, 3, 4, gemmRows+45), // two tiles of rows
			linearCase(act, true, 1, 1, 1))
	}
	cases = append(cases,
		linearCase(Identity, true, 6, 2*weightRows+5, 3), // three tiles of weights
		linearCase(GELU, true, 4, weightRows+1, 2, 2*gemmRows/2+1),
		linearCase(Identity, true, 35, weightRows+3, gradientRows+5)) // two panels of x, of two parts each
	checkKernels(t, cases)
}

func normCase(paths, d int, rows ...int) kernelCase {
	c := kernelCase{name: fmt.Sprintf("%d of %v", paths, append(rows, d)), reference: refNormConcat}
	for range paths {
		c.operands = append(c.operands, floats(append(rows, d)...))
	}
	for range 2 * paths {
		c.operands = append(c.operands, floats(d))
	}
	c.apply = func(g *Graph, n []*Node) *Node {
		if paths == 1 {
			return LayerNorm(g, n[0], n[1], n[2])
		}
		return NormConcat(g, n[:paths], n[paths:2*paths], n[2*paths:])
	}
	return c
}

func TestLayerNorm(t *testing.T) {
	checkKernels(t, []kernelCase{
		normCase(1, 8, 2, 3),
		normCase(1, 33, 1),
		normCase(1, 5, rowTile+3),
		normCase(3, 8, 2, 3),
		normCase(3, 17, 2, rowTile+1),
		normCase(2, 6, 2*rowTile+2),
	})
}

func embedCase(vocabulary, maxLen, d, b, length int) kernelCase {
	return kernelCase{
		name:      fmt.Sprintf("[%d %d] of %d, %d positions", b, length, vocabulary, maxLen),
		operands:  []operand{{shape: []int{b, length}, ints: below(vocabulary)}, floats(vocabulary, d), floats(1, maxLen, d)},
		apply:     func(g *Graph, n []*Node) *Node { return Embed(g, n[0], n[1], n[2]) },
		reference: refEmbed,
	}
}

func TestEmbed(t *testing.T) {
	checkKernels(t, []kernelCase{
		embedCase(50, 9, 4, 3, 6),
		embedCase(2, 5, 3, 2, 5), // ids repeat
		embedCase(7, rowTile+9, 2, 2, rowTile+2),
		embedCase(1, 1, 1, 1, 1),
	})
}

func embedAtCase(vocabulary, maxLen, d, b, length int) kernelCase {
	return kernelCase{
		name: fmt.Sprintf("[%d %d] of %d, %d positions", b, length, vocabulary, maxLen),
		operands: []operand{
			{shape: []int{b, length}, ints: below(vocabulary)}, {shape: []int{b, length}, ints: below(maxLen)},
			floats(vocabulary, d), floats(1, maxLen, d),
		},
		apply:     func(g *Graph, n []*Node) *Node { return EmbedAt(g, n[0], n[1], n[2], n[3]) },
		reference: refEmbedAt,
	}
}

func TestEmbedAt(t *testing.T) {
	checkKernels(t, []kernelCase{
		embedAtCase(50, 9, 4, 3, 6),
		embedAtCase(7, 3, 2, 2, 2*rowTile+3), // more tokens than positions
		embedAtCase(1, 1, 1, 1, 1),
	})
}

// At the positions 0 to T-1, EmbedAt gives the bits that Embed does, and its gradients.
func TestEmbedAtCountedPositionsIsEmbed(t *testing.T) {
	const b, length = 3, rowTile + 5
	whole := embedCase(11, length+4, 6, b, length)
	given := whole
	given.apply = func(g *Graph, n []*Node) *Node {
		at := g.InputInts("at", b, length)
		for i := range g.Ints(at) {
			g.Ints(at)[i] = int32(i % length)
		}
		return EmbedAt(g, n[0], at, n[1], n[2])
	}
	x, y := build(t, whole, 5), build(t, given, 5)
	defer x.program.Close()
	defer y.program.Close()
	if err := cmp.Or(x.program.Run(), y.program.Run()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.program.Value(x.out), y.program.Value(y.out)) {
		t.Error("the results differ")
	}
	for i := 1; i <= 2; i++ {
		if !slices.Equal(x.program.Grad(x.params[i]), y.program.Grad(y.params[i])) {
			t.Errorf("the gradients of operand %d differ", i)
		}
	}
}

// A position that the table does not have stops the run, and is named.
func TestEmbedAtOutsideTheTable(t *testing.T) {
	for _, wrong := range []int32{-1, 4} {
		c := embedAtCase(5, 4, 2, 2, 3)
		c.operands[1].ints = func(_ *rand.Rand, i int) int32 {
			if i == 5 {
				return wrong
			}
			return 0
		}
		s := build(t, c, 1)
		want := fmt.Sprintf("position %d of the token at row 1, place 2 is outside the model's 0..3", wrong)
		if err := s.program.Run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("position %d: got error %v, want %q", wrong, err, want)
		}
		s.program.Close()
	}
}

func convCase(b, length, d, k int) kernelCase {
	return kernelCase{
		name:      fmt.Sprintf("[%d %d %d] kernel %d", b, length, d, k),
		operands:  []operand{floats(b, length, d), floats(b, length, d), floats(d, 1, k), floats(d)},
		apply:     func(g *Graph, n []*Node) *Node { return GatedConv(g, n[0], n[1], n[2], n[3]) },
		reference: refGatedConv,
	}
}

func TestGatedConv(t *testing.T) {
	checkKernels(t, []kernelCase{
		convCase(2, 20, 5, 9),
		convCase(2, 3, 4, 9), // shorter than the kernel
		convCase(3, 1, 4, 9),
		convCase(1, 4, 3, 1),
		convCase(2, rowTile+2, 3, 9),
		convCase(1, 2*rowTile+3, 2, 5),
	})
}

// spread gives well separated scores, so that a small step changes no rank.
func spread(t int) func(r *rand.Rand, i int) float32 {
	return func(r *rand.Rand, i int) float32 { return float32((i*7)%t)*0.06 - 0.4 + 0.02*r.Float32() }
}

func TestSalience(t *testing.T) {
	of := func(b, length, k int, last ...int) kernelCase {
		return kernelCase{
			name:     fmt.Sprintf("[%d %d] k %d", b, length, k),
			operands: []operand{{shape: append([]int{b, length}, last...), fill: spread(length)}},
			apply: func(g *Graph, n []*Node) *Node {
				return Salience(g, n[0], TopK(g, n[0], min(length, k+2)), k)
			},
			reference: func(in []ref) []float64 { return refSalience(in[0], k) },
		}
	}
	checkKernels(t, []kernelCase{of(2, 10, 3, 1), of(3, 5, 1), of(1, 8, 8), of(1, 1, 1), of(2, 20, 5, 1)})
}

func TestLogSalience(t *testing.T) {
	checkKernels(t, []kernelCase{{
		name:     "log",
		operands: []operand{{shape: []int{2, 9}, fill: uniform(0.01, 1)}},
		apply:    func(g *Graph, n []*Node) *Node { return LogSalience(g, n[0]) },
		reference: func(in []ref) (y []float64) {
			for _, s := range in[0].f {
				y = append(y, math.Log(s+1e-6))
			}
			return y
		},
	}})
}

func TestGather(t *testing.T) {
	of := func(b, length, d, k, count, slots int) kernelCase {
		return kernelCase{
			name:      fmt.Sprintf("%d of %d in %d slots", count, length, slots),
			operands:  []operand{floats(b, length, d), {shape: []int{b, k}, ints: below(length)}},
			apply:     func(g *Graph, n []*Node) *Node { return Gather(g, n[0], n[1], count, slots) },
			reference: func(in []ref) []float64 { return refGather(in, count, slots) },
		}
	}
	checkKernels(t, []kernelCase{
		of(2, 9, 4, 3, 3, 3),
		of(2, 9, 4, 3, 2, 6), // fewer than there are positions, padded
		of(3, 2, 3, 8, 8, 8), // positions repeat
		of(1, 1, 1, 1, 1, 4),
	})
}

func concatCase(b, s, r, d int) kernelCase {
	return kernelCase{
		name:     fmt.Sprintf("concat %d and %d", s, r),
		operands: []operand{floats(b, s, d), floats(b, r, d)},
		apply:    func(g *Graph, n []*Node) *Node { return ConcatRows(g, n[0], n[1]) },
		reference: func(in []ref) (y []float64) {
			for i := range b {
				y = append(append(y, in[0].f[i*s*d:(i+1)*s*d]...), in[1].f[i*r*d:(i+1)*r*d]...)
			}
			return y
		},
	}
}

func TestRows(t *testing.T) {
	checkKernels(t, []kernelCase{
		concatCase(2, 3, 5, 4),
		{
			name:     "slice",
			operands: []operand{floats(2, 6, 3)},
			apply:    func(g *Graph, n []*Node) *Node { return SliceRows(g, n[0], 2, 3) },
			reference: func(in []ref) (y []float64) {
				return append(append(y, in[0].f[6:15]...), in[0].f[24:33]...)
			},
		},
		{
			name:      "last row",
			operands:  []operand{floats(1, 4, 2)},
			apply:     func(g *Graph, n []*Node) *Node { return SliceRows(g, n[0], 3, 1) },
			reference: func(in []ref) []float64 { return in[0].f[6:] },
		},
		{
			name:     "repeated",
			operands: []operand{floats(2, 1, 3)},
			apply:    func(g *Graph, n []*Node) *Node { return RepeatRow(g, n[0], 4) },
			reference: func(in []ref) (y []float64) {
				for i := range 24 {
					y = append(y, in[0].f[i/12*3+i%3])
				}
				return y
			},
		},
		{
			name:     "mean",
			operands: []operand{floats(2, 5, 3)},
			apply:    func(g *Graph, n []*Node) *Node { return MeanRows(g, n[0]) },
			reference: func(in []ref) []float64 {
				y := make([]float64, 6)
				for i, x := range in[0].f {
					y[i/15*3+i%3] += x / 5
				}
				return y
			},
		},
	})
}

func attentionCase(b, queries, keys, d, heads int, bias bool) kernelCase {
	c := kernelCase{
		name:      fmt.Sprintf("[%d %d×%d %d] heads %d bias %t", b, queries, keys, d, heads, bias),
		operands:  []operand{floats(b, queries, d), floats(b, keys, d), floats(b, keys, d)},
		reference: func(in []ref) []float64 { return refAttention(in, heads) },
	}
	if bias {
		c.operands = append(c.operands, operand{shape: []int{b, keys}, fill: uniform(-13.8, 0)})
	}
	c.apply = func(g *Graph, n []*Node) *Node {
		if bias {
			return Attention(g, n[0], n[1], n[2], n[3], heads)
		}
		return Attention(g, n[0], n[1], n[2], nil, heads)
	}
	return c
}

func TestAttention(t *testing.T) {
	var cases []kernelCase
	for heads := 1; heads <= 4; heads++ {
		for _, bias := range []bool{false, true} {
			cases = append(cases, attentionCase(2, 7, 7, 12, heads, bias))
		}
	}
	cases = append(cases,
		attentionCase(2, 1, 9, 8, 2, true),
		attentionCase(2, 5, 1, 4, 1, false),
		attentionCase(3, 4, 11, 6, 3, false),
		attentionCase(1, 9, 4, 6, 2, true),
		attentionCase(1, 2*16+3, 1<<18/16+40, 2, 1, true), // blocks of the fewest queries
		attentionCase(1, 512+9, 6, 2, 1, true),            // and of the most
		attentionCase(2, 35, 45, 64, 2, true),             // by panels, of which the last is not full
		attentionCase(1, 16, 1, 32, 1, false),
		attentionCase(1, 512+9, 33, 32, 1, true), // two blocks of queries
	)
	checkKernels(t, cases)
}

func TestQueryRows(t *testing.T) {
	for keys, want := range map[int]int{1: 512, 512: 512, 1024: 256, 8192: 32, 16384: 16, 100000: 16} {
		if got := queryRows(keys); got != want {
			t.Errorf("%d keys: blocks of %d queries, want %d", keys, got, want)
		}
	}
}

func mixCase(packed bool, shape ...int) kernelCase {
	c := kernelCase{
		name:      fmt.Sprintf("%v packed %t", shape, packed),
		operands:  []operand{floats(shape...), floats(shape...), floats(shape...)},
		apply:     func(g *Graph, n []*Node) *Node { return Mix(g, n[0], n[1], n[2], n[3:]...) },
		reference: refMix,
	}
	if packed {
		wide := append([]int(nil), shape...)
		wide[len(wide)-1] *= 3
		c.operands = append(c.operands, floats(wide...))
	} else {
		c.operands = append(c.operands, c.operands...)
	}
	return c
}

func TestMix(t *testing.T) {
	checkKernels(t, []kernelCase{
		mixCase(false, 2, 3, 5), mixCase(true, 2, 3, 5), mixCase(false, 2, rowTile, 3), mixCase(true, 1, rowTile+1, 3),
	})
}

func crossEntropyCase(classes int, rows ...int) kernelCase {
	return kernelCase{
		name:      fmt.Sprintf("%v of %d", rows, classes),
		operands:  []operand{floats(append(rows, classes)...), {shape: rows, ints: below(classes)}},
		apply:     func(g *Graph, n []*Node) *Node { return CrossEntropy(g, n[0], n[1]) },
		reference: refCrossEntropy,
	}
}

func TestCrossEntropy(t *testing.T) {
	checkKernels(t, []kernelCase{
		crossEntropyCase(7, 4), crossEntropyCase(64, 2, 3), crossEntropyCase(1, 2), crossEntropyCase(3, rowTile*2+5),
	})
}

func TestSum(t *testing.T) {
	var cases []kernelCase
	for n := 2; n <= 5; n++ {
		c := kernelCase{
			name:  fmt.Sprint(n, " terms"),
			apply: func(g *Graph, n []*Node) *Node { return Sum(g, n...) },
			reference: func(in []ref) []float64 {
				y := make([]float64, len(in[0].f))
				for _, x := range in {
					for i := range y {
						y[i] += x.f[i]
					}
				}
				return y
			},
		}
		for range n {
			c.operands = append(c.operands, floats(2, 3, 4))
		}
		cases = append(cases, c)
	}
	large := cases[1]
	large.name, large.operands = "several tiles", []operand{floats(2*elementTile + 5), floats(2*elementTile + 5),
		floats(2*elementTile + 5)}
	checkKernels(t, append(cases, large))
}

func scaleCase(d int, rows ...int) kernelCase {
	return kernelCase{
		name:     fmt.Sprint("scale ", rows, d),
		operands: []operand{floats(append(rows, d)...), floats(d)},
		apply:    func(g *Graph, n []*Node) *Node { return ScaleChannels(g, n[0], n[1]) },
		reference: func(in []ref) (y []float64) {
			for i, x := range in[0].f {
				y = append(y, x*in[1].f[i%d])
			}
			return y
		},
	}
}

func TestScaleChannels(t *testing.T) {
	checkKernels(t, []kernelCase{scaleCase(5, 2, 3), scaleCase(3, rowTile+1)})
}

// Each operand frozen in turn leaves the other gradients as they are: a kernel may not count on writing all of them.
func TestFrozenOperands(t *testing.T) {
	for _, c := range []kernelCase{
		linearCase(GELU, true, 4, 5, 6), normCase(2, 6, rowTile+2), convCase(2, 11, 3, 9),
		attentionCase(2, 5, 6, 8, 2, true), mixCase(true, 2, 3, 4), mixCase(false, 2, 3, 4),
		embedCase(5, 4, 3, 2, 4), concatCase(2, 3, 2, 4), scaleCase(4, 3),
	} {
		for i, o := range c.operands {
			if o.ints != nil {
				continue
			}
			frozen := c
			frozen.operands = append([]operand(nil), c.operands...)
			frozen.operands[i].frozen = true
			t.Run(fmt.Sprintf("%s without %d", c.name, i), func(t *testing.T) { checkKernel(t, frozen, 3) })
			only := c
			only.operands = append([]operand(nil), c.operands...)
			for j := range only.operands {
				only.operands[j].frozen = j != i
			}
			t.Run(fmt.Sprintf("%s only %d", c.name, i), func(t *testing.T) { checkKernel(t, only, 3) })
		}
	}
}

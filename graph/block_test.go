package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// block is a small model with every kernel of the package: embedding, convolution, salience, dense and sparse
// attention, memory, bridge, mixing, feed-forward, head. With trainable false it has no gradient.
type block struct {
	batch, tokens, width, vocabulary, classes int

	params  []*Param
	ids     *Node
	labels  *Node
	logits  *Node
	loss    *Node
	graph   *Graph
	program *Program
}

func smallBlock() *block {
	return &block{batch: 2, tokens: 24, width: 16, vocabulary: 30, classes: 5}
}

// param makes the i-th parameter with values that depend on its name only.
func (b *block) param(g *Graph, name string, shape ...int) *Node {
	p := NewParam(name, shape...)
	r := random(hashSeed(name))
	for i := range p.Data() {
		p.Data()[i] = float32(r.NormFloat64() * 0.3)
	}
	b.params = append(b.params, p)
	return g.Param(p)
}

func hashSeed(s string) uint64 { return uint64(hashOf(s)) }

// norm makes three parameters' nodes: x normalised.
func (b *block) norm(g *Graph, name string, x *Node) *Node {
	d := lastDim(specOf(x))
	return LayerNorm(g, x, b.param(g, name+".weight", d), b.param(g, name+".bias", d))
}

func (b *block) linear(g *Graph, name string, x *Node, out int, act Activation) *Node {
	return Linear(g, x, b.param(g, name+".weight", out, lastDim(specOf(x))), b.param(g, name+".bias", out), act)
}

func (b *block) forward(g *Graph) {
	d, k, slots := b.width, b.tokens/4, 4
	b.ids = g.InputInts("ids", b.batch, b.tokens)
	b.labels = g.InputInts("labels", b.batch)
	x := Embed(g, b.ids, b.param(g, "tokens", b.vocabulary, d), b.param(g, "positions", 1, b.tokens+3, d))
	n := b.norm(g, "norm", x)
	gate := b.linear(g, "gate", n, d, Sigmoid)
	ssm := GatedConv(g, n, gate, b.param(g, "conv.weight", d, 1, 9), b.param(g, "conv.bias", d))
	r := b.linear(g, "salience.1", b.linear(g, "salience.0", n, d/2, ReLU), 1, Identity)
	top := TopK(g, r, k)
	sigma := Salience(g, r, top, k)
	scaled := ScaleChannels(g, n, b.param(g, "smooth", d))
	q, kk, v := b.linear(g, "q", scaled, d, Identity), b.linear(g, "k", scaled, d, Identity),
		b.linear(g, "v", scaled, d, SiLU)
	dense := Attention(g, q, kk, v, LogSalience(g, sigma), 2)
	sparse := Attention(g, q, Gather(g, kk, top, k, k), Gather(g, v, top, k, k), nil, 4)
	attention := Sum(g, dense, sparse)
	bank := Gather(g, n, TopK(g, sigma, k), min(k, slots-1), slots)
	read := ConcatRows(g, bank, SliceRows(g, n, 2, 3))
	memory := Attention(g, n, b.linear(g, "mk", read, d, Identity), b.linear(g, "mv", read, d, Identity), nil, 1)
	paths := []*Node{ssm, attention, memory}
	var gammas, betas []*Node
	for i := range paths {
		gammas = append(gammas, b.param(g, fmt.Sprint("bridge.g", i), d))
		betas = append(betas, b.param(g, fmt.Sprint("bridge.b", i), d))
	}
	fused := b.linear(g, "bridge", NormConcat(g, paths, gammas, betas), 3*d, Identity)
	alpha, beta := b.linear(g, "alpha", n, d, Sigmoid), b.linear(g, "beta", n, d, Sigmoid)
	y := Sum(g, Mix(g, x, alpha, beta, fused), Mix(g, x, alpha, beta, paths...), x)
	y = Sum(g, y, b.linear(g, "ff.1", b.linear(g, "ff.0", b.norm(g, "ff", y), 4*d, GELU), d, Identity))
	last := Sum(g, SliceRows(g, y, b.tokens-1, 1), MeanRows(g, bank))
	b.logits = b.linear(g, "head", last, b.classes, Identity)
	b.loss = CrossEntropy(g, b.logits, b.labels)
	g.Keep(b.logits, b.loss)
}

// fill sets ids and labels.
func (b *block) fill(seed uint64) {
	r := random(seed)
	for i := range b.graph.Ints(b.ids) {
		b.graph.Ints(b.ids)[i] = int32(r.IntN(b.vocabulary))
	}
	for i := range b.graph.Ints(b.labels) {
		b.graph.Ints(b.labels)[i] = int32(r.IntN(b.classes))
	}
}

// build makes the block; differentiate adds the gradients (Graph.Backward in all tests but one).
func (b *block) build(t testing.TB, differentiate func(g *Graph)) *block {
	t.Helper()
	var err error
	b.graph, err = Build(func(g *Graph) {
		b.forward(g)
		if differentiate != nil {
			differentiate(g)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if b.program, err = b.graph.Compile(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.program.Close() })
	b.fill(1)
	return b
}

func (b *block) backward(g *Graph) { g.Backward(b.loss) }

func (b *block) run(t testing.TB) {
	t.Helper()
	if err := b.program.Run(); err != nil {
		t.Fatal(err)
	}
}

// results are all bits that a run leaves behind: loss, logits, gradients.
func (b *block) results(t testing.TB) map[string][]uint32 {
	t.Helper()
	b.run(t)
	all := map[string][]uint32{"loss": bits(b.program.Value(b.loss)), "logits": bits(b.program.Value(b.logits))}
	for _, p := range b.params {
		all[p.Name] = bits(b.program.Grad(p))
	}
	return all
}

func bits(x []float32) (all []uint32) {
	for _, v := range x {
		all = append(all, math.Float32bits(v))
	}
	return all
}

// The gradients of the block as a whole, of which the gradients of kernels say nothing: central differences of the
// float32 loss itself, hence a wide tolerance.
func TestBlockGradients(t *testing.T) {
	b := smallBlock()
	b.build(t, b.backward)
	b.run(t)
	r := random(5)
	for _, p := range b.params {
		grad := append([]float32(nil), b.program.Grad(p)...)
		if grad == nil {
			t.Errorf("%s has no gradient", p.Name)
			continue
		}
		saved := append([]float32(nil), p.Data()...)
		direction, want := make([]float64, len(grad)), 0.0
		length := 0.0
		for i := range direction {
			direction[i] = r.NormFloat64()
			length += direction[i] * direction[i]
		}
		for i := range direction {
			direction[i] /= math.Sqrt(length)
			want += direction[i] * float64(grad[i])
		}
		const h = 2e-3
		var at [2]float64
		for s, sign := range []float64{-1, 1} {
			for i := range saved {
				p.Data()[i] = saved[i] + float32(sign*h*direction[i])
			}
			b.run(t)
			at[s] = float64(b.program.Value(b.loss)[0])
		}
		copy(p.Data(), saved)
		if got := (at[1] - at[0]) / (2 * h); math.Abs(got-want) > 0.02*math.Abs(want)+1e-3 {
			t.Errorf("%s: slope of the loss %v, gradient %v", p.Name, got, want)
		}
	}
}

func randomRows(r *rand.Rand) []int {
	return [][]int{{1 + r.IntN(40)}, {1 + r.IntN(3), 1 + r.IntN(40)}}[r.IntN(2)]
}

// Shapes nobody thought of.
func TestRandomShapes(t *testing.T) {
	r := random(2025)
	n := func(most int) int { return 1 + r.IntN(most) }
	makers := []func() kernelCase{
		func() kernelCase {
			act := []Activation{Identity, Sigmoid, ReLU, GELU, SiLU}[r.IntN(5)]
			return linearCase(act, r.IntN(2) == 0, n(40), n(40), randomRows(r)...)
		},
		func() kernelCase { return normCase(n(4), 3+n(40), randomRows(r)...) },
		func() kernelCase { return embedCase(n(20), 40, n(20), n(3), n(40)) },
		func() kernelCase { return convCase(n(3), n(40), n(20), 2*n(5)-1) },
		func() kernelCase { h := n(4); return attentionCase(n(3), n(30), n(30), h*n(9), h, r.IntN(2) == 0) },
		func() kernelCase { return mixCase(r.IntN(2) == 0, append(randomRows(r), n(20))...) },
		func() kernelCase { return crossEntropyCase(n(70), randomRows(r)...) },
		func() kernelCase { return concatCase(n(3), n(9), n(9), n(20)) },
		func() kernelCase { return scaleCase(n(40), randomRows(r)...) },
	}
	for range 12 {
		for _, m := range makers {
			c := m()
			t.Run(c.name, func(t *testing.T) { checkKernel(t, c, r.Uint64()) })
		}
	}
}

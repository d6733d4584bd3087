package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

func counts(ns ...int32) func(*rand.Rand, int) int32 {
	return func(_ *rand.Rand, i int) int32 { return ns[i] }
}

func TestPackBank(t *testing.T) {
	pack := func(e, s, d int, valid ...int32) kernelCase {
		b := len(valid)
		return kernelCase{
			name:     fmt.Sprintf("%v of %d and %d", valid, e, s),
			operands: []operand{floats(b, e, d), floats(b, s, d), {shape: []int{b}, ints: counts(valid...)}},
			apply:    func(g *Graph, n []*Node) *Node { return PackBank(g, n[0], n[1], n[2]) },
			reference: func(in []ref) []float64 {
				var y []float64
				for i, n := range valid {
					y = append(y, in[0].f[i*e*d:i*e*d+int(n)*d]...)
					y = append(y, in[1].f[i*s*d:(i+1)*s*d]...)
					y = append(y, make([]float64, (e-int(n))*d)...)
				}
				return y
			},
		}
	}
	checkKernels(t, []kernelCase{pack(4, 2, 3, 0, 2, 4), pack(1, 1, 1, 1), pack(5, 3, 2, 3)})
}

// refRead is attention of one head over the first rows of the bank, and what each key received.
func refRead(in []ref, used []int, window int) (y, received []float64) {
	q, k, v := in[0], in[1], in[2]
	queries, keys, d := q.dim(1), k.dim(1), q.dim(2)
	y = make([]float64, len(q.f))
	received = make([]float64, q.dim(0)*3*keys)
	for b, n := range used {
		for i := range queries {
			p, sum := make([]float64, n), 0.0
			for j := range n {
				for x := range d {
					p[j] += q.f[(b*queries+i)*d+x] * k.f[(b*keys+j)*d+x] / math.Sqrt(float64(d))
				}
				p[j] = math.Exp(p[j])
				sum += p[j]
			}
			for j := range n {
				w := p[j] / sum
				for x := range d {
					y[(b*queries+i)*d+x] += w * v.f[(b*keys+j)*d+x]
				}
				received[b*3*keys+j] += w
				if i >= queries-window {
					received[(b*3+1)*keys+j] += w
				}
				if i == queries-1 {
					received[(b*3+2)*keys+j] += w
				}
			}
		}
	}
	return y, received
}

func readCase(queries, keys, d, fresh int, valid ...int32) kernelCase {
	b := len(valid)
	used := make([]int, b)
	for i, n := range valid {
		used[i] = int(n) + fresh
	}
	return kernelCase{
		name: fmt.Sprintf("%d queries, %v + %d of %d keys of width %d", queries, valid, fresh, keys, d),
		operands: []operand{floats(b, queries, d), floats(b, keys, d), floats(b, keys, d),
			{shape: []int{b}, ints: counts(valid...)}},
		apply: func(g *Graph, n []*Node) *Node {
			y, _ := MemoryRead(g, n[0], n[1], n[2], n[3], fresh, 3)
			return y
		},
		reference: func(in []ref) []float64 { y, _ := refRead(in, used, 3); return y },
	}
}

func TestMemoryRead(t *testing.T) {
	checkKernels(t, []kernelCase{
		readCase(5, 7, 4, 2, 3, 0, 5),
		readCase(1, 1, 1, 1, 0),
		readCase(2*rowTile+3, 6, 3, 2, 1, 4),
		readCase(3, 4, 2, 0, 0, 4), // an empty memory reads zero
	})
}

func runRead(t *testing.T, q, k, v []float32, keys, d int, valid []int32, fresh, window int) (y, received []float32) {
	t.Helper()
	b := max(1, len(valid))
	var out, seen *Node
	g, err := Build(func(g *Graph) {
		nq, nk, nv := g.Input("q", b, len(q)/b/d, d), g.Input("k", b, keys, d), g.Input("v", b, keys, d)
		copy(g.Floats(nq), q)
		copy(g.Floats(nk), k)
		copy(g.Floats(nv), v)
		var count *Node
		if valid != nil {
			count = g.InputInts("valid", b)
			copy(g.Ints(count), valid)
		}
		out, seen = MemoryRead(g, nq, nk, nv, count, fresh, window)
		g.Keep(out, seen)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 2 { // the second run finds the first one's leftovers
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}
	return slices.Clone(p.Value(out)), slices.Clone(p.Value(seen))
}

func normals(seed uint64, n int) []float32 {
	x := make([]float32, n)
	fillNormal(random(seed), x)
	return x
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func TestMemoryReadTellsTheAttentionReceived(t *testing.T) {
	const queries, keys, d, fresh, window = 2*rowTile + 5, 9, 4, 2, 7
	valid := []int32{3, 7, 0}
	q, k, v := normals(1, 3*queries*d), normals(2, 3*keys*d), normals(3, 3*keys*d)
	_, got := runRead(t, q, k, v, keys, d, valid, fresh, window)
	in := []ref{{shape: []int{3, queries, d}, f: wide(q)}, {shape: []int{3, keys, d}, f: wide(k)},
		{shape: []int{3, keys, d}, f: wide(v)}}
	_, want := refRead(in, []int{5, 9, 2}, window)
	for i := range want {
		if !near(float64(got[i]), want[i], 1) {
			t.Fatalf("received[%d] = %v, want %v", i, got[i], want[i])
		}
	}
	for b := range 3 { // every query gives away exactly 1
		var sum float64
		for _, w := range got[b*3*keys : b*3*keys+keys] {
			sum += float64(w)
		}
		if math.Abs(sum-queries) > 1e-3 {
			t.Errorf("sequence %d received %v from %d queries", b, sum, queries)
		}
	}
}

// What lies behind the rows in use, even NaN, changes nothing.
func TestMemoryReadIgnoresRowsNotInUse(t *testing.T) {
	const queries, keys, d = 5, 6, 3
	q, k, v := normals(1, queries*d), normals(2, keys*d), normals(3, keys*d)
	y1, r1 := runRead(t, q, k[:4*d], v[:4*d], 4, d, nil, 0, 1)
	for i := 4 * d; i < keys*d; i++ {
		k[i], v[i] = float32(math.NaN()), float32(math.Inf(1))
	}
	y2, r2 := runRead(t, q, k, v, keys, d, []int32{3}, 1, 1)
	if !slices.Equal(y1, y2) {
		t.Errorf("got %v, want %v", y2, y1)
	}
	for row := range 3 {
		if !slices.Equal(r2[row*keys:row*keys+4], r1[row*4:(row+1)*4]) || r2[row*keys+4] != 0 || r2[row*keys+5] != 0 {
			t.Errorf("received %v, want %v and zeros", r2, r1)
		}
	}
}

func TestMemoryReadIsTheSameForAnyNumberOfThreads(t *testing.T) {
	const queries, keys, d = 300, 70, 8
	q, k, v := normals(1, queries*d), normals(2, keys*d), normals(3, keys*d)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	y1, r1 := runRead(t, q, k, v, keys, d, []int32{40}, 8, 32)
	runtime.GOMAXPROCS(4)
	y2, r2 := runRead(t, q, k, v, keys, d, []int32{40}, 8, 32)
	if !slices.Equal(y1, y2) || !slices.Equal(r1, r2) {
		t.Error("results depend on GOMAXPROCS")
	}
}

func TestRowsInUseOutsideTheCapacityAreAnError(t *testing.T) {
	g, err := Build(func(g *Graph) {
		x := g.Input("x", 1, 2, 3)
		n := g.InputInts("n", 1)
		g.Ints(n)[0] = 3
		g.Keep(PackBank(g, x, x, n))
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err == nil {
		t.Error("3 rows in use of a capacity of 2 are accepted")
	}
}

func TestBinaryCrossEntropy(t *testing.T) {
	c := func(shape ...int) kernelCase {
		return kernelCase{
			name:     fmt.Sprint(shape),
			operands: []operand{{shape: shape, fill: uniform(0.05, 0.95)}, {shape: shape, fill: uniform(0, 1), frozen: true}},
			apply:    func(g *Graph, n []*Node) *Node { return BinaryCrossEntropy(g, n[0], n[1]) },
			reference: func(in []ref) []float64 {
				sum := 0.0
				for i, s := range in[0].f {
					y := in[1].f[i]
					sum -= y*math.Log(s) + (1-y)*math.Log(1-s)
				}
				return []float64{sum / float64(len(in[0].f))}
			},
		}
	}
	checkKernels(t, []kernelCase{c(1), c(2, 7), c(3, 5, 1)})
}

// Beyond the clamp the loss is flat; labels beyond [0, 1] count as the nearest.
func TestBinaryCrossEntropyOfExtremeScores(t *testing.T) {
	scores := NewParam("scores", 4)
	copy(scores.Data(), []float32{0, 1, 0.5, 0.25})
	var loss *Node
	g, err := Build(func(g *Graph) {
		labels := g.Input("labels", 4)
		copy(g.Floats(labels), []float32{1, 0, 3, -2})
		loss = BinaryCrossEntropy(g, g.Param(scores), labels)
		g.Keep(loss)
		g.Backward(loss)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	want := (2*-math.Log(1e-6) - math.Log(0.5) - math.Log(0.75)) / 4
	if got := float64(p.Value(loss)[0]); !near(got, want, 1) {
		t.Errorf("loss %v, want %v", got, want)
	}
	if d := p.Grad(scores); d[0] != 0 || d[1] != 0 || !near(float64(d[2]), -0.5, 1) || !near(float64(d[3]), 1/0.75/4, 1) {
		t.Errorf("gradient %v", d)
	}
}

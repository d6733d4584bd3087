package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// randomGraph is a chain of random operations over a pool of nodes [B, T, D], differentiated.
type randomGraph struct {
	graph  *Graph
	params []*Param
	kept   []*Node
}

func newRandomGraph(t *testing.T, seed uint64) *randomGraph {
	t.Helper()
	r := random(seed)
	b, length, d := 1+r.IntN(2), 2+r.IntN(9), 2*(1+r.IntN(4))
	rg := &randomGraph{}
	var err error
	rg.graph, err = Build(func(g *Graph) {
		param := func(shape ...int) *Node {
			if len(rg.params) > 0 && r.IntN(3) == 0 { // use one again if it fits
				if p := rg.params[r.IntN(len(rg.params))]; slices.Equal(p.Shape(), shape) {
					return g.Param(p)
				}
			}
			p := NewParam(fmt.Sprint("p", len(rg.params)), shape...)
			p.Frozen = r.IntN(4) == 0
			fillNormal(r, p.Data())
			rg.params = append(rg.params, p)
			return g.Param(p)
		}
		trained := NewParam("trained", b, length, d)
		fillNormal(r, trained.Data())
		rg.params = append(rg.params, trained)
		pool := []*Node{g.Param(trained), g.Input("x", b, length, d)}
		fillNormal(r, g.Floats(pool[1]))
		any := func() *Node { return pool[r.IntN(len(pool))] }
		for range 4 + r.IntN(12) {
			pool = append(pool, randomOp(g, r, any, param, d))
		}
		w := g.Input("w", b, length, d)
		fillNormal(r, g.Floats(w))
		loss := Apply(g, weigh{}, Sum(g, append([]*Node{pool[0]}, pool[2:]...)...), w)
		rg.kept = []*Node{loss, pool[len(pool)-1]}
		g.Keep(rg.kept...)
		g.Backward(loss)
	})
	if err != nil {
		t.Fatal(err)
	}
	return rg
}

func randomOp(g *Graph, r *rand.Rand, any func() *Node, param func(...int) *Node, d int) *Node {
	x := any()
	length := x.Shape()[1]
	switch r.IntN(8) {
	case 0:
		return LayerNorm(g, x, param(d), param(d))
	case 1:
		return GatedConv(g, x, any(), param(d, 1, 3), param(d))
	case 2:
		return Attention(g, x, any(), any(), nil, 2)
	case 3:
		return Mix(g, x, any(), any(), any(), any(), any())
	case 4:
		wide := NormConcat(g, []*Node{x, any(), any()}, []*Node{param(d), param(d), param(d)},
			[]*Node{param(d), param(d), param(d)})
		return Mix(g, x, any(), any(), wide)
	case 5:
		score := Linear(g, x, param(1, d), param(1), Identity)
		bias := LogSalience(g, Salience(g, score, TopK(g, score, (length+1)/2), (length+1)/2))
		return Attention(g, any(), x, any(), bias, 1)
	case 6:
		return Sum(g, ConcatRows(g, SliceRows(g, x, 0, length-1), MeanRows(g, x)), any())
	default:
		act := []Activation{Identity, Sigmoid, ReLU, GELU, SiLU}[r.IntN(5)]
		return Linear(g, x, param(d, d), param(d), act)
	}
}

// outcome is everything that a run leaves behind.
func (rg *randomGraph) outcome(t *testing.T, p *Program) (all [][]uint32) {
	t.Helper()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	for _, n := range rg.kept {
		all = append(all, bits(p.Value(n)))
	}
	for _, param := range rg.params {
		all = append(all, bits(p.Grad(param)))
	}
	return all
}

// The plan saves memory and changes nothing: no two tensors that live at one time overlap, and the results are those of
// a plan in which every tensor has memory of its own. The memory is full of NaN at the start, so a value read before it
// is written, or after its memory was given away, shows.
func TestPlannedMemory(t *testing.T) {
	saved := 0
	for seed := range uint64(40) {
		rg := newRandomGraph(t, seed)
		p, err := rg.graph.Compile()
		if err != nil {
			t.Fatal(err)
		}
		storages := p.lifetimes()
		checkDisjoint(t, storages)
		poison(p)
		planned, bytes := rg.outcome(t, p), p.ArenaBytes()
		for _, s := range storages {
			s.born, s.death = 0, math.MaxInt
		}
		if err := p.allocate(storages); err != nil {
			t.Fatal(err)
		}
		poison(p)
		separate := rg.outcome(t, p)
		if !reflect.DeepEqual(planned, separate) {
			t.Fatalf("seed %d: results with shared memory differ from results with separate memory", seed)
		}
		for _, x := range planned {
			for _, v := range x {
				if math.IsNaN(float64(math.Float32frombits(v))) {
					t.Fatalf("seed %d: NaN among the results: memory was read that nothing wrote", seed)
				}
			}
		}
		saved += p.ArenaBytes() - bytes
		p.Close()
	}
	if saved <= 0 {
		t.Error("planning saves no memory")
	}
}

func poison(p *Program) {
	for i := range p.arena {
		p.arena[i] = float32(math.NaN())
	}
}

func checkDisjoint(t *testing.T, all []*storage) {
	t.Helper()
	from := func(s *storage) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(s.tensor.F))) }
	to := func(s *storage) uintptr { return from(s) + 4*uintptr(len(s.tensor.F)) }
	for i, a := range all {
		for _, b := range all[:i] {
			if len(a.tensor.F) == 0 || len(b.tensor.F) == 0 || a.born > b.death || b.born > a.death {
				continue
			}
			if from(a) < to(b) && from(b) < to(a) {
				t.Fatalf("%v living %d…%d and %v living %d…%d overlap", a.spec, a.born, a.death, b.spec, b.born, b.death)
			}
		}
	}
}

// Two programs of one model: the weights are shared, the memory is not.
func TestProgramsShareParameters(t *testing.T) {
	w := NewParam("w", 2, 3)
	var programs []*Program
	var outs, ins []*Node
	for _, rows := range []int{2, 5} {
		var x, y *Node
		g, err := Build(func(g *Graph) {
			x = g.Input("x", rows, 3)
			y = Linear(g, x, g.Param(w), nil, Identity)
			g.Keep(y)
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Compile()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for i := range g.Floats(x) {
			g.Floats(x)[i] = 1
		}
		programs, outs, ins = append(programs, p), append(outs, y), append(ins, x)
	}
	for i := range w.Data() {
		w.Data()[i] = 2
	}
	for i, p := range programs {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Value(outs[i]) {
			if v != 6 {
				t.Fatalf("rows %v: got %v, want 6", ins[i].Shape(), v)
			}
		}
	}
}

// The results are the same, bit for bit, whatever GOMAXPROCS is. The shape has several tiles of everything.
func TestDeterminism(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want map[string][]uint32
	for _, procs := range []int{1, 2, 5, 1} {
		runtime.GOMAXPROCS(procs)
		b := smallBlock()
		b.batch, b.tokens, b.width = 3, 2*rowTile+5, 40
		b.build(t, b.backward)
		got := b.results(t)
		if want == nil {
			want = got
		}
		for name := range want {
			if !slices.Equal(got[name], want[name]) {
				t.Errorf("GOMAXPROCS %d: %s differs", procs, name)
			}
		}
		if again := b.results(t); !reflect.DeepEqual(got, again) {
			t.Errorf("GOMAXPROCS %d: a second run differs", procs)
		}
	}
}

// A run reuses its memory: what it allocates does not grow with the tensors. The bounds are on Gorgonia's interpreter,
// which allocates the list of operands of each instruction, and on the goroutines of the parallel loops.
func TestRunAllocatesLittle(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runtime.GOMAXPROCS(2)
	for _, tokens := range []int{24, 240} {
		b := smallBlock()
		b.tokens = tokens
		b.build(t, b.backward)
		b.run(t)
		b.run(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const runs = 20
		for range runs {
			b.run(t)
		}
		runtime.ReadMemStats(&after)
		bytes, count := (after.TotalAlloc-before.TotalAlloc)/runs, (after.Mallocs-before.Mallocs)/runs
		t.Logf("%d tokens: %d bytes in %d allocations a run, arena %d bytes, %d instructions", tokens, bytes, count,
			b.program.ArenaBytes(), len(b.program.nodes))
		if bytes > 100<<10 {
			t.Errorf("%d tokens: a run allocates %d bytes, want at most 100 KiB", tokens, bytes)
		}
	}
}

func TestErrorsOfBuild(t *testing.T) {
	in := func(g *Graph, shape ...int) *Node { return g.Input(fmt.Sprint("x", shape), shape...) }
	ints := func(g *Graph, shape ...int) *Node { return g.InputInts(fmt.Sprint("i", shape), shape...) }
	for _, c := range []struct {
		name string
		f    func(g *Graph)
		want []string // the operation, what it got, what it wants
	}{
		{"linear: width", func(g *Graph) { Linear(g, in(g, 2, 3), in(g, 5, 4), nil, Identity) },
			[]string{"linear", "[2 3]", "[5 4]", "want"}},
		{"linear: weight", func(g *Graph) { Linear(g, in(g, 2, 3), in(g, 3), nil, Identity) },
			[]string{"linear", "[3]", "[out, in]"}},
		{"linear: bias", func(g *Graph) { Linear(g, in(g, 2, 3), in(g, 5, 3), in(g, 3), Identity) },
			[]string{"linear", "[3]", "[5]"}},
		{"linear: activation", func(g *Graph) { Linear(g, in(g, 2, 3), in(g, 5, 3), nil, "tanh") },
			[]string{"linear", "tanh", "want", "gelu"}},
		{"layernorm", func(g *Graph) { LayerNorm(g, in(g, 2, 3), in(g, 4), in(g, 3)) }, []string{"layernorm", "[4]", "[3]"}},
		{"normconcat", func(g *Graph) { NormConcat(g, []*Node{in(g, 2, 3)}, []*Node{in(g, 3)}, nil) },
			[]string{"layernorm", "2 operands", "1 pathways"}},
		{"embed: type", func(g *Graph) { Embed(g, in(g, 2, 3), in(g, 5, 4), in(g, 1, 9, 4)) },
			[]string{"embed", "[2 3]", "integers"}},
		{"embed: length", func(g *Graph) { Embed(g, ints(g, 2, 9), in(g, 5, 4), in(g, 1, 8, 4)) },
			[]string{"embed", "9 tokens", "8 positions"}},
		{"embedat: positions", func(g *Graph) { EmbedAt(g, ints(g, 2, 9), ints(g, 2, 8), in(g, 5, 4), in(g, 1, 8, 4)) },
			[]string{"embedat", "[2 8]", "integers [2 9]"}},
		{"embedat: type", func(g *Graph) { EmbedAt(g, ints(g, 2, 9), in(g, 2, 9), in(g, 5, 4), in(g, 1, 8, 4)) },
			[]string{"embedat", "[2 9]", "integers"}},
		{"conv", func(g *Graph) { GatedConv(g, in(g, 2, 5, 3), in(g, 2, 5, 3), in(g, 3, 1, 4), in(g, 3)) },
			[]string{"gatedconv", "[3 1 4]", "K odd"}},
		{"topk", func(g *Graph) { TopK(g, in(g, 2, 5), 6) }, []string{"topk", "k = 6", "1 … 5"}},
		{"salience", func(g *Graph) { Salience(g, in(g, 2, 5), ints(g, 2, 2), 3) },
			[]string{"salience", "[2 2]", "[2, at least 3]"}},
		{"logsalience", func(g *Graph) { LogSalience(g, in(g, 2, 5, 1)) }, []string{"logsalience", "[2 5 1]", "[B, T]"}},
		{"gather", func(g *Graph) { Gather(g, in(g, 2, 5, 3), ints(g, 2, 2), 3, 4) },
			[]string{"gather", "count 3", "2 positions", "want"}},
		{"concat", func(g *Graph) { ConcatRows(g, in(g, 2, 5, 3), in(g, 2, 5, 4)) },
			[]string{"concatrows", "[2 5 3]", "[2 5 4]", "want"}},
		{"slice", func(g *Graph) { SliceRows(g, in(g, 2, 5, 3), 3, 3) }, []string{"slicerows", "3 … 5", "of 5", "want"}},
		{"repeated", func(g *Graph) { RepeatRow(g, in(g, 2, 2, 5), 3) }, []string{"repeatrow", "[2 2 5]", "[B, 1, D]"}},
		{"mean", func(g *Graph) { MeanRows(g, in(g, 2, 5)) }, []string{"meanrows", "[2 5]", "[B, S, D]"}},
		{"attention: heads", func(g *Graph) { x := in(g, 2, 5, 6); Attention(g, x, x, x, nil, 4) },
			[]string{"attention", "4 heads", "width 6"}},
		{"attention: keys", func(g *Graph) { Attention(g, in(g, 2, 5, 6), in(g, 2, 5, 4), in(g, 2, 5, 4), nil, 2) },
			[]string{"attention", "[2 5 4]", "[2, K, 6]"}},
		{"attention: bias", func(g *Graph) { x := in(g, 2, 5, 6); Attention(g, x, x, x, in(g, 2, 4), 2) },
			[]string{"attention", "[2 4]", "[2 5]"}},
		{"mix: paths", func(g *Graph) { x := in(g, 2, 5, 6); Mix(g, x, x, x, x, x) }, []string{"mix", "2 pathways", "three"}},
		{"mix: packed", func(g *Graph) { x := in(g, 2, 5, 6); Mix(g, x, x, x, x) }, []string{"mix", "[2 5 6]", "[2 5 18]"}},
		{"cross entropy", func(g *Graph) { CrossEntropy(g, in(g, 2, 5), ints(g, 3)) },
			[]string{"crossentropy", "[3]", "2 integers"}},
		{"sum", func(g *Graph) { Sum(g, in(g, 2, 5), in(g, 5, 2)) }, []string{"sum", "[2 5]", "[5 2]"}},
		{"sum of nothing", func(g *Graph) { Sum(g) }, []string{"sum", "nothing"}},
		{"channels", func(g *Graph) { ScaleChannels(g, in(g, 2, 5), in(g, 2)) }, []string{"scalechannels", "[2]", "[5]"}},
		{"missing operand", func(g *Graph) { LayerNorm(g, in(g, 2, 5), nil, nil) },
			[]string{"layernorm", "operand 1", "missing"}},
		{"integers for floats", func(g *Graph) { LayerNorm(g, ints(g, 2, 5), in(g, 5), in(g, 5)) },
			[]string{"layernorm", "integers", "want"}},
		{"float positions", func(g *Graph) { Gather(g, in(g, 2, 5, 3), in(g, 2, 2), 2, 2) }, []string{"gather", "integers"}},
		{"empty input", func(g *Graph) { in(g, 2, 0) }, []string{"[2 0]", "at least 1"}},
		{"missing parameter", func(g *Graph) { g.Param(nil) }, []string{"missing parameter"}},
	} {
		_, err := Build(c.f)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %q, want one line with %q", c.name, err, w)
			}
		}
	}
}

func TestCompileWithoutKeep(t *testing.T) {
	g, err := Build(func(g *Graph) { MeanRows(g, g.Input("x", 1, 2, 3)) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err = g.Compile(); err == nil || !strings.Contains(err.Error(), "Keep") {
		t.Errorf("got %v, want an error that says to Keep", err)
	}
}

// Ids and labels are data: one out of range is an error of the run, and the program can go on with other data.
func TestErrorsOfRun(t *testing.T) {
	b := smallBlock()
	b.build(t, b.backward)
	want := b.results(t)
	for _, c := range []struct {
		spoil func()
		want  string
	}{
		{func() { b.graph.Ints(b.ids)[25] = 30 }, "token id 30 at row 1, position 1 is outside the vocabulary 0..29"},
		{func() { b.graph.Ints(b.ids)[0] = -1 }, "token id -1 at row 0"},
		{func() { b.graph.Ints(b.labels)[1] = 5 }, "label 5 of row 1 is outside 0..4"},
		{func() { b.graph.Ints(b.labels)[0] = math.MinInt32 }, "of row 0 is outside"},
	} {
		c.spoil()
		if err := b.program.Run(); err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with %q", err, c.want)
		}
		b.fill(1)
	}
	if !reflect.DeepEqual(b.results(t), want) {
		t.Error("the program computes something else after errors")
	}
}

func TestPositionsOutOfRangeAreAnError(t *testing.T) {
	for _, bad := range []int32{-1, 4} {
		var idx *Node
		g, err := Build(func(g *Graph) {
			idx = g.InputInts("idx", 1, 2)
			g.Keep(Gather(g, g.Input("x", 1, 4, 3), idx, 2, 2))
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Compile()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		g.Ints(idx)[1] = bad
		if err := p.Run(); err == nil || !strings.Contains(err.Error(), "0..3") {
			t.Errorf("position %d: got %v, want an error that names the range", bad, err)
		}
	}
}

// TopK orders by value, ties by position, NaN last; its result can be kept.
func TestTopK(t *testing.T) {
	nan := float32(math.NaN())
	var x, top *Node
	g, err := Build(func(g *Graph) {
		x = g.Input("x", 3, 5, 1)
		top = TopK(g, x, 4)
		g.Keep(top)
	})
	if err != nil {
		t.Fatal(err)
	}
	copy(g.Floats(x), []float32{1, 3, 2, 5, 4, 7, 7, 8, 7, 7, nan, 1, nan, 2, -1})
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if got, want := p.Ints(top), []int32{3, 4, 1, 2, 2, 0, 1, 3, 3, 1, 4, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestValueOfForgottenNodePanics(t *testing.T) {
	var y *Node
	g, err := Build(func(g *Graph) {
		x := g.Input("x", 2, 3)
		y = Sum(g, x, x)
		g.Keep(Sum(g, y, x))
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
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "Keep it before Compile") {
			t.Errorf("got %v, want a panic that says to Keep the node", r)
		}
	}()
	p.Value(y)
}

// Gorgonia takes nodes with equal names or equal hashes for one; they must stay what they are.
func TestEqualNames(t *testing.T) {
	a, b := NewParam("same", 2), NewParam("same", 2)
	copy(a.Data(), []float32{1, 2})
	copy(b.Data(), []float32{10, 20})
	checkSum(t, a, b)
}

func TestCollidingHashes(t *testing.T) {
	a, b := collidingParams(t)
	copy(a.Data(), []float32{1, 2})
	copy(b.Data(), []float32{10, 20})
	checkSum(t, a, b)
}

// checkSum puts a = [1 2] and b = [10 20] through equal operations and checks the values and gradients of both.
func checkSum(t *testing.T, a, b *Param) {
	t.Helper()
	var y *Node
	g, err := Build(func(g *Graph) {
		one := g.Input("in", 2)
		two := g.Input("in", 2)
		copy(g.Floats(one), []float32{100, 100})
		copy(g.Floats(two), []float32{200, 200})
		y = Sum(g, Sum(g, g.Param(a), one), Sum(g, g.Param(b), two), g.Param(b))
		w := g.Input("w", 2)
		copy(g.Floats(w), []float32{1, 2})
		g.Keep(y)
		g.Backward(Apply(g, weigh{}, y, w))
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
	for _, c := range []struct{ got, want []float32 }{
		{p.Value(y), []float32{321, 342}}, {p.Grad(a), []float32{1, 2}}, {p.Grad(b), []float32{2, 4}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

// collidingParams has two names for which Gorgonia's nodes have the same hash, found by search.
func collidingParams(t *testing.T) (a, b *Param) {
	t.Helper()
	a, b = NewParam("p869350", 2), NewParam("p311", 2)
	hash := func(p *Param) (h uint32) {
		if _, err := Build(func(g *Graph) { h = g.Param(p).Hashcode() }); err != nil {
			t.Fatal(err)
		}
		return h
	}
	if hash(a) != hash(b) {
		t.Fatal("the names' hashes differ: Gorgonia has another hash now, search for other names")
	}
	return a, b
}

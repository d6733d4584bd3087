package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/quick"
)

const dim = 8

// scene is n random entries of several chunks, and a context with everything that a policy can ask for.
func scene(seed uint64, n, dim int) (*Context, []Entry) {
	r := rng(seed)
	entries := make([]Entry, n)
	for i := range entries {
		chunk := i * 8 / n
		reads := 8 - chunk
		uses := r.IntN(reads + 1)
		entries[i] = Entry{
			ID: uint64(i), Position: int64(chunk*512 + r.IntN(512)), Salience: r.Float32(), Slot: r.IntN(32), Age: 7 - chunk,
			Reads: reads, Uses: uses, LastUse: int64(chunk + r.IntN(reads)), Pivotal: r.Uint64() & (1<<reads - 1),
			Attention: r.ExpFloat64(), Window: r.Float32(), Last: r.Float32(),
		}
	}
	floats := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	scores, head := floats(n), floats(n)
	for i := range scores {
		scores[i] = 1 / (1 + float32(math.Exp(-float64(scores[i]))))
	}
	ctx := &Context{
		Layer: 1, Layers: 6, Chunk: 7, Dim: dim, WindowStart: 7*512 + 480, Rand: rng(seed + 1),
		Retention: func() []float32 { return scores }, Head: func() []float32 { return head },
		Keys: floats(n * dim), Values: floats(n * dim), QueryMean: floats(dim), QueryCov: make([]float32, dim*dim),
	}
	a := floats(dim * dim) // a covariance is A Aᵀ
	for i := range dim {
		for j := range dim {
			for k := range dim {
				ctx.QueryCov[i*dim+j] += a[i*dim+k] * a[j*dim+k]
			}
		}
	}
	return ctx, entries
}

// Every policy keeps exactly its budget of different entries, and the same ones when asked again.
func TestPoliciesFillTheirBudget(t *testing.T) {
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		check := func(seed uint64, size, share uint16) bool {
			n := 2 + int(size)%300
			budget := 1 + int(share)%(n-1)
			var first []int
			for range 2 {
				ctx, entries := scene(seed, n, dim)
				kept := p.Keep(ctx, entries, budget)
				if first != nil && !slices.Equal(kept, first) {
					t.Logf("%s: kept %v, then %v", name, first, kept)
					return false
				}
				first = slices.Clone(kept)
				slices.Sort(kept)
				if len(kept) != budget || kept[0] < 0 || kept[budget-1] >= n || len(slices.Compact(kept)) != budget {
					t.Logf("%s: %d entries, budget %d: kept %v", name, n, budget, kept)
					return false
				}
			}
			return true
		}
		if err := quick.Check(check, &quick.Config{MaxCount: 60}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// kept runs a policy and gives what it keeps in ascending order.
func kept(t *testing.T, name string, ctx *Context, entries []Entry, budget int) []int {
	t.Helper()
	p, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	k := p.Keep(ctx, entries, budget)
	slices.Sort(k)
	return k
}

func TestEachPolicyKeepsWhatItsPaperSays(t *testing.T) {
	at := func(positions ...int64) []Entry { // in the order of writing
		var all []Entry
		for i, p := range positions {
			all = append(all, Entry{ID: uint64(i), Position: p, Reads: 4, Pivotal: 0b1111})
		}
		return all
	}
	with := func(all []Entry, set func(i int, e *Entry)) []Entry {
		for i := range all {
			set(i, &all[i])
		}
		return all
	}
	pick := func(values ...float64) func(i int) float64 { return func(i int) float64 { return values[i] } }
	cased := map[string]bool{"random": true, "pyramidkv": true} // TestRandomIsUniform, TestThePyramidIsArithmetic
	for _, c := range []struct {
		policy  string
		what    string
		ctx     Context
		entries []Entry
		budget  int
		want    []int
	}{
		{"fifo", "the latest tokens, whatever their order in the bank", Context{}, at(30, 10, 20, 40), 2, []int{0, 3}},
		{"lru", "the latest used; of equals the latest written", Context{},
			with(at(1, 2, 3, 4), func(i int, e *Entry) { e.LastUse = []int64{9, 5, 5, 2}[i] }), 2, []int{0, 2}},
		{"h2o", "half recent, half heavy hitters", Context{},
			with(at(1, 2, 3, 4, 5, 6), func(i int, e *Entry) { e.Attention = pick(3, 9, 1, 5, 0, 0)(i) }), 4, []int{1, 3, 4, 5}},
		{"scissorhands", "the fewest unimportant reads, and the most recent", Context{},
			with(at(1, 2, 3, 4, 5), func(i int, e *Entry) { e.Pivotal = []uint64{0b0111, 0b0001, 0b1111, 0b0000, 0b0000}[i] }),
			3, []int{0, 2, 4}},
		{"scissorhands", "a young entry has had few chances to be unimportant", Context{},
			with(at(1, 2, 3), func(i int, e *Entry) {
				e.Reads, e.Pivotal = []int{9, 1, 1}[i], []uint64{0b111, 0, 0}[i]
			}), 2, []int{1, 2}},
		{"snapkv", "the observation window, then what it attends to with its neighbours", Context{WindowStart: 100},
			with(at(10, 12, 50, 60, 101), func(i int, e *Entry) { e.Window = float32(pick(0.9, 0.1, 0.5, 0.2, 0)(i)) }), 3,
			[]int{0, 1, 4}},
		{"tova", "the most attention from the last query", Context{},
			with(at(1, 2, 3, 4), func(i int, e *Entry) { e.Last = float32(pick(0.1, 0.4, 0.3, 0.2)(i)) }), 2, []int{1, 2}},
		{"baee", "the highest retention scores",
			Context{Retention: func() []float32 { return []float32{0.2, 0.9, 0.1, 0.5} }},
			at(1, 2, 3, 4), 2, []int{1, 3}},
		{"baee_salience", "the highest salience", Context{},
			with(at(1, 2, 3), func(i int, e *Entry) { e.Salience = float32(pick(0.5, 0.9, 0.6)(i)) }), 2, []int{1, 2}},
		{"locret_proxy", "the head's best, a quarter for the most recent",
			Context{Head: func() []float32 { return []float32{4, 1, 3, 2, 5, 0} }},
			at(1, 2, 3, 4, 5, 6), 4, []int{0, 2, 4, 5}},
		{"knorm", "the shortest keys", Context{Dim: 2, Keys: []float32{3, 4, 0, 1, 2, 0, 9, 9}}, at(1, 2, 3, 4), 2,
			[]int{1, 2}},
		{"keydiff", "the keys that differ, however long", Context{Dim: 2, Keys: []float32{1, 0, 50, 1, 1, 0.1, 0, 1, 2, 0}},
			at(1, 2, 3, 4, 5), 1, []int{3}},
		{"expected_attention", "along the mean query",
			Context{Dim: 2, Keys: []float32{1, 0, -1, 0, 0, 1}, Values: []float32{1, 0, 1, 0, 1, 0},
				QueryMean: []float32{2, 0}, QueryCov: make([]float32, 4)}, at(1, 2, 3), 1, []int{0}},
		{"expected_attention", "along the direction in which queries vary",
			Context{Dim: 2, Keys: []float32{1, 0, -1, 0, 0, 2}, Values: []float32{1, 0, 1, 0, 1, 0},
				QueryMean: []float32{0, 0}, QueryCov: []float32{0.1, 0, 0, 5}}, at(1, 2, 3), 1, []int{2}},
		{"expected_attention", "the longer value",
			Context{Dim: 2, Keys: []float32{1, 0, 1, 0, 1, 0}, Values: []float32{1, 0, 0, 3, 0, 0},
				QueryMean: []float32{1, 0}, QueryCov: make([]float32, 4)}, at(1, 2, 3), 1, []int{1}},
	} {
		cased[c.policy] = true
		t.Run(c.policy+": "+c.what, func(t *testing.T) {
			if got := kept(t, c.policy, &c.ctx, c.entries, c.budget); !slices.Equal(got, c.want) {
				t.Errorf("kept %v, want %v", got, c.want)
			}
		})
	}
	for _, name := range Names() {
		if !cased[name] {
			t.Errorf("policy %s has no case", name)
		}
	}
}

// Over many draws every entry is kept equally often.
func TestRandomIsUniform(t *testing.T) {
	ctx := &Context{Rand: rng(1)}
	hits := make([]int, 10)
	for range 2000 {
		for _, i := range kept(t, "random", ctx, make([]Entry, 10), 3) {
			hits[i]++
		}
	}
	for i, n := range hits {
		if n < 500 || n > 700 { // 600 expected, σ = 20
			t.Errorf("entry %d was kept %d times of 2000", i, n)
		}
	}
}

func TestSharesSumToTheTotal(t *testing.T) {
	check := func(l uint8, extra uint16, m uint8) bool {
		layers, least := 1+int(l)%40, int(m)
		total := layers*least + int(extra)
		for name, share := range map[string]Share{"equal": EqualShare, "pyramid": pyramid} {
			parts := share(layers, total, least)
			sum := 0
			for i, p := range parts {
				sum += p
				if p < least || i > 0 && p > parts[i-1]+1 { // rounding may add one
					t.Logf("%s of %d over %d layers, at least %d: %v", name, total, layers, least, parts)
					return false
				}
			}
			if sum != total || len(parts) != layers {
				t.Logf("%s of %d over %d layers: %v", name, total, layers, parts)
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestThePyramidIsArithmetic(t *testing.T) {
	// Mean 100: from 2·100 - 5 down to 100/20 = 5 in steps of 38.
	if got := pyramid(6, 600, 0); !slices.Equal(got, []int{195, 157, 119, 81, 43, 5}) {
		t.Errorf("got %v", got)
	}
}

func TestUnknownNamesSuggestTheNearest(t *testing.T) {
	for _, c := range [][2]string{{"h20", "h2o"}, {"BAEE", "baee"}, {"snapvk", "snapkv"}, {"pyramid", "pyramidkv"}} {
		_, err := Lookup(c[0])
		var unknown *UnknownError
		if !errors.As(err, &unknown) || unknown.Nearest != c[1] {
			t.Errorf("%s: %v, want a hint to %s", c[0], err, c[1])
		}
	}
}

func TestRegisterRefusesWhatIsIncomplete(t *testing.T) {
	keep := func(*Context, []Entry, int) []int { return nil }
	for _, p := range []Policy{
		{Doc: "x", Keep: keep}, {Name: "Caps", Doc: "x", Keep: keep}, {Name: "no_doc", Keep: keep},
		{Name: "no_rule", Doc: "x"},
		{Name: "h2o", Doc: "x", Keep: keep},
	} {
		if err := Register(p); err == nil {
			t.Errorf("%+v was registered", p)
		}
	}
}

// BenchmarkEviction is one decision on N entries of width 64 down to a quarter, as the published microbenchmark times
// it.
func BenchmarkEviction(b *testing.B) {
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			b.Fatal(err)
		}
		for n := 16; n <= 16384; n *= 4 {
			b.Run(fmt.Sprintf("%s/N%d", name, n), func(b *testing.B) {
				ctx, entries := scene(1, n, 64)
				b.ReportAllocs()
				for b.Loop() {
					p.Keep(ctx, entries, max(1, n/4))
				}
			})
		}
	}
}

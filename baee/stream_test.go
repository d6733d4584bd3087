package baee

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

func model(t testing.TB, classes int, writeFrac float64, seed uint64) *layers.Model {
	t.Helper()
	m, err := layers.NewModel(layers.Config{
		Dim: 16, Depth: 2, Heads: 2, VocabSize: 50, MaxLen: 64, NumClasses: classes, KFrac: 0.25, EpisodicSlots: 4,
		EpisodicWriteFrac: writeFrac, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: 1024,
	}, seed)
	if err != nil {
		t.Fatal(err)
	}
	// Initial weights are so small that nothing depends on the memory; these make the reads matter.
	for _, p := range m.Params.All() {
		if strings.Contains(p.Name, "epmem") || strings.Contains(p.Name, "head") {
			for i := range p.Data() {
				p.Data()[i] *= 15
			}
		}
	}
	return m
}

func tokens(seed uint64, n int) []int32 {
	r := rand.New(rand.NewPCG(seed, 1))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(50))
	}
	return ids
}

func stream(t testing.TB, m *layers.Model, c Config, chunk int) *Stream {
	t.Helper()
	s, err := NewStream(m, newManager(t, c), chunk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// push takes in ids and gives the logits of every chunk.
func push(t testing.TB, s *Stream, ids []int32) [][]float32 {
	t.Helper()
	var all [][]float32
	if err := s.Push(ids, func(l []float32) error { all = append(all, slices.Clone(l)); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func forModel(m *layers.Model, name string, entries int) Config {
	return plain(name, m.Config.Dim, m.Config.Depth, m.Config.EpisodicSlots, entries)
}

// A memory that keeps the newest bank alone is the stream without a manager, up to half precision.
func TestAFIFOOfOneBankIsTheUnmanagedStream(t *testing.T) {
	for _, classes := range []int{3, 0} {
		m := model(t, classes, 0.5, 3) // all slots are written: no padding
		ids := tokens(1, 40)
		var logits [][]float32
		if err := m.Stream(ids, 8,
			func(l []float32) error { logits = append(logits, slices.Clone(l)); return nil }); err != nil {
			t.Fatal(err)
		}
		c := forModel(m, "test_newest", 4)
		got := push(t, stream(t, m, c, 8), ids)
		if len(got) != 5 || len(logits) != 5 {
			t.Fatalf("%d and %d chunks", len(got), len(logits))
		}
		for k := range got {
			for i := range got[k] {
				if math.Abs(float64(got[k][i]-logits[k][i])) > 2e-3 {
					t.Fatalf("chunk %d: logits %v, want %v", k, got[k], logits[k])
				}
			}
		}
	}
}

// However the tokens arrive, the stream gives the same.
func TestAStreamIsTheSameInAnyPieces(t *testing.T) {
	m, ids := model(t, 3, 0.5, 3), tokens(1, 47)
	inPieces := func(sizes func() int) [][]float32 {
		s := stream(t, m, forModel(m, "fifo", 9), 10)
		var all [][]float32
		for rest := ids; len(rest) > 0; {
			n := min(sizes(), len(rest)) // nothing, less than a chunk, more than two
			all, rest = append(all, push(t, s, rest[:n])...), rest[n:]
		}
		return append(all, push(t, s, tokens(2, 3))...)
	}
	want := inPieces(func() int { return len(ids) })
	if len(want) != 5 {
		t.Fatalf("%d chunks, want 5", len(want))
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		if got := inPieces(func() int { return r.IntN(25) }); !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("pieces %d: another result", seed)
		}
	}
}

// An unlimited memory grows over several capacities without changing what is read: every chunk equals a forward pass
// over exactly the rows that were stored.
func TestAStreamReadsAllThatIsStored(t *testing.T) {
	m := model(t, 3, 0.5, 3)
	s := stream(t, m, forModel(m, "fifo", 1000), 8)
	ids := tokens(1, 8*20)
	for k := range 20 {
		var banks [][]float32
		rows := s.Memory().Rows(0)
		for i := range 2 {
			bank := make([]float32, rows*16)
			s.Memory().Bank(i, bank)
			banks = append(banks, bank)
		}
		chunk := ids[8*k : 8*k+8]
		if rows == 0 {
			banks = nil
		}
		inf, err := m.Infer(1, 8, rows)
		if err != nil {
			t.Fatal(err)
		}
		want, err := inf.Run(chunk, banks)
		if err != nil {
			t.Fatal(err)
		}
		got := push(t, s, chunk)[0]
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-5 {
				t.Fatalf("chunk %d with %d rows: logits %v, want %v", k, rows, got, want)
			}
		}
		if s.Memory().Rows(1) != 4*(k+1) {
			t.Fatalf("%d rows after %d chunks", s.Memory().Rows(1), k+1)
		}
	}
}

func TestEntriesKnowTheirPositionInTheStream(t *testing.T) {
	m := model(t, 3, 0.25, 3)
	s := stream(t, m, forModel(m, "fifo", 1000), 12)
	push(t, s, tokens(1, 30))
	if err := s.Flush(func([]float32) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if s.Position() != 30 {
		t.Errorf("position %d", s.Position())
	}
	entries := s.Memory().Entries(0)
	if len(entries) != 3+3+1 { // a quarter of 12, 12 and 6
		t.Fatalf("%d entries", len(entries))
	}
	for j, e := range entries {
		if from := int64(12 * (j / 3)); e.Position < from || e.Position >= min(from+12, 30) || e.Age != 3-j/3 ||
			e.Reads != e.Age {
			t.Errorf("entry %d: %+v", j, e)
		}
		if e.Salience < 0.5 || e.Salience > 1 {
			t.Errorf("entry %d is among the most salient and has %v", j, e.Salience)
		}
	}
}

// Whatever the policy, a stream restored at any moment goes on to the same logits, to the last bit.
func TestARestoredStreamGoesOnToTheSameLogits(t *testing.T) {
	// each keeps another state
	for _, name := range []string{"baee", "random", "lru", "locret_proxy", "expected_attention"} {
		m := model(t, 3, 0.3, 3)
		c := networks(t, forModel(m, name, 9))
		if name == "baee" {
			c = networks(t, Default(16, 2, 4, nil))
			c.BudgetBytes = 500
		}
		ids := tokens(2, 100)
		whole := push(t, stream(t, m, c, 10), ids)
		path := filepath.Join(t.TempDir(), "s.safetensors")
		for _, at := range []int{7, 60} {
			s := stream(t, m, c, 10)
			got := push(t, s, ids[:at])
			if err := s.Save(path); err != nil {
				t.Fatal(err)
			}
			push(t, s, ids[at:]) // what comes after the snapshot has no part in it
			back, err := RestoreStream(m, path)
			if err != nil {
				t.Fatal(err)
			}
			if back.Position() != int64(at) {
				t.Errorf("%s: restored at %d, want %d", name, back.Position(), at)
			}
			got = append(got, push(t, back, ids[at:])...)
			if !slices.EqualFunc(got, whole, slices.Equal[[]float32]) {
				t.Errorf("%s: restored at token %d: other logits", name, at)
			}
			back.Close()
		}
	}
}

func TestAStreamDoesNotDependOnTheNumberOfThreads(t *testing.T) {
	m := model(t, 3, 0.3, 3)
	c := networks(t, Default(16, 2, 4, nil))
	c.BudgetBytes = 500
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := push(t, stream(t, m, c, 10), tokens(2, 100))
	runtime.GOMAXPROCS(3)
	if three := push(t, stream(t, m, c, 10), tokens(2, 100)); !slices.EqualFunc(one, three, slices.Equal[[]float32]) {
		t.Error("other logits with three threads than with one")
	}
}

func TestSnapshotsOfAnotherModelAreRefused(t *testing.T) {
	m := model(t, 3, 0.3, 3)
	s := stream(t, m, forModel(m, "fifo", 9), 10)
	push(t, s, tokens(2, 30))
	path := filepath.Join(t.TempDir(), "s.safetensors")
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := RestoreStream(model(t, 3, 0.3, 4), path); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("other weights: %v", err)
	}
	if err := os.WriteFile(path, save(t, s.Memory()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := RestoreStream(m, path); err == nil || !strings.Contains(err.Error(), `no key "stream"`) {
		t.Errorf("a memory alone: %v", err)
	}
}

// Packed models have few floating-point weights in common with what they were made from: the packed ones count as well.
func TestSnapshotsOfAnotherPackingAreRefused(t *testing.T) {
	m := model(t, 3, 0.3, 3)
	const name = "blocks.1.ff.1.weight"
	w, ok := m.Params.ByName(name)
	if !ok {
		t.Fatal("no " + name)
	}
	packedWith := func(values []float32, bits int) *layers.Model {
		spec := scheme.Spec{Scheme: scheme.Int8.Name, Shape: w.Shape()}
		if bits == 4 {
			spec = scheme.Spec{Scheme: scheme.Int4.Name, Shape: w.Shape(), Settings: scheme.Settings{Group: 16}}
		}
		pack, err := scheme.Pack(spec, values, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := layers.NewPackedModel(m.Config, map[string]*scheme.Packed{name: pack})
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range p.Params.All() {
			from, _ := m.Params.ByName(to.Name)
			copy(to.Data(), from.Data())
		}
		return p
	}
	other := slices.Clone(w.Data())
	other[5] += 0.01
	packed := packedWith(w.Data(), 8)
	s := stream(t, packed, forModel(m, "fifo", 9), 10)
	push(t, s, tokens(2, 30))
	path := filepath.Join(t.TempDir(), "s.safetensors")
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	smoothed, held := packedWith(w.Data(), 8), packedWith(w.Data(), 8)
	smoothed.Blocks[0].Attention.Smooth = graph.NewParam("smooth", 16)
	held.Blocks[0].Memory.EntryQuant = scheme.FakeInt8
	for what, x := range map[string]*layers.Model{
		"unpacked": m, "4 bits": packedWith(w.Data(), 4), "another weight": packedWith(other, 8), "smoothing": smoothed,
		"entries in INT8": held,
	} {
		if _, err := RestoreStream(x, path); err == nil || !strings.Contains(err.Error(), "another packing") {
			t.Errorf("%s: %v", what, err)
		}
	}
	back, err := RestoreStream(packedWith(w.Data(), 8), path)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if !slices.EqualFunc(push(t, back, tokens(5, 10)), push(t, s, tokens(5, 10)), slices.Equal[[]float32]) {
		t.Error("the same packing goes on to other logits")
	}
}

func TestErrorsOfTheCallerDoNotBreakAStream(t *testing.T) {
	m := model(t, 3, 0.3, 3)
	c := forModel(m, "fifo", 9)
	ids := tokens(2, 30)
	want := push(t, stream(t, m, c, 10), ids)
	s := stream(t, m, c, 10)
	stop := errors.New("stop")
	if err := s.Push(ids, func([]float32) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	if s.Position() != 10 {
		t.Fatalf("position %d after the first chunk", s.Position())
	}
	if got := push(t, s, ids[10:]); !slices.EqualFunc(got, want[1:], slices.Equal[[]float32]) {
		t.Error("other logits after an error of the caller")
	}
}

func TestAStreamThatFailedMustBeReset(t *testing.T) {
	m := model(t, 3, 0.3, 3)
	s := stream(t, m, forModel(m, "fifo", 9), 10)
	ids := tokens(2, 10)
	bad := slices.Clone(ids)
	bad[3] = 99
	none := func([]float32) error { return nil }
	if err := s.Push(bad, none); err == nil {
		t.Fatal("token 99 of 50 was accepted")
	}
	if err := s.Push(ids, none); err == nil {
		t.Error("a broken stream went on")
	}
	if err := s.Save(filepath.Join(t.TempDir(), "s")); err == nil {
		t.Error("a broken stream was saved")
	}
	s.Reset()
	if got := push(t, s, ids); !slices.EqualFunc(got, push(t, stream(t, m, forModel(m, "fifo", 9), 10), ids),
		slices.Equal[[]float32]) {
		t.Error("other logits after a reset")
	}
}

func TestStreamsRefuseMemoriesOfOtherShapes(t *testing.T) {
	m := model(t, 3, 0.3, 3)
	for _, c := range []Config{plain("fifo", 8, 2, 4, 9), plain("fifo", 16, 3, 4, 9), plain("fifo", 16, 2, 5, 9)} {
		if _, err := NewStream(m, newManager(t, c), 10); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	for _, chunk := range []int{0, 65} {
		if _, err := NewStream(m, newManager(t, forModel(m, "fifo", 9)), chunk); err == nil {
			t.Errorf("chunk %d was accepted", chunk)
		}
	}
}

// A stream's memory does not grow once the budget is reached.
func TestMemoryIsConstant(t *testing.T) {
	m := model(t, 3, 0.3, 3)
	c := networks(t, Default(16, 2, 4, nil))
	c.BudgetBytes = 700
	s := stream(t, m, c, 10)
	ids := tokens(1, 1000)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	push(t, s, ids)
	before := heap()
	for range 5 {
		push(t, s, ids)
	}
	if after := heap(); after > before+64<<10 {
		t.Errorf("the heap grew from %d to %d bytes over 5,000 tokens", before, after)
	}
}

// BenchmarkStream is a chunk of 512 tokens of the reference model. overhead-% is the time that the memory takes
// (handing its rows to the model, then counting what was read, storing, scoring, evicting) over that of the forward
// pass with these reads; both by the fastest chunk. "published" has 32 entries a layer as in the published
// microbenchmark; the others are full stores in 4 MB.
func BenchmarkStream(b *testing.B) {
	m, err := layers.NewModel(layers.Reference(), 1)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	ids := make([]int32, 512)
	for i := range ids {
		ids[i] = int32(r.IntN(4096))
	}
	within := func(name string) Config {
		c := networks(b, Default(192, 6, 32, nil))
		c.Policy, c.BudgetBytes = name, 4<<20
		p, err := policy.Lookup(name)
		if err != nil {
			b.Fatal(err)
		}
		c.Tiers = p.Score != nil
		return c
	}
	published := networks(b, plain("baee", 192, 6, 32, 32))
	for _, x := range []struct {
		name   string
		config Config
	}{{"published", published}, {"baee", within("baee")}, {"fifo", within("fifo")}, {"h2o", within("h2o")},
		{"snapkv", within("snapkv")}, {"expected_attention", within("expected_attention")}} {
		b.Run(x.name, func(b *testing.B) { benchmarkStream(b, m, x.config, ids) })
	}
}

func benchmarkStream(b *testing.B, m *layers.Model, c Config, ids []int32) {
	s := stream(b, m, c, len(ids))
	r := rand.New(rand.NewPCG(2, 2))
	for rows := -1; rows < s.Memory().Rows(0); {
		rows = s.Memory().Rows(0)
		for range 8 {
			step(b, r, s.Memory())
		}
	}
	reader, err := s.reader(len(ids))
	if err != nil {
		b.Fatal(err)
	}
	var all time.Duration
	managing, forward := time.Hour, time.Hour
	for b.Loop() {
		start := time.Now()
		s.memory.fill(reader)
		filled := time.Now()
		if _, err := reader.Run(ids); err != nil {
			b.Fatal(err)
		}
		run := time.Now()
		if err := s.memory.take(reader, 0); err != nil {
			b.Fatal(err)
		}
		end := time.Now()
		all += end.Sub(start)
		managing, forward = min(managing, filled.Sub(start)+end.Sub(run)), min(forward, run.Sub(filled))
	}
	b.ReportMetric(float64(all.Nanoseconds())/float64(b.N), "ns/op")
	b.ReportMetric(float64(managing.Microseconds()), "best-memory-µs")
	b.ReportMetric(float64(forward.Microseconds()), "best-forward-µs")
	b.ReportMetric(100*float64(managing)/float64(forward), "overhead-%")
	b.ReportMetric(float64(s.memory.Rows(0)), "rows")
}

// BenchmarkEvict is the eviction of a store of N entries of width 192 down to a quarter: features, scores, choice, and
// the store put together again.
func BenchmarkEvict(b *testing.B) {
	for n := 16; n <= 16384; n *= 4 {
		b.Run(fmt.Sprintf("N%d", n), func(b *testing.B) {
			c := plain("baee", 192, 1, 32, n/4)
			c.Classifier = trained(b, 192)
			m := newManager(b, c)
			l := m.layers[0]
			r := rand.New(rand.NewPCG(1, 1))
			x := make([]float32, 192)
			for j := range n {
				for k := range x {
					x[k] = float32(r.NormFloat64())
				}
				m.append(l, Read{Bank: x, Positions: []int64{int64(j)}, Salience: []float32{r.Float32()}})
			}
			full := *l
			l.entries, l.contents, l.projected = slices.Clone(full.entries), slices.Clone(full.contents),
				slices.Clone(full.projected)
			var all, best time.Duration
			b.ReportAllocs()
			for b.Loop() {
				// Pausing the benchmark's timer would stop the world and start the collector, which is no part of an eviction.
				l.entries = append(l.entries[:0], full.entries...)
				l.contents = append(l.contents[:0], full.contents...)
				l.projected = append(l.projected[:0], full.projected...)
				start := time.Now()
				if err := m.evict(0, l, m.context(0, l, n, n, Read{})); err != nil {
					b.Fatal(err)
				}
				took := time.Since(start)
				if all += took; best == 0 || took < best {
					best = took
				}
			}
			b.ReportMetric(float64(all.Nanoseconds())/float64(b.N), "ns/op")
			b.ReportMetric(float64(best.Nanoseconds()), "best-ns")
		})
	}
}

// What training in chunks reads is what a stream reads of which nothing is evicted, up to half precision: entries
// alone, no padding (2 of 4 slots are written).
func TestChunksOfTrainingAreThoseOfAStream(t *testing.T) {
	const chunk, chunks = 20, 3
	m := model(t, 3, 0.1, 3)
	ids := tokens(4, chunk*chunks)
	infer, err := m.InferChunks(1, len(ids), chunks)
	if err != nil {
		t.Fatal(err)
	}
	defer infer.Program.Close()
	got, err := infer.Run(ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := push(t, stream(t, m, forModel(m, "fifo", 100), chunk), ids)
	alone := push(t, stream(t, m, forModel(m, "fifo", 100), chunk), ids[chunk*(chunks-1):])
	for i, x := range want[chunks-1] {
		if d := math.Abs(float64(got[i] - x)); d > 2e-3*(1+math.Abs(float64(x))) {
			t.Errorf("logits %v, want %v", got, want[chunks-1])
		}
	}
	if d := math.Abs(float64(alone[0][0] - got[0])); d < 1e-2 {
		t.Errorf("without what the chunks before wrote the logits are %v, with it %v: the test shows nothing", alone[0], got)
	}
}

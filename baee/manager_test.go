package baee

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/synapnet/synapnet-train/baee/policy"
)

// fake makes a read of layer i of memory m at the given position: random contents, random attention that sums to 1 a
// query.
func fake(r *rand.Rand, m *Manager, i int, position int64) Read {
	c := m.Config()
	written := r.IntN(c.Slots + 1)
	f := Read{Bank: make([]float32, c.Slots*c.Dim), Queries: 1 + r.IntN(20), WindowStart: position + 90}
	f.WindowQueries = min(8, f.Queries)
	for j := range written * c.Dim {
		f.Bank[j] = float32(r.NormFloat64())
	}
	for range written {
		f.Positions = append(f.Positions, position+int64(r.IntN(100)))
		f.Salience = append(f.Salience, r.Float32())
	}
	rows := m.Rows(i) + c.Slots
	receive := func(total int) []float32 {
		x, sum := make([]float32, rows), float32(0)
		for j := range x {
			x[j] = float32(r.ExpFloat64())
			sum += x[j]
		}
		for j := range x {
			x[j] *= float32(total) / sum
		}
		return x
	}
	f.All, f.Window, f.Last = receive(f.Queries), receive(f.WindowQueries), receive(1)
	floats := func(n int) []float32 {
		x := make([]float32, n)
		for j := range x {
			x[j] = float32(r.NormFloat64())
		}
		return x
	}
	f.QueryRows, f.Keys, f.Values = floats(f.Queries*c.Dim), floats(rows*c.Dim), floats(rows*c.Dim)
	return f
}

// step runs one chunk of fake reads through all layers.
func step(t testing.TB, r *rand.Rand, m *Manager) {
	t.Helper()
	for i := range m.Config().Layers {
		if err := m.Update(i, fake(r, m, i, m.Chunk()*100)); err != nil {
			t.Fatal(err)
		}
	}
	m.EndChunk()
}

// networks gives a configuration what any policy can need.
func networks(t testing.TB, c Config) Config {
	t.Helper()
	c.Classifier = trained(t, c.Dim)
	head, err := NewHead(c.Dim, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	c.Head = head
	return c
}

func newManager(t testing.TB, c Config) *Manager {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// builtin are the policies of the package, without those that other tests register.
var builtin = []string{"baee", "baee_salience", "expected_attention", "fifo", "h2o", "keydiff", "knorm", "locret_proxy",
	"lru",
	"pyramidkv", "random", "scissorhands", "snapkv", "tova"}

// Over random streams, layers and budgets, of contents or of all that an entry costs, no update leaves more bytes than
// the budget allows, what is counted is what is held, and without tiers a policy always fills its budget.
func TestTheBudgetHoldsAfterEveryUpdate(t *testing.T) {
	for _, name := range builtin {
		check := func(seed uint64, l, d, s uint8, extra, rows uint16, tiers, both bool) bool {
			r := rand.New(rand.NewPCG(seed, 5))
			c := networks(t, Default(1+int(d)%9, 1+int(l)%5, 1+int(s)%6, nil))
			c.Policy, c.Seed = name, seed
			p, err := policy.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			c.Tiers, c.CountMetadata = tiers && p.Score != nil, seed%2 == 1
			least := c.Layers * c.EntryBytes()
			c.BudgetBytes = least + int(extra)%(40*least)
			if both {
				c.EntriesPerLayer = 1 + int(rows)%20
			}
			m := newManager(t, c)
			var entered, position int64
			for range 12 {
				for i := range c.Layers {
					f := fake(r, m, i, position)
					before := m.Layer(i)
					if err := m.Update(i, f); err != nil {
						t.Log(err)
						return false
					}
					entered += int64(len(f.Positions))
					total, layer := m.Total(), m.Layer(i)
					held := 2*c.Dim*(total.Hot+total.Summaries) + (c.Dim+2)*total.Warm
					if total.Counted > c.BudgetBytes || total.Bytes != held || total.Counted != counted(m) || c.EntriesPerLayer > 0 &&
						total.Rows() > c.Layers*c.EntriesPerLayer {
						t.Logf("%s: %+v of %+v", name, total, c)
						return false
					}
					most := m.MostRows(i)
					if layer.Rows() > most || !c.Tiers && layer.Hot != min(before.Hot+len(f.Positions), most) {
						t.Logf("%s: layer %d keeps %d of %d + %d, at most %d", name, i, layer.Rows(), before.Hot, len(f.Positions), most)
						return false
					}
					if int64(total.Hot+total.Warm)+total.Evicted+total.Merged != entered {
						t.Logf("%s: %d entries entered, %+v", name, entered, total)
						return false
					}
				}
				m.EndChunk()
				position += 100
			}
			return true
		}
		if err := quick.Check(check, &quick.Config{MaxCount: 12}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counted is what the budget limits: contents, and with CountMetadata what is known of rows, which statistics of a
// layer's queries are not.
func counted(m *Manager) int {
	t := m.Total()
	if !m.Config().CountMetadata {
		return t.Bytes
	}
	for _, l := range m.layers {
		t.MetadataBytes -= 4 * (len(l.queries.mean) + len(l.queries.cov))
	}
	return t.Bytes + t.MetadataBytes
}

func TestBudgetsThatCannotHoldAnEntryAreRefused(t *testing.T) {
	c := networks(t, Default(192, 6, 32, nil))
	c.BudgetBytes = 6*384 - 1
	if _, err := New(c); err == nil || !strings.Contains(err.Error(),
		"too small for one entry of 384 bytes in each of 6 layers; it must be at least 2304") {
		t.Errorf("got %v", err)
	}
	c.BudgetBytes++
	if _, err := New(c); err != nil {
		t.Error(err)
	}
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	good := networks(t, Default(4, 2, 3, nil))
	for want, spoil := range map[string]func(c *Config){
		"dim is 0":                         func(c *Config) { c.Dim = 0 },
		"layers is -1":                     func(c *Config) { c.Layers = -1 },
		"no budget":                        func(c *Config) { c.BudgetBytes = 0 },
		`did you mean "h2o"`:               func(c *Config) { c.Policy = "h20" },
		`protocol is "loose"`:              func(c *Config) { c.Protocol = "loose" },
		"has no scores to choose tiers by": func(c *Config) { c.Policy = "h2o" },
		"needs a trained retention":        func(c *Config) { c.Classifier = nil },
		"this one is for 5":                func(c *Config) { c.Classifier = trained(t, 5) },
		"needs a trained Locret-style":     func(c *Config) { c.Policy, c.Head, c.Tiers = "locret_proxy", nil, false },
		"paper protocol budgets entries":   func(c *Config) { c.Policy, c.Protocol = "h2o", Paper },
		"has no rule in the paper":         func(c *Config) { c.Policy, c.Protocol = "tova", Paper },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// read is a read with one even query, in which the given rows of memory and of the fresh bank received these parts.
func read(m *Manager, i int, position int64, received ...float32) Read {
	c := m.Config()
	f := Read{Bank: make([]float32, c.Slots*c.Dim), Queries: 1, WindowQueries: 1, All: received, Window: received,
		Last: received}
	for j := range c.Slots {
		f.Positions, f.Salience = append(f.Positions, position+int64(j)), append(f.Salience, 0.9-float32(j)/10)
		f.Bank[j*c.Dim] = float32(position) + float32(j)
	}
	return f
}

func plain(name string, dim, layers, slots, entries int) Config {
	c := Default(dim, layers, slots, nil)
	c.Policy, c.Tiers, c.BudgetBytes, c.EntriesPerLayer = name, false, 0, entries
	return c
}

// Use, age and attention come from the reads: the rows stored before, in their order, then the fresh ones.
func TestReadsAreCounted(t *testing.T) {
	m := newManager(t, plain("lru", 2, 1, 2, 3))
	for _, f := range []Read{
		read(m, 0, 10, 0.8, 0.2),
	} {
		if err := m.Update(0, f); err != nil {
			t.Fatal(err)
		}
	}
	m.EndChunk()
	first := m.Entries(0)
	if e := first[0]; e.Age != 1 || e.Reads != 1 || e.Uses != 1 || e.Pivotal != 1 || e.Position != 10 ||
		e.Salience != 0.9 {
		t.Errorf("after its own chunk: %+v", e)
	}
	if e := first[1]; e.Uses != 0 || e.Slot != 1 || e.LastUse != 0 {
		t.Errorf("after its own chunk: %+v", e)
	}
	// Entry 0 receives less than an even quarter now, entry 1 more.
	if err := m.Update(0, read(m, 0, 20, 0.1, 0.6, 0.15, 0.15)); err != nil {
		t.Fatal(err)
	}
	m.EndChunk()
	got := m.Entries(0) // three fit: of the unused, the oldest last use goes
	if len(got) != 3 || got[0].ID != 1 || got[1].ID != 2 || got[2].ID != 3 {
		t.Fatalf("kept %+v", got)
	}
	if e := got[0]; e.Uses != 1 || e.LastUse != 1 || e.Pivotal != 0b01 || e.Age != 2 || math.Abs(e.Attention-0.8) > 1e-6 ||
		e.Last != 0.6 {
		t.Errorf("%+v", e)
	}
	if c := m.Total(); c.Evicted != 1 || c.Bytes != 3*4 {
		t.Errorf("%+v", c)
	}
}

func TestBanksHoldWhatWasWritten(t *testing.T) {
	m := newManager(t, plain("fifo", 2, 1, 2, 3))
	for k := range 3 {
		if err := m.Update(0, read(m, 0, int64(10*k), make([]float32, m.Rows(0)+2)...)); err != nil {
			t.Fatal(err)
		}
		m.EndChunk()
	}
	bank := make([]float32, 6)
	m.Bank(0, bank)
	if !slices.Equal(bank, []float32{11, 0, 20, 0, 21, 0}) {
		t.Errorf("bank %v", bank)
	}
}

// A rule in place of the policy's chooses what stays. It has no tiers, and no snapshot could hold it.
func TestAnOraclesRule(t *testing.T) {
	c := plain("fifo", 2, 1, 2, 3)
	c.Keep = func(_ *policy.Context, entries []policy.Entry, budget int) []int { return []int{0, 1, 2}[:budget] }
	m := newManager(t, c)
	for k := range 3 {
		if err := m.Update(0, read(m, 0, int64(10*k), make([]float32, m.Rows(0)+2)...)); err != nil {
			t.Fatal(err)
		}
		m.EndChunk()
	}
	bank := make([]float32, 6)
	m.Bank(0, bank)
	if !slices.Equal(bank, []float32{0, 0, 1, 0, 10, 0}) {
		t.Errorf("bank %v, want the first three entries", bank)
	}
	if _, err := m.file(); err == nil || !strings.Contains(err.Error(), "Config.Keep") {
		t.Errorf("a snapshot of it: %v", err)
	}
	c.Policy, c.Tiers = "baee_salience", true
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), "no scores to choose tiers by") {
		t.Errorf("in tiers: %v", err)
	}
}

// In the paper protocol zero padding is stored, the first chunk reads a row of zeros, and attention is not accumulated.
func TestThePaperProtocol(t *testing.T) {
	c := plain("baee_salience", 2, 1, 4, 5)
	c.Protocol = Paper
	m := newManager(t, c)
	bank := []float32{9, 9}
	if m.Rows(0) != 1 {
		t.Fatalf("the first chunk reads %d rows", m.Rows(0))
	}
	if m.Bank(0, bank); bank[0] != 0 || bank[1] != 0 {
		t.Errorf("the first chunk reads %v", bank)
	}
	f := read(m, 0, 10)
	f.Positions, f.Salience = f.Positions[:3], f.Salience[:3]
	for range 2 {
		if err := m.Update(0, f); err != nil {
			t.Fatal(err)
		}
		m.EndChunk()
	}
	var positions []int64
	for _, e := range m.Entries(0) {
		positions = append(positions, e.Position)
		if e.Attention != 0 || e.Reads != 0 {
			t.Errorf("%+v", e)
		}
	}
	// Equal saliences stay in the order of the list, which is that of the last decision.
	if !slices.Equal(positions, []int64{10, 10, 11, 11, 12}) {
		t.Errorf("kept positions %v", positions)
	}
}

func TestPaddingIsNeverStoredInStrict(t *testing.T) {
	m := newManager(t, plain("fifo", 2, 1, 4, 50))
	if m.Rows(0) != 0 {
		t.Errorf("the first chunk reads %d rows", m.Rows(0))
	}
	f := read(m, 0, 10, make([]float32, 4)...)
	f.Positions, f.Salience = f.Positions[:3], f.Salience[:3]
	if err := m.Update(0, f); err != nil {
		t.Fatal(err)
	}
	if m.Rows(0) != 3 {
		t.Errorf("%d rows are stored, want 3", m.Rows(0))
	}
}

// scored is a policy whose scores a test sets.
var scored = struct{ scores []float64 }{}

func init() {
	if err := policy.Register(policy.Policy{
		Name:  "test_scored",
		Doc:   "scores that a test sets",
		Keep:  func(_ *policy.Context, _ []policy.Entry, n int) []int { return policy.Best(scored.scores, n) },
		Score: func(*policy.Context, []policy.Entry) []float64 { return scored.scores },
	}); err != nil {
		panic(err)
	}
	// The newest bank in the order of its slots, as the unmanaged stream has it.
	if err := policy.Register(policy.Policy{
		Name: "test_newest",
		Doc:  "the last written",
		Keep: func(_ *policy.Context, entries []policy.Entry, n int) []int {
			ids := make([]float64, len(entries))
			for i, e := range entries {
				ids[i] = float64(e.ID)
			}
			return policy.Best(ids, n)
		},
	}); err != nil {
		panic(err)
	}
}

// Under pressure the lowest scores go first: as few as can be leave, and of the others as few as can be become WARM.
func TestPressureLowersTheLowestScoresFirst(t *testing.T) {
	c := Default(8, 1, 5, nil) // 16 bytes HOT, 10 WARM
	c.Policy, c.SummarySlots = "test_scored", 0
	for _, w := range []struct {
		budget int
		scale  float64
		want   string
	}{
		{80, 1, "0 HOT 1 HOT 2 HOT 3 HOT 4 HOT "},
		{80, 1e-9, "0 HOT 1 HOT 2 HOT 3 HOT 4 HOT "}, // nothing of a score but its order counts
		{79, 1, "0 HOT 1 WARM 2 HOT 3 HOT 4 HOT "},
		{68, 1, "0 HOT 1 WARM 2 WARM 3 HOT 4 HOT "},
		{68, 1e9, "0 HOT 1 WARM 2 WARM 3 HOT 4 HOT "},
		{62, 1, "0 WARM 1 WARM 2 WARM 3 HOT 4 HOT "}, // of equal scores the older one goes first
		{50, 1, "0 WARM 1 WARM 2 WARM 3 WARM 4 WARM "},
		{49, 1, "0 WARM 2 WARM 3 HOT 4 WARM "}, // what leaves may leave room
		{20, 1, "3 WARM 4 WARM "},
	} {
		c.BudgetBytes = w.budget
		m := newManager(t, c)
		scored.scores = []float64{0.9, 0.7, 0.8, 0.95, 0.9}
		for j := range scored.scores {
			scored.scores[j] *= w.scale
		}
		if err := m.Update(0, read(m, 0, 0, make([]float32, 5)...)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for j, x := range m.layers[0].contents {
			got += fmt.Sprint(m.layers[0].entries[j].ID, x.tier, " ")
		}
		if got != w.want {
			t.Errorf("budget %d: %s, want %s", w.budget, got, w.want)
		}
	}
}

// What leaves goes into summaries, while there may be any. What was lost does not return: an entry that is WARM stays
// it, whatever its score is later and whatever there is room for.
func TestWhatLeavesIsSummarised(t *testing.T) {
	c := Default(8, 1, 7, nil)
	c.Policy, c.SummarySlots, c.BudgetBytes = "test_scored", 1, 64
	m := newManager(t, c)
	scored.scores = []float64{7, 6, 5, 4, 3, 2, 1}
	if err := m.Update(0, read(m, 0, 0, make([]float32, 7)...)); err != nil {
		t.Fatal(err)
	}
	// In INT8 seven take 70 bytes, five and the summary of two 66, four and that of three 56; one of the four may be HOT.
	if got := m.Total(); got.Hot != 1 || got.Warm != 3 || got.Summaries != 1 || got.Merged != 3 || got.Bytes != 62 {
		t.Errorf("%+v", got)
	}
	f := read(m, 0, 10, make([]float32, 12)...)
	f.Positions, f.Salience = f.Positions[:1], f.Salience[:1]
	scored.scores = []float64{5, 4, 1, 9, 8}
	if err := m.Update(0, f); err != nil {
		t.Fatal(err)
	}
	if got := m.Total(); got.Hot != 1 || got.Warm != 3 || got.Summaries != 1 || got.Merged != 4 {
		t.Errorf("%+v", got)
	}
	bank := make([]float32, 5*8)
	m.Bank(0, bank)
	// The entries in the order of writing, the last of them HOT, then the mean of 4, 5, 6 and 2.
	for row, want := range []float32{0, 1, 3, 10, 4.25} {
		if got := bank[row*8]; math.Abs(float64(got-want)) > 0.02 {
			t.Errorf("row %d starts with %v, want %v", row, got, want)
		}
	}
}

func TestAUsersMistakesAreErrors(t *testing.T) {
	answer := []int{}
	if err := policy.Register(policy.Policy{
		Name: "test_wrong", Doc: "what a test says",
		Keep: func(*policy.Context, []policy.Entry, int) []int { return answer },
	}); err != nil {
		t.Fatal(err)
	}
	for _, answer = range [][]int{{0, 1, 2}, {0, 0}, {-1}, {7}} {
		m := newManager(t, plain("test_wrong", 2, 1, 3, 2))
		if err := m.Update(0, read(m, 0, 0, 0, 0, 0)); err == nil ||
			!strings.Contains(err.Error(), "policy test_wrong keeps") {
			t.Errorf("%v: %v", answer, err)
		}
	}
}

func TestReadsThatDoNotFitAreErrors(t *testing.T) {
	m := newManager(t, plain("keydiff", 2, 1, 3, 4))
	for want, spoil := range map[string]func(f *Read){
		"bank of 5":            func(f *Read) { f.Bank = f.Bank[:5] },
		"positions":            func(f *Read) { f.Positions = f.Positions[:2] },
		"none below 0":         func(f *Read) { f.Positions[0] = -1 },
		"from 0 to 1":          func(f *Read) { f.Salience[0] = 1.5 },
		"weights are not":      func(f *Read) { f.Bank[0] = float32(math.Inf(1)) },
		"attention for":        func(f *Read) { f.All = f.All[:1] },
		"values below 0":       func(f *Read) { f.Last[2] = -1 },
		"not finite":           func(f *Read) { f.Window[0] = float32(math.NaN()) },
		"at least 1":           func(f *Read) { f.Queries = 0 },
		"needs the read's pro": func(f *Read) { f.Keys = nil },
	} {
		f := fake(rand.New(rand.NewPCG(1, 1)), m, 0, 0)
		f.Positions, f.Salience = []int64{1, 2, 3}, []float32{0.5, 0.5, 0.5}
		spoil(&f)
		if err := m.Update(0, f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	if err := m.Update(1, Read{}); err == nil {
		t.Error("a layer that does not exist was updated")
	}
}

func TestObserversSeeEveryEntryBeforeEviction(t *testing.T) {
	m := newManager(t, plain("fifo", 2, 1, 2, 2))
	var seen []string
	m.Observe = func(o Observation) {
		x := make([]float32, 2)
		for i, e := range o.Entries {
			o.Content(x, i)
			seen = append(seen, fmt.Sprintf("%d:%d:%v:%v", o.Chunk, e.Position, x[0], o.Received[i]))
		}
	}
	for k, f := range [][]float32{{0.5, 0.25}, {0.125, 0.25, 0.5, 0}} {
		if err := m.Update(0, read(m, 0, int64(10*k), f...)); err != nil {
			t.Fatal(err)
		}
		m.EndChunk()
	}
	want := []string{"0:0:0:0.5", "0:1:1:0.25", "1:0:0:0.125", "1:1:1:0.25", "1:10:10:0.5", "1:11:11:0"}
	if !slices.Equal(seen, want) {
		t.Errorf("saw %v, want %v", seen, want)
	}
}

// The same reads leave the same memory, also after Reset.
func TestManagersAreDeterministic(t *testing.T) {
	for _, name := range builtin {
		c := networks(t, Default(4, 2, 5, nil))
		c.Policy, c.Tiers, c.EntriesPerLayer = name, name == "baee", 9
		m := newManager(t, c)
		var first [][]policy.Entry
		for range 2 {
			r := rand.New(rand.NewPCG(4, 4))
			m.Reset()
			for range 8 {
				step(t, r, m)
			}
			now := [][]policy.Entry{m.Entries(0), m.Entries(1)}
			if first == nil {
				first = now
			} else if !slices.Equal(first[0], now[0]) || !slices.Equal(first[1], now[1]) {
				t.Errorf("%s: other entries the second time", name)
			}
		}
	}
}

// Running moments equal those of all rows at once.
func TestMomentsOfParts(t *testing.T) {
	const d, n = 5, 60
	x := normal(3, d*n)
	for i := range x {
		x[i] += float32(i % d)
	}
	var parts moments
	for from := 0; from < n; {
		to := min(n, from+1+from/3)
		parts.add(x[from*d:to*d], d)
		from = to
	}
	for i := range d {
		mean := 0.0
		for r := range n {
			mean += float64(x[r*d+i]) / n
		}
		if math.Abs(mean-float64(parts.mean[i])) > 1e-5 {
			t.Errorf("mean %d: %v, want %v", i, parts.mean[i], mean)
		}
		for j := range d {
			cov, other := 0.0, 0.0
			for r := range n {
				other += float64(x[r*d+j]) / n
			}
			for r := range n {
				cov += (float64(x[r*d+i]) - mean) * (float64(x[r*d+j]) - other) / n
			}
			if math.Abs(cov-float64(parts.cov[i*d+j])) > 1e-4 {
				t.Errorf("covariance %d %d: %v, want %v", i, j, parts.cov[i*d+j], cov)
			}
		}
	}
	if parts.n != n {
		t.Errorf("%d rows counted", parts.n)
	}
}

// A store that is large enough for its work to be divided ends in the same bytes on any number of processors.
func TestEvictionDoesNotDependOnTheNumberOfProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, tiers := range []bool{false, true} {
		var first []byte
		for _, procs := range []int{1, 3} {
			runtime.GOMAXPROCS(procs)
			c := networks(t, Default(8, 1, 128, nil))
			c.BudgetBytes, c.EntriesPerLayer, c.Tiers = 0, 2500, tiers
			if tiers {
				c.BudgetBytes, c.EntriesPerLayer = 2500*warmBytes(c.Dim), 0
			}
			m := newManager(t, c)
			r := rand.New(rand.NewPCG(4, 4))
			for range 60 {
				step(t, r, m)
			}
			if total := m.Total(); total.Evicted+total.Merged == 0 {
				t.Fatal("nothing had to go")
			}
			got := save(t, m)
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Errorf("tiers %t: on %d processors the memory is another than on one", tiers, procs)
			}
		}
	}
}

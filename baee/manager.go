package baee

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// Manager is the memory of one stream: the banks of all layers, within a budget. It is not safe for concurrent use.
type Manager struct {
	config Config
	policy policy.Policy
	keep   policy.Func
	layers []*layer
	chunk  int64 // number of the chunk that is under way
	nextID uint64
	source *rand.PCG
	rng    *rand.Rand

	ctx     policy.Context // and its memory, from one decision to the next
	history []float32      // [N, HistoryFeatures] of the layer at hand
	scores  []float32      // [N] of the layer at hand
	out     []bool         // [N] entries that leave the layer at hand
	kept    []int          // those that stay
	at      []int          // see lowest
	negated []float64

	// Observe, if set, is called in each Update when the reads of a layer have been counted and before anything is
	// evicted, with what its entries hold. It is how examples for a classifier are collected.
	Observe func(o Observation)
}

// Observation is the state of one layer after a read. Its contents are valid during the call.
type Observation struct {
	Layer    int
	Chunk    int64
	Entries  []policy.Entry
	Received []float32                  // mean attention that each received from a query of this read
	Content  func(dst []float32, i int) // writes the content of entry i to dst [D]
}

// layer is the memory of one block.
type layer struct {
	entries   []policy.Entry
	contents  []content // of the entries
	projected []float32 // [N, Hidden] of the retention classifier, if the policy needs it
	head      []float32 // [N] scores of the Locret-style head, if the policy needs it
	summaries []summary
	queries   moments

	bytes   int // share of the budget; 0: no limit
	entry   int // what an entry takes of it besides its content
	summary int // and a summary
	rows    int // most rows; 0: no limit
	evicted int64
	merged  int64 // entries that went into a summary
	demoted int64 // HOT entries that became WARM
}

type content struct {
	tier Tier
	data []byte
}

// New makes an empty memory.
func New(c Config) (*Manager, error) {
	p, err := policy.Lookup(c.Policy)
	if err != nil {
		return nil, err
	}
	keep, err := c.rule(p)
	if err != nil {
		return nil, err
	}
	if err := c.validate(p); err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	m := &Manager{config: c, policy: p, keep: keep}
	m.Reset()
	return m, nil
}

// Config is the configuration that the memory was made with.
func (m *Manager) Config() Config { return m.config }

// Reset forgets everything, as before the first chunk of a stream.
func (m *Manager) Reset() {
	m.source = rand.NewPCG(m.config.Seed, 0x62616565)
	m.rng = rand.New(m.source)
	m.chunk, m.nextID = 0, 0
	m.layers = make([]*layer, m.config.Layers)
	bytes := m.share(m.config.BudgetBytes, m.config.EntryBytes())
	rows := m.share(m.config.EntriesPerLayer*m.config.Layers, 1)
	entry, summary := m.config.counted()
	for i := range m.layers {
		m.layers[i] = &layer{bytes: bytes[i], rows: rows[i], entry: entry, summary: summary}
	}
}

// share divides a budget among the layers. The paper protocol's pyramid is in its rule.
func (m *Manager) share(total, least int) []int {
	switch {
	case total == 0:
		return make([]int, m.config.Layers)
	case m.policy.Share == nil || m.config.Protocol == Paper:
		return policy.EqualShare(m.config.Layers, total, least)
	}
	return m.policy.Share(m.config.Layers, total, least)
}

// MostRows is the largest number of rows that layer i can come to have; 0 if only the stream's length limits it.
func (m *Manager) MostRows(i int) int {
	l := m.layers[i]
	most := l.rows
	if l.bytes > 0 {
		least := hotBytes(m.config.Dim)
		if m.config.Tiers {
			least = min(least, warmBytes(m.config.Dim))
		}
		least += l.entry
		n := l.bytes / least
		if of := hotBytes(m.config.Dim) + l.summary; m.config.Tiers && of < least { // entries of few elements
			summaries := m.summarySlots(l)
			n = summaries + (l.bytes-summaries*of)/least
		}
		if most == 0 || n < most {
			most = n
		}
	}
	return most
}

// Rows is the number of rows of external memory that the next chunk reads in layer i.
func (m *Manager) Rows(i int) int {
	l := m.layers[i]
	if n := len(l.entries) + len(l.summaries); n > 0 || m.config.Protocol == Strict {
		return n
	}
	return 1 // the row of zeros
}

// Bank writes the Rows of layer i to dst, [at least Rows, D]: the entries in their order, then the summaries.
func (m *Manager) Bank(i int, dst []float32) {
	l, d := m.layers[i], m.config.Dim
	if len(l.entries)+len(l.summaries) == 0 {
		clear(dst[:m.Rows(i)*d])
	}
	for j, c := range l.contents {
		decode(dst[j*d:(j+1)*d], c.tier, c.data)
	}
	for j, s := range l.summaries {
		at := (len(l.contents) + j) * d
		decode(dst[at:at+d], Cold, s.data)
	}
}

// Entries is a copy of what is known of layer i's entries.
func (m *Manager) Entries(i int) []policy.Entry { return slices.Clone(m.layers[i].entries) }

// Chunk is the number of chunks that the memory has seen to their end.
func (m *Manager) Chunk() int64 { return m.chunk }

// Read is what one layer's read of a chunk tells the memory.
type Read struct {
	Bank      []float32 // the fresh bank [S, D]; rows behind the written ones are zero padding
	Positions []int64   // in the stream, of the tokens written, at most S, the most salient first
	Salience  []float32 // σ of these tokens

	// Attention received by each of the Rows that were read and then each row of the fresh bank: summed over all queries,
	// summed over those of the observation window, and from the last query.
	Queries, WindowQueries int
	All, Window, Last      []float32
	WindowStart            int64 // position in the stream of the first token of the observation window

	// QueryRows [Queries, D], Keys and Values [Rows + S, D] are needed by policies with Needs.Projections.
	QueryRows, Keys, Values []float32
}

// NeedsProjections says whether Update wants the queries, keys and values of the reads.
func (m *Manager) NeedsProjections() bool {
	return m.config.Protocol == Strict && m.policy.Needs.Projections
}

// Update takes over what a chunk wrote to layer i and what its read attended to, and then evicts down to the budget.
// Each layer is updated once a chunk; EndChunk follows. After an error the memory must be reset.
func (m *Manager) Update(i int, r Read) error {
	if i < 0 || i >= len(m.layers) {
		return fmt.Errorf("memory: layer %d: there are %d", i, len(m.layers))
	}
	if err := m.check(i, r); err != nil {
		return fmt.Errorf("memory: layer %d, chunk %d: %w", i, m.chunk, err)
	}
	l := m.layers[i]
	read := m.Rows(i)
	before := len(l.entries)
	m.append(l, r)
	if m.config.Protocol == Strict {
		m.count(l, before, read, r)
		if m.NeedsProjections() {
			l.queries.add(r.QueryRows, m.config.Dim)
		}
	}
	if m.Observe != nil {
		m.observe(i, l, before, read, r)
	}
	if err := m.evict(i, l, m.context(i, l, before, read, r)); err != nil {
		return fmt.Errorf("memory: layer %d, chunk %d: %w", i, m.chunk, err)
	}
	for j := range l.entries {
		l.entries[j].Age++
	}
	return nil
}

// EndChunk counts a chunk all of whose layers are updated.
func (m *Manager) EndChunk() { m.chunk++ }

func (m *Manager) check(i int, r Read) error {
	d, s := m.config.Dim, m.config.Slots
	rows := m.Rows(i) + s
	switch {
	case len(r.Bank) != s*d:
		return fmt.Errorf("got a bank of %d values, want %d slots of %d", len(r.Bank), s, d)
	case len(r.Positions) > s || len(r.Positions) != len(r.Salience):
		return fmt.Errorf("got %d positions and %d saliences, want as many of each, at most %d", len(r.Positions),
			len(r.Salience), s)
	case vec.HasNonFinite(r.Bank) || vec.HasNonFinite(r.Salience):
		return fmt.Errorf("the bank or its salience has values that are not finite: the model's weights are not usable")
	case slices.ContainsFunc(r.Bank, beyondHalf):
		return fmt.Errorf("the bank has the value %g: entries are held in half precision, up to %d; the model's "+
			"activations are too large for a memory",
			r.Bank[slices.IndexFunc(r.Bank, beyondHalf)], maxHalf)
	case slices.ContainsFunc(r.Positions, func(p int64) bool { return p < 0 }):
		return fmt.Errorf("got positions %v, want none below 0", r.Positions)
	case slices.ContainsFunc(r.Salience, func(x float32) bool { return x < 0 || x > 1 }):
		return fmt.Errorf("got salience %v, want values from 0 to 1", r.Salience)
	case m.config.Protocol == Paper:
		return nil
	case len(r.All) != rows || len(r.Window) != rows || len(r.Last) != rows:
		return fmt.Errorf("got attention for %d, %d and %d rows, want %d", len(r.All), len(r.Window), len(r.Last), rows)
	case r.Queries < 1 || r.WindowQueries < 1:
		return fmt.Errorf("got %d queries, %d in the observation window, want at least 1", r.Queries, r.WindowQueries)
	case vec.HasNonFinite(r.All) || vec.HasNonFinite(r.Window) || vec.HasNonFinite(r.Last):
		return fmt.Errorf("attention received has values that are not finite")
	case anyNegative(r.All) || anyNegative(r.Window) || anyNegative(r.Last):
		return fmt.Errorf("attention received has values below 0")
	case m.NeedsProjections() && (len(r.Keys) != rows*d || len(r.Values) != rows*d || len(r.QueryRows) != r.Queries*d):
		return fmt.Errorf("policy %s needs the read's projections: got %d, %d and %d values", m.policy.Name, len(r.QueryRows),
			len(r.Keys), len(r.Values))
	}
	return nil
}

// beyondHalf says whether x is not among the numbers that round to half precision.
func beyondHalf(x float32) bool { return x > maxHalf || x < -maxHalf }

func anyNegative(x []float32) bool {
	return slices.ContainsFunc(x, func(v float32) bool { return v < 0 })
}

// append adds the fresh entries: the real ones, in the paper protocol the zero padding as well.
func (m *Manager) append(l *layer, r Read) {
	d := m.config.Dim
	n := len(r.Positions)
	if m.config.Protocol == Paper {
		n = m.config.Slots
	}
	for s := range n {
		e := policy.Entry{ID: m.nextID, Position: -1, Slot: s, LastUse: m.chunk}
		if s < len(r.Positions) {
			e.Position, e.Salience = r.Positions[s], r.Salience[s]
		}
		m.nextID++
		l.add(e, content{Hot, encodeHot(r.Bank[s*d : (s+1)*d])}, m)
	}
}

// add appends an entry and what the policy's network makes of its content as it is stored.
func (l *layer) add(e policy.Entry, c content, m *Manager) {
	l.entries, l.contents = append(l.entries, e), append(l.contents, c)
	if m.scored() {
		l.projected = append(l.projected, make([]float32, m.config.Classifier.Hidden)...)
		m.project(l, len(l.entries)-1)
	}
	if m.headed() {
		x := make([]float32, m.config.Dim)
		decode(x, c.tier, c.data)
		l.head = append(l.head, m.config.Head.Scores(x)...)
	}
}

// scored and headed say whether the policy's networks are run.
func (m *Manager) scored() bool { return m.config.Protocol == Strict && m.policy.Needs.Retention }
func (m *Manager) headed() bool { return m.config.Protocol == Strict && m.policy.Needs.Head }

func (m *Manager) project(l *layer, j int) {
	x := make([]float32, m.config.Dim)
	decode(x, l.contents[j].tier, l.contents[j].data)
	h := m.config.Classifier.Hidden
	m.config.Classifier.Project(l.projected[j*h:(j+1)*h], x)
}

// rowOf is the row that entry j had in the read: old entries keep their order, fresh ones follow all that was stored.
func rowOf(j, before, read int) int {
	if j < before {
		return j
	}
	return read + j - before
}

// count adds a read to the entries' history. An entry was used if it received at least an even share of the attention.
func (m *Manager) count(l *layer, before, read int, r Read) {
	even := float64(r.Queries) / float64(read+m.config.Slots)
	for j := range l.entries {
		e, row := &l.entries[j], rowOf(j, before, read)
		e.Reads++
		e.Attention += float64(r.All[row])
		e.Window = r.Window[row] / float32(r.WindowQueries)
		e.Last = r.Last[row]
		e.Pivotal <<= 1
		if float64(r.All[row]) >= even {
			e.Uses++
			e.LastUse = m.chunk
			e.Pivotal |= 1
		}
	}
}

func (m *Manager) observe(i int, l *layer, before, read int, r Read) {
	o := Observation{Layer: i, Chunk: m.chunk, Entries: l.entries, Received: make([]float32, len(l.entries))}
	o.Content = func(dst []float32, j int) { decode(dst, l.contents[j].tier, l.contents[j].data) }
	if len(r.All) > 0 {
		for j := range l.entries {
			o.Received[j] = r.All[rowOf(j, before, read)] / float32(r.Queries)
		}
	}
	m.Observe(o)
}

// context is what the policy may know beside the entries. It is valid until the next decision.
func (m *Manager) context(i int, l *layer, before, read int, r Read) *policy.Context {
	ctx := &m.ctx
	ctx.Layer, ctx.Layers, ctx.Chunk, ctx.Dim, ctx.WindowStart, ctx.Rand = i, m.config.Layers, m.chunk, m.config.Dim,
		r.WindowStart, m.rng
	ctx.Head = func() []float32 { return l.head }
	scored := false
	ctx.Retention = func() []float32 {
		if !scored {
			m.retention(l)
			scored = true
		}
		return m.scores
	}
	if m.NeedsProjections() {
		d := m.config.Dim
		ctx.Keys, ctx.Values = ctx.Keys[:0], ctx.Values[:0]
		for j := range l.entries {
			at := rowOf(j, before, read) * d
			ctx.Keys, ctx.Values = append(ctx.Keys, r.Keys[at:at+d]...), append(ctx.Values, r.Values[at:at+d]...)
		}
		ctx.QueryMean, ctx.QueryCov = l.queries.mean, l.queries.cov
	}
	return ctx
}

// historyRows is the number of entries whose history is written down in one part.
const historyRows = 2048

// retention sets m.scores to the classifier's score of each entry.
func (m *Manager) retention(l *layer) {
	n := len(l.entries)
	m.history = slices.Grow(m.history[:0], n*HistoryFeatures)[:n*HistoryFeatures]
	m.scores = slices.Grow(m.scores[:0], n)[:n]
	graph.Parallel((n+historyRows-1)/historyRows, func(part int) {
		for j := part * historyRows; j < min((part+1)*historyRows, n); j++ {
			History(m.history[j*HistoryFeatures:(j+1)*HistoryFeatures], &l.entries[j], m.config.Slots)
		}
	})
	m.config.Classifier.Score(m.scores, l.projected, m.history)
}

// Counts are numbers of entries and bytes, of one layer or of all.
type Counts struct {
	Hot, Warm, Summaries int   // rows held, by form
	Bytes                int   // of all contents
	Counted              int   // what the budget limits: Bytes, and with CountMetadata what is known of rows besides
	MetadataBytes        int   // of what is known of the entries besides
	Evicted              int64 // entries dropped so far
	Merged               int64 // entries that went into a summary so far
	Demoted              int64 // entries that went from HOT to WARM so far
}

// Rows is the number of rows that a read sees.
func (c Counts) Rows() int { return c.Hot + c.Warm + c.Summaries }

// Layer are the counts of layer i, taken from the contents themselves.
func (m *Manager) Layer(i int) Counts {
	l := m.layers[i]
	c := Counts{Evicted: l.evicted, Merged: l.merged, Demoted: l.demoted, Summaries: len(l.summaries)}
	for _, x := range l.contents {
		if x.tier == Hot {
			c.Hot++
		} else {
			c.Warm++
		}
	}
	c.Bytes, c.Counted = l.payload(), l.held()
	c.MetadataBytes = len(l.entries)*entryBytes + len(l.summaries)*summaryBytes +
		4*(len(l.projected)+len(l.head)+len(l.queries.mean)+len(l.queries.cov))
	return c
}

// Total are the counts of all layers.
func (m *Manager) Total() Counts {
	var t Counts
	for i := range m.layers {
		c := m.Layer(i)
		t.Hot, t.Warm, t.Summaries = t.Hot+c.Hot, t.Warm+c.Warm, t.Summaries+c.Summaries
		t.Bytes, t.Counted, t.MetadataBytes = t.Bytes+c.Bytes, t.Counted+c.Counted, t.MetadataBytes+c.MetadataBytes
		t.Evicted, t.Merged, t.Demoted = t.Evicted+c.Evicted, t.Merged+c.Merged, t.Demoted+c.Demoted
	}
	return t
}

// held is the ledger: what the budget limits.
func (l *layer) held() int { return l.payload() + len(l.entries)*l.entry + len(l.summaries)*l.summary }

// payload is the bytes of all contents.
func (l *layer) payload() int {
	n := 0
	for _, c := range l.contents {
		n += len(c.data)
	}
	for _, s := range l.summaries {
		n += len(s.data)
	}
	return n
}

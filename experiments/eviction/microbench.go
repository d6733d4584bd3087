package eviction

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/host"
)

// microbenchSettings are those of the measurements of a memory (SPEC section 7, Microbenchmarks).
type microbenchSettings struct {
	Policies []string `json:"policies"`
	Sizes    []int    `json:"sizes"` // entries of a store, evicted down to a quarter
	Warmups  int      `json:"warmups"`
	Timed    int      `json:"repetitions"`

	Context       int    `json:"context"` // tokens of a sample
	Chunk         int    `json:"chunk"`   // tokens
	Entries       int    `json:"entries"` // a layer, of the overhead and the long stream
	Pairs         int    `json:"pairs"`   // of a sample without and with eviction
	PaperSamples  int    `json:"paper_samples"`
	StrictSamples int    `json:"strict_samples"`
	Needles       int    `json:"needles"` // keys with a fact in a sample
	TargetSeed    uint64 `json:"target_seed"`

	PaperStream  int `json:"paper_stream"` // tokens
	StrictStream int `json:"strict_stream"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// microCell is what one part of the experiment measured.
type microCell struct {
	Values   []float64              `json:"values,omitempty"`
	Baseline []float64              `json:"baseline,omitempty"`
	Targets  map[string][]heldFacts `json:"targets,omitempty"` // by policy, a sample each
}

// The labels of the experiment besides the policy.
const (
	entriesLabel  = "entries"
	baselineLabel = "baseline"
)

// MicrobenchExperiment measures what eviction costs and what it holds.
func MicrobenchExperiment() lab.Experiment {
	return lab.Describe(descriptions, "baee-microbench", microbenchSettings{Policies: Policies()}, runMicrobench)
}

// microbench is the experiment under way.
type microbench struct {
	microbenchSettings
	grid *grid // its networks and memories
	done *lab.Cells[microCell]
}

func runMicrobench(ctx context.Context, j *lab.Job, s microbenchSettings) (*lab.Outcome, error) {
	g, err := newGrid(j, s.grid(), "")
	if err != nil {
		return nil, err
	}
	b := &microbench{microbenchSettings: s, grid: g}
	parts := b.parts()
	if b.done, err = lab.NewCells[microCell](j, len(parts)); err != nil {
		return nil, err
	}
	b.done.Outcome = func() (*lab.Outcome, error) { return b.outcome(parts), nil }
	for _, p := range parts {
		if _, err := b.done.Do(ctx, p.name(), func() (microCell, error) {
			return b.measure(ctx, p)
		}); err != nil {
			return nil, err
		}
	}
	return b.done.Finish()
}

// microPart is one cell: what is measured, by which rules, of which policy and size.
type microPart struct {
	what     string // eviction, overhead, targets, stream
	protocol baee.Protocol
	policy   string // all of them together in targets
	size     int    // of the store in eviction
}

func (p microPart) name() string {
	return fmt.Sprintf("%s/%s/%s/%d", p.what, p.protocol, p.policy, p.size)
}

func (b *microbench) parts() []microPart {
	var all []microPart
	protocols := []baee.Protocol{baee.Paper, baee.Strict}
	for _, protocol := range protocols {
		for _, name := range b.grid.policies(protocol) {
			for _, n := range b.Sizes {
				all = append(all, microPart{"eviction", protocol, name, n})
			}
		}
	}
	for _, protocol := range protocols {
		for _, name := range b.grid.policies(protocol) {
			all = append(all, microPart{"overhead", protocol, name, 0})
		}
	}
	for _, protocol := range protocols {
		all = append(all, microPart{"targets", protocol, "", 0})
	}
	if _, err := host.CurrentRSS(); err != nil { // a system that does not tell
		return all
	}
	for _, p := range []microPart{{"stream", baee.Paper, "baee_salience", 0}, {"stream", baee.Paper, "fifo", 0},
		{"stream", baee.Strict, "baee", 0}, {"stream", baee.Strict, "fifo", 0}} {
		if slices.Contains(b.grid.policies(p.protocol), p.policy) {
			all = append(all, p)
		}
	}
	return all
}

func (b *microbench) measure(ctx context.Context, p microPart) (microCell, error) {
	switch p.what {
	case "eviction":
		return b.eviction(ctx, p)
	case "overhead":
		return b.overhead(ctx, p)
	case "targets":
		return b.targets(ctx, p.protocol)
	}
	return b.stream(ctx, p)
}

// memory is an empty one of the given room.
func (b *microbench) memory(p microPart, slots, entries int) (*baee.Manager, error) {
	c := b.grid.base.Config
	return baee.New(baee.Config{
		Dim: c.Dim, Layers: c.Depth, Slots: slots, Policy: p.policy, Protocol: p.protocol, EntriesPerLayer: entries,
		Window: min(baee.DefaultWindow, b.Chunk), Seed: 1, Classifier: b.grid.classifier, Head: b.grid.head,
	})
}

// eviction times a store that one chunk fills with four times as much as it may keep, in microseconds: from when the
// chunk has been taken in, where Observe is called, to when the store is back within its budget.
func (b *microbench) eviction(ctx context.Context, p microPart) (microCell, error) {
	m, err := b.memory(p, p.size, max(1, p.size/4))
	if err != nil {
		return microCell{}, err
	}
	read := randomRead(p.size, b.grid.base.Config.Dim)
	if p.protocol == baee.Paper {
		read.All, read.Window, read.Last = nil, nil, nil // which it does not look at
	}
	var start time.Time
	m.Observe = func(baee.Observation) { start = time.Now() }
	var cell microCell
	for i := range b.Warmups + b.Timed {
		if err := ctx.Err(); err != nil {
			return cell, err
		}
		m.Reset()
		if err := m.Update(0, read); err != nil {
			return cell, err
		}
		if took := time.Since(start); i >= b.Warmups {
			cell.Values = append(cell.Values, float64(took.Nanoseconds())/1e3)
		}
	}
	return cell, nil
}

// randomRead is a chunk that writes n entries of width d and reads them.
func randomRead(n, d int) baee.Read {
	const queries = baee.DefaultWindow
	rng := rand.New(rand.NewPCG(uint64(n), uint64(d)))
	normal := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	uniform := func(most float32) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = most * rng.Float32()
		}
		return x
	}
	r := baee.Read{
		Bank: normal(n * d), Salience: uniform(1), Queries: queries, WindowQueries: queries,
		All: uniform(2 * queries / float32(n)), Window: uniform(2 * queries / float32(n)), Last: uniform(2 / float32(n)),
		QueryRows: normal(queries * d), Keys: normal(n * d), Values: normal(n * d),
	}
	for i := range n {
		r.Positions = append(r.Positions, int64(i))
	}
	return r
}

// overhead times pairs of the same sample, seconds each, first without eviction and then with.
func (b *microbench) overhead(ctx context.Context, p microPart) (microCell, error) {
	model := b.grid.base
	without, free, err := b.baseline(p)
	if err != nil {
		return microCell{}, err
	}
	defer free()
	memory, err := b.memory(p, model.Config.EpisodicSlots, b.Entries)
	if err != nil {
		return microCell{}, err
	}
	stream, err := baee.NewStream(model, memory, b.Chunk)
	if err != nil {
		return microCell{}, err
	}
	defer stream.Close()
	var cell microCell
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range b.Pairs + 1 {
		if err := ctx.Err(); err != nil {
			return cell, err
		}
		ids := measure.RandomTokens(rng, b.Context, model.Config.VocabSize)
		start := time.Now()
		if err := without(ids); err != nil {
			return cell, err
		}
		middle := time.Now()
		if err := streamed(stream, ids); err != nil {
			return cell, err
		}
		if end := time.Now(); i > 0 { // the first compiles graphs and touches memory for the first time
			cell.Baseline = append(cell.Baseline, middle.Sub(start).Seconds())
			cell.Values = append(cell.Values, end.Sub(middle).Seconds())
		}
	}
	return cell, nil
}

// streamed takes a sample of its own through a stream.
func streamed(s *baee.Stream, ids []int32) error {
	s.Reset()
	return s.Push(ids, func([]float32) error { return nil })
}

// baseline computes a sample without eviction: in the paper protocol without memory, otherwise with one that is never
// full.
func (b *microbench) baseline(p microPart) (run func(ids []int32) error, free func(), err error) {
	model := b.grid.base
	if p.protocol == baee.Paper {
		inference, err := model.Infer(1, b.Chunk, 0)
		if err != nil {
			return nil, nil, err
		}
		return func(ids []int32) error {
			for at := 0; at < len(ids); at += b.Chunk {
				if _, err := inference.Run(ids[at:at+b.Chunk], nil); err != nil {
					return err
				}
			}
			return nil
		}, inference.Program.Close, nil
	}
	memory, err := b.memory(p, model.Config.EpisodicSlots, b.Context/b.Chunk*model.Config.EpisodicSlots*model.Config.Depth)
	if err != nil {
		return nil, nil, err
	}
	stream, err := baee.NewStream(model, memory, b.Chunk)
	if err != nil {
		return nil, nil, err
	}
	return func(ids []int32) error { return streamed(stream, ids) }, stream.Close, nil
}

// heldFacts says what the memory holds at the end of a sample, over all layers.
type heldFacts struct {
	Entries int `json:"entries"` // padding included
	Target  int `json:"target"`  // of them, those that count as the target's
	Facts   int `json:"facts"`   // of the target's, those with an entry
	Written int `json:"written"` // the target's facts times the layers
}

// countHeld counts by the rules of a protocol; targets are the positions of the keys.
func countHeld(m *baee.Manager, protocol baee.Protocol, targets []int) (h heldFacts) {
	other := 1 // a value follows its key
	if protocol == baee.Paper {
		other = -1
	}
	for i := range m.Config().Layers {
		found := map[int]bool{}
		for _, e := range m.Entries(i) {
			h.Entries++
			for _, t := range targets {
				if at := int(e.Position); at == t || at == t+other {
					h.Target++
					found[t] = true
					break
				}
			}
		}
		h.Facts += len(found)
		h.Written += len(targets)
	}
	return h
}

// targets runs the memory-pressure samples through all policies of a protocol and a memory that evicts nothing.
func (b *microbench) targets(ctx context.Context, protocol baee.Protocol) (microCell, error) {
	e := b.grid
	k := missing{GridCase{protocol, b.Context, 0.1, string(tasks.Early), b.TargetSeed}, e.policies(protocol)}
	n := b.StrictSamples
	if protocol == baee.Paper {
		n = b.PaperSamples
	}
	samples, err := tasks.Generate(pressureTask, n, e.params(e.base.Config, k.GridCase),
		tasks.Draw{Keys: b.SampleKeys, Seed: b.TargetSeed}.For(tasks.EvictionCost, 0))
	if err != nil {
		return microCell{}, err
	}
	shared, err := baee.NewShared(e.base, b.Chunk)
	if err != nil {
		return microCell{}, err
	}
	defer shared.Close()
	cell := microCell{Targets: map[string][]heldFacts{}}
	for i, s := range samples {
		if err := ctx.Err(); err != nil {
			return cell, err
		}
		memories, err := e.memories(k, uint64(i))
		if err != nil {
			return cell, err
		}
		all, err := b.memory(microPart{policy: "fifo", protocol: protocol}, e.base.Config.EpisodicSlots,
			b.Context/b.Chunk*e.base.Config.EpisodicSlots)
		if err != nil {
			return cell, err
		}
		if _, err := shared.Run(s.IDs, append(memories, all)); err != nil {
			return cell, err
		}
		for at, name := range k.policies {
			cell.Targets[name] = append(cell.Targets[name], countHeld(memories[at], protocol, s.Targets))
		}
		cell.Targets[result.Unbounded] = append(cell.Targets[result.Unbounded], countHeld(all, protocol, s.Targets))
	}
	return cell, nil
}

// tokens is the length of the long stream.
func (b *microbench) tokens(protocol baee.Protocol) int {
	if protocol == baee.Paper {
		return b.PaperStream
	}
	return b.StrictStream
}

// stream measures the growth of the process over a long stream, in bytes.
func (b *microbench) stream(ctx context.Context, p microPart) (microCell, error) {
	model := b.grid.base
	memory, err := b.memory(p, model.Config.EpisodicSlots, b.Entries)
	if err != nil {
		return microCell{}, err
	}
	stream, err := baee.NewStream(model, memory, b.Chunk)
	if err != nil {
		return microCell{}, err
	}
	defer stream.Close()
	rng := rand.New(rand.NewPCG(2, 2))
	total, from, before := b.tokens(p.protocol), 0, uint64(0)
	if p.protocol == baee.Strict {
		from = total / 16
	}
	for at := 0; at <= total; at += b.Chunk {
		if err := ctx.Err(); err != nil {
			return microCell{}, err
		}
		if before == 0 && at >= from {
			if before, err = settledRSS(); err != nil {
				return microCell{}, err
			}
		}
		if at < total {
			if err := stream.Push(measure.RandomTokens(rng, b.Chunk, model.Config.VocabSize),
				func([]float32) error { return nil }); err != nil {
				return microCell{}, err
			}
		}
	}
	after, err := settledRSS()
	return microCell{Values: []float64{float64(after) - float64(before)}}, err
}

// settledRSS is the resident memory without garbage.
func settledRSS() (uint64, error) {
	debug.FreeOSMemory()
	return host.CurrentRSS()
}

func (b *microbench) outcome(parts []microPart) *lab.Outcome {
	o := &lab.Outcome{Seeds: []uint64{b.TargetSeed}}
	for _, p := range parts {
		cell, ok := b.done.Done[p.name()]
		if !ok {
			continue
		}
		switch p.what {
		case "eviction":
			o.Measurements = append(o.Measurements, result.MedianOf(
				result.Labels{result.PolicyLabel: p.policy, entriesLabel: strconv.Itoa(p.size)},
				string(p.protocol), "eviction_time", "us", cell.Values))
		case "overhead":
			o.Measurements = append(o.Measurements, b.overheads(p, cell)...)
		case "targets":
			o.Measurements = append(o.Measurements, b.held(p, cell)...)
		case "stream":
			o.Measurements = append(o.Measurements, result.Measurement{
				Labels:   result.Labels{result.PolicyLabel: p.policy, result.TokensLabel: strconv.Itoa(b.tokens(p.protocol))},
				Protocol: string(p.protocol),
				Metric:   "rss_growth", Unit: "bytes", N: 1, Mean: cell.Values[0],
			})
		}
	}
	return o
}

// baselineOf names what a protocol compares a stream with eviction to.
func baselineOf(p baee.Protocol) string {
	if p == baee.Paper {
		return "no memory is read"
	}
	return result.Unbounded
}

func (b *microbench) overheads(p microPart, cell microCell) []result.Measurement {
	var perToken, relative []float64
	for i, with := range cell.Values {
		perToken = append(perToken, (with-cell.Baseline[i])/float64(b.Context)*1e6)
		relative = append(relative, with/cell.Baseline[i]-1)
	}
	l := result.Labels{result.PolicyLabel: p.policy, baselineLabel: baselineOf(p.protocol)}
	return []result.Measurement{
		result.MedianOf(l, string(p.protocol), "overhead_per_token", "us", perToken),
		result.MedianOf(l, string(p.protocol), "relative_overhead", "1", relative),
	}
}

func (b *microbench) held(p microPart, cell microCell) []result.Measurement {
	var all []result.Measurement
	for _, name := range append(b.grid.policies(p.protocol), result.Unbounded) {
		samples := cell.Targets[name]
		ratio := func(part, whole func(heldFacts) int) func([]int) float64 {
			return func(at []int) float64 {
				a, b := 0, 0
				for _, i := range at {
					a, b = a+part(samples[i]), b+whole(samples[i])
				}
				return float64(a) / float64(max(1, b))
			}
		}
		target, facts := func(h heldFacts) int { return h.Target }, func(h heldFacts) int { return h.Facts }
		if p.protocol == baee.Paper {
			facts = target
		}
		for _, m := range []struct {
			metric string
			value  func([]int) float64
		}{
			{"precision", ratio(target, func(h heldFacts) int { return h.Entries })},
			{"recall", ratio(facts, func(h heldFacts) int { return h.Written })},
		} {
			all = append(all, result.Measurement{
				Labels:   result.Labels{result.PolicyLabel: name, result.ContextLabel: result.ContextOf(b.Context)},
				Protocol: string(p.protocol), Metric: m.metric, Unit: "1",
				N: len(samples), Mean: m.value(sequence(len(samples))), Interval: result.Bootstrap(len(samples), m.value),
			})
		}
	}
	return all
}

// sequence is 0 … n-1.
func sequence(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

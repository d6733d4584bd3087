package hardware

import (
	"context"
	"strconv"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// growthSettings are those of the memory that a stream holds.
type growthSettings struct {
	Tokens  int    `json:"tokens"`  // of the stream
	Chunk   int    `json:"chunk"`   // tokens
	Entries int    `json:"entries"` // a layer: the budget; in tiers, their bytes in half precision
	Seed    uint64 `json:"seed"`    // of the tokens
}

// growthCase is one memory.
type growthCase struct {
	name     string // in reports
	protocol baee.Protocol
	policy   string
	tiers    bool
	free     bool // without a budget
}

// The memories in the order of reports; those of the paper first.
func growthCases() []growthCase {
	return []growthCase{
		{name: "baee_salience", protocol: baee.Paper, policy: "baee_salience"},
		{name: "fifo", protocol: baee.Paper, policy: "fifo"},
		{name: "baee", protocol: baee.Strict, policy: "baee"},
		{name: "baee, tiers", protocol: baee.Strict, policy: "baee", tiers: true},
		{name: "baee_salience", protocol: baee.Strict, policy: "baee_salience"},
		{name: "fifo", protocol: baee.Strict, policy: "fifo"},
		{name: result.Unbounded, protocol: baee.Strict, policy: "fifo", free: true},
	}
}

// growthPoint is what a memory holds after a chunk.
type growthPoint struct {
	Tokens   int `json:"tokens"` // of the stream so far
	Entries  int `json:"entries"`
	Bytes    int `json:"bytes"`    // of their contents
	Metadata int `json:"metadata"` // bytes of what is known of them besides
}

// EpisodicGrowthExperiment measures how the store grows along a stream.
func EpisodicGrowthExperiment() lab.Experiment {
	return lab.Describe(descriptions, "episodic-growth", growthSettings{}, runEpisodicGrowth)
}

// runEpisodicGrowth is deterministic: nothing in it is timed.
func runEpisodicGrowth(ctx context.Context, j *lab.Job, s growthSettings) (*lab.Outcome, error) {
	m, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	network, err := baee.LoadClassifier(j.File("baee-train", lab.ClassifierFile))
	if err != nil {
		return nil, err
	}
	cases := growthCases()
	done, err := lab.NewCells[[]growthPoint](j, len(cases))
	if err != nil {
		return nil, err
	}
	key := func(k growthCase) string { return string(k.protocol) + " " + k.name }
	done.Outcome = func() (*lab.Outcome, error) {
		o := &lab.Outcome{Seeds: []uint64{s.Seed}, Unpublished: !m.Config.Equal(layers.Reference())}
		for _, k := range cases {
			for _, p := range done.Done[key(k)] {
				o.Measurements = append(o.Measurements, k.measurements(p)...)
			}
		}
		return o, nil
	}
	for _, k := range cases {
		points, err := done.Do(ctx, key(k), func() ([]growthPoint, error) { return k.run(ctx, m, network, s) })
		if err != nil {
			return nil, err
		}
		last := points[len(points)-1]
		j.Line("%s, %s: %d entries, %d bytes after %d tokens", k.protocol, k.name, last.Entries, last.Bytes, last.Tokens)
	}
	return done.Finish()
}

// unlimited is a budget in bytes that no stream reaches.
const unlimited = 1 << 40

// run streams through the memory.
func (k growthCase) run(ctx context.Context, m *layers.Model, network *baee.Classifier, s growthSettings) (
	points []growthPoint, err error) {
	c := baee.Default(m.Config.Dim, m.Config.Depth, m.Config.EpisodicSlots, network)
	c.Policy, c.Protocol, c.Tiers, c.Window, c.Seed = k.policy, k.protocol, k.tiers, min(c.Window, s.Chunk), s.Seed
	c.BudgetBytes, c.EntriesPerLayer = 0, s.Entries
	switch {
	case k.free:
		c.BudgetBytes, c.EntriesPerLayer = unlimited, 0
	case k.tiers:
		c.BudgetBytes, c.EntriesPerLayer = s.Entries*c.Layers*c.EntryBytes(), 0
	}
	if p, err := policy.Lookup(k.policy); err != nil || !p.Needs.Retention {
		c.Classifier = nil
	}
	memory, err := baee.New(c)
	if err != nil {
		return nil, err
	}
	stream, err := baee.NewStream(m, memory, s.Chunk)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	err = stream.Push(measure.Tokens(m.Config, s.Tokens, s.Seed), func([]float32) error {
		t := memory.Total()
		points = append(points, growthPoint{Tokens: (len(points) + 1) * s.Chunk, Entries: t.Rows(), Bytes: t.Bytes,
			Metadata: t.MetadataBytes})
		return ctx.Err()
	})
	return points, err
}

// measurements are those of one point.
func (k growthCase) measurements(p growthPoint) []result.Measurement {
	l := result.Labels{result.PolicyLabel: k.name, result.TokensLabel: strconv.Itoa(p.Tokens)}
	all := []result.Measurement{
		result.ExactOf(l, string(k.protocol), "store_bytes", "bytes", float64(p.Bytes)),
		result.ExactOf(l, string(k.protocol), "entries", "1", float64(p.Entries)),
	}
	if k.protocol == baee.Strict {
		all = append(all, result.ExactOf(l, result.Strict, "metadata_bytes", "bytes", float64(p.Metadata)))
	}
	return all
}

package hardware

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/results/published"
)

// growthSettings are those of the memory that a stream holds.
type growthSettings struct {
	Tokens  int    `json:"tokens"`  // of the stream
	Chunk   int    `json:"chunk"`   // tokens
	Entries int    `json:"entries"` // a layer: the budget
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
	full := growthSettings{Tokens: 8192, Chunk: 512, Entries: 32, Seed: 42}
	quick := growthSettings{Tokens: 512, Chunk: 64, Entries: 8, Seed: 42}
	return lab.Define(lab.Experiment{
		Name: "episodic-growth", Folder: "hardware", Title: "Growth of the episodic store in a stream",
		Source: "Section 5, exp_memory_breakdown.json (episodic_growth)",
		Covers: []string{"Consumer Hardware Benchmarking Suite: episodic-store growth",
			"Budget-Aware Episodic Eviction: budget enforcement"},
		Needs:    []string{"pretrain", "baee-train"},
		Estimate: lab.Durations{lab.Quick: 2 * time.Second, lab.Full: 20 * time.Second},
		Views: []lab.View{
			{Title: "Contents held after each chunk, bytes", Metric: "store_bytes", Rows: []string{result.TokensLabel},
				Column: result.PolicyLabel,
				Figure: &lab.Figure{Kind: "line", X: result.TokensLabel, Series: result.PolicyLabel}},
			{Title: "Entries held after each chunk", Metric: "entries", Rows: []string{result.TokensLabel},
				Column: result.PolicyLabel},
			{Title: "What is known of the entries besides their contents, bytes", Metric: "metadata_bytes",
				Rows: []string{result.TokensLabel}, Column: result.PolicyLabel},
		},
		Says: "With a budget the store stops growing when it is full, without one it grows with the stream: every policy " +
			"holds the same number of entries, the tiers fewer bytes. What is known of an entry besides its contents is " +
			"counted apart; the paper leaves it out.",
	}, full, quick, runEpisodicGrowth)
}

const episodicGrowthProtocol = "one stream of random tokens; entries, and bytes from the contents themselves, of all " +
	"layers after each chunk, in half precision unless they are in tiers; the budget is the same number of entries a " +
	"layer for all. paper: zero padding is stored and counted as entries; its bytes are entries x D x 2. strict: only " +
	"real entries"

// runEpisodicGrowth is deterministic: nothing in it is timed.
func runEpisodicGrowth(ctx context.Context, j *lab.Job, s growthSettings) (*lab.Outcome, error) {
	m, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	network, err := retentionClassifier(j.File("baee-train", lab.ClassifierFile), m.Config)
	if err != nil {
		return nil, err
	}
	paper := publishedGrowth(m.Config)
	cases := growthCases()
	done, err := lab.NewCells[[]growthPoint](j, len(cases))
	if err != nil {
		return nil, err
	}
	key := func(k growthCase) string { return string(k.protocol) + " " + k.name }
	done.Outcome = func() (*lab.Outcome, error) {
		o := &lab.Outcome{Seeds: []uint64{s.Seed}, Protocol: episodicGrowthProtocol}
		for _, k := range cases {
			for _, p := range done.Done[key(k)] {
				o.Measurements = append(o.Measurements, k.measurements(p, paper)...)
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

// retentionClassifier loads the trained one for a model.
func retentionClassifier(path string, c layers.Config) (*baee.Classifier, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("policy baee needs a trained retention classifier (%w): make one with baee-train", err)
	}
	n, err := baee.LoadClassifier(path)
	if err == nil && n.Dim != c.Dim {
		err = fmt.Errorf("%s is for entries of width %d, the model has %d: train one for this model", path, n.Dim, c.Dim)
	}
	return n, err
}

// unlimited is a budget in bytes that no stream reaches.
const unlimited = 1 << 40

// run streams through the memory.
func (k growthCase) run(ctx context.Context, m *layers.Model, network *baee.Classifier, s growthSettings) (
	points []growthPoint, err error) {
	c := baee.Default(m.Config.Dim, m.Config.Depth, m.Config.EpisodicSlots, network)
	c.Policy, c.Protocol, c.Tiers, c.Window, c.Seed = k.policy, k.protocol, k.tiers, min(c.Window, s.Chunk), s.Seed
	c.BudgetBytes, c.EntriesPerLayer = 0, s.Entries
	if k.free {
		c.BudgetBytes, c.EntriesPerLayer = unlimited, 0
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

// measurements are those of one point, with the published ones beside the paper protocol's.
func (k growthCase) measurements(p growthPoint, paper map[string]growthPoint) []result.Measurement {
	l := result.Labels{result.PolicyLabel: k.name, result.TokensLabel: strconv.Itoa(p.Tokens)}
	all := []result.Measurement{
		result.ExactOf(l, string(k.protocol), "store_bytes", "bytes", float64(p.Bytes)),
		result.ExactOf(l, string(k.protocol), "entries", "1", float64(p.Entries)),
	}
	if k.protocol == baee.Strict {
		return append(all, result.ExactOf(l, result.Strict, "metadata_bytes", "bytes", float64(p.Metadata)))
	}
	if q, ok := paper[growthKey(k.name, p.Tokens)]; ok {
		all[0].Published, all[1].Published = &result.MeanStd{Mean: float64(q.Bytes)},
			&result.MeanStd{Mean: float64(q.Entries)}
	}
	return all
}

func growthKey(policy string, tokens int) string { return fmt.Sprintf("%s %d", policy, tokens) }

// publishedGrowth are the published points of the reference model by growthKey; none of another.
func publishedGrowth(c layers.Config) map[string]growthPoint {
	if !c.Equal(layers.Reference()) {
		return nil
	}
	table := published.Must[struct {
		Streams []struct {
			Policy string `json:"policy"`
			Growth []struct {
				Tokens  int `json:"tokens"`
				Entries int `json:"entries"`
				Bytes   int `json:"store_bytes"`
			} `json:"growth"`
		} `json:"episodic_growth"`
	}](breakdownFile)
	all := map[string]growthPoint{}
	for _, s := range table.Streams {
		for _, g := range s.Growth {
			all[growthKey(s.Policy, g.Tokens)] = growthPoint{Tokens: g.Tokens, Entries: g.Entries, Bytes: g.Bytes}
		}
	}
	return all
}

package eviction

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
)

// exampleBytes is what one example of a collection takes at most: in the lists of all, which grow by copying to as much
// as two and a quarter times, and once more in a training's own set.
func exampleBytes(dim int) int { return 13 * (4*(dim+baee.HistoryFeatures) + 18) / 4 }

// Demands are those of collecting examples from a model and of training on them.
func (c TrainConfig) Demands(m layers.Config) ([]lab.Demand, error) {
	o, err := layers.Outline(m)
	if err != nil {
		return nil, err
	}
	strict := func(sequences, examples int) (uint64, error) { // those of another data seed come beside them
		return c.strictBytes(o, sequences+min(c.FreshSequences, lab.MostPlanned-sequences), examples)
	}
	return []lab.Demand{
		{
			Setting: "sequences", Value: c.Sequences, What: fmt.Sprintf("collecting from sequences of %d tokens", c.Context),
			Need:    func(n int) (uint64, error) { return strict(n, c.PerDecision) },
			Smaller: []string{"context", "per_decision"},
		},
		{
			Setting: "paper_sequences", Value: c.PaperSequences,
			What:    fmt.Sprintf("collecting from samples of %d tokens", c.PaperContext),
			Need:    func(n int) (uint64, error) { return c.paperBytes(o, n) },
			Smaller: []string{"paper_context"},
		},
		{
			Setting: "batch", Value: c.Batch, What: fmt.Sprintf("a training step of %d hidden units", c.Hidden),
			Need:    func(n int) (uint64, error) { return c.fitBytes(m.Dim, n, c.Hidden), nil },
			Smaller: []string{"hidden"},
		},
	}, nil
}

// strictBytes is the memory of collectStrict, its examples included.
func (c TrainConfig) strictBytes(m *layers.Model, sequences, perDecision int) (uint64, error) {
	k, chunks := m.Config, c.Context/c.Chunk
	rows := chunks * k.EpisodicSlots // of a layer at the end: nothing is evicted
	// One sequence's decisions: after the n-th chunk a layer has n times what a chunk writes.
	seen := host.Times(k.Depth, chunks, chunks+1, k.EpisodicSlots,
		(4*(k.Dim+baee.HistoryFeatures)+int(unsafe.Sizeof(policy.Entry{}))+12)) / 2
	taken := uint64(0)
	for n := 1; n <= chunks; n++ {
		if perDecision <= n*k.EpisodicSlots { // from here on always so many
			taken = host.Plus(taken, host.Times(chunks-n+1, perDecision))
			break
		}
		taken = host.Plus(taken, host.Times(n, k.EpisodicSlots))
	}
	examples := host.Times(sequences, k.Depth, int(min(taken, lab.MostPlanned)), exampleBytes(k.Dim))
	held := host.Times(k.Depth, rows, 2*k.Dim+2*int(unsafe.Sizeof(policy.Entry{})))
	all := host.Plus(seen, examples, held, host.Times(sequences, int(tasks.SampleBytes(c.Context))))
	if all > lab.MostPlanned {
		return all, nil
	}
	reader, err := m.PlanReader(c.Chunk, slices.Repeat([]int{max(1, rows)}, k.Depth), min(baee.DefaultWindow, c.Chunk),
		false)
	return host.Plus(all, uint64(reader.Arena)), err
}

// paperBytes is the memory of collectPaper, its examples included.
func (c TrainConfig) paperBytes(m *layers.Model, sequences int) (uint64, error) {
	k := m.Config
	all := host.Plus(host.Times(sequences, int(tasks.SampleBytes(c.PaperContext))),
		host.Times(sequences, k.Depth, min(k.EpisodicSlots, c.PaperContext), exampleBytes(k.Dim)))
	if all > lab.MostPlanned {
		return all, nil
	}
	infer, err := m.PlanInfer(1, c.PaperContext, 0)
	return host.Plus(all, uint64(infer.Arena)), err
}

// fitBytes is the memory of training a classifier, its examples apart: weights with their gradients and moments, and of
// each example its features, four rows of hidden units and their gradients.
func (c TrainConfig) fitBytes(dim, batch, hidden int) uint64 {
	width := dim + baee.HistoryFeatures
	return host.Plus(host.Times(4, 4, hidden, width+hidden), host.Times(4, batch, width), host.Times(8, 4, batch, hidden))
}

// Demands are those of running the cases of the grid side by side.
func (c GridConfig) Demands(m layers.Config) ([]lab.Demand, error) {
	o, err := layers.Outline(m)
	if err != nil {
		return nil, err
	}
	longest, wide := slices.Max(c.Contexts), false
	if c.Headline {
		longest = max(longest, HeadlineContext)
	}
	for _, name := range c.Policies {
		p, err := policy.Lookup(name)
		if err != nil {
			return nil, err
		}
		wide = wide || p.Needs.Projections
	}
	cases := len(c.Protocols) * len(c.Contexts) * len(c.Budgets) * len(c.Positions) * len(c.Seeds)
	workers := min(runtime.GOMAXPROCS(0), max(1, cases))
	run := func(samples, chunk int) (uint64, error) {
		rows := max(1, int(float64(longest/chunk*m.EpisodicSlots)*slices.Max(c.Budgets)))
		held := host.Times(len(c.Policies), m.Depth, rows+m.EpisodicSlots, 2*m.Dim+2*int(unsafe.Sizeof(policy.Entry{})))
		perCase := host.Plus(held, m.WeightBytes(), host.Times(samples, int(tasks.SampleBytes(longest))))
		if all := host.Times(workers, int(min(perCase, lab.MostPlanned))); all > lab.MostPlanned {
			return all, nil
		}
		reader, err := o.PlanReader(chunk, slices.Repeat([]int{rows}, m.Depth), min(baee.DefaultWindow, chunk), wide)
		return host.Times(workers, int(host.Plus(perCase, uint64(reader.Arena)))), err
	}
	return []lab.Demand{{
		Setting: "samples", Value: c.Samples,
		What:    fmt.Sprintf("running %d cases of up to %d tokens at a time", workers, longest),
		Need:    func(n int) (uint64, error) { return run(n, c.Chunk) },
		Smaller: []string{"contexts", "budgets", "threads"},
	}}, nil
}

// Demands are those of running parts side by side.
func (s answersSettings) Demands(m layers.Config) ([]lab.Demand, error) {
	o, err := layers.Outline(m)
	if err != nil {
		return nil, err
	}
	longest, all := slices.Max(s.Contexts), 1.0 // the unbounded memory
	for _, b := range s.Budgets {
		all += b * float64(len(s.Policies)+len(s.Tiered)+1)
	}
	written, workers := m.Written(s.Chunk), runtime.GOMAXPROCS(0)
	run := func(context int) (uint64, error) {
		rows := context / s.Chunk * written
		perWorker := host.Plus(m.WeightBytes(), 2*tasks.SampleBytes(context),
			host.Times(int(all+1), m.Depth, rows+written, 2*m.Dim+2*int(unsafe.Sizeof(policy.Entry{}))))
		if all := host.Times(workers, int(min(perWorker, lab.MostPlanned))); all > lab.MostPlanned {
			return all, nil
		}
		reader, err := o.PlanReader(s.Chunk, slices.Repeat([]int{rows}, m.Depth), min(baee.DefaultWindow, s.Chunk), true)
		if err != nil {
			return 0, err
		}
		perWorker = host.Plus(perWorker, uint64(reader.Arena))
		if whole := min(s.OnePassUpTo, m.MaxLen, context); slices.Min(s.Contexts) <= whole {
			infer, err := o.PlanInfer(1, whole, 0)
			if err != nil {
				return 0, err
			}
			perWorker = host.Plus(perWorker, uint64(infer.Arena))
		}
		return host.Times(workers, int(perWorker)), nil
	}
	return []lab.Demand{{
		Setting: "contexts", Value: longest,
		What:    fmt.Sprintf("running streams of up to %d tokens on %d processors", longest, workers),
		Need:    run,
		Smaller: []string{"budgets", "one_pass_up_to", "threads"},
	}}, nil
}

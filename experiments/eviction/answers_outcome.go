package eviction

import (
	"fmt"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// answersOurs is the policy that all rows are compared with, at their budget, or at the first one if they have none.
const answersOurs = "baee"

// answersTable puts the measurements of an outcome together.
type answersTable struct {
	settings answersSettings
	model    layers.Config
	done     map[string]map[string]tally
}

// outcome computes all measurements of the cells that are done.
func (s answersSettings) outcome(m layers.Config, done map[string]map[string]tally) (*lab.Outcome, error) {
	t := answersTable{s, m, done}
	o := &lab.Outcome{Seeds: []uint64{s.Seed}}
	for _, measurements := range []func() ([]result.Measurement, error){t.byTask, t.byBudget, t.sizes} {
		more, err := measurements()
		if err != nil {
			return nil, err
		}
		o.Measurements = append(o.Measurements, more...)
	}
	return o, nil
}

// of is what a row did in a case: its samples' outcomes over all parts that are done, in their order.
func (t answersTable) of(c answersCase, key string) (f outcomes) {
	for _, p := range t.settings.parts(c) {
		part := t.done[p.name()][key]
		for i := range part.N {
			f.right = append(f.right, part.Right.Right(i))
			if len(part.Kept) > 0 {
				f.kept = append(f.kept, part.Kept.Right(i))
			}
		}
		f.rows, f.bytes = f.rows+part.Rows, f.bytes+part.Bytes
	}
	return f
}

// answerScores is what a row is scored by.
var answerScores = []struct {
	metric string
	of     func(f outcomes) []bool
}{
	{"accuracy", func(f outcomes) []bool { return f.right }},
	{"retention", func(f outcomes) []bool { return f.kept }},
}

// difference is that of a row to ours over cases, on the samples of each that both have; not ok if there are none.
func difference(l result.Labels, metric string, a, b [][]bool) (m result.Measurement, ok bool, err error) {
	var first, second []result.Score
	for i := range a {
		if n := min(len(a[i]), len(b[i])); n > 0 {
			first, second = append(first, result.ScoreOf(a[i][:n])), append(second, result.ScoreOf(b[i][:n]))
		}
	}
	l = result.With(result.With(l, "of", metric), result.AgainstLabel, answersOurs)
	m, ok, err = result.DifferenceOverSeeds(l, result.Strict, first, second)
	if err != nil {
		return m, false, fmt.Errorf("%v: %w", l, err)
	}
	m.Std = 0 // of one data seed: what differs between cases is no spread
	return m, ok, nil
}

// scored are the shares of a row over cases, and its differences to ours on the same samples.
func (t answersTable) scored(l result.Labels, r memoryRow, cases []answersCase) (all []result.Measurement, err error) {
	budget := r.budget
	if budget == 0 {
		budget = t.settings.Budgets[0]
	}
	ours := memoryRow{name: answersOurs, budget: budget}.key()
	for _, score := range answerScores {
		var pooled []bool
		var a, b [][]bool
		for _, c := range cases {
			x := score.of(t.of(c, r.key()))
			pooled = append(pooled, x...)
			a, b = append(a, x), append(b, score.of(t.of(c, ours)))
		}
		if len(pooled) == 0 {
			continue
		}
		all = append(all, result.Share(l, result.Strict, score.metric, result.ScoreOf(pooled).Accuracy))
		if r.key() == ours {
			continue
		}
		m, ok, err := difference(l, score.metric, a, b)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, m)
		}
	}
	return all, nil
}

// byTask are the measurements of each case without a budget and at the first one, and what guessing is worth.
func (t answersTable) byTask() (all []result.Measurement, err error) {
	for _, c := range t.settings.cases() {
		labels := func(name string) result.Labels {
			return result.Labels{
				result.ContextLabel: result.ContextOf(c.Context), result.TaskLabel: c.Task, positionLabel: string(c.Position),
				result.PolicyLabel: name,
			}
		}
		n := 0
		for _, r := range t.settings.rows(t.model, c.Context) {
			if r.budget != 0 && r.budget != t.settings.Budgets[0] {
				continue
			}
			more, err := t.scored(labels(r.name), r, []answersCase{c})
			if err != nil {
				return nil, err
			}
			if all = append(all, more...); len(more) > 0 {
				n = max(n, more[0].N)
			}
		}
		if n == 0 {
			continue
		}
		p, err := tasks.Chance(c.Task, t.settings.params(t.model, c))
		if err != nil {
			return nil, err
		}
		all = append(all, result.Measurement{Labels: labels(result.Guessing), Protocol: result.Strict, Metric: "accuracy",
			Unit: "1", N: n, Mean: p})
	}
	return all, nil
}

// byBudget are the measurements of policies at every budget, over all tasks.
func (t answersTable) byBudget() (all []result.Measurement, err error) {
	type place struct {
		context  int
		position tasks.Position
	}
	var order []place
	cases := map[place][]answersCase{}
	for _, c := range t.settings.cases() {
		at := place{c.Context, c.Position}
		order, cases[at] = lab.AppendNew(order, at), append(cases[at], c)
	}
	for _, at := range order {
		for _, r := range t.settings.rows(t.model, at.context) {
			if r.budget == 0 {
				continue
			}
			more, err := t.scored(result.Labels{
				result.ContextLabel: result.ContextOf(at.context), positionLabel: string(at.position),
				result.PolicyLabel: r.name, budgetLabel: number(r.budget),
			}, r, cases[at])
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
	}
	return all, nil
}

// sizes are the budgets, and what the rows hold at the end of a stream, over all layers, in the mean of all samples.
func (t answersTable) sizes() (all []result.Measurement, err error) {
	k := baee.Config{Dim: t.model.Dim}
	for _, context := range t.settings.Contexts {
		at := result.Labels{result.ContextLabel: result.ContextOf(context)}
		for _, b := range t.settings.Budgets {
			l, entries := result.With(at, budgetLabel, number(b)), t.settings.entries(t.model, context, b)
			all = append(all, result.ExactOf(l, result.Strict, "entries_per_layer", "1", float64(entries)),
				result.ExactOf(l, result.Strict, "budget_bytes", "bytes", float64(entries*t.model.Depth*k.EntryBytes())))
		}
		for _, r := range t.settings.rows(t.model, context) {
			n, f := 0, outcomes{}
			for _, c := range t.settings.cases() {
				if c.Context == context {
					one := t.of(c, r.key())
					n, f.rows, f.bytes = n+len(one.right), f.rows+one.rows, f.bytes+one.bytes
				}
			}
			if n == 0 || !r.stores() {
				continue
			}
			l := result.With(result.With(at, result.PolicyLabel, r.name), budgetLabel, r.share())
			mean := func(metric, unit string, sum int) {
				all = append(all, result.Measurement{Labels: l, Protocol: result.Strict, Metric: metric, Unit: unit, N: n,
					Mean: float64(sum) / float64(n)})
			}
			mean("rows", "1", f.rows)
			mean("store_bytes", "bytes", f.bytes)
		}
	}
	return all, nil
}

// share is the row's budget as a label.
func (r memoryRow) share() string {
	if r.budget == 0 {
		return "none"
	}
	return number(r.budget)
}

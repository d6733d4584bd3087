package eviction

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// ours is the policy that the others of a protocol are compared with: baee, or where the reference does not have it,
// its rule.
func (c GridConfig) ours(protocol baee.Protocol) string {
	if slices.Contains(c.policies(protocol), "baee") {
		return "baee"
	}
	return "baee_salience"
}

// pooled are a policy's cells over seeds, and those of them that stand beside one of ours of the same samples.
type pooled struct {
	cells []GridCell
	pairs [][2]GridCell
}

// pool collects the cells of a case over its seeds. missing says whether one of them is not there.
func (c GridConfig) pool(k gridKey, cells map[string][]GridCell) (p pooled, missing bool) {
	for _, seed := range c.Seeds {
		all := cells[GridCase{k.protocol, k.context, k.budget, k.position, seed}.name()]
		i, ours := find(all, k.policy), find(all, c.ours(k.protocol))
		if i < 0 {
			missing = true
			continue
		}
		p.cells = append(p.cells, all[i])
		if ours >= 0 && ours != i {
			p.pairs = append(p.pairs, [2]GridCell{all[i], all[ours]})
		}
	}
	return p, missing
}

// What is scored in a cell.
var gridScores = []struct {
	metric string
	of     func(c GridCell) result.Score
}{
	{"retention", func(c GridCell) result.Score { return c.Retention }},
	{"accuracy", func(c GridCell) result.Score { return c.Accuracy }},
}

// differences are those to ours on the same samples, where outcomes are there.
func (p pooled) differences(l result.Labels, protocol baee.Protocol,
	ours string) (all []result.Measurement, err error) {
	for _, score := range gridScores {
		var a, b []result.Score
		for _, pair := range p.pairs {
			a, b = append(a, score.of(pair[0])), append(b, score.of(pair[1]))
		}
		l := result.With(result.With(l, "of", score.metric), result.AgainstLabel, ours)
		m, ok, err := result.DifferenceOverSeeds(l, string(protocol), a, b)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", l, err)
		}
		if ok {
			all = append(all, m)
		}
	}
	return all, nil
}

// gridPools are cells over several cases, in the order in which they came.
type gridPools struct {
	order []gridKey
	of    map[gridKey]*pooled
}

func (g *gridPools) add(k gridKey, p pooled) {
	if g.of == nil {
		g.of = map[gridKey]*pooled{}
	}
	if g.of[k] == nil {
		g.order, g.of[k] = append(g.order, k), &pooled{}
	}
	g.of[k].cells, g.of[k].pairs = append(g.of[k].cells, p.cells...), append(g.of[k].pairs, p.pairs...)
}

// retained is the share of the samples of all cells whose target is still held.
func (p pooled) retained() curriculum.Accuracy {
	correct, n := 0, 0
	for _, c := range p.cells {
		correct, n = correct+c.Retention.Correct, n+c.Retention.N
	}
	return curriculum.NewAccuracy(correct, n)
}

// shareOfEntries is a budget of strict as a share of the entries that a stream writes to a layer: a budget is counted
// in slots, and strict stores none of those that hold padding. It is not ok where the model is not known.
func (c GridConfig) shareOfEntries(m layers.Config, k gridKey, budget int) (share result.Measurement, ok bool) {
	written := k.context / c.Chunk * m.Written(c.Chunk)
	if k.protocol != baee.Strict || written == 0 {
		return share, false
	}
	l := result.Labels{result.ContextLabel: result.ContextOf(k.context), budgetLabel: number(k.budget)}
	return result.ExactOf(l, result.Strict, "share_of_entries", "1", float64(budget)/float64(written)), true
}

// gridOutcome computes all measurements of the cells that are done, of a model of configuration m;
// the zero value where it is not known.
func gridOutcome(c GridConfig, m layers.Config, cells map[string][]GridCell) (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: c.Seeds}
	// Policies by protocol and position over all cells of the grid but the headline case, and by budget, too.
	var overall, byBudget gridPools
	var differences, sizes []result.Measurement
	for _, k := range c.keys() {
		p, missing := c.pool(k, cells)
		o.Partial = o.Partial || missing
		if len(p.cells) == 0 {
			continue
		}
		l := result.Labels{
			result.ContextLabel: result.ContextOf(k.context), positionLabel: k.position, result.PolicyLabel: k.policy,
			budgetLabel: number(k.budget),
		}
		o.Measurements = append(o.Measurements, k.shares(l, p)...)
		more, err := p.differences(l, k.protocol, c.ours(k.protocol))
		if err != nil {
			return nil, err
		}
		differences = append(differences, more...)
		if share, ok := c.shareOfEntries(m, k, p.cells[0].EntriesALayer); ok && !slices.ContainsFunc(sizes,
			func(m result.Measurement) bool { return maps.Equal(m.Labels, share.Labels) }) {
			sizes = append(sizes, share)
		}
		if k.context == HeadlineContext {
			continue
		}
		k.context = 0
		byBudget.add(k, p)
		k.budget = 0
		overall.add(k, p)
	}
	for _, pools := range []gridPools{overall, byBudget} {
		for _, k := range pools.order {
			l, p := result.Labels{result.PolicyLabel: k.policy, positionLabel: k.position}, pools.of[k]
			metric := "overall_retention"
			if k.budget != 0 {
				l[budgetLabel], metric = number(k.budget), "budget_retention"
			}
			o.Measurements = append(o.Measurements, result.Share(l, string(k.protocol), metric, p.retained()))
			more, err := p.differences(l, k.protocol, c.ours(k.protocol))
			if err != nil {
				return nil, err
			}
			differences = append(differences, more...)
		}
	}
	o.Measurements = append(o.Measurements, sizes...)
	if len(differences) > 0 {
		o.Notes = append(o.Notes, result.PairedOverSeedsNote)
	}
	o.Measurements = append(o.Measurements, differences...)
	return o, nil
}

// keys lists the cases over all seeds with the policies of their protocol, in the order of reports.
func (c GridConfig) keys() (all []gridKey) {
	for _, k := range c.cases() {
		for _, name := range c.policies(k.Protocol) {
			all = lab.AppendNew(all, gridKey{k.Protocol, k.Context, k.Budget, k.Position, name})
		}
	}
	return all
}

// shares are the retention and the right answers of a case and policy over its seeds.
func (k gridKey) shares(l result.Labels, p pooled) (all []result.Measurement) {
	for _, score := range gridScores {
		var seeds []curriculum.Accuracy
		for _, c := range p.cells {
			seeds = append(seeds, score.of(c).Accuracy)
		}
		all = append(all, result.ShareOverSeeds(l, string(k.protocol), score.metric, seeds))
	}
	return all
}

// convertGrid reads the details that results had when they listed all cells, with summaries.
func convertGrid(settings, details json.RawMessage) (*lab.Outcome, error) {
	cells := map[string][]GridCell{}
	add := func(c GridCell) { cells[c.name()] = append(cells[c.name()], c) }
	outcome := func(c GridConfig) (*lab.Outcome, error) { return gridOutcome(c, layers.Config{}, cells) }
	return convertList(settings, details, add, outcome, cells)
}

// convertList reads details of before, which say what base model they are of: it adds each cell of their list to cells,
// of which outcome is that of the settings. Today's are left alone.
func convertList[S, C, T any](
	settings, details json.RawMessage, add func(c C), outcome func(s S) (*lab.Outcome, error), cells map[string]T,
) (*lab.Outcome, error) {
	var old struct {
		BaseSHA256 string          `json:"base_sha256"`
		Cells      json.RawMessage `json:"cells"`
	}
	if err := json.Unmarshal(details, &old); err != nil || old.BaseSHA256 == "" {
		return nil, err
	}
	var list []C
	var s S
	if err := errors.Join(json.Unmarshal(old.Cells, &list), json.Unmarshal(settings, &s)); err != nil {
		return nil, err
	}
	for _, c := range list {
		add(c)
	}
	o, err := outcome(s)
	if err != nil {
		return nil, err
	}
	o.Details = lab.Cells[T]{Done: cells}
	return o, nil
}

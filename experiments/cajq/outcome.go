package cajq

import (
	"fmt"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
)

// outcome computes all measurements of the cells that are done.
func outcome(s Settings, cells map[string]cell) (*lab.Outcome, error) {
	o := &lab.Outcome{Cost: &result.Cost{}}
	var origins origins
	for _, v := range s.Variants {
		for _, seed := range s.Seeds {
			c, ok := cells[cellName(v, seed)]
			o.Partial = o.Partial || !ok || !c.has(v, s)
			if !ok {
				continue
			}
			o.Seeds = lab.AppendNew(o.Seeds, seed)
			*o.Cost = o.Cost.Add(c.Cost)
			if c.Environment != nil && c.Environment.Commit != "" {
				o.Environment = c.Environment
			}
			origins.add(v, c.Environment)
		}
		for _, t := range s.Contexts {
			for _, metric := range measure.Metrics() {
				o.Measurements = append(o.Measurements, accuracies(s, cells, v, result.ContextOf(t), metric)...)
			}
		}
	}
	slices.Sort(o.Seeds)
	differences, paired, err := differences(s, cells)
	if err != nil {
		return nil, err
	}
	if paired {
		o.Notes = append(o.Notes, result.PairedOverSeedsNote)
	}
	o.Notes = append(o.Notes, origins.notes()...)
	o.Measurements = append(o.Measurements, differences...)
	for _, v := range s.Variants {
		o.Measurements = append(o.Measurements, sizes(v, cells[sizeName(v)].Size)...)
	}
	return o, nil
}

// accuracies are those of a variant over the seeds: before packing, if the paper has the variant or it has no packed
// bytes, and from the packed bytes.
func accuracies(s Settings, cells map[string]cell, variant, t, metric string) (all []result.Measurement) {
	var before, packed []result.Score
	for _, seed := range s.Seeds {
		c := cells[cellName(variant, seed)]
		if a, ok := c.Accuracy[t][metric]; ok {
			before = append(before, a)
		}
		if a, ok := c.Packed[t][metric]; ok {
			packed = append(packed, a)
		}
	}
	l, name := result.Labels{result.VariantLabel: variant, result.ContextLabel: t}, protocolOf(variant)
	if len(before) > 0 && (name == result.Paper || len(packed) == 0) {
		all = append(all, result.ShareOverSeeds(l, name, metric, result.Accuracies(before)))
	}
	if len(packed) > 0 {
		m := result.ShareOverSeeds(l, result.Strict, metric, result.Accuracies(packed))
		m.Note = "from the packed bytes"
		all = append(all, m)
	}
	return all
}

// protocolOf is the protocol of a variant: strict for those that the published experiment does not have.
func protocolOf(variant string) string {
	for _, v := range qat.Variants() {
		if v.Name == variant && v.Paper {
			return result.Paper
		}
	}
	return result.Strict
}

// pairs are the variants whose difference is taken: each to FP16, and what was trained to the control.
func pairs(variants []string) (all [][2]string) {
	for _, v := range qat.Variants() {
		if !slices.Contains(variants, v.Name) {
			continue
		}
		if v.Name != qat.FP16 {
			all = append(all, [2]string{v.Name, qat.FP16})
		}
		if v.Trains && v.Name != qat.FP16Finetuned {
			all = append(all, [2]string{v.Name, qat.FP16Finetuned})
		}
	}
	return all
}

// unpaired are the pairs whose difference is taken seed by seed where outcomes of single samples were not kept.
func (c Config) unpaired(pair [2]string) bool {
	return c.fromBytes(pair[0]) || pair[0] == qat.FP16Finetuned
}

// differences are what one variant answers more often than another on the same samples, from packed bytes where there
// are some. paired says whether outcomes of single samples were compared.
func differences(s Settings, cells map[string]cell) (all []result.Measurement, paired bool, err error) {
	for _, metric := range measure.Metrics() {
		for _, pair := range pairs(s.Variants) {
			for _, t := range s.Contexts {
				at := result.ContextOf(t)
				a, b := bothScores(s, cells, pair, at, metric)
				if len(a) == 0 {
					continue
				}
				l := result.Labels{
					result.TaskLabel: metric, result.VariantLabel: pair[0], result.AgainstLabel: pair[1], result.ContextLabel: at,
				}
				m, ok, err := result.DifferenceOverSeeds(l, result.Strict, a, b)
				switch {
				case err != nil:
					return nil, false, fmt.Errorf("%s against %s at %s: %w", pair[0], pair[1], at, err)
				case ok:
					paired = true
				case s.unpaired(pair):
					m = seedBySeed(l, a, b)
				default:
					continue
				}
				all = append(all, m)
			}
		}
	}
	return all, paired, nil
}

// seedBySeed is the mean over seeds of what the one answers more often than the other.
func seedBySeed(l result.Labels, a, b []result.Score) result.Measurement {
	var more []float64
	for i := range a {
		more = append(more, a[i].Mean-b[i].Mean)
	}
	return result.MeanOf(l, result.Strict, "difference", "1", more)
}

// bothScores are the scores of a pair of variants, of the seeds that both have.
func bothScores(s Settings, cells map[string]cell, pair [2]string, t, metric string) (a, b []result.Score) {
	of := func(variant string, seed uint64) (result.Score, bool) {
		c := cells[cellName(variant, seed)]
		scores := c.Accuracy
		if s.fromBytes(variant) {
			scores = c.Packed
		}
		score, ok := scores[t][metric]
		return score, ok
	}
	for _, seed := range s.Seeds {
		x, first := of(pair[0], seed)
		y, second := of(pair[1], seed)
		if first && second {
			a, b = append(a, x), append(b, y)
		}
	}
	return a, b
}

// What a size is of.
const (
	packedWeights = "packed weights"
	wholeModel    = "whole model"
)

// sizes are those of a variant's packed file; none for a variant whose weights stay in floating point.
func sizes(variant string, p *packedSize) (all []result.Measurement) {
	if p == nil {
		return nil
	}
	add := func(of, metric, unit string, value float64) {
		l := result.Labels{result.VariantLabel: variant, "of": of}
		all = append(all, result.ExactOf(l, result.Strict, metric, unit, value))
	}
	for _, x := range []struct {
		of             string
		numbers, bytes int
	}{{packedWeights, p.Weights, p.WeightBytes}, {wholeModel, p.Parameters, p.Bytes}} {
		add(x.of, "bits", "bits/weight", 8*float64(x.bytes)/float64(x.numbers))
		add(x.of, "compression", "x", 2*float64(x.numbers)/float64(x.bytes)) // against half precision
		add(x.of, "size", "bytes", float64(x.bytes))
	}
	return all
}

// origins are the programs and machines that variants were made by.
type origins struct {
	all []string
	of  map[string][]string // variants
}

func (o *origins) add(variant string, e *result.Environment) {
	if e == nil { // version 2 did not say
		e = &result.Environment{}
	}
	origin := fmt.Sprintf("commit %.10s on %s", e.Commit, lab.MachineOf(*e))
	o.all = lab.AppendNew(o.all, origin)
	if o.of == nil {
		o.of = map[string][]string{}
	}
	o.of[origin] = lab.AppendNew(o.of[origin], variant)
}

// notes say which variants were made where, if they are not all of one program and machine.
func (o *origins) notes() []string {
	if len(o.all) < 2 {
		return nil
	}
	var texts []string
	for _, origin := range o.all {
		texts = append(texts, strings.Join(o.of[origin], ", ")+": "+origin)
	}
	return []string{"Runs are not all of one program and machine: " + strings.Join(texts, "; ")}
}

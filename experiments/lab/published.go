package lab

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/results/published"
)

// Published declares which figures of the paper stand beside an experiment's measurements. In At and Note, $name is
// what a measurement has for the label of that name; ${a name} for one with spaces.
type Published struct {
	File string // in results/published
	// At has by metric where the file has its figures, in the syntax of gjson: a number, a list of them over seeds, or an
	// object with their mean and std.
	At       map[string]string
	Protocol string            // of the measurements; "": paper
	Labels   result.Labels     // that they have, whatever others they have; "" for a label that they do not have
	Names    map[string]string // what the file has in place of values of labels
	Unit     string            // of the figures, a key of unitScale
	Note     string            // added to that of the measurements
}

// unitScale is what divides figures whose unit is not that of measurements.
var unitScale = map[string]float64{"": 1, "%": 100, "uJ": 1e6, "MiB": 1. / (1 << 20)}

// WithPublished are the measurements of an outcome with the paper's figures beside them: of the first declaration that
// has one.
func (e Experiment) WithPublished(o *Outcome) []result.Measurement {
	all := slices.Clone(o.Measurements)
	for i := range all {
		for _, p := range e.Published {
			if !o.Unpublished && p.publish(&all[i]) {
				break
			}
		}
	}
	return all
}

// publish puts the figure beside a measurement, and says whether there is one.
func (p Published) publish(m *result.Measurement) bool {
	path, ok := p.At[m.Metric]
	for label, value := range p.Labels {
		ok = ok && m.Labels[label] == value
	}
	value := func(label string) string {
		value, labelled := m.Labels[label]
		ok = ok && labelled
		return cmp.Or(p.Names[value], value)
	}
	path, note := os.Expand(path, value), os.Expand(p.Note, value)
	if !ok || m.Protocol != cmp.Or(p.Protocol, result.Paper) {
		return false
	}
	x, std := published.Get(p.File, path), 0.
	mean := x.Float()
	switch {
	case x.Get("mean").Exists():
		mean, std = x.Get("mean").Float(), x.Get("std").Float()
	case x.IsArray() && len(x.Array()) > 0:
		var seeds []float64
		for _, seed := range x.Array() {
			seeds = append(seeds, seed.Float())
		}
		mean, std = result.MeanAndStd(seeds)
	case x.Type != gjson.Number:
		return false
	}
	m.Published = &result.MeanStd{Mean: mean / unitScale[p.Unit], Std: std / unitScale[p.Unit]}
	m.Note = strings.Trim(m.Note+"; "+note, "; ")
	return true
}

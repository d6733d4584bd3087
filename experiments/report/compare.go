package report

import (
	"slices"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// timeRatios are the metrics without a unit that are made of times, and depend on the machine as times do.
var timeRatios = []string{"relative_overhead", "slowdown"}

// machineFree says whether a quantity means the same on every machine and under every definition of a size, so that a
// published value and ours may be held against each other: shares and counts, but not times, rates, memory or energy.
func machineFree(m *result.Measurement) bool {
	return m.Unit == "1" && !slices.Contains(timeRatios, m.Metric)
}

// judged says whether our interval can say anything of the published value. An interval without width, e.g. a bootstrap
// of equal values, does not say how far the mean may be off.
func judged(m *result.Measurement) bool {
	return machineFree(m) && m.Published != nil && m.Interval != nil && m.Interval.Low < m.Interval.High
}

// inside says whether the published mean lies in our interval.
func inside(m *result.Measurement) bool {
	return m.Interval.Low <= m.Published.Mean && m.Published.Mean <= m.Interval.High
}

// repeat are measurements whose published numbers stand beside others already, so that they are not counted again.
type repeat struct {
	Experiment string
	Label      string // "" for all measurements of the experiment
	Value      string // of the label
	Of         string // the experiment that has the numbers, too
}

// has says whether a measurement of an experiment is one of r's.
func (r repeat) has(experiment string, m *result.Measurement) bool {
	return r.Experiment == experiment && (r.Label == "" || m.Labels[r.Label] == r.Value)
}

// gathers says whether an experiment measures nothing itself.
func gathers(experiment string) bool {
	return slices.ContainsFunc(covered.Repeated, func(r repeat) bool {
		return r.Experiment == experiment && r.Label == ""
	})
}

// counted are the measurements of an experiment in which a published value stands beside ours with an interval, each
// published value once.
func counted(experiment string, all []result.Measurement) []*result.Measurement {
	var once []*result.Measurement
	for i := range all {
		m := &all[i]
		if !judged(m) || slices.ContainsFunc(covered.Repeated, func(r repeat) bool { return r.has(experiment, m) }) ||
			slices.ContainsFunc(all, func(o result.Measurement) bool { return pointOf(m, &o) }) {
			continue
		}
		once = append(once, m)
	}
	return once
}

// pointOf says whether m is o again, under more labels: a point of a history that is also the final value.
func pointOf(m, o *result.Measurement) bool {
	if o.Published == nil || o.Interval == nil || len(m.Labels) <= len(o.Labels) || m.Metric != o.Metric ||
		m.Protocol != o.Protocol ||
		m.N != o.N || m.Mean != o.Mean || *m.Published != *o.Published {
		return false
	}
	for l, v := range o.Labels {
		if m.Labels[l] != v {
			return false
		}
	}
	return true
}

// compare counts the published values that our intervals judge.
func (s *Section) compare(all []result.Measurement) {
	for _, m := range counted(s.Name, all) {
		s.Compared++
		if inside(m) {
			s.Inside++
		}
	}
}

// withoutPublished is r without the paper's values.
func withoutPublished(r *result.Result) *result.Result {
	c := *r
	c.Measurements = slices.Clone(r.Measurements)
	for i := range c.Measurements {
		c.Measurements[i].Published = nil
	}
	return &c
}

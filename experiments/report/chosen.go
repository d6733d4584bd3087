package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// choice is something that was chosen by looking at data, and the measurements that score it there and on data that
// nothing was chosen on; chosen.toml describes them.
type choice struct {
	What          string
	By            []string
	Looked, Fresh selection
}

// selection are the measurements of an experiment with these labels, whatever others they have.
type selection struct {
	Experiment string
	Metric     string
	Protocol   string
	Labels     map[string]string
}

//go:embed chosen.toml
var chosenText string

// choices is chosen.toml. It is part of the program: one that is wrong panics.
var choices = func() []choice {
	var file struct{ Choice []choice }
	if err := decode(chosenText, &file); err != nil {
		panic("chosen.toml: " + err.Error())
	}
	return file.Choice
}()

// Chosen is something that was chosen, with its score where it was and on fresh data.
type Chosen struct {
	What          string
	Metric        string
	Looked, Fresh string // with intervals; Looked is "" where it is not measured
	N             int    // of the fresh score
	Section       string // ID of the one that shows it
}

// allChosen scores what was chosen, as far as it is measured on fresh data, by the results of a plan.
func allChosen(steps []*lab.Step, id func(name string) string) (all []Chosen) {
	for _, c := range choices {
		looked := c.Looked.of(steps)
		for _, fresh := range c.Fresh.of(steps) {
			row := Chosen{What: c.What, Metric: words(c.Fresh.Metric), Fresh: withSpan(&fresh), N: fresh.N,
				Section: id(c.Fresh.Experiment)}
			if name := c.nameOf(fresh); name != "" {
				row.What += ": " + name
			}
			if best := c.best(looked, fresh); best != nil {
				row.Looked = withSpan(best)
			}
			all = append(all, row)
		}
	}
	return all
}

// nameOf are the labels that tell a fresh score from the choice's others.
func (c choice) nameOf(fresh result.Measurement) string {
	var parts []string
	for _, label := range c.By {
		parts = append(parts, label+" "+fresh.Labels[label])
	}
	return strings.Join(parts, ", ")
}

// best is the best of the scores that were looked at and belong to a fresh one; nil for none.
func (c choice) best(looked []result.Measurement, fresh result.Measurement) *result.Measurement {
	of := slices.DeleteFunc(slices.Clone(looked), func(m result.Measurement) bool {
		return slices.ContainsFunc(c.By, func(label string) bool { return m.Labels[label] != fresh.Labels[label] })
	})
	if len(of) == 0 {
		return nil
	}
	m := within(slices.MaxFunc(of, func(a, b result.Measurement) int { return cmp.Compare(a.Mean, b.Mean) }))
	return &m
}

// of are the selection's measurements in the results of a plan.
func (s selection) of(steps []*lab.Step) (all []result.Measurement) {
	for _, step := range steps {
		if step.Name != s.Experiment || step.Result == nil {
			continue
		}
		for _, m := range step.Result.Measurements {
			labels := maps.Clone(m.Labels)
			maps.Copy(labels, s.Labels)
			if m.Metric == s.Metric && m.Protocol == s.Protocol && maps.Equal(labels, m.Labels) {
				all = append(all, within(m))
			}
		}
	}
	return all
}

// chosenTitle and chosenAbout stand above the table.
const (
	chosenTitle = "What was chosen by looking at data, on fresh data"
	chosenAbout = "Each was scored on the fresh data once. Where the two scores are of different samples, lengths or " +
		"seeds, they need not agree; the fresh one is what counts."
)

// chosenMarkdown writes it.
func chosenMarkdown(line func(string, ...any), all []Chosen) {
	line("\n### %s\n\n%s\n", chosenTitle, chosenAbout)
	line("| what was chosen | score | where it was chosen | on fresh data, 95%% interval | n | shown in |")
	line("|---|---|---|---|--:|---|")
	for _, c := range all {
		line("| %s | %s | %s | %s | %d | %s |", escape(c.What), c.Metric, dash(escape(c.Looked)), escape(c.Fresh), c.N,
			fmt.Sprintf("[%s](#%s)", c.Section, c.Section))
	}
}

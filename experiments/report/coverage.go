package report

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/BurntSushi/toml"

	"github.com/synapnet/synapnet-train/experiments/lab"
)

// coverage is what the results are held against.
type coverage struct {
	List []struct {
		Name string
		Rows []string
	}
	Omission []Omission
	Repeated []repeat
}

//go:embed coverage.toml
var coverageText string

// covered is coverage.toml. It is part of the program: one that is wrong panics.
var covered = func() (c coverage) {
	if err := decode(coverageText, &c); err != nil {
		panic("coverage.toml: " + err.Error())
	}
	return c
}()

// decode reads a text in TOML, and refuses keys that nothing reads.
func decode(text string, into any) error {
	meta, err := toml.Decode(text, into)
	if unknown := meta.Undecoded(); err == nil && len(unknown) > 0 {
		err = fmt.Errorf("unknown keys %v", unknown)
	}
	return err
}

// SeedRow is a row of one of the lists of the project's public README: a claim, an experiment, a baseline or an
// ablation.
type SeedRow struct {
	List string
	Row  string
}

// String is the row as Experiment.Covers names it.
func (r SeedRow) String() string { return r.List + ": " + r.Row }

// reportRow is answered by the report itself.
var reportRow = SeedRow{"Quickstart", "generate all paper figures"}

// SeedRows lists them in the README's order.
func SeedRows() []SeedRow {
	var rows []SeedRow
	for _, l := range covered.List {
		for _, row := range l.Rows {
			rows = append(rows, SeedRow{l.Name, row})
		}
	}
	return rows
}

// Answer names the experiments that cover a row; "report" for the row that the report itself answers.
func (r SeedRow) Answer(all []lab.Experiment) []string {
	if r == reportRow {
		return []string{"report"}
	}
	var names []string
	for _, e := range all {
		if slices.Contains(e.Covers, r.String()) {
			names = append(names, e.Name)
		}
	}
	return names
}

// Omission is something that the paper publishes and that no experiment has beside its own.
type Omission struct {
	File string // in results/published
	What string
	Why  string
}

// Omissions lists them in the order of the files' names.
func Omissions() []Omission { return covered.Omission }

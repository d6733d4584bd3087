package eviction

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// smallGrid is a grid for it.
func smallGrid() GridConfig {
	return GridConfig{
		Policies:  []string{"baee", "baee_salience", "fifo", "lru", "random", "pyramidkv", "locret_proxy", "keydiff"},
		Budgets:   []float64{0.25, 0.5},
		Positions: []string{"early", "late"}, Seeds: []uint64{42, 43}, Contexts: []int{64},
		Protocols: []baee.Protocol{baee.Paper, baee.Strict},
		Samples:   5, Chunk: 16,
	}
}

func TestTheDefaultGridIsThePublishedOne(t *testing.T) {
	settings := GridExperiment().Settings(lab.Full).(GridConfig)
	e := grid{GridConfig: settings, base: &layers.Model{Config: layers.Reference()}}
	cells := map[baee.Protocol]int{}
	for _, k := range e.cases() {
		if k.Context != HeadlineContext {
			cells[k.Protocol] += len(e.policies(k.Protocol))
		}
	}
	if cells[baee.Paper] != 432 || cells[baee.Strict] != 48*14 {
		t.Errorf("%v cells, want 432 in the paper protocol and 14 policies in the strict one", cells)
	}
	for budget, want := range map[float64]int{0.1: 6, 0.2: 12, 0.3: 19, 0.5: 32} {
		k := GridCase{Context: 1024, Budget: budget, Seed: 42}
		if got := e.entries(k); got != want {
			t.Errorf("budget %g: %d entries a layer, want %d", budget, got, want)
		}
		g := &grid{GridConfig: GridConfig{SampleKeys: tasks.Keys1}, purpose: tasks.Eviction}
		p := tasks.Params{Length: 64, Vocab: 128, Classes: 40}
		// nothing added
		old := tasks.Draw{Keys: tasks.Keys1, Seed: uint64(4200 + math.Floor(100*budget))}.For(tasks.Demonstration, 0)
		got, err := tasks.Generate(pressureTask, 2, p, g.source(k))
		want, errWant := tasks.Generate(pressureTask, 2, p, old)
		if err != nil || errWant != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("budget %g: with sample keys 1 the samples are not those of the committed results: %v %v", budget, err,
				errWant)
		}
	}
}

// gridFiles are those that a grid reads.
type gridFiles struct{ model, classifier, head string }

// openGrid is a run of the grid by a command of its own.
func openGrid(c GridConfig, f gridFiles, output string) (*lab.Job, error) {
	inputs, err := c.Inputs(f.model, f.classifier, f.head)
	if err != nil {
		return nil, err
	}
	j, _, err := lab.Standalone(GridExperiment(), c, inputs, output, result.Environment{})
	return j, err
}

// gridCells are those in a result.
func gridCells(t *testing.T, r *result.Result) map[string][]GridCell {
	t.Helper()
	var details lab.Cells[[]GridCell]
	if err := json.Unmarshal(r.Details, &details); err != nil {
		t.Fatal(err)
	}
	for _, cells := range details.Done {
		slices.SortFunc(cells, func(a, b GridCell) int { return strings.Compare(a.Policy, b.Policy) })
	}
	return details.Done
}

// A cell is what its policy gives in streams of its own, sample by sample.
func TestACellIsItsPolicyAlone(t *testing.T) {
	m, path := labtest.StreamModel(t)
	f := gridFiles{model: path}
	f.classifier, f.head = labtest.NetworkFiles(t, 1)
	j, err := openGrid(smallGrid(), f, filepath.Join(t.TempDir(), "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := j.Run(t.Context(), GridExperiment())
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGrid(j, smallGrid(), tasks.Eviction)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]int{}
	for _, m := range r.Measurements {
		of[m.Metric]++
	}
	// Both scores of a case, of a budget and of all, each to baee, or to baee_salience under the paper's protocol.
	if want := map[string]int{"retention": 4 * (6 + 8), "accuracy": 4 * (6 + 8), "budget_retention": 4 * (6 + 8),
		"overall_retention": 2 * (6 + 8), "difference": 2 * (4 + 4 + 2) * (5 + 7), "share_of_entries": 2}; !maps.Equal(of,
		want) {
		t.Errorf("measurements %v, want %v", of, want)
	}
	n := 0
	for _, c := range slices.Concat(slices.Collect(maps.Values(gridCells(t, r)))...) {
		n++
		if c.Seed != 43 || c.Budget != 0.25 {
			continue
		}
		samples, err := tasks.Generate(pressureTask, 5,
			tasks.Params{Length: 64, Vocab: 128, Classes: 40, Position: tasks.Position(c.Position)},
			tasks.Draw{Keys: g.SampleKeys, Seed: 43}.For(tasks.Eviction, 25))
		if err != nil {
			t.Fatal(err)
		}
		var kept, right []bool
		for n, s := range samples {
			memory, err := baee.New(baee.Config{Dim: 8, Layers: 2, Slots: 4, Policy: c.Policy, Protocol: c.Protocol,
				EntriesPerLayer: 4, Window: 16,
				Seed: 4325<<20 + uint64(n), Classifier: g.classifier, Head: g.head})
			if err != nil {
				t.Fatal(err)
			}
			stream, err := baee.NewStream(m, memory, 16)
			if err != nil {
				t.Fatal(err)
			}
			answer := 0
			if err := stream.Push(s.IDs, func(l []float32) error { answer = curriculum.Argmax(l); return nil }); err != nil {
				t.Fatal(err)
			}
			stream.Close()
			kept, right = append(kept, retained(memory, s.Targets)), append(right, answer == int(s.Label))
		}
		if !reflect.DeepEqual(c.Retention, result.ScoreOf(kept)) || !reflect.DeepEqual(c.Accuracy, result.ScoreOf(right)) {
			t.Errorf("%+v: kept %v, right %v alone", c, kept, right)
		}
	}
	if n != 8*(6+8) {
		t.Errorf("%d cells, want %d", n, 8*(6+8))
	}
}

// A run that is cut off and continued, on another number of processors, gives the same cells; other settings are
// refused.
func TestTheGridContinues(t *testing.T) {
	f := gridFiles{}
	_, f.model = labtest.StreamModel(t)
	f.classifier, f.head = labtest.NetworkFiles(t, 1)
	run := func(ctx context.Context, c GridConfig, output string, detail func(line string)) (*result.Result, error) {
		j, err := openGrid(c, f, output)
		if err != nil {
			t.Fatal(err)
		}
		j.Detail = func(format string, args ...any) { detail(fmt.Sprintf(format, args...)) }
		return j.Run(ctx, GridExperiment())
	}
	whole, err := run(t.Context(), smallGrid(), filepath.Join(t.TempDir(), "whole.json"), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	output := filepath.Join(t.TempDir(), "new", "cut.json")
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := run(ctx, smallGrid(), output, func(line string) {
		if strings.HasPrefix(line, "[21/") {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatalf("cut off: %v", err)
	}
	before := 0
	continued, err := run(t.Context(), smallGrid(), output, func(line string) {
		if strings.HasSuffix(line, "done before") {
			before++
		}
	})
	if err != nil || !continued.Complete {
		t.Fatal(err)
	}
	if before < 20 || before == 8*(6+8) {
		t.Errorf("%d of %d cells were done before", before, 8*(6+8))
	}
	if !reflect.DeepEqual(gridCells(t, whole), gridCells(t, continued)) ||
		!reflect.DeepEqual(whole.Measurements, continued.Measurements) {
		t.Error("the continued run differs from the whole one")
	}

	// With another classifier only what depends on it is run again.
	f.classifier, _ = labtest.NetworkFiles(t, 2)
	again := map[string]bool{}
	if _, err := run(t.Context(), smallGrid(), output, func(line string) {
		if !strings.HasSuffix(line, "done before") {
			word := strings.Fields(line)
			again[word[1]+" "+word[len(word)-3]] = true
		}
	}); err != nil || !reflect.DeepEqual(again, map[string]bool{"strict baee": true}) {
		t.Errorf("run again: %v %v", again, err)
	}

	// A part of the cells of one classifier beside the rest of another would be one row of the table.
	part, held := smallGrid(), f.classifier
	part.Seeds = part.Seeds[:1]
	f.classifier, _ = labtest.NetworkFiles(t, 3)
	if _, err := run(t.Context(), part, output, func(string) {}); err == nil ||
		!strings.Contains(err.Error(), "holds cells of policy baee with another network") {
		t.Errorf("two classifiers in one table: %v", err)
	}
	f.classifier = held

	// What is added joins what is there: of a policy and a seed that are new, only what is asked for is run.
	more := smallGrid()
	more.Policies, more.Seeds, more.Protocols = []string{"snapkv"}, []uint64{44}, []baee.Protocol{baee.Paper}
	joined, err := run(t.Context(), more, output, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range joined.Measurements {
		if m.Metric == "retention" {
			n++
		}
	}
	if n != 4*(6+8)+4 || joined.Complete || joined.Profile != lab.Custom {
		t.Errorf("%d retentions, complete %t, profile %s", n, joined.Complete, joined.Profile)
	}
	c := smallGrid()
	c.Samples = 6
	if _, err := openGrid(c, f, output); err == nil ||
		!strings.Contains(err.Error(), "holds results of other settings (samples 5, not 6): move it away") {
		t.Errorf("other settings: %v", err)
	}
	other := f
	other.model = filepath.Join(t.TempDir(), "model.safetensors")
	text, err := os.ReadFile(f.classifier)
	if err != nil || os.WriteFile(other.model, text, 0o600) != nil {
		t.Fatal(err)
	}
	if _, err := openGrid(smallGrid(), other, output); err == nil ||
		!strings.Contains(err.Error(), "not a model in floating point") {
		t.Errorf("another model: %v", err)
	}
}

func TestGridMistakes(t *testing.T) {
	m, path := labtest.StreamModel(t)
	classifier, head := labtest.NetworkFiles(t, 1)
	for want, change := range map[string]func(c *GridConfig){
		"seeds is []: give at least one":     func(c *GridConfig) { c.Seeds = nil },
		"budgets is 0: it must be above 0":   func(c *GridConfig) { c.Budgets = []float64{0} },
		"0.5 is given twice":                 func(c *GridConfig) { c.Budgets = []float64{0.5, 0.5} },
		`positions is "midst"`:               func(c *GridConfig) { c.Positions = []string{"midst"} },
		"contexts is 72: it must be a whole": func(c *GridConfig) { c.Contexts = []int{72} },
		`protocols is "lax"`:                 func(c *GridConfig) { c.Protocols = []baee.Protocol{"lax"} },
		"protocols strict":                   func(c *GridConfig) { c.Policies = []string{"tova"} },
		`did you mean "fifo"`:                func(c *GridConfig) { c.Policies = []string{"fifi"} },
		"chunk is 65: it must be from 8 to":  func(c *GridConfig) { c.Chunk = 65 },
		"is too small":                       func(c *GridConfig) { c.Contexts = []int{32} },
		"missing.safetensors: no such file":  func(*GridConfig) { classifier = "missing.safetensors" },
		"headline is true: its 8192 tokens":  func(c *GridConfig) { c.Headline, c.Chunk, c.Contexts = true, 48, []int{96} },
		"for entries of width 8 and 0 hist":  func(*GridConfig) { classifier = head },
	} {
		c, old := smallGrid(), classifier
		change(&c)
		err := c.Validate(m.Config)
		if err == nil {
			_, err = openGrid(c, gridFiles{path, classifier, head}, filepath.Join(t.TempDir(), "r.json"))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		classifier = old
	}
	output := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(output, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openGrid(smallGrid(), gridFiles{path, classifier, head}, output); err == nil ||
		!strings.Contains(err.Error(), "not a valid result") {
		t.Errorf("got %v", err)
	}
}

// As a registered experiment the grid shows something in every view, and a run that was stopped ends alike.
func TestTheGridIsAnExperiment(t *testing.T) {
	root, _ := labtest.StreamRoot(t)
	run := func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
		j.Settings, j.Whole = smallGrid(), smallGrid()
		return GridExperiment().Run(ctx, j)
	}
	labtest.CheckRuns(t, GridExperiment(), root, run, labtest.Always)
}

// Details of before become cells with the same measurements; those of today are left alone.
func TestGridIsConverted(t *testing.T) {
	c := smallGrid()
	c.Policies, c.Protocols, c.Headline = []string{"fifo", "lru"}, []baee.Protocol{baee.Paper}, true
	var list []GridCell
	cells := map[string][]GridCell{}
	for i, k := range c.cases() {
		for n, name := range c.policies(k.Protocol) {
			score := result.Score{Accuracy: curriculum.NewAccuracy((i+n)%6, 5+n)}
			list = append(list, GridCell{GridCase: k, Policy: name, EntriesALayer: 4, Retention: score, Accuracy: score})
			cells[k.name()] = append(cells[k.name()], list[len(list)-1])
		}
	}
	slices.Reverse(list)
	settings, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	old, err := json.Marshal(map[string]any{"base_sha256": "x", "cells": list, "summary": []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	want, err := gridOutcome(c, layers.Config{}, cells)
	if err != nil {
		t.Fatal(err)
	}
	o, err := convertGrid(settings, old)
	if err != nil || !reflect.DeepEqual(o.Measurements, want.Measurements) || o.Partial || len(o.Measurements) != 2*
		(4*2+2)+2*2+2*2*2 { // cells, the headline, over all of them, by budget
		t.Errorf("%d measurements, want %d (%v)", len(o.Measurements), len(want.Measurements), err)
	}
	today, err := json.Marshal(o.Details)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := convertGrid(settings, today); o != nil || err != nil {
		t.Errorf("today's form is converted: %v %v", o, err)
	}
}

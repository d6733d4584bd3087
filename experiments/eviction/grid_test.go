package eviction

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// smallGrid is a grid for it.
func smallGrid() GridConfig {
	return GridConfig{
		Policies: []string{"baee", "baee_salience", "fifo", "lru", "random", "pyramidkv", "locret_proxy", "keydiff"}, Budgets: []float64{0.25, 0.5},
		Positions: []string{"early", "late"}, Seeds: []uint64{42, 43}, Contexts: []int{64}, Protocols: []baee.Protocol{baee.Paper, baee.Strict},
		Samples: 5, Chunk: 16,
	}
}

func TestTheDefaultGridIsThePublishedOne(t *testing.T) {
	e := Grid{Config: DefaultGrid(), Base: &layers.Model{Config: layers.Reference()}}
	paper, err := publishedGrid()
	if err != nil {
		t.Fatal(err)
	}
	cells := map[baee.Protocol]int{}
	for _, k := range e.cases() {
		for _, name := range e.policies(k.Protocol) {
			if k.Context == HeadlineContext {
				continue
			}
			cells[k.Protocol]++
			_, ok := paper[gridKey{"", k.Context, k.Budget, k.Position, name}]
			if k.Protocol == baee.Paper && !ok {
				t.Errorf("there is no published figure of %+v, %s", k, name)
			}
		}
	}
	if cells[baee.Paper] != 432 || cells[baee.Strict] != 48*14 {
		t.Errorf("%v cells, want 432 in the paper protocol and 14 policies in the strict one", cells)
	}
	got := paper[gridKey{"", 2048, 0.1, "early", "baee_salience"}]
	if math.Abs(got.retention.Mean-0.7083) > 1e-4 || math.Abs(got.accuracy.Mean-0.0556) > 1e-4 || math.Abs(got.accuracy.Std-0.0481) > 1e-4 {
		t.Errorf("published: %+v, want 0.708 retained and 0.056 right", got)
	}
	for budget, want := range map[float64]int{0.1: 6, 0.2: 12, 0.3: 19, 0.5: 32} {
		k := GridCase{Context: 1024, Budget: budget, Seed: 42}
		if got := e.entries(k); got != want {
			t.Errorf("budget %g: %d entries a layer, want %d", budget, got, want)
		}
		grid := &Grid{Config: GridConfig{SampleKeys: tasks.Keys1}, purpose: tasks.Eviction}
		p := tasks.Params{Length: 64, Vocab: 128, Classes: 40}
		old := tasks.Draw{Keys: tasks.Keys1, Seed: uint64(4200 + math.Floor(100*budget))}.For(tasks.Demonstration, 0) // nothing added
		got, err := tasks.Generate(pressureTask, 2, p, grid.source(k))
		want, errWant := tasks.Generate(pressureTask, 2, p, old)
		if err != nil || errWant != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("budget %g: with sample keys 1 the samples are not those of the committed results: %v %v", budget, err, errWant)
		}
	}
}

// A cell is what its policy gives in streams of its own.
func TestACellIsItsPolicyAlone(t *testing.T) {
	m, path := labtest.StreamModel(t)
	classifier, head := labtest.NetworkFiles(t, 1)
	e, err := NewGrid(smallGrid(), path, classifier, head, filepath.Join(t.TempDir(), "r.json"), result.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 8*(6+8) || len(r.Overall) != 2*(6+8) || len(r.Summary) != 4*(6+8) {
		t.Fatalf("%d cells, %d lines of the summary, %d overall", len(r.Cells), len(r.Summary), len(r.Overall))
	}
	for _, c := range r.Cells {
		if c.Seed != 43 || c.Budget != 0.25 {
			continue
		}
		samples, err := tasks.Generate(pressureTask, 5, tasks.Params{Length: 64, Vocab: 128, Classes: 40, Position: tasks.Position(c.Position)},
			tasks.Draw{Keys: e.Config.SampleKeys, Seed: 43}.For(tasks.Eviction, 25))
		if err != nil {
			t.Fatal(err)
		}
		kept, right := 0, 0
		for n, s := range samples {
			memory, err := baee.New(baee.Config{Dim: 8, Layers: 2, Slots: 4, Policy: c.Policy, Protocol: c.Protocol, EntriesPerLayer: 4, Window: 16,
				Seed: 4325<<20 + uint64(n), Classifier: e.Classifier, Head: e.Head})
			if err != nil {
				t.Fatal(err)
			}
			stream, err := baee.NewStream(m, memory, 16)
			if err != nil {
				t.Fatal(err)
			}
			answer := 0
			if err := stream.Push(s.IDs, func(l []float32) error { answer = largest(l); return nil }); err != nil {
				t.Fatal(err)
			}
			stream.Close()
			if retained(memory, s.Targets) {
				kept++
			}
			if answer == int(s.Label) {
				right++
			}
		}
		if c.Retention.Correct != kept || c.Accuracy.Correct != right || c.Retention.N != 5 {
			t.Errorf("%+v: kept %d, right %d alone", c, kept, right)
		}
	}
}

// A run that is cut off and continued, on another number of processors, gives the same cells; other settings are refused.
func TestTheGridContinues(t *testing.T) {
	_, path := labtest.StreamModel(t)
	classifier, head := labtest.NetworkFiles(t, 1)
	run := func(ctx context.Context, output string, report func(GridCell, bool, int, int)) (*GridResult, error) {
		e, err := NewGrid(smallGrid(), path, classifier, head, output, result.Environment{})
		if err != nil {
			t.Fatal(err)
		}
		e.Report = report
		return e.Run(ctx)
	}
	whole, err := run(t.Context(), filepath.Join(t.TempDir(), "whole.json"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	output := filepath.Join(t.TempDir(), "new", "cut.json")
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := run(ctx, output, func(_ GridCell, _ bool, done, _ int) {
		if done > 20 {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatalf("cut off: %v", err)
	}
	before := 0
	continued, err := run(t.Context(), output, func(_ GridCell, old bool, _, _ int) {
		if old {
			before++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if before < 20 || before == len(whole.Cells) {
		t.Errorf("%d of %d cells were done before", before, len(whole.Cells))
	}
	if !reflect.DeepEqual(whole.Cells, continued.Cells) || !reflect.DeepEqual(whole.Summary, continued.Summary) {
		t.Error("the continued run differs from the whole one")
	}
	var file GridResult
	r, err := result.Read(output)
	if err != nil || !r.Complete {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.Details, &file); err != nil || !reflect.DeepEqual(file.Cells, whole.Cells) {
		t.Errorf("the file does not hold the cells: %v", err)
	}

	// With another classifier only what depends on it is run again.
	classifier, _ = labtest.NetworkFiles(t, 2)
	again := map[string]bool{}
	if _, err := run(t.Context(), output, func(c GridCell, old bool, _, _ int) {
		if !old {
			again[string(c.Protocol)+" "+c.Policy] = true
		}
	}); err != nil || !reflect.DeepEqual(again, map[string]bool{"strict baee": true}) {
		t.Errorf("run again: %v %v", again, err)
	}
	c := smallGrid()
	c.Samples = 6
	if _, err := NewGrid(c, path, classifier, head, output, result.Environment{}); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("other settings: %v", err)
	}
}

func TestGridMistakes(t *testing.T) {
	_, path := labtest.StreamModel(t)
	classifier, head := labtest.NetworkFiles(t, 1)
	for want, change := range map[string]func(c *GridConfig){
		"give at least one":                 func(c *GridConfig) { c.Seeds = nil },
		"budget 0: it must be above 0":      func(c *GridConfig) { c.Budgets = []float64{0} },
		"budget 0.5 is given twice":         func(c *GridConfig) { c.Budgets = []float64{0.5, 0.5} },
		`position "midst"`:                  func(c *GridConfig) { c.Positions = []string{"midst"} },
		"whole number of chunks of 16":      func(c *GridConfig) { c.Contexts = []int{72} },
		`protocol is "lax"`:                 func(c *GridConfig) { c.Protocols = []baee.Protocol{"lax"} },
		"none of the policies [tova] is in": func(c *GridConfig) { c.Policies = []string{"tova"} },
		`did you mean "fifo"`:               func(c *GridConfig) { c.Policies = []string{"fifi"} },
		"chunk of 65 tokens":                func(c *GridConfig) { c.Chunk = 65 },
		"is too small":                      func(c *GridConfig) { c.Contexts = []int{32} },
		"missing.safetensors: no such file": func(*GridConfig) { classifier = "missing.safetensors" },
	} {
		c, old := smallGrid(), classifier
		change(&c)
		_, err := NewGrid(c, path, classifier, head, filepath.Join(t.TempDir(), "r.json"), result.Environment{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		classifier = old
	}
	output := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(output, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewGrid(smallGrid(), path, classifier, head, output, result.Environment{}); err == nil || !strings.Contains(err.Error(), "not a valid result") {
		t.Errorf("got %v", err)
	}
}

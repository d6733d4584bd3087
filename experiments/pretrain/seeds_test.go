package pretrain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
)

// tiny are settings that train in a fraction of a second, with further seeds.
func tiny(further ...uint64) Settings {
	c := curriculum.Default()
	m := &c.Model
	m.Dim, m.Depth, m.Heads, m.VocabSize, m.MaxLen, m.NumClasses, m.EpisodicSlots = 16, 1, 2, 48, 64, 16, 4
	c.Curriculum, c.SamplesPerStage, c.EpochsPerStage, c.BatchSize, c.EvalSamples = []int{32}, 32, 2, 8, 32
	return Settings{Config: c, FurtherSeeds: further}
}

// seedsJob is a job of these settings in a folder.
func seedsJob(t *testing.T, dir string, s Settings) *lab.Job {
	t.Helper()
	j, _, err := lab.Standalone(Experiment(), s, nil, filepath.Join(dir, lab.PretrainFile), result.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// Further seeds leave a model each, and an accuracy each beside the mean over all; what the first one's training is
// stays as it is alone. Stopped within the second, the run goes on there and ends in the same.
func TestFurtherSeeds(t *testing.T) {
	alone, err := runPretrain(t.Context(), seedsJob(t, t.TempDir(), tiny()), tiny())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	whole, err := runPretrain(t.Context(), seedsJob(t, dir, tiny(43, 44)), tiny(43, 44))
	if err != nil {
		t.Fatal(err)
	}
	labtest.CheckOutcome(t, Experiment(), whole)
	if !reflect.DeepEqual(whole.Seeds, []uint64{42, 43, 44}) || len(whole.Details.(*Result).Further) != 2 {
		t.Errorf("seeds %v, %d further runs", whole.Seeds, len(whole.Details.(*Result).Further))
	}
	values := map[string]float64{}
	for _, seed := range []string{"42", "43", "44"} {
		m := labtest.Find(t, whole, result.Paper, "accuracy", result.Labels{"task": "overall", "seed": seed})
		values[seed] = m.Mean
	}
	one := labtest.Find(t, alone, result.Paper, "accuracy", result.Labels{"task": "overall"})
	mean := labtest.Find(t, whole, result.Paper, "accuracy", result.Labels{"task": "overall"})
	if want := (values["42"] + values["43"] + values["44"]) / 3; one.Mean != values["42"] || mean.Mean != want ||
		mean.N != 3*one.N {
		t.Errorf("alone %+v, by seed %v, mean %+v", one, values, mean)
	}
	models := map[string]string{}
	for _, name := range []string{lab.ModelFile, SeedFile(43), SeedFile(44), lab.CurvesSVG} {
		models[name] = read(t, filepath.Join(dir, name))
	}
	if models[lab.ModelFile] == models[SeedFile(43)] {
		t.Error("two seeds gave the same model")
	}

	dir = t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	j := seedsJob(t, dir, tiny(43, 44))
	j.Progress = func(done, total int) {
		if 2*done >= total {
			cancel()
		}
	}
	if _, err := runPretrain(ctx, j, tiny(43, 44)); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped run: %v", err)
	}
	var lines []string
	j = seedsJob(t, dir, tiny(43, 44))
	j.Line = func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	rest, err := runPretrain(t.Context(), j, tiny(43, 44))
	if err != nil || !reflect.DeepEqual(timeless(rest), timeless(whole)) {
		t.Errorf("after a stop %+v, without %+v (%v)", rest, whole, err)
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "seed 43 continues at step ") {
		t.Errorf("%q", lines)
	}
	for name, want := range models {
		if !strings.HasSuffix(name, ".svg") && read(t, filepath.Join(dir, name)) != want {
			t.Errorf("%s is another after a stop", name)
		}
	}
}

// timeless are the measurements that are no times.
func timeless(o *lab.Outcome) []result.Measurement {
	return slices.DeleteFunc(slices.Clone(o.Measurements), func(m result.Measurement) bool {
		return m.Metric == "training_time"
	})
}

// The time of a recipe is that of a step of each stage, as often as it has them; what a seed took is held against it
// where both were timed on one machine.
func TestTimeRecipe(t *testing.T) {
	c := tiny().Config
	c.Curriculum = []int{32, 64}
	timed, err := timeRecipe(t.Context(), c, 3)
	if err != nil || !reflect.DeepEqual(timed.Steps, []int{10, 10}) || len(timed.StepSeconds) != 2 {
		t.Fatalf("%+v (%v)", timed, err)
	}
	if a, b := timed.StepSeconds[0], timed.StepSeconds[1]; a <= 0 || b <= 0 || timed.seconds() != 10*a+10*b {
		t.Errorf("%+v: %g s", timed, timed.seconds())
	}
	here := result.Environment{Host: "here"}
	reference := &recipeTime{Machine: lab.MachineOf(here), Timed: 3, StepSeconds: []float64{1, 2}, Steps: []int{10, 20}}
	var lines []string
	for _, m := range times([]*Result{{Config: c, Environment: here, Cost: result.Cost{WallSeconds: 25}},
		{Config: c, Cost: result.Cost{WallSeconds: 25}}}, reference) {
		lines = append(lines, fmt.Sprint(m.Metric, " ", m.Labels["seed"], " ", m.Mean))
	}
	if want := []string{"training_time - 50", "training_time 42 25", "times_the_reference 42 0.5",
		"training_time 42 25"}; !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
}

// What a run that continues is held against is what it began with, on the same machine.
func TestReferenceIsTimedOnce(t *testing.T) {
	j := seedsJob(t, t.TempDir(), tiny(43))
	path := filepath.Join(t.TempDir(), "reference.json")
	noted := recipeTime{Machine: lab.MachineOf(j.Environment), Timed: 100, StepSeconds: []float64{1}, Steps: []int{7}}
	if err := files.WriteJSON(path, noted); err != nil {
		t.Fatal(err)
	}
	if got, err := timedReference(t.Context(), j, path, 100); err != nil || !reflect.DeepEqual(*got, noted) {
		t.Errorf("%+v (%v)", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	j.Environment.Host = "another"
	if _, err := timedReference(ctx, j, path, 100); err == nil {
		t.Error("the time of another machine was taken")
	}
}

// A seed that is there twice would be trained twice into one file.
func TestFurtherSeedsAreOthers(t *testing.T) {
	alone := tiny()
	alone.ReferenceSteps = 100
	if err := alone.Validate(); err == nil || !strings.HasPrefix(err.Error(), "reference_steps is 100") {
		t.Errorf("one seed against the reference: %v", err)
	}
	for _, s := range []Settings{tiny(42), tiny(43, 43)} {
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), "further_seeds is [4") {
			t.Errorf("%v: %v", s.FurtherSeeds, err)
		}
	}
}

// The profile strong trains its recipe, with three seeds, which nothing but their list changes.
func TestStrongSettings(t *testing.T) {
	s := Experiment().Settings(lab.Strong).(Settings)
	if !s.IsRecipe() || s.RecipeName() != curriculum.Strong || !reflect.DeepEqual(s.seeds(), []uint64{42, 43, 44}) {
		t.Errorf("%+v", s)
	}
	if full := Experiment().Settings(lab.Full).(Settings); !full.IsRecipe() || full.RecipeName() != curriculum.Reference ||
		len(full.FurtherSeeds) > 0 {
		t.Errorf("%+v", full)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

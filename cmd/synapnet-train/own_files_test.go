package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// ownFiles makes one file of every kind that the program writes, by name of the kind.
func ownFiles(t *testing.T) map[string]string {
	t.Helper()
	model, packed := exported(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name+".safetensors") }
	files := map[string]string{"model": model, "packed": packed}
	for _, name := range []string{"quantised", "snapshot", "classifier", "checkpoint"} {
		files[name] = path(name)
	}
	m, err := layers.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	if err := classifierOf(t, m.Config.Dim).Save(files["classifier"]); err != nil {
		t.Fatal(err)
	}
	o := qat.DefaultOptions()
	o.Targets, o.GroupSize = []qat.Target{qat.SSM}, 4
	q, err := qat.Prepare(m, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Save(files["quantised"]); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := piped(context.Background(), strings.NewReader(ids(40)), "stream", model, "--snapshot",
		files["snapshot"]); code != exitOK {
		t.Fatal(stderr)
	}
	conf := curriculum.Default()
	conf.Model = tinyModel()
	conf.Curriculum = []int{32}
	run, err := curriculum.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	run.CheckpointPath = files["checkpoint"]
	if err := run.Save(); err != nil {
		t.Fatal(err)
	}
	return files
}

// Wherever a file is read, one of the program's own of another kind is called what it is, with the command that takes
// it: never damaged, and no advice to convert it.
func TestOwnFilesAreCalledWhatTheyAre(t *testing.T) {
	files := ownFiles(t)
	said := map[string]string{
		"quantised": "a model with its quantisers in floating point, as cajq-3phase leaves it, not a model without them: " +
			"eval, stream, inspect and export take it",
		"snapshot": "the snapshot of a stream, not a model that runs: continue it with stream MODEL --restore FILE",
		"classifier": "a classifier of memory entries, not a model that runs: give it to stream, beside a model, with " +
			"--classifier",
		"model":  "a model in floating point, not a %s: eval, stream and export take it",
		"packed": "a packed model, not a %s: eval, stream and inspect take it",
	}
	output := filepath.Join(t.TempDir(), "out")
	check := func(kind, want string, words ...string) {
		t.Helper()
		code, _, stderr := piped(context.Background(), strings.NewReader(""), words...)
		if code != exitFailure || strings.Count(stderr, "\n") != 1 ||
			!strings.Contains(stderr, files[kind]+": this is "+want) {
			t.Errorf("%s given to %v: %d %s", kind, words[0], code, stderr)
		}
	}
	for _, kind := range []string{"quantised", "snapshot", "classifier"} {
		f := files[kind]
		for _, line := range [][]string{
			{"eval", f}, {"info", f}, {"inspect", f}, {"stream", f, "-"},
			{"cajq-3phase", "--checkpoint", f, "--output-dir", output},
			{"cajq-qat", "--checkpoint", f, "--output", output},
			{"baee-train", "--checkpoint", f, "--output-dir", output}, {"baee-grid", "--checkpoint", f, "--output", output},
			{"inspect", files["packed"], "--against", f},
		} {
			if kind == "quantised" && line[1] != "--checkpoint" {
				continue // it runs, and can be compared with: TestModelsWithQuantisersRun
			}
			check(kind, said[kind], line...)
		}
		if kind != "quantised" {
			check(kind, said[kind], "export", f, "--output", output)
		}
	}
	for _, kind := range []string{"model", "packed"} {
		check(kind, strings.ReplaceAll(said[kind], "%s", "snapshot"), "stream", files["model"], "--restore", files[kind])
		check(kind, strings.ReplaceAll(said[kind], "%s", "classifier"), "stream", files["model"], "--classifier", files[kind])
	}
	check("snapshot", "the snapshot of a stream, not a classifier: continue", "stream", files["model"], "--classifier",
		files["snapshot"])
	check("classifier", "a classifier of memory entries, not a snapshot: give", "stream", files["model"], "--restore",
		files["classifier"])
	success(t, "info", files["checkpoint"]) // a model with more in it
}

// eval, info and inspect agree on the number of parameters, packed or not.
func TestPackedParametersAreCounted(t *testing.T) {
	model, packed := exported(t, "--targets", "ssm", "ff", "head")
	m, err := layers.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	want := m.Params.Count()
	for _, path := range []string{model, packed} {
		r := decode[evaluationResult](t, "eval", path, "--contexts", "32", "--samples", "2", "--json")
		if r.Parameters != want {
			t.Errorf("eval %s: %d parameters, want %d", path, r.Parameters, want)
		}
	}
	if r := decode[qat.Inspection](t, "inspect", packed, "--json"); r.Parameters != want || r.PackedWeights == 0 {
		t.Errorf("inspect: %d parameters, %d packed, want %d", r.Parameters, r.PackedWeights, want)
	}
	if p, err := layers.Load(packed); err != nil || p.Parameters() != want || p.Config.Parameters() != want {
		t.Errorf("%v: the packed model has %d parameters, its configuration %d, want %d", err, p.Parameters(),
			p.Config.Parameters(), want)
	}
}

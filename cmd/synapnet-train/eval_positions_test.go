package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/layers"
)

// Squeezed and wrapped positions read nothing that lies beyond the trained context: two models that differ there alone
// answer alike, as they do not with plain positions. What was evaluated is in the JSON and in the heading.
func TestEvalPositions(t *testing.T) {
	const trained = 16
	a := smallModelFile(t, func(*layers.Config) {})
	m, err := layers.Load(a)
	if err != nil {
		t.Fatal(err)
	}
	for i := trained * m.Config.Dim; i < m.Embedding.Positions.Size(); i++ {
		m.Embedding.Positions.Param.Data()[i] *= -50
	}
	b := filepath.Join(t.TempDir(), "b.safetensors")
	if err := m.Save(b); err != nil {
		t.Fatal(err)
	}
	line := []string{"--contexts", "48", "--samples", "60"}
	answers := func(path string, flags ...string) (all []curriculum.Accuracy, p layers.Positions) {
		r := decode[evaluationResult](t, slices.Concat([]string{"eval", path, "--json"}, line, flags)...)
		for _, x := range r.Results {
			all = append(all, x.Accuracy)
		}
		return all, r.Positions
	}
	plain, p := answers(a)
	if other, _ := answers(b); slices.Equal(plain, other) || p != (layers.Positions{Mode: layers.PlainPositions}) {
		t.Fatalf("with plain positions both models give %v; %+v", plain, p)
	}
	for _, mode := range []layers.PositionMode{layers.SqueezePositions, layers.WrapPositions} {
		flags := []string{"--positions", string(mode), "--trained-context", "16"}
		x, p := answers(a, flags...)
		if y, _ := answers(b, flags...); !slices.Equal(x, y) || p != (layers.Positions{Mode: mode, Trained: trained}) {
			t.Errorf("%s: %v and %v, %+v", mode, x, y, p)
		}
	}
	out := success(t, slices.Concat([]string{"eval", a, "--positions", "wrap", "--trained-context", "16"}, line)...)
	if !strings.Contains(out, "seed 42, positions wrapped at 16\n") {
		t.Errorf("%s", out)
	}
	packed := filepath.Join(t.TempDir(), "packed.safetensors")
	success(t, "export", a, "--targets", "all", "--output", packed, "--calib-samples", "6")
	if _, p := answers(packed, "--positions", "squeeze", "--trained-context", "16"); p.Trained != trained {
		t.Errorf("%+v", p)
	}
}

// A model of own data tells at which context it was trained; its data and benchmarks are evaluated alike.
func TestEvalPositionsOfOwnData(t *testing.T) {
	t.Chdir(t.TempDir())
	model := walker(t)
	walks(t, "qa1.json", 200, 30)
	m, err := layers.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	reading, err := curriculum.ReadingOf(m.Extra)
	if err != nil {
		t.Fatal(err)
	}
	want := layers.Positions{Mode: layers.SqueezePositions, Trained: reading.Context}
	line := []string{"eval", model, "--contexts", "32", "--positions", "squeeze"}
	own := decode[ownEvaluation](t, append(line, "--data", "qa1.json", "--json")...)
	bench := decode[benchmarkEvaluation](t, append(line, "--benchmark", "babilong=qa1.json", "--json")...)
	if reading.Context == 0 || own.Positions != want || bench.Positions != want || own.Context != 32 ||
		own.Accuracy != *bench.Results[0].Accuracy {
		t.Errorf("%+v: %+v, %+v", want, own, bench)
	}
	for _, of := range []string{"--data=qa1.json", "--benchmark=babilong=qa1.json"} {
		if out := success(t, append(line, of)...); !strings.Contains(out, "positions squeezed into ") {
			t.Errorf("%s: %s", of, out)
		}
	}
}

func TestEvalPositionsMistakes(t *testing.T) {
	path := smallModelFile(t, func(*layers.Config) {})
	start := "eval " + path + " --contexts 32 "
	mistakes(t, map[string]string{
		start + "--positions fold":     "--positions fold: it must be plain, squeeze or wrap",
		start + "--positions wrap":     "does not tell at which contexts it was trained: give --trained-context",
		start + "--trained-context 16": "--trained-context 16: it goes with --positions squeeze or wrap",
		start + "--positions wrap --trained-context 65": "--trained-context 65: it must be from 8 to the model's 64 " +
			"positions (max_len)",
		start + "--positions squeeze --trained-context 0": "--trained-context 0: it must be from 8",
	})
}

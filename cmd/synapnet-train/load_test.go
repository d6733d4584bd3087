package main

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/qat"
)

// runsAsPacked checks that eval, info, inspect, stream and export take a model with its quantisers: it scores what its
// packed file scores, and inspect shows what export packs.
func runsAsPacked(t *testing.T, model string) {
	t.Helper()
	packed := packedName(model)
	success(t, "export", model, "--force")
	scores := func(path string) evaluationResult {
		return decode[evaluationResult](t, "eval", path, "--contexts", "32", "--samples", "40", "--json")
	}
	simulated, held := scores(model), scores(packed)
	if simulated.Parameters != held.Parameters {
		t.Errorf("%s: %d parameters, packed %d", model, simulated.Parameters, held.Parameters)
	}
	for i, r := range held.Results { // scales in half precision may turn a sample or two
		if s := simulated.Results[i]; s.N != r.N || max(s.Correct-r.Correct, r.Correct-s.Correct) > 2 {
			t.Errorf("%s: %+v, packed %+v", model, s, r)
		}
	}
	shown := decode[qat.Inspection](t, "inspect", model, "--json")
	if written := decode[qat.Inspection](t, "inspect", packed, "--json"); !reflect.DeepEqual(shown, written) {
		t.Errorf("%s: %+v, packed %+v", model, shown, written)
	}
	if d := decode[description](t, "info", model, "--json"); d.Parameters != shown.Parameters {
		t.Errorf("%s: %+v", model, d)
	}
	if s := decode[streamSummary](t, "stream", model, "--random-tokens", "50", "--json"); s.Tokens != 50 {
		t.Errorf("%s: %+v", model, s)
	}
	if _, _, stderr := real(t, "eval", model); !strings.Contains(stderr, "computes through the simulation of its "+
		"quantisers; 'synapnet-train export "+model+"' packs it\n") {
		t.Errorf("%s: %s", model, stderr)
	}
}

// What trainings through quantisers leave runs: the model and a checkpoint of a three-phase run, the variants that
// cajq-qat keeps.
func TestModelsWithQuantisersRun(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("run.toml", []byte(tinyThreePhase), 0o600); err != nil {
		t.Fatal(err)
	}
	success(t, "cajq-3phase", "--config", "run.toml")
	runsAsPacked(t, "runs/cajq-3phase/model.safetensors")
	stopped(t, "cajq-3phase --config run.toml --output-dir cut", "qat, epoch 2 ")
	runsAsPacked(t, "cut/checkpoint.safetensors")
	success(t, cajqLine(t, "r.json", "--seeds 42 --variants cajq_full --save kept")...)
	runsAsPacked(t, "kept/cajq_full-42.safetensors")
}

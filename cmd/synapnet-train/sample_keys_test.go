package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// learnt is a training that learns its 64 samples by heart.
const learnt = "pretrain --curriculum 32 --dim 48 --depth 1 --heads 2 --vocab 256 --max-len 64 --num-classes 16 " +
	"--episodic-slots 8 --samples-per-stage 64 --epochs-per-stage 100 --batch-size 16 --lr 3e-3 --warmup-steps 5 " +
	"--weight-decay 0 --eval-samples 16 --seed 9042"

// evaluated is the accuracy on the looked-up task, the samples of which the training of seed 9042 had, had it seed 42 +
// 9000.
func evaluated(t *testing.T, flags string) (accuracy float64) {
	t.Helper()
	code, stdout, stderr := synapnet(t.Context(), t,
		"eval r/model.safetensors --json --contexts 32 --samples 19 --tasks niah_multi_key "+flags)
	var r struct {
		Plan struct {
			Purpose    string `json:"purpose"`
			SampleKeys int    `json:"sample_keys"`
		} `json:"plan"`
		Results []struct{ Mean float64 } `json:"results"`
	}
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil || len(r.Results) != 1 {
		t.Fatalf("%d %v %s", code, err, stderr)
	}
	want := 2
	if strings.Contains(flags, "--sample-keys 1") {
		want = 1
	}
	if r.Plan.Purpose != "evaluation" || r.Plan.SampleKeys != want {
		t.Errorf("%s: the plan is recorded as %+v", flags, r.Plan)
	}
	return r.Results[0].Mean
}

// No evaluation is on what the model was trained on, whatever the two seeds. With the old keys of samples, seed 42 is.
func TestEvalIsNeverOnTrainingData(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("old.toml", []byte("sample_keys = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	trained(t, learnt+" --output-dir r --config old.toml")
	if by := evaluated(t, "--seed 42 --sample-keys 1"); by < 0.8 {
		t.Fatalf("%.3f of the training samples are right: this test shows nothing", by)
	}
	// The same model is tested on samples of its own with the new keys, and so is one that was trained with them.
	if a := evaluated(t, "--seed 42"); a > 0.6 {
		t.Errorf("trained with the old keys: %.3f right", a)
	}
	if err := os.RemoveAll("r"); err != nil {
		t.Fatal(err)
	}
	trained(t, learnt+" --output-dir r")
	for _, seed := range []string{"42", "9042", "0"} {
		if a := evaluated(t, "--seed "+seed); a > 0.6 {
			t.Errorf("seed %s: %.3f right", seed, a)
		}
	}
	refusal(t, exitUsage, "eval r/model.safetensors --sample-keys 3", "--sample-keys 3: must be 1 or 2")
}

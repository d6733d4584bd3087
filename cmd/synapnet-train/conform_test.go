package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

const golden = "../../experiments/conform/testdata/"

// Every golden file that comes with the program passes, with a line for each tensor and one for each file.
func TestConform(t *testing.T) {
	files, err := filepath.Glob(golden + "model-*.safetensors")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v %v", files, err)
	}
	files = append(files, golden+"train-adamw.safetensors")
	code, stdout, stderr := synapnet(t.Context(), t, "conform", files...)
	if code != exitOK || stderr != "" || strings.Contains(stdout, "FAIL") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	for _, text := range []string{
		"ok    out.logits", "ok    g.blocks.1.attn.to_q.weight", "ok    out.streaming_logits", "ok    w6.head.weight",
		"largest error ",
		"ok    " + golden + "model-dense.safetensors: forward and gradients: ",
		"model-external-memory.safetensors: external memory and streaming: 2 of 2 tensors within tolerance",
		"train-adamw.safetensors: optimiser steps: ",
	} {
		if !strings.Contains(stdout, text) {
			t.Errorf("no %q in\n%s", text, stdout)
		}
	}
	code, quiet, stderr := synapnet(t.Context(), t, "conform --quiet", files...)
	if code != exitOK || stderr != "" || strings.Count(quiet, "\n") != len(files) {
		t.Errorf("--quiet: %d %s%s", code, quiet, stderr)
	}
}

// tampered is a golden file in which one value of a tensor is another.
func tampered(t *testing.T, name, tensor string, by float32) string {
	t.Helper()
	f, err := safetensors.Read(golden + name)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range f.Tensors {
		if x.Name != tensor {
			continue
		}
		v, err := x.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		v[len(v)/2] += by
		f.Tensors[i] = safetensors.FromFloat32(x.Name, x.Shape, v)
		path := filepath.Join(t.TempDir(), name)
		if err := safetensors.Write(path, f); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Fatalf("no tensor %s", tensor)
	return ""
}

// One value outside tolerance, of an output or of a weight that leads to one, is status 1 and named; the other files
// are still compared.
func TestConformFindsOneWrongValue(t *testing.T) {
	for tensor, file := range map[string]string{
		"out.logits":                   "model-dense.safetensors",
		"g.blocks.0.ssm.dwconv.weight": "model-nobridge.safetensors",
		"out.streaming_logits":         "model-external-memory.safetensors",
		"out.losses":                   "train-adamw.safetensors",
		"out.membank.1":                "model-sparse.safetensors",
	} {
		path := tampered(t, file, tensor, 0.01)
		code, stdout, stderr := synapnet(t.Context(), t, "conform --quiet "+path+" "+golden+"model-dense.safetensors")
		if code != exitFailure || stderr != "synapnet-train: 1 file outside tolerance\n" {
			t.Errorf("%s: %d %s", tensor, code, stderr)
		}
		if lines := strings.Split(stdout, "\n"); len(lines) != 4 ||
			!strings.HasPrefix(lines[0], "FAIL  "+tensor+"  largest error 0.01") ||
			!strings.HasPrefix(lines[1], "FAIL  "+path+": ") || !strings.HasPrefix(lines[2], "ok    ") {
			t.Errorf("%s:\n%s", tensor, stdout)
		}
	}
	if code, stdout, _ := synapnet(t.Context(), t, "conform --quiet "+
		tampered(t, "model-dense.safetensors", "w.head.bias", 0.01)); code != exitFailure ||
		!strings.Contains(stdout, "FAIL  out.logits") {
		t.Errorf("another weight: %d %s", code, stdout)
	}
	if code, stdout, _ := synapnet(t.Context(), t, "conform --quiet "+
		tampered(t, "model-dense.safetensors", "out.logits", 1e-6)); code != exitOK {
		t.Errorf("a difference within tolerance: %d %s", code, stdout)
	}
}

// What is no file of golden tensors is refused in one line.
func TestConformRefuses(t *testing.T) {
	dir := t.TempDir()
	m, err := layers.NewModel(tinyModel(), 1)
	if err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(dir, "model.safetensors")
	if err := m.Save(model); err != nil {
		t.Fatal(err)
	}
	refusal(t, exitUsage, "conform", "no file given: name one or more files of golden tensors")
	refusal(t, exitUsage, "conform --quite x", "unknown flag --quite (did you mean --quiet?)")
	refusal(t, exitFailure, "conform "+filepath.Join(dir, "absent"), filepath.Join(dir, "absent")+
		": no such file or directory")
	refusal(t, exitFailure, "conform "+model, model+": not a file of golden tensors")
	refusal(t, exitFailure, "conform conform_test.go", "conform_test.go: ")
	refusal(t, exitFailure, "conform "+dir, dir)
}

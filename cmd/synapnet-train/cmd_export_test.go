package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
	"github.com/synapnet/synapnet-train/qat"
)

// exported packs a small model and returns both files.
func exported(t *testing.T, words ...string) (model, packed string) {
	t.Helper()
	model = smallModelFile(t, func(*layers.Config) {})
	packed = filepath.Join(t.TempDir(), "packed.safetensors")
	success(t, append([]string{"export", model, "--output", packed, "--calib-samples", "6"}, words...)...)
	return model, packed
}

func TestExport(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	packed := filepath.Join(t.TempDir(), "packed.safetensors")
	line := []string{"export", model, "--targets", "all", "--output", packed, "--calib-samples", "6"}
	stdout := success(t, line...)
	for _, want := range []string{packed, "packed weights", "whole model", "smaller than FP16",
		"INT8 when they are read"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	m, err := layers.Load(packed)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(packedWeights(m)); n != 2*(2+4+4+1+2+2)+1+2 {
		t.Errorf("%d packed weights", n)
	}
	// The packed file runs wherever a model does, and the same command gives the same bytes.
	success(t, "eval", packed, "--contexts", "32", "--samples", "3")
	first, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	success(t, append(line, "--force")...)
	if again, err := os.ReadFile(packed); err != nil || !slices.Equal(first, again) {
		t.Errorf("the second export differs (%v)", err)
	}
}

// What --scheme names is a target beside those that --targets names, or beside the usual ones.
func TestExportedSchemesAreTargets(t *testing.T) {
	for words, want := range map[string][]string{
		"--scheme ff=int8":                 {"blocks.0.attn.to_q.weight int4", "blocks.0.ff.3.weight int8"},
		"--targets ssm --scheme head=seq2": {"blocks.0.ssm.gate.weight seq2", "head.weight seq2"},
	} {
		_, packed := exported(t, strings.Fields(words)...)
		m, err := layers.Load(packed)
		if err != nil {
			t.Fatal(err)
		}
		weights := packedWeights(m)
		for _, w := range want {
			name, of, _ := strings.Cut(w, " ")
			if p := weights[name]; p == nil || p.Spec().Scheme != of {
				t.Errorf("export %s: %s is not packed as %s", words, name, of)
			}
		}
	}
}

// Ctrl-C ends an export while it calibrates, and no file is written.
func TestExportIsInterrupted(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	packed := filepath.Join(t.TempDir(), "packed.safetensors")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	code := run(ctx, []string{program, "export", model, "--output", packed, "--calib-samples", "6"}, &out, &errs)
	if code != exitInterrupted || !strings.HasSuffix(errs.String(), "calibration: interrupted after 0 of 2 batches\n") {
		t.Errorf("%d %s", code, errs.String())
	}
	if _, err := os.Stat(packed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the packed file: %v, want that there is none", err)
	}
}

// A checkpoint with quantisers is packed as it is.
func TestExportOfATrainedModel(t *testing.T) {
	dir := t.TempDir()
	m, err := layers.Load(smallModelFile(t, func(*layers.Config) {}))
	if err != nil {
		t.Fatal(err)
	}
	o := qat.DefaultOptions()
	o.Targets, o.GroupSize = []qat.Target{qat.SSM, qat.FF}, 4
	q, err := qat.Prepare(m, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, packed := filepath.Join(dir, "qat.safetensors"), filepath.Join(dir, "packed.safetensors")
	if err := q.Save(checkpoint); err != nil {
		t.Fatal(err)
	}
	success(t, "export", checkpoint, "--output", packed)
	p, err := layers.Load(packed)
	if err != nil {
		t.Fatal(err)
	}
	if s := packedWeights(p)["blocks.1.ff.3.weight"].Spec(); s.Group != 4 || len(packedWeights(p)) != 2*(2+2) {
		t.Errorf("%+v", s)
	}
	success(t, "inspect", packed, "--against", checkpoint)
	code, _, stderr := real(t, "export", checkpoint, "--output", packed, "--force", "--targets", "ssm")
	if code != exitUsage || !strings.Contains(stderr, "--targets: "+checkpoint+" was trained with its quantisers") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestExportMistakes(t *testing.T) {
	t.Chdir(t.TempDir()) // without a model to take
	model := smallModelFile(t, func(*layers.Config) {})
	bare := smallModelFile(t, func(c *layers.Config) { c.UseScaleBridge = false })
	out := " --output " + filepath.Join(t.TempDir(), "x.safetensors")
	mistakes(t, map[string]string{
		"export" + out:                                    "or name a MODEL.safetensors",
		"export a b" + out:                                "2 files given",
		"export " + model + " --output=":                  `--output "": it is empty`,
		"export " + model + out + " --targets smm":        `did you mean "ssm"?`,
		"export " + model + out + " --targets ssm ssm":    "ssm is given twice",
		"export " + bare + out + " --targets bridge":      "synapnet without ScaleBridge (use_scale_bridge)",
		"export " + model + out + " --targets all ssm":    "--targets all ssm: all are every one; name no others",
		"export " + model + out + " --group-size 9":       "--group-size 9: it must be from 2 to the 8 inputs",
		"export " + model + out + " --head-bits 5":        "--head-bits 5: it must be 4 or 8",
		"export " + model + out + " --step-init best":     `--step-init "best": it must be one of max, mse`,
		"export " + model + out + " --calib-samples 0":    "--calib-samples 0: must be from 1",
		"export " + model + out + " --calib-context 65":   "--calib-context 65: must be from 8 to the model's 64 positions",
		"export " + model + out + " --salient-fraction 1": "--salient-fraction 1: it must be at least 0 and below 1",
		"export " + model + out +
			" --scheme ssm=int5": `--scheme ssm=int5: there is no scheme "int5"; give one of seq2, int4, int8`,
		"export " + model + out + " --scheme ssm":                      `--scheme "ssm": want TARGET=NAME`,
		"export " + model + out + " --scheme memory=int8":              `names "memory", whose entries are no weights`,
		"export " + model + out + " --scheme ssm=paper7":               "holds paper7; give one of seq2, int4, int8",
		"export " + model + out + " --scheme ff=int8 --scheme ff=int4": "ff is given the scheme int8 already",
		"export " + model + out +
			" --scheme ff=int4_float32": "no packed file holds int4_float32; give one of seq2, int4, int8",
		"export " + model + out +
			" --embedding-bits 4 --scheme embeddings=int8": "--embedding-bits 4: --scheme embeddings=int8 says it, too",
		"export " + model + out + " --head-bits 4": "--head-bits 4: head is no target; give --targets with head",
	})
}

// A model in half precision takes half the bytes and answers as it did; what half precision does not hold is told.
func TestExportHalf(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	m, err := layers.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params.All() {
		if p.Name == "head.bias" {
			p.Data()[0] = 1e-7
			continue
		}
		for i := range p.Data() {
			p.Data()[i] *= 20 // answers differ from sample to sample
		}
	}
	if err := m.Save(model); err != nil {
		t.Fatal(err)
	}
	half := halfName(model)
	stdout, stderr := trained(t, "export "+model+" --half")
	if !strings.HasPrefix(stdout, half+"\n") || !strings.Contains(stdout, "head.bias stays in float32") ||
		!strings.Contains(stderr, "next: synapnet-train eval "+half) {
		t.Errorf("%s%s", stdout, stderr)
	}
	sizes := map[string]int64{}
	for _, path := range []string{model, half} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes[path] = info.Size()
	}
	if n := int64(m.Params.Count()); sizes[model]-sizes[half] < 2*n-100 {
		t.Errorf("%d bytes of %d with %d parameters", sizes[half], sizes[model], n)
	}
	of := func(path string) string {
		stdout, _ := trained(t, "eval "+path+" --contexts 64 --samples 200")
		_, rows, _ := strings.Cut(stdout, "\n")
		return rows
	}
	if was, is := of(model), of(half); was != is || len(was) == 0 {
		t.Errorf("in float32:\n%s\nin half precision:\n%s", was, is)
	}
	mistakes(t, map[string]string{
		"export " + model + " --half --targets ssm": "--targets: nothing is quantised with --half",
	})
	refusal(t, exitFailure, "export "+model+" --half --force", "it exists, and --half replaces no file")
}

// What is there is kept: an output that exists, the model itself, and an output whose export fails.
func TestExportOverwritesNothing(t *testing.T) {
	model, packed := exported(t)
	before, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	corrupt := filepath.Join(t.TempDir(), "corrupt.safetensors")
	data, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-5] ^= 1
	if err := os.WriteFile(corrupt, data, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(packed)
	for line, want := range map[string]string{
		"export " + model + " --output " +
			packed: "it exists; name another file, or replace it with --force",
		"export " + model + " --force --output " + model:               "is the same file as MODEL",
		"export " + corrupt + " --force --output " + packed:            "the file was damaged",
		"export " + packed + " --output " + dir + "/y":                 "the model is packed",
		"export " + model + " --force --output " + dir:                 "it is a folder, not a file",
		"export " + model + " --output " + dir + "/absent/y":           "there is no directory",
		"export " + dir + "/absent --output " + dir + "/y":             "no such file",
		"export " + model + " --targets memory --output " + dir + "/y": "quantise no weights",
	} {
		code, stdout, stderr := real(t, strings.Fields(line)...)
		status := exitFailure
		if strings.Contains(stderr, "export --help") {
			status = exitUsage
		}
		if code != status || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s:\n got %d %s%s\nwant 1 and %q", line, code, stdout, stderr, want)
		}
	}
	if after, err := os.ReadFile(packed); err != nil || !slices.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestInspect(t *testing.T) {
	model, packed := exported(t, "--targets", "all", "--head-bits", "8")
	stdout := success(t, "inspect", packed, "--against", model)
	for _, want := range []string{"tensor ", "bits/weight", "rms error", "blocks.1.ssm.gate.weight ", "seq2", "int4",
		"int8", "f16", "packed weights", "whole model"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	r := decode[qat.Inspection](t, "inspect", packed, "--against", model, "--json")
	info, err := os.Stat(packed)
	if err != nil {
		t.Fatal(err)
	}
	if r.FileBytes != info.Size() || r.WholeCompression != 2*float64(r.Parameters)/float64(info.Size()) ||
		len(r.Tensors) == 0 {
		t.Errorf("%+v", r)
	}
}

func TestInspectMistakes(t *testing.T) {
	model, packed := exported(t)
	other := smallModelFile(t, func(c *layers.Config) { c.Depth = 1 })
	changed := func(name string, change func(data []byte) []byte) string {
		data, err := os.ReadFile(packed)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, change(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	version := func() string {
		f, err := safetensors.Read(packed)
		if err != nil {
			t.Fatal(err)
		}
		f.Metadata["packed"] = strings.Replace(f.Metadata["packed"], `"version":1`, `"version":7`, 1)
		path := filepath.Join(t.TempDir(), "version.safetensors")
		if err := safetensors.Write(path, f); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mistakes(t, map[string]string{
		"inspect":     "or name a MODEL.safetensors",
		"inspect a b": "2 files given",
	})
	for line, want := range map[string]string{
		"inspect " + model: "the model is not packed",
		"inspect " + changed("flipped", func(b []byte) []byte { b[len(b)-9] ^= 16; return b }): "the file was damaged",
		"inspect " + changed("short", func(b []byte) []byte { return b[:len(b)-9] }):           "reach beyond",
		"inspect " + version():                                 "packed layout version 7: this program reads version 1",
		"eval " + version() + " --contexts 32":                 "packed layout version 7: this program reads version 1",
		"inspect " + packed + " --against " + other:            "the one to compare with: it has depth 2, not 1",
		"inspect " + packed + " --against " + packed:           "--against " + packed + ": the model is packed",
		"inspect " + packed + " --against " + packed + ".none": "no such file",
	} {
		code, stdout, stderr := real(t, strings.Fields(line)...)
		if code != exitFailure || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s:\n got %d %s%s\nwant 1 and %q", line, code, stdout, stderr, want)
		}
	}
}

// packedWeights are those in packed form, by name.
func packedWeights(m *layers.Model) map[string]*scheme.Packed {
	packed := map[string]*scheme.Packed{}
	for _, w := range m.Params.Weights() {
		if w.Packed != nil {
			packed[w.Name] = w.Packed
		}
	}
	return packed
}

// export --qat-steps trains through the quantisers before it packs them: the same file each time, another than without.
// A training that is interrupted writes none.
func TestExportTrains(t *testing.T) {
	t.Chdir(t.TempDir())
	model := smallModelFile(t, func(c *layers.Config) { c.VocabSize = 128 })
	packed := func(name, flags string) []byte {
		t.Helper()
		success(t, strings.Fields("export "+model+" --targets all --calib-samples 4 --output "+name+flags)...)
		bytes, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	const flags = " --qat-steps 3 --qat-batch 2"
	trained, plain := packed("trained", flags), packed("plain", "")
	if !bytes.Equal(trained, packed("again", flags)) || bytes.Equal(trained, plain) {
		t.Errorf("%d and %d bytes", len(trained), len(plain))
	}
	stderr := stopped(t, "export "+model+" --output cut"+flags, "step 2/3")
	if _, err := os.Stat("cut"); !strings.HasSuffix(stderr, "interrupted at step 2; nothing was written\n") || err == nil {
		t.Errorf("%v %s", err, stderr)
	}
	mistakes(t, map[string]string{
		"export --output x --qat-steps -1 " + model:             "--qat-steps -1: it must be 0, for no training, or more",
		"export --output x --qat-steps 1 --qat-ctx 65 " + model: "--qat-ctx 65: it must be from 8 to the model's max_len",
		"export --output x --qat-batch 4 " + model:              "--qat-batch 4: it goes with --qat-steps N",
	})
}

// eval counts the parameters of the model, and not the numbers of the file, whatever they are packed in.
func TestEvalCountsPackedParameters(t *testing.T) {
	t.Chdir(t.TempDir())
	visits(t, "train.jsonl", 0, 120)
	visits(t, "held.jsonl", 200, 30)
	trained(t, "pretrain --data train.jsonl --tokenizer words --output-dir run"+smallRun)
	m, err := layers.Load("run/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	want := m.Config.Parameters()
	success(t, strings.Fields("export run/model.safetensors --data train.jsonl --targets all --output "+
		"packed.safetensors")...)
	for _, model := range []string{"run/model.safetensors", "packed.safetensors"} {
		own := decode[ownEvaluation](t, strings.Fields("eval "+model+" --data held.jsonl --json")...)
		tasks := decode[evaluationResult](t, strings.Fields("eval "+model+" --tasks niah_single --contexts 32 --samples 2 "+
			"--json")...)
		if own.Parameters != want || tasks.Parameters != want || m.Params.Count() != want {
			t.Errorf("%s: %d on data, %d on tasks, the model has %d", model, own.Parameters, tasks.Parameters, want)
		}
		if out := success(t, "eval", model, "--data", "held.jsonl"); !strings.Contains(out, grouped(want)+" parameters, ") {
			t.Errorf("%s: %s", model, out)
		}
	}
}

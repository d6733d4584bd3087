package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers"
)

// matched is the model of architecture a that matches the reference.
func matched(t *testing.T, a layers.Architecture, reference layers.Config) layers.Config {
	t.Helper()
	c, err := layers.MatchedConfig(a, reference)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestInfoOfBaselines(t *testing.T) {
	for _, name := range layers.BuiltinArchitectures()[1:] {
		c := matched(t, layers.Architecture(name), layers.Reference())
		d := decode[description](t, "info", "--json", "--contexts", "512", "--batch-size", "1", "--architecture", name)
		if !d.Config.Equal(c) || d.Parameters != c.Parameters() {
			t.Errorf("%s: %d parameters of %+v, want %+v", name, d.Parameters, d.Config, c)
		}
		total := 0
		for _, k := range d.Components {
			total += k.Parameters
		}
		if total != d.Parameters {
			t.Errorf("%s: the components have %d parameters of %d", name, total, d.Parameters)
		}
		if text := success(t, "info", "--verbose", "--contexts", "512", "--batch-size", "1", "--architecture",
			name); !strings.Contains(text, name+": dim") ||
			strings.Contains(text, "memory slots") != c.Architecture.HasMemory() || strings.Contains(text, "ScaleBridge") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// The flag and the file mean the same; what else they give is taken.
func TestArchitectureFromFlagsAndFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte("[model]\narchitecture = \"mamba2\"\ndepth = 4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := matched(t, layers.Mamba2, layers.Reference())
	want.Depth = 4
	for _, words := range [][]string{{"--config", path}, {"--architecture", "mamba2", "--depth", "4"},
		{"--config", path, "--architecture", "mamba2"}} {
		if d := decode[description](t, append([]string{"info", "--json", "--contexts", "64"},
			words...)...); !d.Config.Equal(want) {
			t.Errorf("%v: got %+v, want %+v", words, d.Config, want)
		}
	}
	reference := layers.Reference()
	reference.VocabSize = 512
	d := decode[description](t, "info", "--json", "--contexts", "64", "--vocab", "512", "--architecture", "llama")
	if !d.Config.Equal(matched(t, layers.Llama, reference)) {
		t.Errorf("matched at another vocabulary: %+v", d.Config)
	}
	if d := decode[description](t, "info", "--json", "--contexts", "64", "--architecture",
		"synapnet"); !d.Config.Equal(layers.Reference()) {
		t.Errorf("synapnet: %+v", d.Config)
	}
}

func TestArchitectureMistakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte("[model]\narchitecture = \"lama\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	allowed := `architecture is "lama": it must be one of ` + strings.Join(layers.Architectures(), ", ")
	refusal(t, exitUsage, "info --architecture lama", "--"+allowed)
	refusal(t, exitUsage, "pretrain --architecture lama", "--"+allowed)
	refusal(t, exitUsage, "pretrain --config "+path, path+":2: model."+allowed)
	refusal(t, exitUsage, "info --architecture llama --dim 63", "--heads 6: it must divide dim (63)")
}

// A baseline is pretrained, resumed, evaluated and described as the reference model is. It has no stream and no CAJQ.
func TestBaselinesAreTrained(t *testing.T) {
	for _, name := range layers.BuiltinArchitectures()[1:] {
		dir := filepath.Join(t.TempDir(), name)
		trained(t, "pretrain "+tiny+" --curriculum 32 --seed 7 --architecture "+name+" --output-dir "+dir)
		model := filepath.Join(dir, "model.safetensors")
		m, err := layers.Load(model)
		if err != nil {
			t.Fatal(err)
		}
		if m.Config.Architecture.String() != name || m.Config.Dim != 16 || m.Config.Depth != 1 {
			t.Errorf("%s: %+v", name, m.Config)
		}
		if text := success(t, "info", model, "--contexts", "32"); !strings.Contains(text, name+": dim 16, depth 1") {
			t.Errorf("%s:\n%s", name, text)
		}
		success(t, "eval", model, "--contexts", "32", "--samples", "8", "--tasks", "niah_single")
		refusal(t, exitFailure, "stream "+model+" "+textFile(t, strings.Repeat("5 ", 64))+" --chunk-size 32", "architecture "+
			name+",")
	}
}

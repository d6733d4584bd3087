package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// mlpBlock is the block of an architecture that is registered here as another module would: x + SwiGLU(x), without any
// way from one token to another.
type mlpBlock struct{ ffn *layers.SwiGLU }

func (b mlpBlock) Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node {
	x = layers.Wanted(g, x, last)
	return graph.Sum(g, x, b.ffn.Forward(g, x))
}

func init() {
	width := func(c layers.Config) int { return int(c.Option("widening") * float64(c.Hidden())) }
	err := layers.RegisterArchitecture(layers.ArchitectureSpec{
		Name: "mlp", Doc: "a feed-forward alone", Causal: true, Options: map[string]float64{"widening": 1},
		Block: func(ps *layers.Params, name string, _ int, c layers.Config) layers.Block {
			return mlpBlock{layers.NewSwiGLU(ps, name+".ffn", c.Dim, width(c))}
		},
		Uses: []layers.Use{{Component: layers.FeedForwardComponent, Rows: layers.WantedRows}},
	})
	if err != nil {
		panic(err)
	}
}

// tomlFile writes a configuration.
func tomlFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A registered architecture, and layers in SynapNet's blocks, go through all commands: pretrain and --resume, info,
// eval, export, inspect, eval of the packed file, and stream, which refuses blocks without memory.
func TestRegisteredGoThroughAllCommands(t *testing.T) {
	for name, text := range map[string]string{
		"mlp":    "[model]\narchitecture = \"mlp\"\n[model.options]\nwidening = 2\n",
		"swiglu": "[model]\nblock_layers = [\"swiglu\", \"swiglu\"]\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			whole, half := filepath.Join(dir, "whole"), filepath.Join(dir, "half")
			line := "pretrain " + tiny + " --curriculum 32 --config " + tomlFile(t, text) + " --output-dir "
			trained(t, line+whole)
			stopped(t, line+half, "step 1/")
			trained(t, "pretrain --resume --output-dir "+half)
			model := filepath.Join(whole, "model.safetensors")
			m, err := layers.Load(model)
			if err != nil {
				t.Fatal(err)
			}
			other, err := layers.Load(filepath.Join(half, "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			if !other.Config.Equal(m.Config) || other.WeightsSHA256() != m.WeightsSHA256() {
				t.Errorf("resumed, the run ends in another model: %+v", other.Config)
			}
			d := decode[description](t, "info", model, "--json", "--contexts", "32")
			if d.Parameters != m.Parameters() || !d.Config.Equal(m.Config) {
				t.Errorf("info: %d parameters of %d, %+v", d.Parameters, m.Parameters(), d.Config)
			}
			if text := success(t, "info", model, "--contexts", "32"); !strings.Contains(text, name) {
				t.Errorf("info:\n%s", text)
			}
			evaluation := []string{"--contexts", "32", "--samples", "8", "--tasks", "niah_single"}
			success(t, append([]string{"eval", model}, evaluation...)...)
			packed := filepath.Join(dir, "packed.safetensors")
			success(t, "export", model, "--targets", "layers", "--group-size", "8", "--output", packed)
			if text := success(t, "inspect", packed); !strings.Contains(text, "blocks.0.") {
				t.Errorf("inspect:\n%s", text)
			}
			success(t, append([]string{"eval", packed}, evaluation...)...)
			stream := "stream " + packed + " --policy fifo --chunk-size 32 " + textFile(t, strings.Repeat("5 ", 64))
			if name == "mlp" {
				refusal(t, exitFailure, stream, "architecture mlp, whose blocks have no memory from chunk to chunk")
				refusal(t, exitUsage, "export "+model+" --targets ssm --output "+packed+"2", `"ssm"`,
					"it has layers, embeddings, head")
			} else {
				trained(t, stream)
			}
		})
	}
}

// Mistakes in a configuration name the key and what was meant.
func TestRegisteredMistakes(t *testing.T) {
	for want, text := range map[string]string{
		`model.block_layers is "swigul": it must be swiglu`: "[model]\nblock_layers = [\"swigul\"]\n",
		`: did you mean "widening"?`: "[model]\narchitecture = " +
			"\"mlp\"\n[model.options]\nwidenin = 2\n",
		`:3: model.options.widening: the value is a string, but must be a numb`: "[model]\n[model.options]\nwidening = " +
			"\"2\"\n",
		`mixture is "niah_singel": did you mean`: "[[mixture]]\ntask = " +
			"\"niah_singel\"\nshare = 1\n",
		`mixture: task fa has share 2`:                           "[[mixture]]\ntask = \"fa\"\nshare = 2\n",
		`unknown key mixture.shar (did you mean mixture.share?)`: "[[mixture]]\ntask = \"fa\"\nshar = 2\n",
	} {
		refusal(t, exitUsage, "pretrain "+tiny+" --curriculum 32 --config "+tomlFile(t, text)+" --output-dir "+t.TempDir()+
			"/new", want)
	}
}

// A checkpoint of a program that had another architecture registered says so, whatever reads it.
func TestFilesOfOtherPrograms(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	stopped(t, "pretrain "+tiny+" --curriculum 32 --architecture mlp --output-dir "+dir, "step 1/")
	path := filepath.Join(dir, lab.CheckpointFile)
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range f.Metadata {
		f.Metadata[key] = strings.ReplaceAll(value, `"architecture":"mlp"`, `"architecture":"mlq"`)
	}
	if err := safetensors.Write(path, f); err != nil {
		t.Fatal(err)
	}
	const want = `architecture "mlq", which is not registered in this program`
	for _, line := range []string{"info " + path, "eval " + path, "stream " + path, "export --output " + dir + "/p " +
		path} {
		refusal(t, exitFailure, line, want)
	}
	refusal(t, exitFailure, "pretrain --resume --output-dir "+dir, want)
}

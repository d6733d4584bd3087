package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers"
)

// real runs a command line of the program itself.
func real(t *testing.T, words ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{program}, words...), &out, &errs)
	return code, out.String(), errs.String()
}

// success runs a command line that must not fail.
func success(t *testing.T, words ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := real(t, words...)
	if code != exitOK {
		t.Fatalf("%q: status %d, %s", words, code, stderr)
	}
	return stdout
}

// decode runs a command line that prints JSON.
func decode[T any](t *testing.T, words ...string) (into T) {
	t.Helper()
	if err := json.Unmarshal([]byte(success(t, words...)), &into); err != nil {
		t.Fatal(err)
	}
	return into
}

// mistakes checks that each command line is status 2 with one line on stderr that contains what is wanted.
func mistakes(t *testing.T, cases map[string]string) {
	t.Helper()
	for line, want := range cases {
		code, stdout, stderr := real(t, strings.Fields(line)...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s:\n got %d %s%s\nwant 2 and %q", line, code, stdout, stderr, want)
		}
	}
}

// smallModelFile saves a model with weights of seed 1 and returns its path.
func smallModelFile(t *testing.T, change func(*layers.Config)) string {
	t.Helper()
	c := layers.Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses = 8, 2, 2, 64, 64, 16
	change(&c)
	m, err := layers.NewModel(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "small.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInfoOfReference(t *testing.T) {
	stdout := success(t, "info")
	for _, want := range []string{"the reference model", "8,714,950", "context 512", "context 1024", "context 4096",
		"feed-forward", "MFLOP"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	d := decode[description](t, "info", "--json")
	sum := 0
	for _, k := range d.Components {
		sum += k.Parameters
	}
	if d.Parameters != 8_714_950 || sum != d.Parameters || d.Bytes != 4*d.Parameters || len(d.Contexts) != 3 {
		t.Errorf("%d parameters, components add up to %d, %d contexts", d.Parameters, sum, len(d.Contexts))
	}
	for _, x := range d.Contexts {
		m := x.Training
		if m == nil || m.Total != m.Weights+m.Gradients+m.Optimiser+m.Values {
			t.Errorf("context %d: %+v", x.Context, x.Training)
		}
		if x.Inference == nil || x.Inference.Total >= x.Training.Total {
			t.Errorf("context %d: inference takes %+v", x.Context, x.Inference)
		}
		if o := x.Operations; !(0 < o.Forward && o.Forward < o.TrainStep && o.TrainStep < o.TrainStepEveryToken &&
			o.Forward < o.ForwardEveryToken) {
			t.Errorf("context %d: %+v", x.Context, o)
		}
	}
	if more := decode[description](t, "info", "--json", "--batch-size", "8", "--contexts",
		"512"); more.Contexts[0].Training.Values <= d.Contexts[0].Training.Values {
		t.Error("a larger batch takes no more memory")
	}
}

// A file, flags and a configuration that mean the same model get the same description.
func TestInfoOfFileFlagsAndConfig(t *testing.T) {
	path := smallModelFile(t, func(*layers.Config) {})
	flags := []string{"--dim", "8", "--depth", "2", "--heads", "2", "--vocab", "64", "--max-len", "64", "--num-classes",
		"16"}
	config := filepath.Join(t.TempDir(), "small.toml")
	text := "curriculum = [16, 32]\nbatch_size = 2\n[model]\ndim = 8\ndepth = 2\nheads = 2\nvocab_size = 64\nmax_len = " +
		"64\nnum_classes = 16\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	file := success(t, "info", path, "--verbose")
	if !strings.HasPrefix(file, path+"\n") || !strings.Contains(file, "context 64") || !strings.Contains(file, "BLOCKS") {
		t.Errorf("%s", file)
	}
	_, body, _ := strings.Cut(file, "\n")
	if _, got, _ := strings.Cut(success(t, append([]string{"info", "--verbose"}, flags...)...), "\n"); got != body {
		t.Errorf("flags:\n%s\nfile:\n%s", got, body)
	}
	d := decode[description](t, "info", "--config", config, "--json")
	if d.BatchSize != 2 || len(d.Contexts) != 2 || d.Contexts[0].Context != 16 || d.Config.Dim != 8 {
		t.Errorf("%+v", d)
	}
	if d := decode[description](t, "info", "--config", config, "--json", "--batch-size", "3", "--dim",
		"16"); d.BatchSize != 3 || d.Config.Dim != 16 {
		t.Errorf("%+v", d)
	}
	m, err := layers.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d.Parameters != m.Params.Count() || len(d.Blocks) != 2*7 ||
		!slices.IsSortedFunc(d.Blocks, func(a, b componentInfo) int { return *a.Block - *b.Block }) {
		t.Errorf("%d parameters, want %d; blocks %+v", d.Parameters, m.Params.Count(), d.Blocks)
	}
}

// A packed model takes the room of its packed weights, and is not trained.
func TestInfoOfPackedModel(t *testing.T) {
	_, packed := exported(t, "--targets", "all")
	m, err := layers.Load(packed)
	if err != nil {
		t.Fatal(err)
	}
	d := decode[description](t, "info", packed, "--json")
	if x := d.Contexts[0]; d.Held != m.WeightBytes() || d.Held >= d.Bytes || x.Inference.Weights != d.Held ||
		x.Inference.Total != d.Held+x.Inference.Values || x.Training != nil {
		t.Errorf("%+v", d)
	}
	if text := success(t, "info", packed); !strings.Contains(text, "\npacked: ") ||
		strings.Contains(text, "TRAINING MEMORY") {
		t.Errorf("%s", text)
	}
}

// The memory of a model of any size is planned: it is only arithmetic, nothing is allocated.
func TestInfoOfLargeModel(t *testing.T) {
	d := decode[description](t, "info", "--dim", "2048", "--heads", "8", "--json")
	c := d.Contexts[0]
	if d.Parameters < 1<<29 || c.Training == nil || c.Training.Weights != 4*d.Parameters ||
		c.Training.Gradients != 4*d.Parameters || c.Inference.Values == 0 {
		t.Errorf("%d parameters, %+v", d.Parameters, c)
	}
	if peak := host.PeakRSS(); peak > uint64(d.Bytes) {
		t.Errorf("describing weights of %d bytes took %d", d.Bytes, peak)
	}
}

func TestInfoMistakes(t *testing.T) {
	path := smallModelFile(t, func(*layers.Config) {})
	mistakes(t, map[string]string{
		"info --heads 5":                   "--heads 5: it must divide dim (192)",
		"info --contexts 7":                "--contexts 7: must be from 8 to the model's 8192 positions",
		"info --contexts 512 9000":         "--contexts 9000: must be",
		"info --batch-size 0":              "--batch-size 0: must be at least 1",
		"info --batch-size 99999999":       "--batch-size 99999999: too large for context 512",
		"info " + path + " --contexts 65":  "the model's 64 positions",
		"info " + path + " --dim 8":        "--dim and the file",
		"info " + path + " x":              "unexpected argument x",
		"info --config missing.toml":       "missing.toml",
		"info --contxts 512":               "did you mean --contexts?",
		"info --dim 4096 --heads 8":        "parameters, more than",
		"info --dim 9999999 --vocab 99999": "--dim 9999999: it must",
	})
	if code, _, stderr := real(t, "info", "missing.safetensors"); code != exitFailure ||
		!strings.Contains(stderr, "missing.safetensors: no such file") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -999: "-999",
		8714950: "8,714,950"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := table.Write(&out, 1, []string{"name", "n"}, []string{"a", "100", "é"}, []string{""},
		[]string{"b", "5", "xy"}); err != nil {
		t.Fatal(err)
	}
	if want := "name    n\na     100   é\n\nb       5  xy\n"; out.String() != want {
		t.Errorf("got\n%q, want\n%q", out.String(), want)
	}
}

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers"
)

// hostileNames are names that would work a terminal, forge a line of ours, or fill a screen.
var hostileNames = map[string]string{
	"colour":    "a\x1b[31mb",
	"title":     "\x1b]0;owned\x07",
	"C1":        "\u009b31mred\u0085",
	"direction": "a\u202e\u2066b\u200b\ufeff",
	"erase":     "\x7f\x08\x08\r\x1b[2K",
	"bytes":     "a\xff\xfe\xc3",
	"lines":     "a\nsynapnet-train: all is well\r\n\tb\u2028c",
	"endless":   strings.Repeat("long", 5_000),
	"words":     strings.Repeat("many words ", 2_000),
	"escapes":   strings.Repeat("\x1b", 10_000),
}

// harmless fails where an output holds what a terminal obeys, or more than fits a screen. JSON may be long.
func harmless(t *testing.T, what, stdout, stderr string) {
	t.Helper()
	for name, text := range map[string]string{"stdout": stdout, "stderr": stderr} {
		if !utf8.ValidString(text) {
			t.Errorf("%s: %s is not UTF-8", what, name)
		}
		if at := strings.IndexFunc(text, func(r rune) bool {
			return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
		}); at >= 0 {
			t.Errorf("%s: %s holds %q", what, name, text[max(0, at-30):min(len(text), at+30)])
		}
		if strings.Contains(text, "\nsynapnet-train: all is well") {
			t.Errorf("%s: a name forges a line of %s: %.300s", what, name, text)
		}
		for line := range strings.Lines(text) {
			if len(line) > foreign.LineLimit+1 {
				t.Errorf("%s: a line of %d bytes on %s", what, len(line), name)
			}
		}
	}
}

// refusedHarmlessly runs a command line that must be refused with one line.
func refusedHarmlessly(t *testing.T, words ...string) {
	t.Helper()
	code, stdout, stderr := real(t, words...)
	harmless(t, strings.Join(words, " ")[:min(60, len(strings.Join(words, " ")))], stdout, stderr)
	if code == exitOK || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, program+": ") {
		t.Errorf("%.60q: %d %.300s", words, code, stderr)
	}
}

// tensorFile writes a safetensors file of one tensor with a name and metadata of one's own.
func tensorFile(t *testing.T, tensor, dtype string, metadata map[string]string) string {
	t.Helper()
	header, err := json.Marshal(map[string]any{
		tensor: map[string]any{"dtype": dtype, "shape": []int{1}, "data_offsets": []int{0, 4}}, "__metadata__": metadata,
	})
	if err != nil {
		t.Fatal(err)
	}
	text := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, append(text, 0, 0, 0, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The names in files of every kind that a command reads.
func TestForeignNamesInFiles(t *testing.T) {
	good := smallModelFile(t, func(*layers.Config) {})
	for kind, name := range hostileNames {
		t.Run(kind, func(t *testing.T) {
			t.Chdir(t.TempDir())
			files := []string{
				tensorFile(t, name, "F32", nil), tensorFile(t, "token_embedding.weight", name, nil),
				tensorFile(t, "x", "F32", map[string]string{name: name}),
			}
			for _, key := range []string{"architecture", "config", "format", "kind", "quantisation", "synapnet.kind", "packed",
				"case", "sha256"} {
				files = append(files, tensorFile(t, "x", "F32", map[string]string{key: name}))
			}
			files = append(files, tensorFile(t, "x", "F32",
				map[string]string{"architecture": `{"architecture":` + quoted(t, name) + `}`}))
			for _, f := range files {
				for _, words := range [][]string{
					{"info", f}, {"inspect", f}, {"eval", f}, {"export", f, "--output", "x"}, {"stream", f, "-"}, {"conform", f},
					{"stream", good, textFile(t, "1 2"), "--restore", f}, {"stream", good, textFile(t, "1 2"), "--classifier", f},
				} {
					code, stdout, stderr := piped(t.Context(), strings.NewReader(""), words...)
					harmless(t, words[0], stdout, stderr)
					if code == exitOK {
						t.Errorf("%s took %s", words[0], f)
					}
				}
			}
			for _, text := range []string{quoted(t, name) + " = 1", "[" + quoted(t, name) + "]\nx = 1",
				"[model]\narchitecture = " + quoted(t, name), name} {
				for _, command := range []string{"info", "pretrain", "cajq-qat", "cajq-3phase"} {
					refusedHarmlessly(t, command, "--config", written(t, text))
				}
			}
			refusedHarmlessly(t, "stream", good, textFile(t, name))
			foreignResults(t, name)
		})
	}
}

// quoted is name as a string of JSON, which is one of TOML.
func quoted(t *testing.T, name string) string {
	t.Helper()
	text, err := json.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// foreignResults shows a folder whose results hold a name everywhere.
func foreignResults(t *testing.T, name string) {
	t.Helper()
	d := &lab.Driver{Profile: lab.Quick, Root: "res", Experiments: experiments.All()}
	for i, e := range d.Experiments {
		path := d.Path(e)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text := []string{
			`{"schema":1,"experiment":` + quoted(t, name) + `,"profile":` + quoted(t, name) + `}`, name, `{` + quoted(t, name) +
				`:1}`,
		}[i%3]
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, words := range [][]string{{"list"}, {"report"}, {"run", "--dry-run"}} {
		_, stdout, stderr := real(t, append([]string{"experiments", "--profile", "quick", "--results", "res"}, words...)...)
		harmless(t, "experiments "+words[0], stdout, stderr)
		if stdout+stderr == "" {
			t.Errorf("experiments %s says nothing", words[0])
		}
	}
}

// The words of the command line: an argument, an unknown flag and command, and a value of every flag that a word
// can be wrong for.
func TestForeignWordsOfTheCommandLine(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range hostileNames {
		refusedHarmlessly(t, name)
		refusedHarmlessly(t, "help", name)
		refusedHarmlessly(t, "experiments", "run", name)
		for _, command := range newApp(new(bytes.Buffer), new(bytes.Buffer)).Commands {
			if command.Name == "probe" {
				continue // it is for machines
			}
			refusedHarmlessly(t, command.Name, "--"+name)
			refusedHarmlessly(t, command.Name, name, name, name)
			for _, f := range command.Flags {
				switch f.(type) {
				case *cli.StringFlag, *cli.StringSliceFlag:
				default:
					refusedHarmlessly(t, command.Name, dashed(f.Names()[0])+"="+name)
				}
			}
		}
		for _, words := range [][]string{
			{"info", "--config", name}, {"info", "--architecture", name}, {"eval", "--suite", name}, {"eval", "--tasks", name},
			{"inspect", name},
			{"experiments", "list", "--profile", name}, {"pretrain", "--config", name},
			{"pretrain", "--resume", "--output-dir", name},
			{"stream", name, name}, {"export", name, "--output", "x"}, {"conform", name}, {"cajq-3phase", "--checkpoint", name},
		} {
			refusedHarmlessly(t, words...)
		}
	}
}

// Names of a user's files are shown as they are where they are letters, and safely where they are not.
func TestNamesOfModels(t *testing.T) {
	model, err := os.ReadFile(smallModelFile(t, func(*layers.Config) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	names := map[string]string{"modèle 漢字 🙂.safetensors": "modèle 漢字 🙂.safetensors"}
	if runtime.GOOS != "windows" {
		names["\x1b[31m\u202e\n.safetensors"] = `\u001b[31m\u202e\n.safetensors`
		names["a\xff.safetensors"] = `a\xff.safetensors`
	}
	for name, want := range names {
		if err := os.WriteFile(name, model, 0o600); err != nil {
			t.Skip(err) // a file system that has no such names
		}
		for _, words := range [][]string{
			{"eval", name, "--contexts", "32", "--tasks", "niah_single", "--samples", "2"},
			{"export", name, "--output", "x-" + name, "--calib-samples", "1", "--calib-context", "32", "--group-size", "8"},
		} {
			code, stdout, stderr := real(t, words...)
			harmless(t, words[0], stdout, stderr)
			if code != exitOK || !strings.Contains(stdout, want) {
				t.Errorf("%s %q: %d %s %s", words[0], name, code, stdout, stderr)
			}
		}
	}
}

// A table keeps names to their cells, and a panic and an error to their lines.
func TestForeignNamesInOutput(t *testing.T) {
	for kind, name := range hostileNames {
		var out, errs bytes.Buffer
		app := newApp(&out, &errs)
		if err := table.Write(app.Writer, 1, []string{"tensor", "bytes"}, []string{name, "1"},
			[]string{"short", name}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != 3 {
			t.Errorf("%s: a table of %d lines", kind, n)
		}
		reportPanic(app.ErrWriter, name, nil)
		reportError(t.Context(), app.ErrWriter, errors.New(name+"; mend it"))
		newProgress(app.ErrWriter).Line("%s; go on", name)
		flushGuards(app)
		harmless(t, kind, out.String(), errs.String())
		if n := strings.Count(errs.String(), "\n"); n != 3 || strings.Count(errs.String(), "; mend it\n") != 1 ||
			strings.Count(errs.String(), "; go on\n") != 1 {
			t.Errorf("%s: %d lines: %s", kind, n, errs.String())
		}
	}
}

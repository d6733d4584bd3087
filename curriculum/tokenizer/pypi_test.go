package tokenizer

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew with the Python of SYNAPNET_PYTHON")

// pypi trains the tokenisers of testdata/pypi.py, or those named, in folder and encodes lines with them.
func pypi(t *testing.T, folder string, in map[string]any, names ...string) {
	t.Helper()
	python := os.Getenv("SYNAPNET_PYTHON")
	if python == "" {
		t.Skip("SYNAPNET_PYTHON names no Python with tokenizers and sentencepiece (.ci/run tokenizers makes one)")
	}
	writeJSON(t, filepath.Join(folder, "in.json"), in)
	command := exec.Command(python, append([]string{"testdata/pypi.py", folder}, names...)...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The ids of tokenisers of every kind are those of the Python packages, on a thousand lines in eight scripts; pieces-…
// show what is done to every character.
func TestPyPI(t *testing.T) {
	folder := t.TempDir()
	lines, points := generatedLines(1000, 1), append(everyCharacter(), generatedLines(1000, 2)...)
	pypi(t, folder, map[string]any{"train": generatedLines(600, 3), "lines": lines, "points": points, "size": 700})
	kinds, err := filepath.Glob(filepath.Join(folder, "*.ids"))
	if err != nil || len(kinds) < 42 {
		t.Fatal(len(kinds), "kinds", err)
	}
	for _, path := range kinds {
		name := strings.TrimSuffix(filepath.Base(path), ".ids")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want [][]int32
			readJSON(t, path, &want)
			texts := lines
			if strings.HasPrefix(name, "pieces-") {
				texts = points
			}
			compare(t, opened(t, folder, name), texts, want)
		})
	}
}

// Words trained here are a tokenizer.json that Python's tokenizers reads, with the same ids.
func TestPyPIReadsWords(t *testing.T) {
	folder := t.TempDir()
	var c WordCounter
	for _, line := range generatedLines(600, 3) {
		if err := c.Add(line); err != nil {
			t.Fatal(err)
		}
	}
	words, err := c.Train(500)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "words.json"), []byte(words.Spec().Data), 0o644); err != nil {
		t.Fatal(err)
	}
	lines := generatedLines(1000, 1)
	pypi(t, folder, map[string]any{"train": lines, "lines": lines, "points": nil, "size": 0}, "words")
	var want [][]int32
	readJSON(t, filepath.Join(folder, "words.ids"), &want)
	compare(t, words, lines, want)
}

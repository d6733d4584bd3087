package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden are the kinds of testdata/pypi.py whose small tokenisers are in testdata.
var golden = []string{"wordlevel", "bert-uncased", "gpt2", "llama3", "llama2", "unigram", "added",
	"sp-rules", "sp-rules-bpe"}

const goldenFile = "testdata/golden.json"

// goldenIDs is golden.json: lines, and their ids by each tokeniser, as PyPI tokenizers 0.23.3 and sentencepiece 0.2.3
// gave them.
type goldenIDs struct {
	Lines []string             `json:"lines"`
	IDs   map[string][][]int32 `json:"ids"`
}

// The ids that the Python packages gave once; go test -run Golden -update writes the files anew.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	var g goldenIDs
	readJSON(t, goldenFile, &g)
	for _, name := range golden {
		t.Run(name, func(t *testing.T) { compare(t, opened(t, "testdata", name), g.Lines, g.IDs[name]) })
	}
}

func writeGolden(t *testing.T) {
	folder := t.TempDir()
	g := goldenIDs{Lines: generatedLines(40, 4), IDs: map[string][][]int32{}}
	in := map[string]any{"train": generatedLines(120, 5), "lines": g.Lines, "points": nil, "size": 420}
	pypi(t, folder, in, golden...)
	for _, name := range golden {
		var ids [][]int32
		readJSON(t, filepath.Join(folder, name+".ids"), &ids)
		g.IDs[name] = ids
		for _, file := range []string{name + ".json", name + ".model"} {
			text, err := os.ReadFile(filepath.Join(folder, file))
			if os.IsNotExist(err) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join("testdata", file), text, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	writeJSON(t, goldenFile, g)
}

// Files of before tokenizers 0.20 have merges as "a b", and some no type of the model.
func TestGoldenInTheOldForm(t *testing.T) {
	var g goldenIDs
	readJSON(t, goldenFile, &g)
	for _, name := range golden {
		if strings.HasPrefix(name, "sp-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var file map[string]any
			readJSON(t, filepath.Join("testdata", name+".json"), &file)
			model := file["model"].(map[string]any)
			delete(model, "type")
			if merges, ok := model["merges"].([]any); ok {
				for i, m := range merges {
					merges[i] = m.([]any)[0].(string) + " " + m.([]any)[1].(string)
				}
			}
			folder := t.TempDir()
			writeJSON(t, filepath.Join(folder, name+".json"), file)
			compare(t, opened(t, folder, name), g.Lines, g.IDs[name])
		})
	}
}

package tokenizer

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
)

// check encodes a text and finds every id in range, or an error.
func check(t *testing.T, tok Tokenizer, text string) {
	t.Helper()
	ids, err := tok.Encode(text)
	if err != nil {
		return
	}
	for _, id := range append(ids, tok.Pad()) {
		if id < 0 || int(id) >= tok.Size() {
			t.Fatalf("id %d of %d", id, tok.Size())
		}
	}
}

func FuzzOpen(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "Hello, wörld 世界 <s> 😀")
	}
	f.Add([]byte(jsonOf("")), "a b")
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		tok, err := parse(file)
		if err != nil {
			return
		}
		check(t, tok, text)
		kept, err := FromSpec(tok.Spec())
		if err != nil || kept.Size() != tok.Size() {
			t.Fatal("the Spec does not open:", err)
		}
	})
}

func FuzzFromSpec(f *testing.F) {
	model, err := os.ReadFile("testdata/sp-rules.model")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(KindSentencePiece, base64.StdEncoding.EncodeToString(model), "ＡＢ…")
	f.Add(KindJSON, jsonOf(""), "a b")
	f.Add(KindBytes, "", "\xff")
	f.Fuzz(func(t *testing.T, kind, data, text string) {
		if tok, err := FromSpec(Spec{kind, data}); err == nil {
			check(t, tok, text)
		}
	})
}

func FuzzEncode(f *testing.F) {
	all := []Tokenizer{Bytes{}}
	for _, name := range golden {
		path := filepath.Join("testdata", name+".json")
		if _, err := os.Stat(path); err != nil {
			path = filepath.Join("testdata", name+".model")
		}
		tok, err := Open(path)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, tok)
	}
	for _, line := range odd {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range all {
			check(t, tok, text)
		}
	})
}

package tokenizer

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	tok, err := Open("bytes")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode("a\x00é\xff")
	if err != nil || !slices.Equal(ids, []int32{98, 1, 0xc3 + 1, 0xa9 + 1, 256}) {
		t.Error(ids, err)
	}
	if tok.Size() != 257 || tok.Pad() != 0 || tok.Spec() != (Spec{Kind: "bytes"}) {
		t.Error(tok.Size(), tok.Pad(), tok.Spec())
	}
	if kept, err := FromSpec(tok.Spec()); err != nil || kept != tok {
		t.Error(kept, err)
	}
}

// jsonOf is a tokenizer.json of a WordLevel model, with more fields.
func jsonOf(fields string) string {
	return `{"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "<unk>": 2}, "unk_token": "<unk>"}, ` +
		`"pre_tokenizer": {"type": "Whitespace"}` + fields + `}`
}

// splitAt is a tokenizer.json that cuts at a regular expression, as JSON writes it.
func splitAt(expr string) string {
	return strings.Replace(jsonOf(""), `"Whitespace"`,
		`"Split", "pattern": {"Regex": "`+expr+`"}, "behavior": "Isolated"`, 1)
}

// failure is the error of opening a text, which has to be one line and name what want has.
func failure(t *testing.T, text, want string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path)
	switch {
	case err == nil:
		t.Errorf("opened; want an error with %q", want)
	case !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), want) ||
		strings.Contains(err.Error(), "\n"):
		t.Errorf("%q, want one line with %q and %q", err, path, want)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	model := `{"model": `
	for name, c := range map[string]struct{ text, want string }{
		"empty file":       {"", "it is empty; give a Hugging Face tokenizer.json or a SentencePiece model"},
		"other kind":       {"\x89PNG\r\n", "neither a tokenizer.json nor a SentencePiece model"},
		"broken JSON":      {`{"model": {`, "it is no tokenizer.json: unexpected end of JSON input"},
		"not UTF-8":        {"{\"a\": \"\xff\"}", "not UTF-8"},
		"other JSON":       {`{"a": 1}`, "it has no model"},
		"broken protobuf":  {"\n\x05abc", "it is no SentencePiece model"},
		"empty protobuf":   {"\n\x00", "is empty"},
		"empty vocabulary": {model + `{"type": "WordLevel", "vocab": {}, "unk_token": "a"}}`, "the vocabulary is empty"},
		"empty unigram":    {model + `{"type": "Unigram", "vocab": []}}`, "the vocabulary is empty"},
		"no vocabulary":    {model + `{"type": "WordPiece"}}`, "no table of tokens and ids"},
		"negative id":      {model + `{"type": "WordLevel", "vocab": {"a": -1}}}`, "the id -1 of \"a\""},
		"giant id":         {model + `{"type": "WordLevel", "vocab": {"a": 2000000000}}}`, "the id 2000000000 of \"a\""},
		"other model":      {model + `{"type": "Neural", "vocab": {"a": 0}}}`, `the model "Neural" is not supported`},
		"other field": {model + `{"type": "BPE", "vocab": {"a": 0}, "merges": [], "magic": 1}}`,
			`model is not supported: unknown field "magic"`},
		"dropout": {model + `{"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}}`, "dropout 0.1"},
		"merge without token": {model + `{"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}`,
			`merge 0 ("a" "b") has a token that is not`},
		"merge without result": {model + `{"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a"]]}}`, `makes "aa"`},
		"merge of three":       {model + `{"type": "BPE", "vocab": {"a": 0}, "merges": ["a a a"]}}`, "3 parts"},
		"normalizer":           {jsonOf(`, "normalizer": {"type": "Nmt"}`), `the normalizer "Nmt" is not supported`},
		"pre-tokenizer": {strings.Replace(jsonOf(""), "Whitespace", "UnicodeScripts", 1),
			`the pre_tokenizer "UnicodeScripts" is not supported`},
		"post-processor": {jsonOf(`, "post_processor": {"type": "Magic"}`), `the post_processor "Magic" is not supported`},
		"pattern": {splitAt(`\\w+`),
			`\w in the regular expression`},
		"anchor": {splitAt("^a[^b$]"),
			`^ in the regular expression`},
		"class in a class": {splitAt("[^a[b]]"), `[ in the regular expression`},
		"empty matches": {splitAt("a*"),
			"matches places without text"},
		"behind a normalizer": {strings.Replace(jsonOf(`, "normalizer": {"type": "Strip", "strip_left": true}`),
			`"Whitespace"`, `"Metaspace", "replacement": "_", "prepend_scheme": "first"`, 1),
			"behind a normalizer that takes away"},
		"added id": {jsonOf(`, "added_tokens": [{"id": 7, "content": "[X]"}]`),
			`"[X]" has the id 7 in the file, but Python's tokenizers gives it 3`},
		"template id": {jsonOf(`, "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}},
			{"SpecialToken": {"id": "S"}}], "special_tokens": {"S": {"id": "S", "ids": [9], "tokens": ["S"]}}}`), "the id 9"},
		"template without text": {jsonOf(`, "post_processor": {"type": "TemplateProcessing", "single": []}`), "0 times"},
		"padding id":            {jsonOf(`, "padding": {"pad_id": 3}`), "the pad_id 3 is not in the vocabulary of 3 ids"},
	} {
		t.Run(name, func(t *testing.T) { failure(t, c.text, c.want) })
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	large := filepath.Join(folder, "large")
	f, err := os.Create(large)
	if err == nil {
		err = f.Truncate(maxFile + 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		folder:                        "it is a folder, not a file; a tokeniser is bytes, words, the path",
		filepath.Join(folder, "none"): "a tokeniser is bytes, words, the path",
		large:                         "it is larger than 100 MB",
		"words":                       "is trained on the data",
	} {
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%q) = %v, want an error with %q", path, err, want)
		}
	}
}

func TestFromSpecSaysWhatIsWrong(t *testing.T) {
	for want, s := range map[string]Spec{
		"the kind of tokeniser runes is not known": {Kind: "runes"},
		"bytes has no data":                        {Kind: KindBytes, Data: "x"},
		"is not base64":                            {Kind: KindSentencePiece, Data: "?"},
		"it has 0 pieces":                          {Kind: KindSentencePiece},
		"it is no tokenizer.json":                  {Kind: KindJSON},
	} {
		if _, err := FromSpec(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("FromSpec(%v) = %v, want an error with %q", s, err, want)
		}
	}
}

// The padding id is that of the file's padding, of a token with a usual name, or one more.
func TestPad(t *testing.T) {
	for fields, want := range map[string]struct {
		pad  int32
		size int
	}{
		``: {3, 4},
		`, "added_tokens": [{"id": 3, "content": "<pad>"}]`:                           {3, 4},
		`, "added_tokens": [{"id": 3, "content": "[PAD]"}], "padding": {"pad_id": 1}`: {1, 4},
	} {
		tok, err := FromSpec(Spec{Kind: KindJSON, Data: jsonOf(fields)})
		if err != nil {
			t.Fatal(err)
		}
		if tok.Pad() != want.pad || tok.Size() != want.size {
			t.Errorf("%s: pad %d, size %d, want %v", fields, tok.Pad(), tok.Size(), want)
		}
	}
}

// Truncation and padding of the file are left to who makes samples.
func TestNeitherTruncationNorPadding(t *testing.T) {
	tok, err := FromSpec(Spec{Kind: KindJSON, Data: jsonOf(`, "truncation": {"max_length": 2},
		"padding": {"strategy": {"Fixed": 8}, "pad_id": 0}`)})
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := tok.Encode("a b a b x"); err != nil || !slices.Equal(ids, []int32{0, 1, 0, 1, 2}) {
		t.Error(ids, err)
	}
}

func TestEncodeSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		spec       Spec
		text, want string
	}{
		"not UTF-8": {Spec{KindJSON, jsonOf("")}, "ab\xff", "byte 0xff at offset 2"},
		"no unknown token": {Spec{KindJSON, strings.Replace(jsonOf(""), `"<unk>"}`, `"?"}`, 1)}, "x\n",
			`"x" is not in the vocabulary, and neither is the unk_token "?"`},
		"no unknown id": {Spec{KindJSON, `{"model": {"type": "Unigram", "vocab": [["a", -1]]}}`}, "b",
			"no unk_id"},
		"a pattern that matches nothing": {Spec{KindJSON, splitAt("(?=b)")}, "ab", "matches places without text"},
	} {
		tok, err := FromSpec(c.spec)
		if err != nil {
			t.Fatal(name, err)
		}
		if ids, err := tok.Encode(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", name, ids, err, c.want)
		}
	}
}

// A SentencePiece model that is not supported is refused by name.
func TestSentencePieceSaysWhatIsWrong(t *testing.T) {
	piece := func(text string, kind byte) string { // with the score 0
		m := "\n" + string(rune(len(text))) + text + "\x18" + string(rune(kind))
		return "\n" + string(rune(len(m))) + m
	}
	trainer := func(field, value byte) string { return "\x12\x02" + string([]byte{field << 3, value}) }
	unk := piece("<unk>", spUnknown)
	for want, model := range map[string]string{
		"a SentencePiece model of words is not supported":            unk + trainer(3, spWord),
		"the type 9 of the SentencePiece model":                      unk + trainer(3, 9),
		"no piece for unknown characters":                            piece("a", spNormal),
		"two pieces for unknown characters":                          unk + piece("?", spUnknown),
		`piece 2 of the SentencePiece model, "a", is piece 1, too`:   unk + piece("a", spNormal) + piece("a", spControl),
		`piece 1 of the SentencePiece model, "a", is unused`:         unk + piece("a", spUnused) + trainer(3, spBPE),
		`piece 1 of the SentencePiece model, "a", has the type 7`:    unk + piece("a", 7),
		"falls back to bytes but has no piece for byte 0x00":         unk + "\x12\x03\x98\x02\x01",
		"precompiled_charsmap) is cut short":                         unk + "\x1a\x03\x12\x01a",
		"precompiled_charsmap) is broken: its trie is longer":        unk + "\x1a\x06\x12\x04\x08\x00\x00\x00",
		`piece 1 of the SentencePiece model, "a", has the score NaN`: unk + "\n\x08\n\x01a\x15\x00\x00\xc0\x7f",
	} {
		_, err := FromSpec(Spec{KindSentencePiece, base64.StdEncoding.EncodeToString([]byte(model))})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", model, err, want)
		}
	}
}

// The sums of a long text begin anew before float32 loses them: every word of it is cut as the first one is.
func TestLongTextsAreCutAsShortOnes(t *testing.T) {
	tok := opened(t, "testdata", "sp-rules")
	word := "привет café "
	once, err := tok.Encode(word)
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	ids, err := tok.Encode(strings.Repeat(word, n))
	if err != nil {
		t.Fatal(err)
	}
	if want := slices.Repeat(once, n); !slices.Equal(ids, want) {
		t.Errorf("%d ids, want %d times %v", len(ids), n, once)
	}
}

// A file's pattern that takes exponential time does not hang what uses it.
func TestPatternsTakeNotForever(t *testing.T) {
	find, err := compile("pre_tokenizer Split", "(a+)+b", 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	_, err = find(strings.Repeat("a", 64))
	if err == nil || !strings.Contains(err.Error(), `"(a+)+b" takes more than 50ms in a text of 64 bytes`) {
		t.Error(err)
	}
}

package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/synapnet/synapnet-train/internal/foreign"
)

// huggingFace is a tokenizer.json: added tokens, normalisation, pre-tokenisation, a model, and what is put around the
// ids. Truncation and padding, which the file may ask for too, are left to who makes samples of texts.
type huggingFace struct {
	text      string       // of the file
	before    *addedSet    // tokens found in the text as it is
	after     *addedSet    // tokens found in the normalised text
	normalize *normalizer  // nil: none
	cut       preTokenizer // nil: none
	model     model
	around    []template
	size      int
	pad       int32
}

// Encode gives what Python's Tokenizer.encode(text).ids is, without truncation and padding.
func (t *huggingFace) Encode(text string) ([]int32, error) {
	if err := checkUTF8(text); err != nil {
		return nil, err
	}
	ids := make([]int32, 0, len(text)/2+4)
	for _, s := range t.before.sections(piece{text, 0}) {
		if s.id >= 0 {
			ids = append(ids, s.id)
			continue
		}
		if t.normalize != nil {
			var err error
			if s.text, err = t.normalize.apply(s.text); err != nil {
				return nil, err
			}
		}
		for _, s := range t.after.sections(s.piece) {
			var err error
			if s.id >= 0 {
				ids = append(ids, s.id)
			} else if ids, err = t.pieces(ids, s.piece); err != nil {
				return nil, err
			}
		}
	}
	for _, around := range t.around {
		var whole []int32
		for _, id := range around {
			if id == wholeText {
				whole = append(whole, ids...)
			} else {
				whole = append(whole, id)
			}
		}
		ids = whole
	}
	return ids, nil
}

// pieces appends the ids of a text without added tokens.
func (t *huggingFace) pieces(ids []int32, p piece) (_ []int32, err error) {
	all := []piece{p}
	if t.cut != nil && p.text != "" {
		if all, err = t.cut(p); err != nil {
			return nil, err
		}
	}
	for _, p := range all {
		if p.text == "" {
			continue
		}
		if ids, err = t.model.encode(ids, p.text); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (t *huggingFace) Size() int { return t.size }

func (t *huggingFace) Pad() int32 { return t.pad }

func (t *huggingFace) Spec() Spec { return Spec{Kind: KindJSON, Data: t.text} }

// file is a tokenizer.json. Its decoder, which makes text of ids, is not needed here.
type file struct {
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Model         json.RawMessage `json:"model"`
	Padding       *struct {
		PadID int64 `json:"pad_id"`
	} `json:"padding"`
}

// parseJSON makes the tokeniser that a tokenizer.json describes, or says what in it is not supported.
func parseJSON(text string) (Tokenizer, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not UTF-8, so no tokenizer.json; save it again with the library that made it")
	}
	var f file
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return nil, fmt.Errorf("it is no tokenizer.json: %w; save it again with the library that made it", err)
	}
	if kind, err := kindOf("model", f.Model); kind == "" && err == nil && len(f.Model) == 0 {
		return nil, errors.New("it has no model, so it is no tokenizer.json (vocab.json and tokenizer_config.json " +
			"are other files of the same folder)")
	}
	t := &huggingFace{text: text}
	var vocab vocabulary
	var err error
	if t.model, vocab, err = newModel(f.Model); err != nil {
		return nil, err
	}
	if t.normalize, err = newNormalizer(f.Normalizer); err != nil {
		return nil, err
	}
	if t.cut, err = newPreTokenizer(f.PreTokenizer); err != nil {
		return nil, err
	}
	if t.normalize != nil && t.normalize.trims && bytes.Contains(f.PreTokenizer, []byte(`"first"`)) {
		return nil, errors.New("a pre_tokenizer Metaspace with prepend_scheme first behind a normalizer that takes away " +
			"the begin of a text is not supported")
	}
	ids, err := addedIDs(f.AddedTokens, vocab)
	if err != nil {
		return nil, err
	}
	if t.before, t.after, err = newAddedSets(f.AddedTokens, ids, t.normalize); err != nil {
		return nil, err
	}
	for _, known := range []vocabulary{vocab, ids} {
		for _, id := range known {
			t.size = max(t.size, int(id)+1)
		}
	}
	if t.around, err = newTemplates(f.PostProcessor, t.size); err != nil {
		return nil, err
	}
	return t, t.setPad(&f, vocab, ids)
}

// setPad finds the padding id: that of the file's padding, a token with a usual name, or one more id.
func (t *huggingFace) setPad(f *file, vocab, added vocabulary) error {
	if f.Padding != nil {
		if f.Padding.PadID < 0 || f.Padding.PadID >= int64(t.size) {
			return fmt.Errorf("padding: the pad_id %d is not in the vocabulary of %d ids", f.Padding.PadID, t.size)
		}
		t.pad = int32(f.Padding.PadID)
		return nil
	}
	for _, name := range []string{"[PAD]", "<pad>"} {
		for _, known := range []vocabulary{added, vocab} {
			if id, ok := known[name]; ok {
				t.pad = id
				return nil
			}
		}
	}
	t.pad = int32(t.size)
	t.size++
	return nil
}

// kindOf is the type of a part of the file; "": there is no such part, or it does not say.
func kindOf(where string, raw json.RawMessage) (string, error) {
	var c struct {
		Type string `json:"type"`
	}
	if len(raw) == 0 {
		return "", nil
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	return c.Type, nil
}

// decode reads a part of the file. A field that is not known might change ids, so it is an error.
func decode(where string, raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s is not supported: %s", where, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// quoted is a word of the file for a message.
func quoted(s string) string { return strconv.Quote(foreign.Text(s)) }

package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// template is ids around those of a text, which stand where wholeText is.
type template []int32

const wholeText = -1

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

// modelConfig is the model of a tokenizer.json.
type modelConfig struct {
	Type         string          `json:"type"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       json.RawMessage `json:"merges"`
	UnkToken     *string         `json:"unk_token"`
	UnkID        *int64          `json:"unk_id"`
	Prefix       *string         `json:"continuing_subword_prefix"`
	Suffix       *string         `json:"end_of_word_suffix"`
	MaxRunes     *int            `json:"max_input_chars_per_word"`
	Dropout      *float64        `json:"dropout"`
	FuseUnk      bool            `json:"fuse_unk"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
}

// kind is the type of the model, which files of before 2023 leave to be seen from what they have.
func (c *modelConfig) kind() string {
	switch {
	case c.Type != "":
		return c.Type
	case c.Merges != nil:
		return "BPE"
	case bytes.HasPrefix(c.Vocab, []byte("[")):
		return "Unigram"
	case c.Prefix != nil:
		return "WordPiece"
	}
	return "WordLevel"
}

// newModel makes the model of a tokenizer.json, and gives its vocabulary.
func newModel(raw json.RawMessage) (model, vocabulary, error) {
	var c modelConfig
	if err := decode("model", raw, &c); err != nil {
		return nil, nil, err
	}
	if c.Dropout != nil && *c.Dropout != 0 {
		return nil, nil, fmt.Errorf("model: dropout %g is not supported: it makes ids random; save the file with null",
			*c.Dropout)
	}
	if c.kind() == "Unigram" {
		return newUnigram(&c)
	}
	var vocab vocabulary
	if err := json.Unmarshal(c.Vocab, &vocab); err != nil || len(c.Vocab) == 0 {
		return nil, nil, fmt.Errorf("model: the vocabulary is no table of tokens and ids: %w", err)
	}
	if err := vocab.check(); err != nil {
		return nil, nil, err
	}
	switch c.kind() {
	case "WordLevel":
		return &wordLevel{vocab, or(c.UnkToken, "<unk>")}, vocab, nil
	case "WordPiece":
		m := &wordPiece{vocab: vocab, unk: or(c.UnkToken, "[UNK]"), prefix: or(c.Prefix, "##"), maxRunes: or(c.MaxRunes, 100)}
		for token := range vocab {
			m.longest = max(m.longest, len(token))
		}
		return m, vocab, nil
	case "BPE":
		pairs, err := parseMerges(c.Merges)
		if err != nil {
			return nil, nil, err
		}
		m, err := newBPE(bpe{vocab: vocab, unk: or(c.UnkToken, ""), prefix: or(c.Prefix, ""), suffix: or(c.Suffix, ""),
			fuseUnknown: c.FuseUnk, byteFallback: c.ByteFallback, ignoreMerges: c.IgnoreMerges}, pairs)
		return m, vocab, err
	}
	return nil, nil, fmt.Errorf("the model %s is not supported; supported are WordLevel, WordPiece, BPE and Unigram",
		quoted(c.Type))
}

// or is what p points to, or otherwise.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// check says what is wrong with the ids of a vocabulary.
func (v vocabulary) check() error {
	if len(v) == 0 {
		return errors.New("model: the vocabulary is empty; train the tokeniser before it is saved")
	}
	for token, id := range v {
		if id < 0 || id >= maxSize {
			return fmt.Errorf("model: the id %d of %s is not between 0 and %d", id, quoted(token), maxSize-1)
		}
	}
	return nil
}

// parseMerges reads either form that merges have: "a b", and since tokenizers 0.20 ["a", "b"].
func parseMerges(raw json.RawMessage) ([][2]string, error) {
	var pairs [][]string
	if err := json.Unmarshal(raw, &pairs); err != nil {
		var lines []string
		if err := json.Unmarshal(raw, &lines); err != nil {
			return nil, errors.New("model: the merges are no list of pairs")
		}
		pairs = make([][]string, len(lines))
		for i, line := range lines {
			pairs[i] = strings.Split(line, " ")
		}
	}
	merges := make([][2]string, len(pairs))
	for i, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf("model: merge %d has %d parts, not two", i, len(p))
		}
		merges[i] = [2]string(p)
	}
	return merges, nil
}

func newUnigram(c *modelConfig) (model, vocabulary, error) {
	var pieces [][2]any
	if err := json.Unmarshal(c.Vocab, &pieces); err != nil {
		return nil, nil, fmt.Errorf("model: the vocabulary is no list of tokens and scores: %w", err)
	}
	m := &huggingFaceUnigram{ids: vocabulary{}, byteFallback: c.ByteFallback}
	m.tokens, m.unknown = newTrie(), -1
	for i, p := range pieces {
		token, ok := p[0].(string)
		score, ok2 := p[1].(float64)
		if !ok || !ok2 || i >= maxSize {
			return nil, nil, fmt.Errorf("model: entry %d of the vocabulary is no token with a score", i)
		}
		m.tokens.add(token, int32(i))
		m.ids[token] = int32(i)
		m.score = append(m.score, score)
	}
	if err := m.ids.check(); err != nil {
		return nil, nil, err
	}
	if c.UnkID != nil {
		if *c.UnkID < 0 || *c.UnkID >= int64(len(pieces)) {
			return nil, nil, fmt.Errorf("model: the unk_id %d is not in the vocabulary of %d tokens", *c.UnkID, len(pieces))
		}
		m.unknown = int32(*c.UnkID)
	}
	m.unknownScore = slices.Min(m.score) - unknownPenalty
	m.bytes = m.ids.bytes()
	return m, m.ids, nil
}

// processorConfig is a post-processor of a tokenizer.json: the fields of all kinds, those that change no ids of a
// single text, too.
type processorConfig struct {
	Type          string            `json:"type"`
	Processors    []json.RawMessage `json:"processors"`
	Single        []templatePart    `json:"single"`
	Pair          json.RawMessage   `json:"pair"`
	SpecialTokens map[string]struct {
		ID     string   `json:"id"`
		IDs    []int32  `json:"ids"`
		Tokens []string `json:"tokens"`
	} `json:"special_tokens"`
	Sep            tokenAndID `json:"sep"`
	Cls            tokenAndID `json:"cls"`
	TrimOffsets    bool       `json:"trim_offsets"`
	AddPrefixSpace bool       `json:"add_prefix_space"`
	UseRegex       bool       `json:"use_regex"`
}

// newTemplates is what a post-processor puts around the ids of a single text.
func newTemplates(raw json.RawMessage, size int) ([]template, error) {
	kind, err := kindOf("post_processor", raw)
	if err != nil || kind == "" {
		return nil, err
	}
	var c processorConfig
	if err := decode("post_processor "+kind, raw, &c); err != nil {
		return nil, err
	}
	var t template
	switch kind {
	case "ByteLevel": // it changes offsets alone
		return nil, nil
	case "BertProcessing", "RobertaProcessing":
		t = template{c.Cls.id, wholeText, c.Sep.id}
	case "TemplateProcessing":
		for _, p := range c.Single {
			switch {
			case p.Sequence != nil && p.Sequence.ID == "A":
				t = append(t, wholeText)
			case p.SpecialToken != nil && len(c.SpecialTokens[p.SpecialToken.ID].IDs) > 0:
				t = append(t, c.SpecialTokens[p.SpecialToken.ID].IDs...)
			default:
				return nil, errors.New("post_processor TemplateProcessing: a part of single is neither the text nor a " +
					"known token")
			}
		}
	case "Sequence":
		var all []template
		for _, r := range c.Processors {
			more, err := newTemplates(r, size)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		return all, nil
	default:
		return nil, fmt.Errorf("the post_processor %s is not supported; supported are TemplateProcessing, "+
			"BertProcessing, RobertaProcessing, ByteLevel and sequences of them", quoted(kind))
	}
	if err := t.check(size); err != nil {
		return nil, fmt.Errorf("post_processor %s: %w", kind, err)
	}
	return []template{t}, nil
}

// check says what is wrong with a template for a vocabulary of some size.
func (t template) check(size int) error {
	texts := 0
	for _, id := range t {
		switch {
		case id == wholeText:
			texts++
		case id < 0 || id >= int32(size):
			return fmt.Errorf("the id %d is not in the vocabulary of %d ids", id, size)
		}
	}
	if texts != 1 { // an id of -1 is counted, too
		return fmt.Errorf("the text is in it %d times, not once", texts)
	}
	return nil
}

// tokenAndID is ["[SEP]", 102].
type tokenAndID struct{ id int32 }

// UnmarshalJSON takes the id.
func (t *tokenAndID) UnmarshalJSON(text []byte) error {
	var token string
	return json.Unmarshal(text, &[2]any{&token, &t.id})
}

// templatePart is a part of a TemplateProcessing: the text or a token.
type templatePart struct {
	Sequence     *templateID `json:"Sequence"`
	SpecialToken *templateID `json:"SpecialToken"`
}

type templateID struct {
	ID     string `json:"id"`
	TypeID int    `json:"type_id"`
}

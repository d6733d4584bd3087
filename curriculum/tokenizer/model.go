package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// model gives the ids of a piece of text that pre-tokenisation has cut.
type model interface {
	encode(ids []int32, piece string) ([]int32, error)
}

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

// vocabulary is tokens and their ids.
type vocabulary map[string]int32

// unknown is the id of token, which stands for what has none.
func (v vocabulary) unknown(token, piece string) (int32, error) {
	if id, ok := v[token]; ok {
		return id, nil
	}
	return 0, fmt.Errorf("%s is not in the vocabulary, and neither is the unk_token %q that would stand for it",
		quoted(piece), token)
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

// bytes are the ids of the tokens that stand for single bytes; -1: there is none.
func (v vocabulary) bytes() (ids [256]int32) {
	for b := range ids {
		ids[b] = -1
		if id, ok := v[fmt.Sprintf("<0x%02X>", b)]; ok {
			ids[b] = id
		}
	}
	return ids
}

// complete says that every byte of text has an id of its own.
func complete(ids *[256]int32, text string) bool {
	for i := range len(text) {
		if ids[text[i]] < 0 {
			return false
		}
	}
	return true
}

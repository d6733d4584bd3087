package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// model gives the ids of a piece of text that pre-tokenisation has cut.
type model interface {
	encode(ids []int32, piece string) ([]int32, error)
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

// wordLevel has an id for each word it knows.
type wordLevel struct {
	vocab vocabulary
	unk   string
}

func (m *wordLevel) encode(ids []int32, piece string) ([]int32, error) {
	id, ok := m.vocab[piece]
	if !ok {
		var err error
		if id, err = m.vocab.unknown(m.unk, piece); err != nil {
			return nil, err
		}
	}
	return append(ids, id), nil
}

// wordPiece cuts a word, from its left, into the longest tokens that there are (Wu et al., Google's Neural Machine
// Translation System, 2016, as BERT does it); those within a word begin with prefix.
type wordPiece struct {
	vocab    vocabulary
	unk      string
	prefix   string
	maxRunes int // a longer word is unknown
	longest  int // bytes of the longest token
}

func (m *wordPiece) encode(ids []int32, piece string) ([]int32, error) {
	known := len(ids)
	if utf8.RuneCountInString(piece) <= m.maxRunes {
		rest := piece
		for rest != "" {
			length, id := m.first(rest, len(rest) < len(piece))
			if length == 0 {
				break
			}
			ids = append(ids, id)
			rest = rest[length:]
		}
		if rest == "" {
			return ids, nil
		}
	}
	id, err := m.vocab.unknown(m.unk, piece)
	return append(ids[:known], id), err
}

// first is the longest token that rest begins with: its length in rest and its id; 0: there is none.
func (m *wordPiece) first(rest string, within bool) (length int, id int32) {
	for end := min(len(rest), m.longest); end > 0; end-- {
		if end < len(rest) && !utf8.RuneStart(rest[end]) {
			continue
		}
		token := rest[:end]
		if within {
			token = m.prefix + token
		}
		if id, ok := m.vocab[token]; ok {
			return end, id
		}
	}
	return 0, 0
}

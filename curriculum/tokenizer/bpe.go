package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// pairOf is two neighbouring tokens.
type pairOf struct{ left, right int32 }

// ranked is the token that two merge into; the lowest rank merges first.
type ranked struct {
	rank int
	id   int32
}

// bpe is byte pair encoding as Hugging Face's: over characters, which after byte-level pre-tokenisation stand for
// bytes.
type bpe struct {
	vocab        vocabulary
	merges       map[pairOf]ranked
	unk          string // "": characters without an id are left out
	prefix       string // of characters within a word
	suffix       string // of the last character of a word
	fuseUnknown  bool
	byteFallback bool
	ignoreMerges bool
	bytes        [256]int32 // with byteFallback, the ids of <0x00> to <0xFF>; -1: there is none
}

// newBPE looks up the merges' tokens.
func newBPE(m bpe, pairs [][2]string) (*bpe, error) {
	m.merges = make(map[pairOf]ranked, len(pairs))
	for rank, p := range pairs {
		left, ok := m.vocab[p[0]]
		right, ok2 := m.vocab[p[1]]
		if !ok || !ok2 || len(p[1]) < len(m.prefix) {
			return nil, fmt.Errorf("model: merge %d (%s %s) has a token that is not in the vocabulary", rank,
				quoted(p[0]), quoted(p[1]))
		}
		both := p[0] + p[1][len(m.prefix):]
		id, ok := m.vocab[both]
		if !ok {
			return nil, fmt.Errorf("model: merge %d makes %s, which is not in the vocabulary", rank, quoted(both))
		}
		m.merges[pairOf{left, right}] = ranked{rank, id}
	}
	m.bytes = m.vocab.bytes()
	return &m, nil
}

func (m *bpe) encode(ids []int32, piece string) ([]int32, error) {
	if m.ignoreMerges {
		if id, ok := m.vocab[piece]; ok {
			return append(ids, id), nil
		}
	}
	symbols, err := m.characters(piece)
	if err != nil {
		return nil, err
	}
	symbols = mergeAll(symbols, func(left, right *symbol) (float64, int32, bool) {
		r, ok := m.merges[pairOf{left.id, right.id}]
		return float64(r.rank), r.id, ok
	})
	for i := range symbols {
		ids = append(ids, symbols[i].id)
	}
	return ids, nil
}

// characters are the symbols that a piece begins as. Spans count symbols.
func (m *bpe) characters(piece string) ([]symbol, error) {
	symbols := make([]symbol, 0, len(piece))
	add := func(id int32) { symbols = append(symbols, symbol{start: len(symbols), end: len(symbols) + 1, id: id}) }
	unknown := int32(-1) // a token for unknown characters that is still to be added
	flush := func() {
		if unknown >= 0 {
			add(unknown)
			unknown = -1
		}
	}
	for at := 0; at < len(piece); {
		_, size := utf8.DecodeRuneInString(piece[at:])
		text := piece[at : at+size]
		if at > 0 {
			text = m.prefix + text
		}
		at += size
		if at == len(piece) {
			text += m.suffix
		}
		if id, ok := m.vocab[text]; ok {
			flush()
			add(id)
			continue
		}
		if m.byteFallback && complete(&m.bytes, text) {
			for i := range len(text) {
				add(m.bytes[text[i]])
			}
			continue
		}
		if m.unk == "" {
			continue
		}
		if !m.fuseUnknown {
			flush()
		}
		id, err := m.vocab.unknown(m.unk, text)
		if err != nil {
			return nil, err
		}
		unknown = id
	}
	flush()
	return symbols, nil
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

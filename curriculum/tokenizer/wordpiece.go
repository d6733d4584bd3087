package tokenizer

import "unicode/utf8"

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

package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// unigram finds the tokens of a text whose probabilities have the largest product (Kudo, Subword Regularization, 2018),
// by Viterbi's algorithm.
type unigram struct {
	tokens       *trie
	score        []float64 // of each id: the logarithm of its probability
	longest      int       // bytes that a token, or a character, has at most; only SentencePiece's needs it
	always       []bool    // of each id: it is to be taken wherever it stands; nil: none is (SentencePiece's user-defined)
	unknownScore float64   // of a character that is no token
	unknown      int32     // its id; -1: the file has none
	single       bool      // sums are in float32, like SentencePiece's; Hugging Face's are in float64
}

// unknownPenalty is how much worse than the worst token an unknown character is, in both libraries.
const unknownPenalty = 10

// resetSum is from where on SentencePiece begins its sums anew.
const resetSum = 100_000

// step is the last token of the best way to a place in the text.
type step struct {
	start int // where the token begins; -1: nothing leads here
	id    int32
	sum   float64
}

// part is a token of a text, or an unknown character.
type part struct {
	text string
	id   int32
}

// parts are the tokens of text, in their order.
func (m *unigram) parts(text string) []part {
	ends := make([]step, len(text)+1)
	for i := range ends {
		ends[i].start = -1
	}
	for at := 0; at < len(text); {
		if m.single && math.Abs(ends[at].sum) > resetSum {
			m.reset(ends[at:])
		}
		_, size := utf8.DecodeRuneInString(text[at:])
		if !m.forward(ends, text, at, size) {
			m.offer(&ends[at+size], step{at, m.unknown, m.rounded(ends[at].sum + m.unknownScore)})
		}
		at += size
	}
	count := 0
	for end := len(text); end > 0; end = ends[end].start {
		count++
	}
	parts := make([]part, count)
	for end := len(text); end > 0; end = ends[end].start {
		count--
		parts[count] = part{text[ends[end].start:end], ends[end].id}
	}
	return parts
}

// reset makes the first of the ends the origin of the sums that are known from there on, as SentencePiece does since
// 0.2.1, so that those of long texts stay exact.
func (m *unigram) reset(ends []step) {
	origin := ends[0].sum
	ends[0].sum = 0
	for i := 1; i <= min(m.longest, len(ends)-1); i++ {
		if ends[i].start >= 0 {
			ends[i].sum = m.rounded(ends[i].sum - origin)
		}
	}
}

// forward offers every token that begins at a place, and says whether one of them is the character of size bytes there.
func (m *unigram) forward(ends []step, text string, at, size int) (single bool) {
	node := int32(0)
	for end := at + 1; end <= len(text); end++ {
		next, ok := m.tokens.step(node, text[end-1])
		if !ok {
			break
		}
		node = next
		id := m.tokens.value[node]
		if id < 0 {
			continue
		}
		score := m.score[id]
		if m.always != nil && m.always[id] {
			score = m.rounded(0.1 * float64(end-at-1))
		}
		m.offer(&ends[end], step{at, id, score + ends[at].sum})
		single = single || end-at == size
	}
	return single
}

// offer takes s for the best way to a place if it is better than the best so far.
func (m *unigram) offer(best *step, s step) {
	s.sum = m.rounded(s.sum)
	if best.start < 0 || s.sum > best.sum {
		*best = s
	}
}

func (m *unigram) rounded(x float64) float64 {
	if m.single {
		return float64(float32(x))
	}
	return x
}

// huggingFaceUnigram is a unigram model in a tokenizer.json.
type huggingFaceUnigram struct {
	unigram
	ids          vocabulary
	byteFallback bool
	bytes        [256]int32
}

// newUnigram makes the model of a tokenizer.json, and gives its vocabulary.
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

func (m *huggingFaceUnigram) encode(ids []int32, piece string) ([]int32, error) {
	parts := m.parts(piece)
	for i := 0; i < len(parts); i++ {
		p := parts[i]
		for p.id == m.unknown && i+1 < len(parts) && parts[i+1].id == m.unknown { // neighbouring unknowns are one
			i++
			p.text += parts[i].text
		}
		id, ok := m.ids[p.text]
		switch {
		case ok:
			ids = append(ids, id)
		case m.byteFallback && complete(&m.bytes, p.text):
			for j := range len(p.text) {
				ids = append(ids, m.bytes[p.text[j]])
			}
		case m.unknown < 0:
			return nil, fmt.Errorf("%s is not in the vocabulary, and the model has no unk_id that would stand for it",
				quoted(p.text))
		default:
			ids = append(ids, m.unknown)
		}
	}
	return ids, nil
}

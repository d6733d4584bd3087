package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token of a tokenizer.json that is found in a text as it stands, whatever the model would make of it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not within a word
	LStrip     bool   `json:"lstrip"`      // with the white space before it
	RStrip     bool   `json:"rstrip"`      // with the white space behind it
	Normalized bool   `json:"normalized"`  // it is looked for in the normalised text
	Special    bool   `json:"special"`
}

// addedIDs are the ids of added tokens. Python's library gives them itself: that of the model's vocabulary, or the next
// one. It ignores what the file says, and so a file that says otherwise is refused.
func addedIDs(tokens []addedToken, vocab vocabulary) (vocabulary, error) {
	ids := vocabulary{}
	next := int32(len(vocab))
	for _, t := range tokens {
		if t.Content == "" {
			continue
		}
		id, ok := ids[t.Content]
		if !ok {
			if id, ok = vocab[t.Content]; !ok {
				id = next
			}
			ids[t.Content] = id
			next = max(next, id+1)
		}
		if id != t.ID {
			return nil, fmt.Errorf("added_tokens: %s has the id %d in the file, but Python's tokenizers gives it %d; "+
				"save the file with that library, which writes the ids that it gives", quoted(t.Content), t.ID, id)
		}
	}
	return ids, nil
}

// addedSet finds added tokens in a text, the leftmost and of those the longest.
type addedSet struct {
	words  *trie
	first  [256]bool // bytes that one begins with
	tokens []addedToken
}

// newAddedSets are the tokens to look for before and after normalisation.
func newAddedSets(tokens []addedToken, ids vocabulary, normalize *normalizer) (before, after *addedSet, err error) {
	before, after = &addedSet{words: newTrie()}, &addedSet{words: newTrie()}
	for _, special := range []bool{true, false} { // of two that are the same, a special one is found
		for _, t := range tokens {
			if t.Content == "" || t.Special != special {
				continue
			}
			set, word := before, t.Content
			if t.Normalized {
				set = after
				if normalize != nil {
					if word, err = normalize.apply(word); err != nil {
						return nil, nil, err
					}
				}
			}
			if length, _ := set.words.longest(word); word == "" || length == len(word) {
				continue
			}
			t.ID = ids[t.Content]
			set.words.add(word, int32(len(set.tokens)))
			set.first[word[0]] = true
			set.tokens = append(set.tokens, t)
		}
	}
	return before, after, nil
}

// section is an added token, or a piece between two.
type section struct {
	piece
	id int32 // -1: it is a piece
}

// sections cuts a piece at the tokens of the set.
func (s *addedSet) sections(p piece) []section {
	if len(s.tokens) == 0 {
		return []section{{p, -1}}
	}
	var all []section
	text, from := p.text, 0
	between := func(to int) {
		if to > from {
			all = append(all, section{piece{text[from:to], p.at + from}, -1})
		}
	}
	for at := 0; at < len(text); {
		length, index := 0, int32(0)
		if s.first[text[at]] {
			length, index = s.words.longest(text[at:])
		}
		if length == 0 {
			at++
			continue
		}
		start, end := at, at+length
		at = end
		t := &s.tokens[index]
		if t.SingleWord && withinWord(text, start, end) {
			continue
		}
		if t.LStrip {
			start = max(len(strings.TrimRightFunc(text[:start], unicode.IsSpace)), from)
		}
		if t.RStrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		between(start)
		all = append(all, section{piece{text[start:end], p.at + start}, t.ID})
		from = end
	}
	between(len(text))
	return all
}

// withinWord says that there is a letter of a word right before or right behind the span of a text.
func withinWord(text string, start, end int) bool {
	before, size := utf8.DecodeLastRuneInString(text[:start])
	behind, size2 := utf8.DecodeRuneInString(text[end:])
	return size > 0 && isWord(before) || size2 > 0 && isWord(behind)
}

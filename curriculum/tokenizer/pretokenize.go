package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a part of a text that is tokenised by itself, and where in the normalised text it begins, which only matters
// as being the first or not.
type piece struct {
	text string
	at   int
}

// preTokenizer cuts a piece into smaller ones. Its errors are those of patterns that take too long.
type preTokenizer func(p piece) ([]piece, error)

// What becomes of matches: each is a piece of its own, or is left out. Others are in behaviors alone.
const (
	isolated  = "isolated"
	isRemoved = "removed"
)

var behaviors = map[string]func([]span) []span{
	isolated: func(s []span) []span { return s }, isRemoved: removed, "contiguous": contiguous,
	"mergedwithprevious": mergedWithPrevious, "mergedwithnext": mergedWithNext,
}

// split cuts a piece at the matches of a pattern. With invert, what lies between matches is what matches.
func split(find finder, behavior string, invert bool) (preTokenizer, error) {
	join, ok := behaviors[strings.ToLower(behavior)]
	if !ok {
		return nil, fmt.Errorf("pre_tokenizer: the behavior %s is not supported", quoted(behavior))
	}
	return func(p piece) ([]piece, error) {
		found, err := find(p.text)
		if err != nil {
			return nil, err
		}
		spans := join(covering(found, len(p.text), invert))
		pieces := make([]piece, len(spans))
		for i, s := range spans {
			pieces[i] = piece{p.text[s.start:s.end], p.at + s.start}
		}
		return pieces, nil
	}, nil
}

// covering is matches and what lies between them in a text of some length.
func covering(found []span, length int, invert bool) []span {
	all := make([]span, 0, 2*len(found)+1)
	at := 0
	for _, f := range found {
		if f.start > at {
			all = append(all, span{at, f.start, invert})
		}
		all = append(all, span{f.start, f.end, !invert})
		at = f.end
	}
	if at < length {
		all = append(all, span{at, length, invert})
	}
	return all
}

func removed(spans []span) []span {
	left := spans[:0]
	for _, s := range spans {
		if !s.match {
			left = append(left, s)
		}
	}
	return left
}

func contiguous(spans []span) []span {
	left := spans[:0]
	for _, s := range spans {
		if n := len(left); n > 0 && left[n-1].match == s.match {
			left[n-1].end = s.end
		} else {
			left = append(left, s)
		}
	}
	return left
}

// mergedWithPrevious joins a match to what is before it, unless that is a match.
func mergedWithPrevious(spans []span) []span {
	left := spans[:0]
	last := false
	for _, s := range spans {
		if n := len(left); n > 0 && s.match && !last {
			left[n-1].end = s.end
		} else {
			left = append(left, s)
		}
		last = s.match
	}
	return left
}

// mergedWithNext joins a match to what is behind it, unless that is a match.
func mergedWithNext(spans []span) (joined []span) {
	for i := 0; i < len(spans); i++ {
		s := spans[i]
		if s.match && i+1 < len(spans) && !spans[i+1].match {
			i++
			s.end = spans[i].end
		}
		joined = append(joined, s)
	}
	return joined
}

// preTokenizerConfig is a pre-tokeniser of a tokenizer.json: the fields of all kinds, those that change no ids, too.
type preTokenizerConfig struct {
	Type           string            `json:"type"`
	PreTokenizers  []json.RawMessage `json:"pretokenizers"`
	Pattern        *pattern          `json:"pattern"`
	Behavior       string            `json:"behavior"`
	Invert         bool              `json:"invert"`
	AddPrefixSpace *bool             `json:"add_prefix_space"`
	TrimOffsets    bool              `json:"trim_offsets"`
	UseRegex       *bool             `json:"use_regex"`
	Individual     bool              `json:"individual_digits"`
	Replacement    string            `json:"replacement"`
	StringForm     string            `json:"str_rep"`
	PrependScheme  string            `json:"prepend_scheme"`
	Split          *bool             `json:"split"`
}

// newPreTokenizer makes the pre-tokeniser that a tokenizer.json describes; nil: it has none.
func newPreTokenizer(raw json.RawMessage) (preTokenizer, error) {
	kind, err := kindOf("pre_tokenizer", raw)
	if err != nil || kind == "" {
		return nil, err
	}
	c := preTokenizerConfig{Behavior: isolated}
	if err := decode("pre_tokenizer "+kind, raw, &c); err != nil {
		return nil, err
	}
	switch kind {
	case "Whitespace":
		return split(words, isRemoved, true)
	case "WhitespaceSplit":
		return split(characters(unicode.IsSpace), isRemoved, false)
	case "BertPreTokenizer":
		return newBert()
	case "Punctuation":
		return split(characters(isPunctuation), c.Behavior, false)
	case "Digits":
		behavior := "contiguous"
		if c.Individual {
			behavior = isolated
		}
		return split(characters(unicode.IsNumber), behavior, false)
	case "Split":
		find, err := c.Pattern.matches("pre_tokenizer Split")
		if err != nil {
			return nil, err
		}
		return split(find, c.Behavior, c.Invert)
	case "ByteLevel":
		return newByteLevel(or(c.AddPrefixSpace, true), or(c.UseRegex, true))
	case "Metaspace":
		return newMetaspace(&c)
	case "Sequence":
		all := make([]preTokenizer, len(c.PreTokenizers))
		for i, r := range c.PreTokenizers {
			if all[i], err = newPreTokenizer(r); err != nil {
				return nil, err
			}
		}
		return inSequence(all), nil
	}
	return nil, fmt.Errorf("the pre_tokenizer %s is not supported; supported are Whitespace, WhitespaceSplit, "+
		"BertPreTokenizer, Punctuation, Digits, Split, ByteLevel, Metaspace and sequences of them", quoted(kind))
}

// newBert cuts at white space, and around every punctuation character.
func newBert() (preTokenizer, error) {
	space, err := split(characters(unicode.IsSpace), isRemoved, false)
	if err != nil {
		return nil, err
	}
	punctuation, err := split(characters(isPunctuation), isolated, false)
	return inSequence([]preTokenizer{space, punctuation}), err
}

func inSequence(all []preTokenizer) preTokenizer {
	return func(p piece) ([]piece, error) {
		pieces := []piece{p}
		for _, t := range all {
			if t == nil {
				continue
			}
			var cut []piece
			for _, p := range pieces {
				smaller, err := t(p)
				if err != nil {
					return nil, err
				}
				cut = append(cut, smaller...)
			}
			pieces = cut
		}
		return pieces, nil
	}
}

// newByteLevel cuts as GPT-2 does and writes every byte as a printable character.
func newByteLevel(prefixSpace, useRegex bool) (preTokenizer, error) {
	cut := preTokenizer(func(p piece) ([]piece, error) { return []piece{p}, nil })
	if useRegex {
		find, err := compile("pre_tokenizer ByteLevel", gpt2, patience)
		if err != nil {
			return nil, err
		}
		if cut, err = split(find, isolated, false); err != nil {
			return nil, err
		}
	}
	return func(p piece) ([]piece, error) {
		if prefixSpace && !strings.HasPrefix(p.text, " ") {
			p.text = " " + p.text
		}
		pieces, err := cut(p)
		for i := range pieces {
			pieces[i].text = byteLevel(pieces[i].text)
		}
		return pieces, err
	}, nil
}

// byteCharacters are the characters that stand for bytes: the printable ones of Latin-1 for themselves, the others, in
// their order, from U+0100 on.
var byteCharacters = func() (characters [256]rune) {
	next := rune(0x100)
	for b := range characters {
		characters[b] = rune(b)
		if b < '!' || b > '~' && b < 0xa1 || b == 0xad {
			characters[b] = next
			next++
		}
	}
	return characters
}()

func byteLevel(text string) string {
	var b strings.Builder
	b.Grow(2 * len(text))
	for i := range len(text) {
		b.WriteRune(byteCharacters[text[i]])
	}
	return b.String()
}

// newMetaspace writes spaces as another character, as SentencePiece does, and cuts before each.
func newMetaspace(c *preTokenizerConfig) (preTokenizer, error) {
	replacement, prepend, cut := c.Replacement, c.PrependScheme, or(c.Split, true)
	if utf8.RuneCountInString(replacement) != 1 {
		return nil, fmt.Errorf("pre_tokenizer Metaspace: the replacement %s is not one character", quoted(replacement))
	}
	switch prefixSpace := or(c.AddPrefixSpace, true); {
	case prepend == "" && prefixSpace:
		prepend = "always"
	case prepend == "":
		prepend = "never"
	case prepend != "always" && prepend != "first" && prepend != "never":
		return nil, fmt.Errorf("pre_tokenizer Metaspace: the prepend_scheme %s is not supported", quoted(prepend))
	case !prefixSpace && prepend != "never":
		return nil, fmt.Errorf("pre_tokenizer Metaspace: add_prefix_space false and prepend_scheme %s exclude each other",
			prepend)
	}
	find := func(text string) ([]span, error) { return literal(text, replacement), nil }
	cutting, err := split(find, "mergedwithnext", false)
	if err != nil {
		return nil, err
	}
	return func(p piece) ([]piece, error) {
		p.text = strings.ReplaceAll(p.text, " ", replacement)
		if (prepend == "always" || prepend == "first" && p.at == 0) && !strings.HasPrefix(p.text, replacement) {
			p.text = replacement + p.text
		}
		if !cut {
			return []piece{p}, nil
		}
		return cutting(p)
	}, nil
}

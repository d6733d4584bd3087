package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// piece is a part of a text that is tokenised by itself, and where in the normalised text it begins, which only matters
// as being the first or not.
type piece struct {
	text string
	at   int
}

// preTokenizer cuts a piece into smaller ones. Its errors are those of patterns that take too long.
type preTokenizer func(p piece) ([]piece, error)

// span is a part of a text, and whether a pattern matched it.
type span struct {
	start, end int
	match      bool
}

// finder gives the matches of a pattern in a text, none of them empty, from left to right.
type finder func(text string) ([]span, error)

// pattern is a string or a regular expression, as a tokenizer.json has it.
type pattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

const (
	// contractions is how Llama 3, Qwen and GPT-4 write English ones, in either case. Oniguruma, which Hugging Face uses,
	// takes the long s for one, and regexp2 does not.
	contractions  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	contractions2 = `(?:'ſ|(?i:'s|'t|'re|'ve|'m|'ll|'d))`
	// gpt2 is the pattern of ByteLevel (Radford et al., 2019; encoder.py).
	gpt2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	// patience is how long one match may take: patterns come from files, and some take exponential time.
	patience = 10 * time.Second
)

// different are parts of regular expressions that Oniguruma and regexp2 read differently.
var different = []string{`\w`, `\W`, `\b`, `\B`, `\h`, `\H`, `\R`, `\X`, `\K`, `\G`, `\O`, `\N`, `\x{`, `\g`, `\k`,
	`&&`, `[:`, `-[`, `{,`, `(?~`, `(?i`, `(?x`, `(?m`, `(?s`, `(?a`}

// differs is a part of a regular expression that the two libraries read differently; "": there is none that is known.
func differs(expr string) string {
	for _, d := range different {
		if strings.Contains(expr, d) {
			return d
		}
	}
	class := false
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\':
			i++
		case c == '[' && class: // a class within a class
			return string(c)
		case c == '[':
			class = true
		case c == ']':
			class = false
		case (c == '^' || c == '$') && !class:
			return string(c)
		}
	}
	return ""
}

// matches is how the pattern is looked for.
func (p *pattern) matches(where string) (finder, error) {
	switch {
	case p == nil || p.String == nil && p.Regex == nil:
		return nil, fmt.Errorf("%s has no pattern", where)
	case p.String != nil && *p.String == "":
		return nil, fmt.Errorf("%s: an empty pattern is not supported", where)
	case p.String != nil:
		return func(text string) ([]span, error) { return literal(text, *p.String), nil }, nil
	}
	if d := differs(strings.ReplaceAll(*p.Regex, contractions, "")); d != "" {
		return nil, fmt.Errorf("%s: %s in the regular expression %s is not supported: it would not cut as Python's "+
			"tokenizers does", where, d, quoted(*p.Regex))
	}
	return compile(where, strings.ReplaceAll(*p.Regex, contractions, contractions2))
}

func compile(where, expr string) (finder, error) {
	re, err := regexp2.Compile(expr, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("%s: the regular expression %s is not supported: %w", where, quoted(expr), err)
	}
	re.MatchTimeout = patience
	empty := fmt.Errorf("%s: the regular expression %s matches places without text, which is not supported", where,
		quoted(expr))
	if ok, err := re.MatchString(""); ok || err != nil {
		return nil, empty
	}
	return func(text string) ([]span, error) {
		var found []span
		at, runes := 0, 0 // the same place in bytes and in characters, which regexp2 counts
		advance := func(to int) int {
			for ; runes < to; runes++ {
				_, size := utf8.DecodeRuneInString(text[at:])
				at += size
			}
			return at
		}
		m, err := re.FindStringMatch(text)
		for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
			if m.Length == 0 {
				return nil, empty
			}
			found = append(found, span{advance(m.Index), advance(m.Index + m.Length), true})
		}
		if err != nil {
			return nil, fmt.Errorf("%s: the regular expression %s: %w", where, quoted(expr), err)
		}
		return found, nil
	}, nil
}

func literal(text, word string) (found []span) {
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return found
		}
		found = append(found, span{at + i, at + i + len(word), true})
		at += i + len(word)
	}
}

// characters finds those of a class, each by itself.
func characters(class func(rune) bool) finder {
	return func(text string) (found []span, err error) {
		for i, r := range text {
			if class(r) {
				found = append(found, span{i, i + utf8.RuneLen(r), true})
			}
		}
		return found, nil
	}
}

// words finds what \w+|[^\w\s]+ matches.
func words(text string) (found []span, err error) {
	const space, word, other = 0, 1, 2
	last := space
	for i, r := range text {
		class := other
		switch {
		case isWord(r):
			class = word
		case unicode.IsSpace(r):
			class = space
		}
		end := i + utf8.RuneLen(r)
		switch class {
		case space:
		case last:
			found[len(found)-1].end = end
		default:
			found = append(found, span{i, end, true})
		}
		last = class
	}
	return found, nil
}

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
		find, err := compile("pre_tokenizer ByteLevel", gpt2)
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

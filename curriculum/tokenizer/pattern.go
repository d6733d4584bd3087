package tokenizer

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

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
	return compile(where, strings.ReplaceAll(*p.Regex, contractions, contractions2), patience)
}

// compile is an expression as it is looked for, where no match may take longer than limit.
func compile(where, expr string, limit time.Duration) (finder, error) {
	re, err := regexp2.Compile(expr, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("%s: the regular expression %s is not supported: %w", where, quoted(expr), err)
	}
	re.MatchTimeout = limit
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
			return nil, fmt.Errorf("%s: the regular expression %s takes more than %v in a text of %d bytes; give shorter ones",
				where, quoted(expr), re.MatchTimeout, len(text)) // err has the whole text
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

package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"
)

// normalizer changes a text before it is cut.
type normalizer struct {
	apply func(text string) (string, error) // its errors are those of patterns that take too long
	trims bool                              // what it gives may begin with what is not the begin of the text
}

// plainly is a normaliser that cannot fail and keeps the begin of a text.
func plainly(f func(string) string) *normalizer {
	return &normalizer{apply: func(text string) (string, error) { return f(text), nil }}
}

// trimming is a normaliser that cannot fail.
func trimming(f func(string) string) *normalizer {
	n := plainly(f)
	n.trims = true
	return n
}

var normalForms = map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}

// normalizerConfig is a normaliser of a tokenizer.json: the fields of all kinds.
type normalizerConfig struct {
	Type         string            `json:"type"`
	Normalizers  []json.RawMessage `json:"normalizers"`
	Pattern      *pattern          `json:"pattern"`
	Content      string            `json:"content"`
	Prepend      string            `json:"prepend"`
	Left         bool              `json:"strip_left"`
	Right        bool              `json:"strip_right"`
	CharsMap     string            `json:"precompiled_charsmap"`
	CleanText    bool              `json:"clean_text"`
	Chinese      bool              `json:"handle_chinese_chars"`
	StripAccents *bool             `json:"strip_accents"`
	Lowercase    bool              `json:"lowercase"`
}

// newNormalizer makes the normaliser that a tokenizer.json describes; nil: it has none.
func newNormalizer(raw json.RawMessage) (*normalizer, error) {
	kind, err := kindOf("normalizer", raw)
	if err != nil || kind == "" {
		return nil, err
	}
	var c normalizerConfig
	if err := decode("normalizer "+kind, raw, &c); err != nil {
		return nil, err
	}
	switch kind {
	case "NFC", "NFD", "NFKC", "NFKD":
		form := normalForms[kind]
		return plainly(func(text string) string { return normalForm(form, text) }), nil
	case "Lowercase":
		return plainly(lower), nil
	case "StripAccents":
		return trimming(func(text string) string { return without(text, isMark) }), nil
	case "Strip":
		n := plainly(c.strip)
		n.trims = c.Left
		return n, nil
	case "Prepend":
		return plainly(func(text string) string {
			if text == "" {
				return ""
			}
			return c.Prepend + text
		}), nil
	case "Replace":
		return newReplace(c.Pattern, c.Content)
	case "Precompiled":
		return newPrecompiled(c.CharsMap)
	case "BertNormalizer":
		return trimming(c.bert), nil
	case "Sequence":
		return newNormalizers(c.Normalizers)
	}
	return nil, fmt.Errorf("the normalizer %s is not supported; supported are NFC, NFD, NFKC, NFKD, Lowercase, "+
		"StripAccents, Strip, Prepend, Replace, Precompiled, BertNormalizer and sequences of them", quoted(kind))
}

func (c *normalizerConfig) strip(text string) string {
	if c.Left {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
	}
	if c.Right {
		text = strings.TrimRightFunc(text, unicode.IsSpace)
	}
	return text
}

func newNormalizers(raw []json.RawMessage) (*normalizer, error) {
	var all normalizer
	var each []*normalizer
	for _, r := range raw {
		n, err := newNormalizer(r)
		if err != nil {
			return nil, err
		}
		if n != nil {
			each = append(each, n)
			all.trims = all.trims || n.trims
		}
	}
	all.apply = func(text string) (_ string, err error) {
		for _, n := range each {
			if text, err = n.apply(text); err != nil {
				return "", err
			}
		}
		return text, nil
	}
	return &all, nil
}

func newReplace(p *pattern, content string) (*normalizer, error) {
	find, err := p.matches("normalizer Replace")
	if err != nil {
		return nil, err
	}
	apply := func(text string) (string, error) {
		found, err := find(text)
		if err != nil || len(found) == 0 {
			return text, err
		}
		var b strings.Builder
		at := 0
		for _, f := range found {
			b.WriteString(text[at:f.start])
			b.WriteString(content)
			at = f.end
		}
		b.WriteString(text[at:])
		return b.String(), nil
	}
	return &normalizer{apply, content == ""}, nil
}

// newPrecompiled is SentencePiece's table as Hugging Face applies it: a grapheme of up to five bytes that begins with
// an entry is replaced as a whole, and by the shortest such entry.
func newPrecompiled(encoded string) (*normalizer, error) {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("normalizer Precompiled: its table is not base64: %w", err)
	}
	table, err := parseCharsMap(data)
	if err != nil {
		return nil, fmt.Errorf("normalizer Precompiled: %w", err)
	}
	return plainly(func(text string) string {
		var b strings.Builder
		for state, cluster := -1, ""; text != ""; {
			cluster, text, _, state = uniseg.FirstGraphemeClusterInString(text, state)
			if len(cluster) < 6 {
				if length, replacement := table.find(cluster, false); length > 0 {
					b.WriteString(replacement)
					continue
				}
			}
			for _, r := range cluster {
				character := string(r)
				if length, replacement := table.find(character, false); length > 0 {
					character = replacement
				}
				b.WriteString(character)
			}
		}
		return b.String()
	}), nil
}

// bert is the normalisation of BERT (Devlin et al., 2019; tokenization.py).
func (c *normalizerConfig) bert(text string) string {
	if c.CleanText {
		text = strings.Map(cleaned, text)
	}
	if c.Chinese {
		var b strings.Builder
		for _, r := range text {
			if isChinese(r) {
				b.WriteString(" " + string(r) + " ")
			} else {
				b.WriteRune(r)
			}
		}
		text = b.String()
	}
	if c.StripAccents == nil && c.Lowercase || c.StripAccents != nil && *c.StripAccents {
		text = without(normalForm(norm.NFD, text), isNonspacing)
	}
	if c.Lowercase {
		text = lower(text)
	}
	return text
}

// cleaned is what stands for r in a cleaned text; -1: nothing does.
func cleaned(r rune) rune {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return ' '
	case r == 0 || r == unicode.ReplacementChar || isControl(r):
		return -1
	case unicode.IsSpace(r):
		return ' '
	}
	return r
}

package tokenizer

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

// The classes of characters are those of the libraries that tokenisers were trained with. Hugging Face's ask crates
// that have stayed at Unicode 8 (unicode_categories: punctuation, non-spacing marks, control characters) and Unicode 9
// (unicode-normalization-alignments: normal forms, marks); a character that is newer has no such class there. Found by
// asking PyPI tokenizers 0.23.3 about every code point, as TestPyPI does again. Characters that were
// assigned after the Unicode that this program's Go knows (15) are letters to newer crates and are not here.
var (
	unicode8 = rangetable.Assigned("8.0.0")
	unicode9 = rangetable.Assigned("9.0.0")

	// Characters whose category has changed since.
	wasPunctuation = rangetable.New(0x166d, 0x111c9)
	wasNonspacing  = rangetable.New(0x1734)
	wasSpacing     = rangetable.New(0x111c9, 0x1885, 0x1886, 0xa9bd)
	wasMark        = rangetable.New(0x1cf2, 0x1cf3)
	wasNoMark      = rangetable.New(0x111c9)

	otherAlphabetic = []*unicode.RangeTable{unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc,
		unicode.Other_Alphabetic, unicode.Join_Control}
)

// isWord is \w of the Rust regex crate: alphabetic characters, marks, decimal digits, connecting punctuation and the
// two joiners.
func isWord(r rune) bool {
	if r < 0x80 {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
	}
	return unicode.In(r, otherAlphabetic...)
}

func isPunctuation(r rune) bool {
	if r < 0x80 {
		return r > ' ' && r < 0x7f && !isWord(r) || r == '_'
	}
	return unicode.IsPunct(r) && unicode.Is(unicode8, r) || unicode.Is(wasPunctuation, r)
}

func isNonspacing(r rune) bool {
	return r >= 0x300 && (unicode.Is(unicode.Mn, r) && unicode.Is(unicode8, r) && !unicode.Is(wasSpacing, r) ||
		unicode.Is(wasNonspacing, r))
}

func isMark(r rune) bool {
	return r >= 0x300 && (unicode.IsMark(r) && unicode.Is(unicode9, r) && !unicode.Is(wasNoMark, r) ||
		unicode.Is(wasMark, r))
}

// isControl is said of what BERT leaves out: control and formatting characters, those of private use.
func isControl(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) && unicode.Is(unicode8, r)
}

// isChinese is said of the ideographs that BERT makes words of their own. The ranges are Hugging Face's: 0x2B820 to
// 0x2B91F are missing from them, but not from BERT's.
func isChinese(r rune) bool {
	return 0x4e00 <= r && r <= 0x9fff || 0x3400 <= r && r <= 0x4dbf || 0x20000 <= r && r <= 0x2a6df ||
		0x2a700 <= r && r <= 0x2b73f || 0x2b740 <= r && r <= 0x2b81f || 0x2b920 <= r && r <= 0x2ceaf ||
		0xf900 <= r && r <= 0xfaff || 0x2f800 <= r && r <= 0x2fa1f
}

// lower is text in lower case, character by character: a final sigma is like any other.
func lower(text string) string {
	const dotted = "\u0130" // the one character that two are the lower case of
	return strings.ReplaceAll(strings.Map(func(r rune) rune {
		if r == '\u0130' {
			return r
		}
		return unicode.ToLower(r)
	}, text), dotted, "i\u0307")
}

// without is text without the characters of a class.
func without(text string, class func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if class(r) {
			return -1
		}
		return r
	}, text)
}

// normalForm is text in a normal form of Unicode 9: newer characters stay as they are, and part what is composed.
func normalForm(form norm.Form, text string) string {
	var b strings.Builder
	rest := text
	for rest != "" {
		at := strings.IndexFunc(rest, func(r rune) bool { return r >= 0x80 && !unicode.Is(unicode9, r) })
		if at < 0 {
			at = len(rest)
		}
		b.WriteString(form.String(rest[:at]))
		known := strings.IndexFunc(rest[at:], func(r rune) bool { return r < 0x80 || unicode.Is(unicode9, r) })
		if known < 0 {
			known = len(rest) - at
		}
		b.WriteString(rest[at : at+known])
		rest = rest[at+known:]
	}
	return b.String()
}

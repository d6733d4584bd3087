// Package foreign makes text that the program did not write itself (names in files, paths, words of a command
// line) fit for a terminal: nothing in it can move the cursor, colour or hide text, turn its direction, begin a
// line of its own, or fill the screen. Letters of every script stay as they are.
package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// WordLimit is how many letters of one foreign word are shown. It is more than any name that this program gives,
// and less than two lines of a terminal.
const WordLimit = 120

// LineWordLimit is how many letters of a word are shown in a message that has not cut it itself: room for most paths.
const LineWordLimit = 256

// LineLimit is how many bytes a line for people takes at most: a message of ours with a few such words has room, and
// it fits a screen of 80 by 24.
const LineLimit = 1900

// ellipsis stands for what is left out.
const ellipsis = "…"

// Text is s with all that is not a letter, mark, digit, sign or space written as an escape (\n, \u001b), and cut
// in the middle to WordLimit letters.
func Text(s string) string {
	return shorten(escape(shorten(s, WordLimit), false), WordLimit)
}

// Path is Text for what the user may want to copy: it is cut only where it would not fit a line.
func Path(s string) string { return cut(escape(s, false), LineLimit) }

// Word is Text(s), in quotes and with its backslashes doubled where its ends or words could be misread: if it is
// empty, has spaces, quotes, backslashes or escapes.
func Word(s string) string {
	short := shorten(s, WordLimit)
	text := escape(short, false)
	plainly := text == short && !strings.ContainsFunc(s, unicode.IsSpace) && !strings.ContainsAny(s, `"\`)
	if s != "" && plainly {
		return text
	}
	return `"` + shorten(escape(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(short), false), WordLimit) + `"`
}

// Line is text of several words as one line: line breaks become spaces, what a terminal would obey becomes
// escapes. What has no space in LineWordLimit letters is cut, and what is then longer than limit bytes; in the
// middle, since a message begins with what is wrong and ends with the mend.
func Line(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	if len(s) > LineWordLimit {
		words := strings.Split(s, " ")
		for i, word := range words {
			words[i] = shorten(word, LineWordLimit)
		}
		s = strings.Join(words, " ")
	}
	return cut(escape(s, false), limit)
}

// Lines is a text of the program's own with foreign words in it: its line feeds and tabulators stay, all else that
// is not a letter becomes an escape.
func Lines(text []byte) []byte { return []byte(escape(string(text), true)) }

// shorten cuts s in the middle to limit letters. It looks at the ends of s alone, however long s is.
func shorten(s string, limit int) string {
	if len(s) <= limit || len(s) <= limit*utf8.UTFMax && utf8.RuneCountInString(s) <= limit {
		return s
	}
	front, back := (limit-1)*2/3, (limit-1)-(limit-1)*2/3
	from, to := 0, len(s)
	for range front {
		_, size := utf8.DecodeRuneInString(s[from:])
		from += size
	}
	for range back {
		_, size := utf8.DecodeLastRuneInString(s[:to])
		to -= size
	}
	return s[:beforeEscape(s, from)] + ellipsis + s[to:]
}

// beforeEscape is at, or where the escape begins that at could be in the midst of.
func beforeEscape(s string, at int) int {
	const longest = len(`\u0000\u0000`)
	from := max(0, at-longest+1)
	if begin := strings.IndexByte(s[from:at], '\\'); begin >= 0 {
		return from + begin
	}
	return at
}

// cut leaves out the middle of s so that limit bytes remain, whole letters and whole escapes.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	room := limit - len(ellipsis)
	from, to := room*2/3, len(s)-(room-room*2/3)
	for from > 0 && !utf8.RuneStart(s[from]) {
		from--
	}
	for to < len(s) && !utf8.RuneStart(s[to]) {
		to++
	}
	return s[:beforeEscape(s, from)] + ellipsis + s[to:]
}

// plain says that a terminal shows r and does nothing else at it.
func plain(r rune) bool {
	return r >= ' ' && r < 0x7f || !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// escape writes all that is not plain as escapes. With lines, tabulators and line feeds stay.
func escape(s string, lines bool) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			_, _ = fmt.Fprintf(&b, `\x%02x`, s[i])
		case plain(r) || lines && (r == '\n' || r == '\t'):
			b.WriteString(s[i : i+size])
		default:
			b.WriteString(escaped(r))
		}
		i += size
	}
	return b.String()
}

// escaped is r in the form of Go and JSON: in a JSON string, where most of these letters may stand as they are, it
// still means r.
func escaped(r rune) string {
	switch r {
	case '\n', '\r', '\t':
		return strings.Trim(strconv.QuoteRune(r), "'")
	}
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// JSON is an error of encoding/json in the words of the file that it read, without the names of Go's types.
func JSON(err error) error {
	bad, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return err
	case bad.Field == "":
		return fmt.Errorf("it is a %s, which it cannot be", bad.Value)
	}
	return fmt.Errorf("%q is a %s, which it cannot be", bad.Field, bad.Value)
}

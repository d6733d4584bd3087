package foreign

import (
	"bytes"
	"io"
	"slices"
	"unicode/utf8"
)

// Writer is the last guard before a terminal: it passes text on to another writer with everything but letters,
// line feeds and tabulators written as escapes. JSON stays JSON, and means the same. It is not for concurrent use.
type Writer struct {
	w     io.Writer
	limit int    // bytes of a line; 0: any
	part  []byte // the begin of a letter whose rest comes with the next Write
}

// NewWriter guards w. Lines longer than limit bytes are cut in the middle, if they come in one Write; 0 is for
// output that must come whole.
func NewWriter(w io.Writer, limit int) *Writer { return &Writer{w: w, limit: limit} }

// Unwrap is the writer that is guarded, for what draws on a terminal and prints nothing foreign.
func (g *Writer) Unwrap() io.Writer { return g.w }

// Write passes p on. It returns len(p) unless the guarded writer fails.
func (g *Writer) Write(p []byte) (int, error) {
	text := p
	if len(g.part) > 0 {
		text = slices.Concat(g.part, p)
		g.part = nil
	}
	if n := unfinished(text); n > 0 {
		g.part = bytes.Clone(text[len(text)-n:])
		text = text[:len(text)-n]
	}
	if err := g.pass(text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush passes on, as an escape, the begin of a letter that never came whole.
func (g *Writer) Flush() error {
	text := g.part
	g.part = nil
	return g.pass(text)
}

func (g *Writer) pass(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	out := Lines(text)
	if g.limit > 0 && len(out) > g.limit {
		out = g.cutLines(out)
	}
	_, err := g.w.Write(out)
	return err
}

// cutLines cuts every line to the limit.
func (g *Writer) cutLines(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		body, feed := bytes.CutSuffix(line, []byte("\n"))
		out = append(out, cut(string(body), g.limit)...)
		if feed {
			out = append(out, '\n')
		}
	}
	return out
}

// unfinished is how many bytes at the end of text could be the begin of a letter.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/synapnet/synapnet-train/curriculum/tokenizer"
)

// maxTextLine is how many bytes a line of text may have, since it is held as a whole.
const maxTextLine = 1 << 20

// textReader gives the token ids of a text, in memory that does not grow with it. The unit is a line: each is a text of
// its own to the tokeniser, that begins with the line feed that ended the line before; the last line feed of the text
// is no part of it. So the ids of tokenisers that look no further than white space (bytes, words) are those of the
// whole text, and one that puts special tokens around a text does so around each line.
type textReader struct {
	name      string // of the input, in messages
	r         *bufio.Reader
	tokenizer tokenizer.Tokenizer
	vocab     int
	line      int
	text      []byte // of the line that is not complete, behind the line feed before it
	ids       []int32
}

func newTextReader(name string, r io.Reader, t tokenizer.Tokenizer, vocab int) *textReader {
	return &textReader{name: name, r: bufio.NewReaderSize(r, 1<<12), tokenizer: t, vocab: vocab, line: 1}
}

// input is the input's name.
func (t *textReader) input() string { return t.name }

// some are the next ids, at least one and at most `most`, without waiting for more lines than have arrived. They are
// right whether there is an error or not: how the input went on after them, io.EOF at its end.
func (t *textReader) some(most int) (ids []int32, err error) {
	for len(t.ids) == 0 {
		if err := t.next(); err != nil {
			return nil, err
		}
	}
	n := min(most, len(t.ids))
	ids, t.ids = t.ids[:n], t.ids[n:]
	return ids, nil
}

// unfinished says what was begun and not read to its end; "": nothing.
func (t *textReader) unfinished() string {
	if len(bytes.TrimPrefix(t.text, []byte("\n"))) == 0 {
		return ""
	}
	return "the beginning of a line"
}

// next reads a line; io.EOF after the last. After another error of the input's it can be called again.
func (t *textReader) next() error {
	for {
		part, err := t.r.ReadSlice('\n')
		t.text = append(t.text, part...)
		if t.line == 1 {
			t.text = bytes.TrimPrefix(t.text, []byte("\ufeff")) // as of --data
		}
		switch {
		case len(t.text) > maxTextLine+1:
			return fmt.Errorf("%s:%d: the line has more than %d bytes: break it, e.g. with 'fold -s -w 10000'", t.name, t.line,
				maxTextLine)
		case err == nil:
			text := t.text[:len(t.text)-1]
			if err := t.encode(text); err != nil {
				return err
			}
			t.text = append(t.text[:0], '\n')
			t.line++
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			if len(t.text) == 0 || string(t.text) == "\n" && t.line > 1 { // the last line feed
				return io.EOF
			}
			text := t.text
			t.text = nil
			return t.encode(text)
		default:
			return fmt.Errorf("cannot read %s: %w", t.name, err)
		}
	}
}

// encode takes in the ids of a line.
func (t *textReader) encode(text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("%s:%d: it has invalid UTF-8: save the text as UTF-8", t.name, t.line)
	}
	if len(text) == 0 {
		return nil
	}
	ids, err := t.tokenizer.Encode(string(text))
	if err != nil {
		return fmt.Errorf("%s:%d: the tokeniser fails: %w", t.name, t.line, err)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= t.vocab {
			return fmt.Errorf("%s:%d: the tokeniser gives the id %d, and the model's vocabulary is 0 to %d", t.name, t.line, id,
				t.vocab-1)
		}
	}
	t.ids = ids
	return nil
}

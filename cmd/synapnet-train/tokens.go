package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// maxTokenWord is how many bytes a word may have: far more than an id has, leading zeros included. A longer one is
// refused without reading on, since it may have no end.
const maxTokenWord = 1024

// tokenReader reads whitespace-separated token ids, in memory that does not grow with the input.
type tokenReader struct {
	name  string // of the input, in messages
	r     *bufio.Reader
	vocab int
	line  int
	word  []byte
	mend  string // what to do about what are no ids
}

// newTokenReader reads at most `ahead` ids more of r than it has given.
func newTokenReader(name string, r io.Reader, vocab, ahead int) *tokenReader {
	const least = 2 // bytes of an id with what separates it from the next
	return &tokenReader{name: name, r: bufio.NewReaderSize(r, min(least*ahead, 1<<16)), vocab: vocab, line: 1}
}

// some are the next ids, at least one and at most `most`, without waiting for more than have arrived. They are right
// whether there is an error or not: how the input went on after them, io.EOF at its end.
func (t *tokenReader) some(most int) (ids []int32, err error) {
	for len(ids) < most && (len(ids) == 0 || t.r.Buffered() > 0) {
		id, err := t.next()
		if err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// input is the input's name.
func (t *tokenReader) input() string { return t.name }

// unfinished says what was begun and not read to its end; "": nothing.
func (t *tokenReader) unfinished() string {
	if len(t.word) == 0 {
		return ""
	}
	return "the beginning of an id"
}

// next is the next id; io.EOF after the last. After another error of the input's it can be called again.
func (t *tokenReader) next() (int32, error) {
	for {
		b, err := t.r.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			if len(t.word) == 0 {
				return 0, io.EOF
			}
			return t.id()
		case err != nil:
			return 0, fmt.Errorf("cannot read %s: %w", t.name, err)
		case b == ' ' || b == '\t' || b == '\n' || b == '\r' || b == '\v' || b == '\f':
			if len(t.word) > 0 {
				if err := t.r.UnreadByte(); err != nil { // its line is counted when it is read again
					return 0, fmt.Errorf("cannot read %s: %w", t.name, err)
				}
				return t.id()
			}
			if b == '\n' {
				t.line++
			}
		case len(t.word) == maxTokenWord:
			if _, err := t.number(); err != nil { // wrong whatever follows
				return 0, err
			}
			return 0, t.wrong(fmt.Sprintf("longer than %d bytes", maxTokenWord))
		default:
			t.word = append(t.word, b)
		}
	}
}

// id is the word as a number in [0, vocab). The next word begins.
func (t *tokenReader) id() (int32, error) {
	defer func() { t.word = t.word[:0] }()
	return t.number()
}

// number is the word as a number in [0, vocab).
func (t *tokenReader) number() (int32, error) {
	n := int64(0)
	for _, b := range t.word {
		if b < '0' || b > '9' {
			return 0, t.wrong("not a token id")
		}
		n = min(10*n+int64(b-'0'), 1<<40)
	}
	if n >= int64(t.vocab) {
		return 0, t.wrong("no token of the model")
	}
	return int32(n), nil
}

func (t *tokenReader) wrong(what string) error {
	return fmt.Errorf("%s:%d: %s is %s: ids are whole numbers from 0 to %d, separated by white space%s",
		t.name, t.line, printable(string(t.word)), what, t.vocab-1, t.mend)
}

// randomIDs is an input of random token ids.
type randomIDs struct {
	left  int64
	vocab int
	rng   *rand.Rand
	text  []byte // what is made and not yet read
}

func newRandomIDs(n int64, vocab int, seed uint64) *randomIDs {
	return &randomIDs{left: n, vocab: vocab, rng: rand.New(rand.NewPCG(seed, 0x696473))}
}

// Read gives the ids as text.
func (r *randomIDs) Read(p []byte) (int, error) {
	if len(r.text) == 0 {
		n := min(r.left, 1024)
		if n == 0 {
			return 0, io.EOF
		}
		r.left -= n
		r.text = r.text[:0]
		for range n {
			r.text = append(strconv.AppendInt(r.text, int64(r.rng.IntN(r.vocab)), 10), ' ')
		}
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// allTokens reads a stream to its end or its first mistake.
func allTokens(r io.Reader, vocab int) ([]int32, error) {
	t := newTokenReader("ids.txt", r, vocab, 16)
	var ids []int32
	for {
		id, err := t.next()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
}

// plainTokens reads a stream in the plainest way: whole words, numbers of any size. It returns the ids before the
// first word that is none, and the line of that word; 0: there is none.
func plainTokens(text string, vocab int) (ids []int32, line int) {
	for i, row := range strings.Split(text, "\n") {
		for _, word := range strings.FieldsFunc(row, func(r rune) bool { return strings.ContainsRune(" \t\r\v\f", r) }) {
			n, whole := new(big.Int).SetString(word, 10)
			if !whole || strings.Trim(word, "0123456789") != "" || len(word) > maxTokenWord ||
				n.Cmp(big.NewInt(int64(vocab))) >= 0 {
				return ids, i + 1
			}
			ids = append(ids, int32(n.Int64()))
		}
	}
	return ids, 0
}

// A word is read whole, whatever zeros it begins with, or refused.
func TestTokenWords(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("0", n) }
	for text, want := range map[string]int32{
		"5": 5, "0": 0, "00": 0, zeros(41) + "5": 5, zeros(60) + "127": 127, zeros(maxTokenWord): 0, zeros(maxTokenWord-1) +
			"9": 9,
	} {
		if ids, err := allTokens(strings.NewReader(" "+text+"\n"), 128); err != nil || len(ids) != 1 || ids[0] != want {
			t.Errorf("%.50s: %v %v, want %d", text, ids, err, want)
		}
	}
	for text, want := range map[string]string{
		zeros(maxTokenWord) + "5":         "is longer than 1024 bytes",
		strings.Repeat("9", maxTokenWord): "is no token of the model",
		zeros(50) + "128":                 "is no token of the model",
		zeros(50) + "x":                   "is not a token id",
		"-1":                              "-1 is not a token id",
		"0x10":                            "0x10 is not a token id",
		"1_0":                             "1_0 is not a token id",
		"\u0665":                          "is not a token id",
		"1\u00a02":                        "is not a token id",
		"5\x00":                           `"5\u0000" is not a token id`,
		"\x1b[31m":                        `"\u001b[31m" is not a token id`,
	} {
		ids, err := allTokens(strings.NewReader("7\n"+text), 128)
		if err == nil || !strings.HasPrefix(err.Error(), "ids.txt:2: ") || !strings.Contains(err.Error(), want) ||
			len(err.Error()) > 300 || len(ids) != 1 {
			t.Errorf("%.50q: %v %v, want %s", text, ids, err, want)
		}
	}
}

// repeating gives one byte for ever, and counts how often it is asked.
type repeating struct {
	b    byte
	read int
}

func (e *repeating) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.b
	}
	e.read += len(p)
	return len(p), nil
}

// A word without an end is refused after a piece of it.
func TestTokenWordWithoutEnd(t *testing.T) {
	for _, b := range []byte{'0', '7', 'x', 0, 0xff} {
		source := &repeating{b: b}
		if _, err := allTokens(source, 128); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%q: %.300v", b, err)
		}
		if source.read > 1<<20 {
			t.Errorf("%q: %d bytes were read", b, source.read)
		}
	}
}

// FuzzTokens: the reader finds the ids and the first mistake that the plainest reader finds, in whichever pieces
// the text comes.
func FuzzTokens(f *testing.F) {
	f.Add("1 2\t3\n4\r\n5\v6\f7", 128)
	f.Add(strings.Repeat("0", 61)+"5 "+strings.Repeat("0", 1100)+"5", 128)
	f.Add("127 128", 128)
	f.Add("18446744073709551621 5", 128)
	f.Add("1\n\n99999999999999999999999999\n", 4096)
	f.Add("1 -1 +1 0x1 1_0 \x00 \x1b[0m \u0665", 1)
	f.Fuzz(func(t *testing.T, text string, vocab int) {
		vocab = max(1, min(vocab, 1<<20))
		want, line := plainTokens(text, vocab)
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)),
			iotest.DataErrReader(bytes.NewReader([]byte(text)))} {
			got, err := allTokens(r, vocab)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%q: got %v, want %v", text, got, want)
			}
			if (err != nil) != (line > 0) || err != nil && !strings.HasPrefix(err.Error(), "ids.txt:"+strconv.Itoa(line)+": ") {
				t.Fatalf("%q: got %v, want a mistake in line %d", text, err, line)
			}
			if err != nil && (strings.ContainsAny(err.Error(), "\n\x1b\x00") || len(err.Error()) > 1500) {
				t.Fatalf("%q", err)
			}
		}
	})
}

package data

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// put writes a file of lines and returns its path.
func put(t testing.TB, path string, lines ...string) string {
	t.Helper()
	return putBytes(t, path, []byte(strings.Join(lines, "\n")))
}

func putBytes(t testing.TB, path string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, text string) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll([]byte(text), nil)
}

// readAll is all records of a file.
func readAll(path string, ignore ...string) (all []Record, err error) {
	r, err := Open(path, ignore...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		record.IDs = slices.Clone(record.IDs)
		all = append(all, record)
	}
}

// letters is a tokenizer: a letter is an id, its place in a string; 0 fills up.
type letters string

func (l letters) Encode(text string) (ids []int32, err error) {
	for _, c := range text {
		at := strings.IndexRune(string(l), c)
		if at < 0 {
			return nil, fmt.Errorf("no id for %q", c)
		}
		ids = append(ids, int32(at+1))
	}
	return ids, nil
}

func (l letters) Size() int  { return len(l) + 1 }
func (l letters) Pad() int32 { return 0 }

const alphabet = letters("abcdefghijklmnopqrstuvwxyz .?")

// names are those of the files in a folder.
func namesIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func in(t testing.TB, name string) string { return filepath.Join(t.TempDir(), name) }

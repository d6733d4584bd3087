package data

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"unicode"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/synapnet/synapnet-train/internal/files"
)

// maxRecord is how many bytes a record of JSON may have: lines of 64 MB.
var maxRecord = 64 << 20

// Reader reads the records of one file, in its order, in memory that depends on the largest record alone.
type Reader struct {
	path   string
	file   *os.File
	sum    hash.Hash
	source source
	fields fields
	kinds  *kinds
	close  func() // of a decompressor
	at     int64
}

// source is a format: it finds the fields of the next record. Its error at the end is io.EOF.
type source interface {
	// next fills the fields. at counts records as unit does; errors are without the place.
	next(f *fields) (at int64, err error)
	// unit is what at counts: line, element, row.
	unit() string
}

// Open opens a file of samples. What it is says its content: JSON lines or a JSON array of objects, plain or in gzip or
// zstd, or Parquet with columns of the same names. The forms of a sample are
//
//	{"ids": [1, 2], "label": 3}
//	{"text": "…", "label": "yes"}
//	{"input": "…", "question": "…", "target": "…"}    BABILong's; its text is input, a blank, question
//
// with labels that are numbers or words. Another key is an error, unless it is one of ignore. Errors name file, line
// and mend.
func Open(path string, ignore ...string) (*Reader, error) {
	return open(context.Background(), path, ignore, new(kinds), func(int64) {})
}

// open is Open. kinds may be shared by files that are read together; read is told how many bytes more were read of
// twice the file's size for Parquet, of the file's size for all else.
func open(ctx context.Context, path string, ignore []string, k *kinds, read func(n int64)) (_ *Reader, err error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w; give a file of samples", path, files.Cause(err))
	}
	r := &Reader{path: path, file: f, sum: sha256.New(), kinds: k, close: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	in := bufio.NewReaderSize(&meter{ctx, f, r.sum, read}, 1<<20)
	begin, err := in.Peek(4)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, r.wrap(err)
	case len(begin) == 0:
		return nil, r.wrap(errors.New("it is empty: give a file of samples"))
	case string(begin) == "PAR1":
		r.source, err = r.openParquet(ctx, in, ignore, read)
	default:
		r.source, err = r.openJSON(in, ignore)
	}
	if err != nil {
		return nil, r.wrap(err)
	}
	return r, nil
}

// openJSON is the source of a text, decompressed where it has to be.
func (r *Reader) openJSON(in *bufio.Reader, ignore []string) (source, error) {
	begin, _ := in.Peek(4) // a shorter file has none of these
	plain := in
	switch {
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, decompression("gzip", err)
		}
		plain = bufio.NewReaderSize(&decompressed{z, "gzip"}, 1<<20)
	case bytes.HasPrefix(begin, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, decompression("zstd", err)
		}
		r.close = z.Close
		plain = bufio.NewReaderSize(&decompressed{z, "zstd"}, 1<<20)
	}
	switch c, line, err := Begin(plain); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it has no samples")
	case err != nil:
		return nil, err
	case c == '[':
		return newArray(plain, ignore), nil
	case c == '{':
		return newLines(plain, line, ignore), nil
	default:
		return nil, fmt.Errorf("line %d begins with %q: it must be JSON lines, a JSON array or Parquet; %s", line, c, forms)
	}
}

// Begin passes over what text may have in front of its JSON, the mark of UTF-8 and white space, and gives the first
// byte behind, which is still to be read, and its line, from 1. It is io.EOF if there is none.
func Begin(text *bufio.Reader) (first byte, line int64, err error) {
	if mark, _ := text.Peek(3); string(mark) == "\ufeff" { // as editors on Windows write it
		if _, err := text.Discard(len(mark)); err != nil {
			return 0, 0, err
		}
	}
	if mark, _ := text.Peek(2); string(mark) == "\xff\xfe" || string(mark) == "\xfe\xff" {
		return 0, 0, errors.New("it is text in UTF-16, by the mark that it begins with: save it as UTF-8")
	}
	for line = 1; ; {
		c, err := text.ReadByte()
		switch {
		case err != nil:
			return 0, line, err
		case c == '\n':
			line++
		case !unicode.IsSpace(rune(c)):
			return c, line, text.UnreadByte()
		}
	}
}

// Next reads the next record. Its error after the last is io.EOF.
func (r *Reader) Next() (Record, error) {
	r.fields.reset()
	at, err := r.source.next(&r.fields)
	if errors.Is(err, io.EOF) {
		if r.at == 0 {
			return Record{}, r.wrap(errors.New("it has no samples"))
		}
		return Record{}, io.EOF
	}
	r.at = at
	if err != nil {
		return Record{}, r.Wrap(err)
	}
	record, err := r.fields.record()
	if err == nil {
		err = r.kinds.check(record, r.place)
	}
	if err != nil {
		return Record{}, r.Wrap(err)
	}
	record.At = at
	return record, nil
}

// place names the record that was read last.
func (r *Reader) place() string { return fmt.Sprintf("%s %s %d", r.path, r.source.unit(), r.at) }

// Wrap adds the file and the line of the record that was read last to an error.
func (r *Reader) Wrap(err error) error {
	if ended(err) {
		return err
	}
	return fmt.Errorf("%s: %w", r.place(), err)
}

func (r *Reader) wrap(err error) error {
	if ended(err) {
		return err
	}
	return fmt.Errorf("%s: %w", r.path, err)
}

// ended says that an error is that of a context, which no file is to blame for.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Close closes the file.
func (r *Reader) Close() error {
	r.close()
	return r.file.Close()
}

// meter is a file whose bytes are hashed and counted.
type meter struct {
	ctx  context.Context
	file *os.File
	sum  hash.Hash
	read func(n int64)
}

// Read reads from the file until the context ends.
func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.file.Read(p)
	m.sum.Write(p[:n])
	m.read(int64(n))
	return n, err
}

// decompressed gives errors of a decompressor words that a user can act on.
type decompressed struct {
	io.Reader
	format string
}

// Read decompresses.
func (d *decompressed) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = decompression(d.format, err)
	}
	return n, err
}

func decompression(format string, err error) error {
	switch {
	case ended(err):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("its %s data are cut off: copy or download the file again", format)
	}
	return fmt.Errorf("its %s data are damaged (%w): copy or download the file again", format, err)
}

package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/synapnet/synapnet-train/internal/foreign"
)

// object decodes JSON objects. The decoder is that of encoding/json/v2: it refuses invalid UTF-8 and names that come
// twice, and is fast enough without a tree or reflection.
type object struct {
	ignore  []string
	decoder jsontext.Decoder
	buffer  bytes.Buffer
	word    []byte
}

// decode fills the fields from an object, which must be all of value.
func (o *object) decode(value []byte, f *fields) error {
	o.buffer = *bytes.NewBuffer(value)
	o.decoder.Reset(&o.buffer)
	begin, err := o.decoder.ReadToken()
	if err != nil {
		return broken(value, err)
	}
	if begin.Kind() != '{' {
		return fmt.Errorf("it is %s, not an object: %s", foreign.Word(string(value)), forms)
	}
	for o.decoder.PeekKind() != '}' {
		name, err := o.decoder.ReadToken()
		if err != nil {
			return broken(value, err)
		}
		if name.Kind() != '"' { // the end of what was cut off
			return broken(value, io.ErrUnexpectedEOF)
		}
		k, skip, unknown := lookUp(name.String(), o.ignore)
		if skip {
			err = o.decoder.SkipValue()
		}
		if err != nil {
			return broken(value, err)
		}
		if skip {
			continue
		}
		member, err := o.decoder.ReadValue() // before what is said of the key: the line may be broken
		if err != nil {
			return broken(value, err)
		}
		if unknown != nil {
			return unknown
		}
		if err := o.set(f, k, member); err != nil {
			return err
		}
	}
	if _, err := o.decoder.ReadToken(); err != nil {
		return broken(value, err)
	}
	if _, err := o.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("more follows the object: put each sample on a line of its own")
	}
	return nil
}

// set gives a field its value, which is valid JSON.
func (o *object) set(f *fields, k key, value jsontext.Value) error {
	f.present |= 1 << k
	isLabel := k == label || k == target
	switch kind := value.Kind(); {
	case k == ids && kind == '[':
		return appendIDs(f, value)
	case k == ids:
		return fmt.Errorf("ids is %s: it must be an array of numbers", foreign.Word(string(value)))
	case kind == '"':
		var err error
		if o.word, err = jsontext.AppendUnquote(o.word[:0], value); err != nil {
			return broken(value, err)
		}
		return f.setWord(k, string(o.word))
	case isLabel && kind == '0':
		class, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return notALabel(k, string(value))
		}
		return f.setClass(k, class)
	case isLabel:
		return notALabel(k, string(value))
	}
	return fmt.Errorf("%s is %s: it must be a text in quotes", names[k], foreign.Word(string(value)))
}

// appendIDs reads an array, which is valid JSON: it ends with a bracket, whatever comes before.
func appendIDs(f *fields, array []byte) error {
	all := f.ids
	for at := 1; at < len(array)-1; {
		c := array[at]
		if c == ',' || c <= ' ' {
			at++
			continue
		}
		begin, id := at, int64(0)
		for ; array[at]-'0' <= 9 && id <= math.MaxInt32; at++ {
			id = id*10 + int64(array[at]-'0')
		}
		if c = array[at]; at == begin || id > math.MaxInt32 || c != ',' && c != ']' && c > ' ' {
			return notAnID(len(all), element(array[begin:])) // -1, 1.5, "1", an array, far too large
		}
		all = append(all, int32(id))
	}
	f.ids = all
	return nil
}

// element is the first element of the rest of an array, for an error.
func element(rest []byte) string {
	if end := bytes.IndexAny(rest, ",] \t\r\n"); end > 0 {
		rest = rest[:end]
	}
	return string(rest)
}

// broken is the error of a value that is no JSON.
func broken(value []byte, err error) error {
	where := ""
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		where, err = fmt.Sprintf(" at byte %d", syntax.ByteOffset+1), syntax.Err
	}
	switch {
	case !utf8.Valid(value):
		return fmt.Errorf("it has invalid UTF-8%s: save the file as UTF-8", where)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("broken JSON: it ends within a value; a sample must be whole, on one line")
	}
	return fmt.Errorf("broken JSON%s: %w; mend or remove the sample", where, err)
}

// lines are JSON lines. Blank ones are left out, but counted.
type lines struct {
	object
	in   *bufio.Reader
	at   int64
	long []byte // a line that is longer than in's buffer
}

func newLines(in *bufio.Reader, first int64, ignore []string) *lines {
	return &lines{object: object{ignore: ignore}, in: in, at: first - 1}
}

func (l *lines) unit() string { return "line" }

func (l *lines) next(f *fields) (int64, error) {
	for {
		line, err := l.line()
		if err != nil {
			return l.at, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return l.at, l.decode(line, f)
		}
	}
}

// line reads a line, valid until the next call.
func (l *lines) line() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		if len(part) > 0 && len(l.long) == 0 {
			l.at++
		}
		switch {
		case err == nil && len(l.long) == 0:
			return part, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF):
			return nil, err
		}
		if l.long = append(l.long, part...); len(l.long) > maxRecord {
			return nil, tooLong()
		}
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(l.long) > 0:
			return l.long, nil
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		}
	}
}

func tooLong() error {
	return fmt.Errorf("it has more than %d MB, the most of a sample: split it", maxRecord>>20)
}

// array is a JSON array of objects.
type array struct {
	object
	in       limited
	elements *jsontext.Decoder
	at       int64
}

func newArray(in io.Reader, ignore []string) *array {
	a := &array{object: object{ignore: ignore}, in: limited{in: in, left: maxRecord}}
	a.elements = jsontext.NewDecoder(&a.in)
	return a
}

func (a *array) unit() string { return "element" }

func (a *array) next(f *fields) (int64, error) {
	if a.at == 0 {
		if _, err := a.elements.ReadToken(); err != nil { // [
			return 1, a.failed(err)
		}
	}
	a.in.left = maxRecord
	if a.elements.PeekKind() == ']' {
		return a.at, a.end()
	}
	a.at++
	value, err := a.elements.ReadValue()
	if err != nil {
		return a.at, a.failed(err)
	}
	return a.at, a.decode(value, f)
}

// end is io.EOF if nothing follows the array.
func (a *array) end() error {
	if _, err := a.elements.ReadToken(); err != nil { // ]
		return a.failed(err)
	}
	_, err := a.elements.ReadToken()
	switch {
	case a.in.failed != nil:
		return a.in.failed
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return errors.New("more follows the array: a file that begins with [ is one array")
}

// failed is the error of the file, if it has one, and else that of its JSON.
func (a *array) failed(err error) error {
	if a.in.failed != nil {
		return a.in.failed
	}
	return broken(nil, err)
}

// limited reads as much as is left, and then fails.
type limited struct {
	in     io.Reader
	left   int
	failed error
}

// Read reads from in.
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.failed = tooLong()
		return 0, l.failed
	}
	n, err := l.in.Read(p[:min(len(p), l.left)])
	l.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		l.failed = err
	}
	return n, err
}

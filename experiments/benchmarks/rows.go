package benchmarks

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

// maxRow is how many bytes a line of a file may have: LongBench v2 has samples of 2 million words.
var maxRow = 256 << 20

// row is a sample as a file has it: the fields of all benchmarks that are used, nil if it does not have them.
type row struct {
	Input      *string  `json:"input" parquet:"input,optional"`
	Context    *string  `json:"context" parquet:"context,optional"`
	Question   *string  `json:"question" parquet:"question,optional"`
	Target     *string  `json:"target" parquet:"target,optional"`
	Answer     *string  `json:"answer" parquet:"answer,optional"`
	Answers    []string `json:"answers" parquet:"answers,list"`
	Outputs    []string `json:"outputs" parquet:"outputs,list"`
	Dataset    *string  `json:"dataset" parquet:"dataset,optional"`
	AllClasses []string `json:"all_classes" parquet:"all_classes,list"`
	ChoiceA    *string  `json:"choice_A" parquet:"choice_A,optional"`
	ChoiceB    *string  `json:"choice_B" parquet:"choice_B,optional"`
	ChoiceC    *string  `json:"choice_C" parquet:"choice_C,optional"`
	ChoiceD    *string  `json:"choice_D" parquet:"choice_D,optional"`
}

// field is a value of a row that a benchmark needs.
type field struct {
	name  string
	value *string
}

// missing is an error if a field is.
func missing(fields ...field) error {
	for _, f := range fields {
		if f.value == nil {
			return fmt.Errorf("it has no %s", f.name)
		}
	}
	return nil
}

// rows gives each row of a file, whose content says what it is: JSON lines, a JSON array, or Parquet. Errors, those of
// each too, get the file and the row's place.
func (f File) rows(each func(r *row) error) (err error) {
	in, err := f.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	r := rowReader{name: foreign.Path(f.String()), in: bufio.NewReaderSize(in, 1<<16), each: each}
	begin, err := r.in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	if string(begin) == "PAR1" {
		return r.parquet(in)
	}
	return r.json()
}

// rowReader reads one file.
type rowReader struct {
	name string
	in   *bufio.Reader
	each func(r *row) error
}

// take hands out the row at a place, e.g. line 3, if decoding it went well.
func (r *rowReader) take(unit string, at int, value *row, err error) error {
	if err == nil {
		err = r.each(value)
	}
	if err == nil {
		return nil
	}
	if unfit, ok := errors.AsType[*UnfitError](err); ok && unfit.whole {
		return err // it is no row's fault
	}
	return fmt.Errorf("%s %s %d: %w", r.name, unit, at, err)
}

// json reads lines or an array.
func (r *rowReader) json() error {
	switch first, line, err := data.Begin(r.in); {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s has no samples", r.name)
	case err != nil:
		return fmt.Errorf("%s: %w", r.name, err)
	case first == '[':
		return r.array()
	default:
		return r.lines(int(line))
	}
}

// lines reads JSON lines, of which the given one is the first.
func (r *rowReader) lines(at int) error {
	s := bufio.NewScanner(r.in)
	s.Buffer(make([]byte, 1<<16), maxRow)
	for ; s.Scan(); at++ {
		line := bytes.TrimSpace(s.Bytes())
		if len(line) == 0 {
			continue
		}
		var value row
		if err := r.take("line", at, &value, notJSON(json.Unmarshal(line, &value))); err != nil {
			return err
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%s line %d: it has more than %d MB", r.name, at, maxRow>>20)
	}
	if s.Err() != nil {
		return fmt.Errorf("%s: %w", r.name, s.Err())
	}
	return nil
}

// array reads a JSON array of objects.
func (r *rowReader) array() error {
	d := jsontext.NewDecoder(r.in)
	if _, err := d.ReadToken(); err != nil {
		return fmt.Errorf("%s: %w", r.name, notJSON(err))
	}
	for at := 1; d.PeekKind() != ']'; at++ {
		var value row
		if err := r.take("element", at, &value, notJSON(json.UnmarshalDecode(d, &value))); err != nil {
			return err
		}
	}
	return nil
}

// notJSON gives an error of JSON words that a user can act on.
func notJSON(err error) error {
	if err == nil {
		return nil
	}
	if kind, ok := errors.AsType[*json.SemanticError](err); ok && kind.JSONPointer != "" {
		return fmt.Errorf("%s has a value of another kind, %s", kind.JSONPointer.LastToken(), kind.JSONKind)
	}
	text := strings.TrimPrefix(err.Error(), "jsontext: ")
	return fmt.Errorf("broken JSON (%s): copy or download the file again", foreign.Line(text, foreign.WordLimit))
}

// parquet reads a table. An archive's entry would have to be unpacked for it: no benchmark ships so.
func (r *rowReader) parquet(in io.Reader) (err error) {
	file, ok := in.(*os.File)
	if !ok {
		return fmt.Errorf("%s: Parquet in an archive is not read: unpack it", r.name)
	}
	defer func() {
		if p := recover(); p != nil { // the library has such for files that are damaged
			err = fmt.Errorf("%s: broken Parquet (%v): copy or download the file again", r.name, p)
		}
	}()
	table := parquet.NewGenericReader[row](file)
	defer func() { err = errors.Join(err, table.Close()) }()
	part := make([]row, 16)
	for at := 1; ; {
		clear(part)
		n, err := table.Read(part)
		for i := range n {
			if err := r.take("row", at, &part[i], nil); err != nil {
				return err
			}
			at++
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: broken Parquet (%w): copy or download the file again", r.name, err)
		}
	}
}

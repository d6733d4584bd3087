package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/synapnet/synapnet-train/internal/foreign"
)

// table is a Parquet file, read row group by row group and in these page by page.
type table struct {
	file    parquetFile
	read    func(n int64) // progress
	groups  []parquet.RowGroup
	total   int64 // rows
	columns []column
	rows    parquet.Rows // of the present group; nil: it is to be opened
	batch   [16]parquet.Row
	ready   []parquet.Row // what of batch was not handed out
	at      int64
	told    int64 // bytes that read was told of
}

// column is a leaf of the file's schema.
type column struct {
	key   key
	skip  bool
	whole int // definition level of a value that is not null
	list  int // definition level of an element of a list, null or not
}

// parquetFile is an io.ReaderAt whose reads end with a context.
type parquetFile struct {
	ctx  context.Context
	file *os.File
	size int64
}

// ReadAt reads from the file until the context ends.
func (p *parquetFile) ReadAt(b []byte, at int64) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.file.ReadAt(b, at)
}

// openParquet reads the file once for its hash, and then finds its columns.
func (r *Reader) openParquet(ctx context.Context, in io.Reader, ignore []string, read func(n int64)) (_ source,
	err error,
) {
	size, err := io.Copy(io.Discard, in)
	if err != nil {
		return nil, err
	}
	t := &table{file: parquetFile{ctx, r.file, size}, read: read}
	defer recovered(&err)
	f, err := parquet.OpenFile(&t.file, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, brokenParquet(err)
	}
	t.groups, t.total = f.RowGroups(), f.NumRows()
	found := fields{}
	for _, path := range f.Schema().Columns() {
		leaf, _ := f.Schema().Lookup(path...)
		k, skip, err := lookUp(path[0], ignore)
		if err != nil {
			return nil, err
		}
		c := column{k, skip, leaf.MaxDefinitionLevel, leaf.MaxDefinitionLevel}
		if leaf.Node.Optional() {
			c.list--
		}
		t.columns = append(t.columns, c)
		if skip {
			continue
		}
		if found.present&(1<<k) != 0 {
			return nil, fmt.Errorf("the column %s is a group of several: it must be one", names[k])
		}
		found.present |= 1 << k
		if err := checkColumn(k, path, leaf); err != nil {
			return nil, err
		}
	}
	if err := found.complete(); err != nil {
		return nil, fmt.Errorf("its columns are not those of samples: %w", err)
	}
	return t, nil
}

// checkColumn is an error if a column is of another type than its key.
func checkColumn(k key, path []string, leaf parquet.LeafColumn) error {
	kind := leaf.Node.Type().Kind()
	number, word := kind == parquet.Int32 || kind == parquet.Int64, kind == parquet.ByteArray
	switch {
	case k == ids && (leaf.MaxRepetitionLevel != 1 || !number):
		return fmt.Errorf("the column ids is %s: it must be a list of integers", leaf.Node)
	case k == ids:
		return nil
	case len(path) > 1 || leaf.MaxRepetitionLevel > 0:
		return fmt.Errorf("the column %s is a list or a group: it must be one value a row", names[k])
	case (k == label || k == target) && !number && !word:
		return fmt.Errorf("the column %s is %s: it must be of integers or of strings", names[k], kind)
	case k != label && k != target && !word:
		return fmt.Errorf("the column %s is %s: it must be of strings", names[k], kind)
	}
	return nil
}

func (t *table) unit() string { return "row" }

func (t *table) next(f *fields) (at int64, err error) {
	defer recovered(&err)
	for len(t.ready) == 0 {
		if err := t.fill(); err != nil {
			return t.at + 1, err
		}
	}
	row := t.ready[0]
	t.ready = t.ready[1:]
	t.at++
	for _, v := range row {
		if err := t.columns[v.Column()].set(f, v); err != nil {
			return t.at, err
		}
	}
	return t.at, nil
}

// fill reads the next rows.
func (t *table) fill() error {
	if len(t.groups) == 0 {
		t.tell(t.file.size)
		return io.EOF
	}
	if t.rows == nil {
		t.rows = t.groups[0].Rows()
	}
	n, err := t.rows.ReadRows(t.batch[:])
	t.ready = t.batch[:n]
	if err == nil && n == 0 {
		err = io.ErrNoProgress
	}
	if errors.Is(err, io.EOF) {
		err, t.rows, t.groups = t.rows.Close(), nil, t.groups[1:]
	}
	t.tell(int64(float64(t.file.size) * (float64(t.at) / float64(t.total))))
	if err != nil {
		return brokenParquet(err)
	}
	return nil
}

func (t *table) tell(done int64) {
	if done = min(done, t.file.size); done > t.told {
		t.read(done - t.told)
		t.told = done
	}
}

// set gives a field its value, or ids one more.
func (c column) set(f *fields, v parquet.Value) error {
	if c.skip {
		return nil
	}
	f.present |= 1 << c.key
	null, isList := v.DefinitionLevel() < c.whole, c.key == ids
	switch {
	case null && isList && v.DefinitionLevel() < c.list:
		return nil // no list, or one of no elements
	case null && isList:
		return fmt.Errorf("ids[%d] is null: an id is a whole number", len(f.ids))
	case null:
		return fmt.Errorf("%s is null: fill it or leave the row out", names[c.key])
	}
	switch v.Kind() {
	case parquet.Int32, parquet.Int64:
		number := int64(v.Int32())
		if v.Kind() == parquet.Int64 {
			number = v.Int64()
		}
		switch {
		case !isList:
			return f.setClass(c.key, number)
		case number < 0 || number > math.MaxInt32:
			return notAnID(len(f.ids), fmt.Sprint(number))
		}
		f.ids = append(f.ids, int32(number))
		return nil
	}
	word := string(v.ByteArray())
	if !utf8.ValidString(word) {
		return fmt.Errorf("%s has invalid UTF-8: %s; write it as UTF-8", names[c.key], foreign.Word(word))
	}
	return f.setWord(c.key, word)
}

func brokenParquet(err error) error {
	if ended(err) {
		return err
	}
	return fmt.Errorf("broken Parquet (%w): copy or write the file again", err)
}

// recovered makes an error of a panic: the library has such for files that are damaged.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = brokenParquet(fmt.Errorf("%v", p))
	}
}

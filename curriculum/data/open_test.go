package data

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type idRow struct {
	IDs   []int64 `parquet:"ids,list"`
	Label int64   `parquet:"label"`
}

type textRow struct {
	Text  string `parquet:"text,dict"`
	Label string `parquet:"label,dict"`
}

type babiRow struct {
	Input    string `parquet:"input"`
	Question string `parquet:"question"`
	Target   string `parquet:"target"`
}

func putParquet[R any](t testing.TB, path string, rows ...R) string {
	t.Helper()
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(int64(max(2, len(rows)/10)))); err != nil {
		t.Fatal(err)
	}
	return path
}

// Whatever the format, the records are the same; names of files say nothing.
func TestEveryFormatGivesTheSameRecords(t *testing.T) {
	ids := []Record{{IDs: []int32{5, 0, 2147483647}, Label: Label{Class: 3}, At: 1}, {IDs: []int32{7}, At: 2},
		{IDs: []int32{1, 2}, Label: Label{Class: 65535}, At: 3}}
	idLines := "{\"ids\":[5,0,2147483647],\"label\":3}\n{\"label\":0, \"ids\":[ 7 ]}\n{\"ids\":[1,\t2],\"label\":65535}"
	idArray := "\n[" + strings.ReplaceAll(idLines, "\n", ",\n") + "]\n"
	words := []Record{{Text: "où est Mary?\n🙂", Label: Label{Word: "yes"}, At: 1}, {Label: Label{Word: "no"}, At: 2}}
	wordLines := `{"text":"o\u00f9 est Mary?\n🙂","label":"yes"}` + "\r\n" + `{"text":"","label":"no"}` + "\r\n"
	babi := []Record{{Text: "Mary went home. Where is Mary?", Label: Label{Word: "home"}, At: 1}}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for path, want := range map[string][]Record{
		put(t, at("ids.jsonl"), idLines):                                                   ids,
		putBytes(t, at("ids.gz"), zip(t, idLines)):                                         ids,
		putBytes(t, at("parts.gz"), append(zip(t, idLines[:40]), zip(t, idLines[40:])...)): ids,
		putBytes(t, at("ids.txt"), zstandard(t, idLines)):                                  ids,
		put(t, at("array.json"), idArray):                                                  ids,
		putBytes(t, at("array.json.gz"), zip(t, idArray)):                                  ids,
		putParquet(t, at("ids.parquet"), idRow{[]int64{5, 0, 2147483647}, 3}, idRow{[]int64{7}, 0},
			idRow{[]int64{1, 2}, 65535}): ids,
		put(t, at("words.jsonl"), wordLines):                                                                 words,
		put(t, at("bom.jsonl"), "\ufeff"+wordLines):                                                          words,
		putParquet(t, at("words"), textRow{"où est Mary?\n🙂", "yes"}, textRow{"", "no"}):                     words,
		put(t, at("babi.json"), `[{"input":"Mary went home.","question":"Where is Mary?","target":"home"}]`): babi,
		putParquet(t, at("babi.parquet"), babiRow{"Mary went home.", "Where is Mary?", "home"}):              babi,
	} {
		if got, err := readAll(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", path, got, err, want)
		}
	}
}

// Blank lines are no samples, and count as lines.
func TestBlankLinesCount(t *testing.T) {
	got, err := readAll(put(t, in(t, "a"), "", "  ", `{"ids":[1],"label":0}`, "", `{"ids":[1],"label":0}`, "", ""))
	if err != nil || len(got) != 2 || got[0].At != 3 || got[1].At != 5 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestIgnoredKeysMayBeAnything(t *testing.T) {
	path := put(t, in(t, "a"), `{"id":{"a":[1]},"text":"x","label":"y","idx":null}`)
	if got, err := readAll(path, "id", "idx"); err != nil || len(got) != 1 || got[0].Text != "x" {
		t.Errorf("%v, %v", got, err)
	}
	type row struct {
		textRow
		Meta []string `parquet:"meta,list"`
	}
	path = putParquet(t, in(t, "p"), row{textRow{"x", "y"}, []string{"a", "b"}})
	if got, err := readAll(path, "meta"); err != nil || len(got) != 1 || got[0].Text != "x" {
		t.Errorf("%v, %v", got, err)
	}
}

// A line may be as long as maxRecord, far beyond any buffer.
func TestLongLines(t *testing.T) {
	defer func(before int) { maxRecord = before }(maxRecord)
	maxRecord = 4 << 20
	long := strings.Repeat("x", 3<<20)
	path := put(t, in(t, "a"), `{"text":"`+long+`","label":"a"}`, `{"text":"b","label":"b"}`)
	if got, err := readAll(path); err != nil || len(got) != 2 || got[0].Text != long || got[1].Text != "b" {
		t.Errorf("%d records, %v", len(got), err)
	}
	for _, begin := range []string{"", "["} {
		path := put(t, in(t, "b"), begin+`{"text":"`+strings.Repeat("x", maxRecord+1<<20)+`","label":"a"}`)
		if _, err := readAll(path); err == nil || !strings.HasSuffix(err.Error(),
			" 1: it has more than 4 MB, the most of a sample: split it") {
			t.Errorf("%q: %v", begin, err)
		}
	}
}

// Every error is one line that names the file, the line and what to do.
func TestErrorsOfJSON(t *testing.T) {
	const good = `{"ids":[1],"label":0}`
	for _, c := range [][2]string{
		{"", ": it is empty: give a file of samples"},
		{"\n \n", ": it has no samples"},
		{"[]", ": it has no samples"},
		{"\xff\xfe{\x00", ": it is text in UTF-16, by the mark that it begins with: save it as UTF-8"},
		{"\xfe\xff\x00{", ": it is text in UTF-16, by the mark that it begins with: save it as UTF-8"},
		{"\n\nids,label\n", `: line 3 begins with 'i': it must be JSON lines, a JSON array or Parquet; a sample is {"ids"`},
		{good + "\n" + `{"ids":[1`, " line 2: broken JSON: it ends within a value; a sample must be whole, on one line"},
		{`{"ids":[1],"label":0`, " line 1: broken JSON: it ends within a value"},
		{`{"ids":[1] "label":0}`, " line 1: broken JSON at byte 12: "},
		{"{\n\"ids\":[1],\"label\":0}",
			" line 1: broken JSON: it ends within a value; a sample must be whole, on one line"},
		{good + good, " line 1: more follows the object: put each sample on a line of its own"},
		{good + "\n[1]", " line 2: it is [1], not an object: a sample is "},
		{`{"ids":[1],"lable":0}`,
			` line 1: the key lable is unknown: did you mean "label"? (the setting ignore names keys to leave out)`},
		{`{"a b":[1],"label":0}`,
			` line 1: the key "a b" is unknown: the keys are ids, text, label, input, question, target (`},
		{`{"ids":[1],"ids":[1]}`, " line 1: broken JSON at byte 12: duplicate object member name"},
		{`{"ids":[1]}`, ` line 1: it has no label: a sample is {"ids"`},
		{`{"label":1}`, ` line 1: it has neither ids nor text: a sample is {"ids"`},
		{`{"input":"a","target":"b"}`, ` line 1: it has no question: a sample is`},
		{`{"text":"a","label":"b","target":"b"}`, ` line 1: it has no input: a sample is`},
		{`{"ids":[1],"text":"a","label":0}`, " line 1: it has both ids and text: keep one of them"},
		{good + "\n" + `{"text":"a","label":0}`,
			" line 2: it has text, but FILE line 1 has ids: samples are all ids or all text"},
		{good + "\n" + `{"ids":[1],"label":"0"}`,
			" line 2: its label is a word, but that of FILE line 1 is a number: labels are"},
		{`{"ids":[],"label":0}`, " line 1: ids is empty: a sample has at least one token"},
		{`{"ids":[1,-5],"label":0}`, " line 1: ids[1] is -5: an id is a whole number from 0 to 2147483647"},
		{`{"ids":[1.5],"label":0}`, " line 1: ids[0] is 1.5: an id is"},
		{`{"ids":["1"],"label":0}`, ` line 1: ids[0] is "\"1\"": an id is`},
		{`{"ids":[[1]],"label":0}`, ` line 1: ids[0] is [1: an id is`},
		{`{"ids":[2147483648],"label":0}`, " line 1: ids[0] is 2147483648: an id is"},
		{`{"ids":[99999999999999999999],"label":0}`, " line 1: ids[0] is 99999999999999999999: an id is"},
		{`{"ids":5,"label":0}`, " line 1: ids is 5: it must be an array of numbers"},
		{`{"text":5,"label":0}`, " line 1: text is 5: it must be a text in quotes"},
		{`{"ids":[1],"label":-1}`, " line 1: label is -1: a label is a word, or a class as a whole number from 0 to 65535"},
		{`{"ids":[1],"label":65536}`, " line 1: label is 65536: a label is"},
		{`{"ids":[1],"label":1.5}`, " line 1: label is 1.5: a label is"},
		{`{"ids":[1],"label":1e99}`, " line 1: label is 1e99: a label is"},
		{`{"ids":[1],"label":""}`, ` line 1: label is "": a label is`},
		{`{"ids":[1],"label":true}`, " line 1: label is true: a label is"},
		{`{"ids":[1],"label":null}`, " line 1: label is null: a label is"},
		{"{\"text\":\"\xff\",\"label\":0}", " line 1: it has invalid UTF-8 at byte 10: save the file as UTF-8"},
		{"[" + good + "," + `{"ids":[1]}]`, " element 2: it has no label: a sample is"},
		{"[" + good + ", " + good, " element 3: broken JSON: it ends within a value"},
		{"[" + good + " " + good + "]", " element 2: broken JSON at byte 24: "},
		{"[" + good + "]" + good, " element 1: more follows the array: a file that begins with [ is one array"},
		{"[1]", " element 1: it is 1, not an object"},
		{"[{\"text\":\"\xff\",\"label\":0}]",
			" element 1: broken JSON at byte 11: invalid UTF-8; mend or remove the sample"},
	} {
		checkError(t, put(t, in(t, "a.jsonl"), c[0]), c[1])
	}
}

// checkError reads a file whose error must begin so after its name.
func checkError(t *testing.T, path, want string) {
	t.Helper()
	_, err := readAll(path)
	if want = path + strings.ReplaceAll(want, "FILE", path); err == nil || !strings.HasPrefix(err.Error(), want) ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("error\n%v, want\n%s", err, want)
	}
}

func TestErrorsOfCompression(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "{\"ids\":[%d,%d],\"label\":0}\n", i, i*i)
	}
	dir := t.TempDir()
	for format, whole := range map[string][]byte{"gzip": zip(t, text.String()), "zstd": zstandard(t, text.String())} {
		for _, n := range []int{5, len(whole) / 2, len(whole) - 2} {
			_, err := readAll(putBytes(t, filepath.Join(dir, "cut"), whole[:n]))
			if err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, "cut")) || !strings.HasSuffix(err.Error(),
				"its "+format+" data are cut off: copy or download the file again") {
				t.Errorf("%s of %d bytes of %d: %v", format, n, len(whole), err)
			}
		}
		damaged := bytes.Clone(whole)
		damaged[len(whole)/2] ^= 0x55
		damaged[len(whole)/2+1] ^= 0x55
		if _, err := readAll(putBytes(t, filepath.Join(dir, "damaged"), damaged)); err == nil {
			t.Errorf("%s: damage in the midst is not noticed", format)
		}
	}
}

func TestErrorsOfParquet(t *testing.T) {
	type optional struct {
		IDs   []int64 `parquet:"ids,list"`
		Label *int64  `parquet:"label,optional"`
	}
	type misspelt struct {
		Text  string `parquet:"text"`
		Lable string `parquet:"lable"`
	}
	type floats struct {
		IDs   []float64 `parquet:"ids,list"`
		Label int64     `parquet:"label"`
	}
	type noLabel struct {
		Text string `parquet:"text"`
	}
	type both struct {
		idRow
		Text string `parquet:"text"`
	}
	one := int64(1)
	path := in(t, "a.parquet")
	for _, c := range []struct {
		write func()
		want  string
	}{
		{func() { putParquet(t, path, noLabel{"a"}) },
			`: its columns are not those of samples: it has no label: a sample is`},
		{func() { putParquet(t, path, both{}) }, `: its columns are not those of samples: it has both ids and text`},
		{func() { putParquet(t, path, misspelt{}) }, `: the key lable is unknown: did you mean "label"?`},
		{func() { putParquet(t, path, floats{}) }, ": the column ids is "},
		{func() { putParquet[idRow](t, path) }, ": it has no samples"},
		{func() {
			putParquet(t, path, optional{[]int64{1}, &one}, optional{[]int64{1}, &one}, optional{[]int64{1}, nil})
		},
			" row 3: label is null: fill it or leave the row out"},
		{func() { putParquet(t, path, idRow{[]int64{1, -1}, 0}) }, " row 1: ids[1] is -1: an id is"},
		{func() { putParquet(t, path, idRow{[]int64{1}, 0}, idRow{nil, 0}) }, " row 2: ids is empty"},
		{func() { putParquet(t, path, idRow{[]int64{1}, -1}) }, " row 1: label is -1: a label is"},
		{func() { putParquet(t, path, textRow{"\xff", "a"}) }, ` row 1: text has invalid UTF-8: `},
		{func() { put(t, path, "PAR1", "no more of it") }, ": broken Parquet ("},
	} {
		c.write()
		checkError(t, path, c.want)
	}
}

// A damaged Parquet file is an error or a file of other values, and never a panic.
func TestDamagedParquet(t *testing.T) {
	path := putParquet(t, in(t, "a"), textRow{"a b c", "x"}, textRow{"d", "y"}, textRow{"e", "x"})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4; i < len(whole)-4; i += 3 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x11
		_, _ = readAll(putBytes(t, path, damaged))
	}
	for n := 4; n < len(whole); n += 7 {
		if _, err := readAll(putBytes(t, path, whole[:n])); err == nil {
			t.Errorf("%d bytes of %d are read", n, len(whole))
		}
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || err.Error() != "cannot read "+dir+
		": it is a folder, not a file; give a file of samples" {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

// The reader finds samples or says what is wrong with a line, whatever the file.
func FuzzJSON(f *testing.F) {
	f.Add([]byte("{\"ids\":[1,2],\"label\":3}\n{\"ids\":[1],\"label\":0}"))
	f.Add([]byte(`[{"text":"a\u00e9","label":"b"},{"text":"","label":"c"}]`))
	f.Add([]byte(`{"input":"a","question":"b","target":"c"}`))
	f.Add([]byte("\xef\xbb\xbf\n{\"ids\":[-1, 1e5, \"x\"],\"label\":\xff}"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x04"))
	path := in(f, "a")
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.HasPrefix(text, []byte("PAR1")) {
			t.Skip("another format")
		}
		all, err := readAll(putBytes(t, path, text))
		if err != nil && (!strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("error %q", err)
		}
		if err == nil && len(all) == 0 {
			t.Error("no sample and no error")
		}
		for i, r := range all {
			if (r.IDs == nil) != (all[0].IDs == nil) || (r.Label.Word == "") != (all[0].Label.Word == "") || r.At < int64(i+1) {
				t.Errorf("record %d is %v, the first %v", i, r, all[0])
			}
		}
	})
}

// Files of pyarrow, which the script beside them made.
func TestParquetOfPyArrow(t *testing.T) {
	for name, want := range map[string][]Record{
		"ids": {{IDs: []int32{1, 2}, At: 1}, {IDs: []int32{3}, Label: Label{Class: 1}, At: 2}},
		"large_list": {{IDs: []int32{1, 2}, Label: Label{Word: "x"}, At: 1},
			{IDs: []int32{3}, Label: Label{Word: "y"}, At: 2}},
		"text":     {{Text: "où", Label: Label{Class: 2}, At: 1}, {Text: "b", At: 2}},
		"babilong": {{Text: "a. b?", Label: Label{Word: "c"}, At: 1}},
	} {
		got, err := readAll(filepath.Join("testdata", name+".parquet"))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	checkError(t, filepath.Join("testdata", "null.parquet"), " row 1: ids[1] is null: an id is a whole number")
	checkError(t, filepath.Join("testdata", "no_list.parquet"), " row 2: ids is empty: a sample has at least one token")
}

package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
)

var background = context.Background()

// prepare is Prepare, closed when the test ends.
func prepare(t *testing.T, o Options) *Set {
	t.Helper()
	s, err := Prepare(background, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// all is every sample of a side.
func all(t *testing.T, side func(int) (*Dataset, error), length int) (samples []tasks.Sample) {
	t.Helper()
	d, err := side(length)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Len() {
		s, err := d.Sample(i)
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s)
	}
	return samples
}

// idLines are n samples, sample i of 1 + i%7 tokens, the last of which is i.
func idLines(from, n int) []string {
	var lines []string
	for i := from; i < from+n; i++ {
		ids := make([]int, 1+i%7)
		ids[len(ids)-1] = i
		text, _ := json.Marshal(map[string]any{"ids": ids, "label": i % 3})
		lines = append(lines, string(text))
	}
	return lines
}

// Words become ids and classes, shorter samples are filled on the left: the head reads the last token.
func TestTextBecomesSamples(t *testing.T) {
	dir := t.TempDir()
	o := Options{
		Train: []string{put(t, filepath.Join(dir, "a"), `{"text":"ab","label":"yes"}`, `{"text":"c","label":"no"}`),
			put(t, filepath.Join(dir, "b"), `[{"text":"dd","label":"maybe"}]`)},
		Eval: []string{put(t, filepath.Join(dir, "c"), `{"text":"e","label":"yes"}`)},
		Dir:  dir, Tokenizer: alphabet,
	}
	s := prepare(t, o)
	if got, want := s.Labels.Words(), []string{"maybe", "no", "yes"}; !slices.Equal(got, want) {
		t.Errorf("classes %v, want %v", got, want)
	}
	want := []tasks.Sample{{IDs: []int32{0, 1, 2}, Label: 2, Task: "data"},
		{IDs: []int32{0, 0, 3}, Label: 1, Task: "data"},
		{IDs: []int32{0, 4, 4}, Label: 0, Task: "data"}}
	if got := all(t, s.Train, 3); !reflect.DeepEqual(got, want) {
		t.Errorf("training %v, want %v", got, want)
	}
	if got := all(t, s.Eval, 1); !reflect.DeepEqual(got, []tasks.Sample{{IDs: []int32{5}, Label: 2, Task: "data"}}) {
		t.Errorf("evaluation %v", got)
	}
	c := s.Counts
	if c.Train.Samples != 3 || c.Train.Tokens != 5 || c.Train.Highest != 4 || c.Train.Longest != 2 ||
		c.Train.LongestAt != "a line 1" || !slices.Equal(c.Train.PerClass, []int64{1, 1, 1}) ||
		!slices.Equal(c.Eval.PerClass, []int64{0, 0, 1}) || c.Reused {
		t.Errorf("counts %+v", c)
	}
}

// What is read at random is what was written, over many blocks, for both widths of ids.
func TestEverySampleIsItself(t *testing.T) {
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, "a"), idLines(0, 3*blockSamples+5)...)
	for _, vocab := range []int{0, 20_000} {
		s := prepare(t, Options{Train: []string{path}, Dir: dir, Vocab: vocab})
		if want := map[int]int{0: 4, 20_000: 2}[vocab]; s.store.Width != want {
			t.Errorf("vocabulary %d: ids of %d bytes, want %d", vocab, s.store.Width, want)
		}
		for i, sample := range all(t, s.Train, 7) {
			want := make([]int32, 7)
			want[6] = int32(i)
			if !slices.Equal(sample.IDs, want) || int(sample.Label) != i%3 {
				t.Fatalf("sample %d is %v", i, sample)
			}
		}
	}
	s := prepare(t, Options{Train: []string{path}, Dir: dir})
	if _, _, err := s.store.sample(&s.store.Train, 3*blockSamples+5); err == nil {
		t.Error("a sample after the last is read")
	}
}

func TestLongSamplesAreRefusedOrCut(t *testing.T) {
	dir := t.TempDir()
	o := Options{Train: []string{put(t, filepath.Join(dir, "a"), `{"ids":[9],"label":0}`,
		`{"ids":[1,2,3,4,5,6],"label":1}`,
		`{"ids":[1,2,3,4,5],"label":1}`)}, Dir: dir}
	_, err := prepare(t, o).Train(5)
	if want := "1 of 3 samples have more than the 5 tokens of the context, the longest 6 (a line 2): use a longer " +
		"context, or set long_samples to left, right or middle to cut there"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	for long, want := range map[Long][2][]int32{
		CutLeft:   {{2, 3, 4, 5, 6}, {3, 4, 5, 6}},
		CutRight:  {{1, 2, 3, 4, 5}, {1, 2, 3, 4}},
		CutMiddle: {{1, 2, 3, 5, 6}, {1, 2, 5, 6}},
	} {
		o.Long = long
		s := prepare(t, o)
		for k, length := range []int{5, 4} {
			d, err := s.Train(length)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := d.Sample(1); err != nil || !slices.Equal(got.IDs, want[k]) {
				t.Errorf("%s to %d: %v, %v; want %v", long, length, got.IDs, err, want[k])
			}
			if d.Cut() != int64(1+k) {
				t.Errorf("%d are cut to %d", d.Cut(), length)
			}
		}
	}
	o.Long = "both"
	if _, err := Prepare(background, o); err == nil || err.Error() !=
		`long_samples is "both": it must be one of refuse, left, right, middle` {
		t.Error(err)
	}
}

// Which samples are held out depends on each sample alone: not on order, on others, on the form of the file.
func TestHeldOutSamplesAreChosenByTheirContent(t *testing.T) {
	dir := t.TempDir()
	held := func(lines []string) map[int32]bool {
		s := prepare(t, Options{Train: []string{put(t, in(t, "a"), lines...)}, EvalShare: 0.2, Dir: t.TempDir(),
			Vocab: 50_000})
		last := map[int32]bool{}
		for _, sample := range all(t, s.Eval, 7) {
			last[sample.IDs[6]] = true
		}
		for _, sample := range all(t, s.Train, 7) {
			if last[sample.IDs[6]] {
				t.Error("equal samples are on both sides")
			}
		}
		return last
	}
	lines := idLines(7, 5000)
	first := held(lines)
	if n := len(first); n < 850 || n > 1150 {
		t.Errorf("%d of 5000 are held out, about 1000 are to be", n)
	}
	slices.Reverse(lines)
	if !reflect.DeepEqual(held(append(lines, lines...)), first) {
		t.Error("order and repetition change what is held out")
	}
	for last := range held(lines[:2000]) {
		if !first[last] {
			t.Errorf("sample %d is held out because others are missing", last)
		}
	}
	few := put(t, filepath.Join(dir, "few"), idLines(0, 3)...)
	_, err := Prepare(background, Options{Train: []string{few}, EvalShare: 1e-9, Dir: dir})
	want := "none of 3 samples is held out by an eval_share of 1e-09: make it larger, or give evaluation data"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Equal ids are the same sample, however the files write them and whatever their labels are.
func TestSamplesOfBothSidesAreRefused(t *testing.T) {
	dir := t.TempDir()
	train := put(t, filepath.Join(dir, "train"), append(idLines(0, 50), idLines(8, 1)...)...)
	eval := put(t, filepath.Join(dir, "eval"), `[{"ids":[500],"label":0},`,
		`{"label":0,"ids":[0,8]},{"ids":[0,8],"label":1},`, `{"ids":[7],"label":2}]`)
	_, err := Prepare(background, Options{Train: []string{train}, Eval: []string{eval}, Dir: dir})
	if want := fmt.Sprintf("3 of 4 evaluation samples are in the training data as well, the first at %s element 4 and "+
		"at %s line 8: remove them from one of the two", eval, train); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if got := namesIn(t, dir); got != "eval train" {
		t.Errorf("the folder holds %s", got)
	}
	defer func(before int64) { maxEval = before }(maxEval)
	maxEval = 3
	if _, err := Prepare(background, Options{Train: []string{train}, Eval: []string{eval}, Dir: dir}); err == nil ||
		err.Error() != eval+" element 4: there are more than 3 evaluation samples: give fewer" {
		t.Error(err)
	}
}

func TestDuplicatesAreCounted(t *testing.T) {
	dir := t.TempDir()
	lines := slices.Concat(idLines(0, 1000), idLines(500, 300), idLines(600, 100), idLines(600, 1))
	s := prepare(t, Options{Train: []string{put(t, filepath.Join(dir, "a"), lines...)}, Dir: dir})
	if s.Counts.Duplicates != 401 || s.Counts.Train.Samples != 1401 {
		t.Errorf("%d duplicates of %d samples, want 401 of 1401", s.Counts.Duplicates, s.Counts.Train.Samples)
	}
}

// The same count, over several parts and where one part is full of the same.
func TestRepeatedHashes(t *testing.T) {
	defer func(before int) { partition = before }(partition)
	partition = 1 << 17
	h, err := newHashes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.close() }()
	for i := range uint64(3 * partition) {
		if err := errors.Join(h.add(mix(i)), h.add(mix(i%5))); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := h.repeated(background); err != nil || n != int64(3*partition) {
		t.Errorf("%d, %v; want %d", n, err, 3*partition)
	}
}

func TestLabelsOfTheEvaluation(t *testing.T) {
	dir := t.TempDir()
	words := put(t, filepath.Join(dir, "words"), `{"text":"a","label":"yes"}`, `{"text":"b","label":"no"}`)
	other := put(t, filepath.Join(dir, "other"), `{"text":"c","label":"no"}`, `{"text":"d","label":"yess"}`)
	numbers := put(t, filepath.Join(dir, "numbers"), `{"text":"a","label":1}`)
	larger := put(t, filepath.Join(dir, "larger"), `{"text":"c","label":0}`, `{"text":"e","label":2}`)
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Train: []string{words}, Eval: []string{other}},
			other + " line 2: training data do not have it: the label yess " +
				"is unknown: those known are no, yes; did you mean yes?"},
		{Options{Train: []string{numbers}, Eval: []string{larger}},
			larger + " line 2: training data do not have it: the label 2 " +
				"is out of range: it must be from 0 to 1"},
		{Options{Train: []string{words}, Eval: []string{larger}},
			words + " line 1: its label is a word, but that of " + larger +
				" line 1 is a number: labels are all numbers or all words (in quotes)"},
		{Options{Train: []string{words}, Classes: 1},
			words + " line 2: the label no is one more than the 1 classes that there " +
				"can be: a label is one of few words, free-form answers need a language model"},
		{Options{Train: []string{larger}, Classes: 2},
			larger + " line 2: the label 2 is out of range: the model has 2 classes, " +
				"from 0 to 1"},
		{Options{Eval: []string{other}, Labels: NewLabels([]string{"yes", "no"})},
			other + " line 2: the label yess is unknown: " +
				"those known are no, yes; did you mean yes?"},
		{Options{Eval: []string{larger}, Labels: NewLabels([]string{"yes", "no"})},
			larger + " line 1: the label 0 is a number: " +
				"those known are the words no, yes"},
		{Options{Eval: []string{other}, Labels: Numbered(3)},
			other + " line 1: the label no is a word: it must be a number from " +
				"0 to 2"},
		{Options{Eval: []string{other}},
			"evaluation data alone need the labels of a model: give training data, too"},
	} {
		c.o.Dir, c.o.Tokenizer = dir, alphabet
		if _, err := Prepare(background, c.o); err == nil || err.Error() != c.want {
			t.Errorf("error\n%v, want\n%s", err, c.want)
		}
	}
	s := prepare(t, Options{Eval: []string{words}, Labels: NewLabels([]string{"yes", "no", "maybe"}), Dir: dir,
		Tokenizer: alphabet})
	if got := all(t, s.Eval, 1); got[0].Label != 2 || got[1].Label != 1 {
		t.Errorf("classes of a model: %v", got)
	}
	if _, err := s.Train(1); err == nil {
		t.Error("there is training data")
	}
}

func TestErrorsOfSamples(t *testing.T) {
	dir := t.TempDir()
	ids := put(t, filepath.Join(dir, "ids"), `{"ids":[1],"label":0}`, `{"ids":[1,64],"label":0}`)
	text := put(t, filepath.Join(dir, "text"), `{"text":"a","label":0}`, `{"text":"A","label":0}`)
	empty := put(t, filepath.Join(dir, "empty"), `{"text":"","label":0}`)
	link := filepath.Join(dir, "link")
	if err := os.Link(ids, link); err != nil {
		t.Skip(err)
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Train: []string{ids}, Vocab: 64},
			ids + " line 2: ids[1] is 64: the vocabulary has 64 ids, from 0 to 63"},
		{Options{Train: []string{text}},
			text + " line 1: it is text, and there is no tokenizer: give samples of ids, or train with one"},
		{Options{Train: []string{text}, Tokenizer: alphabet},
			text + " line 2: the tokenizer fails: no id for 'A'"},
		{Options{Train: []string{empty}, Tokenizer: alphabet},
			empty + " line 1: its text has no token: a sample has at least one"},
		{Options{Train: []string{ids, text}, Tokenizer: alphabet},
			ids + " line 2: ids[1] is 64: the vocabulary has 30 ids, " +
				"from 0 to 29"},
		{Options{Train: []string{text}, Tokenizer: alphabet, Vocab: 10},
			"the tokenizer has 30 ids, the vocabulary 10: use a " +
				"model whose vocabulary is at least that large"},
		{Options{Train: []string{ids, ids}},
			ids + " is given twice: give each file of samples once"},
		{Options{Train: []string{ids}, Eval: []string{link}},
			link + " and " + ids + " are the same file: give it once"},
		{Options{Train: []string{ids}, Ignore: []string{"id", "label"}},
			`ignore has "label", which samples are made of: leave it out of ignore`},
		{Options{Train: []string{dir}},
			"cannot read " + dir + ": it is a folder, not a file; give a file of samples"},
		{Options{},
			"no data are given: name a file of samples"},
		{Options{Train: []string{ids}, EvalShare: 1},
			"eval_share is 1: it must be at least 0 and below 1"},
		{Options{Train: []string{ids}, Eval: []string{text}, EvalShare: 0.1},
			"eval_share is 0.1 and evaluation data are given: " +
				"leave one of them out"},
	} {
		c.o.Dir = filepath.Join(dir, "store")
		if _, err := Prepare(background, c.o); err == nil || err.Error() != c.want {
			t.Errorf("error\n%v, want\n%s", err, c.want)
		}
		if _, err := os.Stat(c.o.Dir); err == nil && namesIn(t, c.o.Dir) != "" {
			t.Errorf("the folder holds %s", namesIn(t, c.o.Dir))
		}
	}
}

// stored is the bytes of the store in a folder.
func stored(t *testing.T, dir string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, storeName))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A run that goes on takes the store while its sources are as they were, and makes it again to the same bytes if it is
// gone.
func TestARunThatGoesOnHasTheSameData(t *testing.T) {
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, "a.jsonl"), idLines(0, 100)...)
	read := int64(0)
	o := Options{Train: []string{path}, EvalShare: 0.1, Dir: filepath.Join(dir, "store"),
		Progress: func(p Progress) { read = p.Read }}
	began := prepare(t, o)
	key := began.Key
	bytesBefore := stored(t, o.Dir)
	if text, err := json.Marshal(key); err != nil || json.Unmarshal(text, &key) != nil {
		t.Fatal(err)
	}
	o.Expect = &key
	goesOn := func(what string, reused, reads bool) {
		t.Helper()
		read = 0
		s := prepare(t, o)
		before, after := began.Counts, s.Counts
		before.Reused, after.Reused = false, false
		if s.Counts.Reused != reused || (read > 0) != reads || !bytes.Equal(stored(t, o.Dir), bytesBefore) ||
			!reflect.DeepEqual(after, before) {
			t.Errorf("%s: reused %v, read %d, %+v", what, s.Counts.Reused, read, s.Counts)
		}
	}
	goesOn("unchanged", true, false)
	if err := os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	goesOn("touched", true, true)
	goesOn("touched, and seen since", true, false)
	moved := filepath.Join(dir, "b.jsonl")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	o.Train = []string{moved}
	goesOn("moved", true, true)
	if err := os.Rename(moved, path); err != nil {
		t.Fatal(err)
	}
	o.Train = []string{filepath.Join(dir, "gone.jsonl")}
	goesOn("gone", true, false)
	o.EvalShare = 0.2
	if _, err := Prepare(background, o); err == nil || !strings.Contains(err.Error(), "cannot read ") {
		t.Errorf("with other settings a store without its sources is taken: %v", err)
	}
	o.EvalShare, o.Train = 0.1, []string{path}
	if err := os.RemoveAll(o.Dir); err != nil {
		t.Fatal(err)
	}
	goesOn("without the store", false, true)
	if err := os.Truncate(filepath.Join(o.Dir, storeName), 1000); err != nil {
		t.Fatal(err)
	}
	goesOn("with half a store", false, true)
}

// A run that goes on with other data is told so, and the store stays as it is.
func TestARunRefusesOtherData(t *testing.T) {
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, "a.jsonl"), idLines(0, 100)...)
	o := Options{Train: []string{path}, EvalShare: 0.1, Dir: filepath.Join(dir, "store")}
	key := prepare(t, o).Key
	bytesBefore := stored(t, o.Dir)
	o.Expect = &key
	lines := idLines(0, 100)
	lines[50] = strings.Replace(lines[50], "50", "51", 1)
	refused := func(want string) {
		t.Helper()
		if _, err := Prepare(background, o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		if !bytes.Equal(stored(t, o.Dir), bytesBefore) {
			t.Error("the store is another")
		}
	}
	put(t, path, lines...)
	refused("a.jsonl has changed since the run began: its SHA-256 is ")
	put(t, path, lines[:99]...)
	refused("a.jsonl has changed since the run began: it has ")
	put(t, path, idLines(0, 100)...)
	o.EvalShare = 0.2
	refused("the settings of the data have changed since the run began: they are ")
	twin := put(t, filepath.Join(dir, "twin.jsonl"), idLines(0, 100)...)
	o.EvalShare, o.Train = 0.1, []string{path, twin}
	refused("the run began with 1 files of training data and 0 of evaluation data, it is given 2 and 0: ")
	o.Expect = nil
	if s := prepare(t, o); s.Counts.Train.Samples+s.Counts.Eval.Samples != 200 || s.Counts.Reused {
		t.Errorf("a new run has %+v", s.Counts)
	}
}

// A store of another origin is not overwritten; damage is noticed when it is read.
func TestStoresAreChecked(t *testing.T) {
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, "a"), idLines(0, 100)...)
	o := Options{Train: []string{path}, Dir: filepath.Join(dir, "store")}
	s := prepare(t, o)
	d, err := s.Train(7)
	if err != nil {
		t.Fatal(err)
	}
	text := stored(t, o.Dir)
	for _, at := range []int64{int64(len(magic)) + 2, s.store.Train.Blocks[0] + 1, s.store.Train.Blocks[0] + 9,
		s.store.Train.Blocks[0] + 13} {
		damaged := bytes.Clone(text)
		damaged[at] ^= 0x10
		if err := os.WriteFile(filepath.Join(o.Dir, storeName), damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Sample(0); err == nil || !strings.HasSuffix(err.Error(),
			"samples.bin: it is damaged: delete it, it is made again from the data") {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	put(t, filepath.Join(o.Dir, storeName), "my samples, which nobody else has")
	if _, err := Prepare(background, o); err == nil || !strings.HasSuffix(err.Error(),
		"samples.bin: it is no store of samples of this program: choose another folder or move it away") {
		t.Error(err)
	}
}

// When the context ends nothing is left, of whichever format.
func TestInterruptedReadingLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	lines := strings.Join(idLines(0, 60_000), "\n")
	rows := make([]idRow, 10_000)
	for i := range rows {
		rows[i].IDs = []int64{int64(i), 2, 3}
	}
	for format, path := range map[string]string{
		"lines":   put(t, filepath.Join(dir, "a"), lines),
		"array":   put(t, filepath.Join(dir, "b"), "["+strings.ReplaceAll(lines, "\n", ",")+"]"),
		"gzip":    putBytes(t, filepath.Join(dir, "c"), zip(t, lines)),
		"parquet": putParquet(t, filepath.Join(dir, "d"), rows...),
	} {
		ctx, cancel := context.WithCancel(background)
		o := Options{Train: []string{path}, Dir: filepath.Join(dir, "store"), Progress: func(p Progress) {
			if p.Samples > 100 || p.Read >= p.Total/2 {
				cancel()
			}
		}}
		if _, err := Prepare(ctx, o); !errors.Is(err, context.Canceled) || namesIn(t, o.Dir) != "" {
			t.Errorf("%s: error %v, the folder holds %s", format, err, namesIn(t, o.Dir))
		}
	}
}

// Progress rises to the whole, for every format.
func TestProgressReachesTheWhole(t *testing.T) {
	dir := t.TempDir()
	lines := strings.Join(idLines(0, 1000), "\n")
	var last Progress
	o := Options{Train: []string{put(t, filepath.Join(dir, "a"), lines),
		putBytes(t, filepath.Join(dir, "b"), zstandard(t, lines)),
		putParquet(t, filepath.Join(dir, "c"), idRow{[]int64{1}, 0}, idRow{[]int64{2}, 0}, idRow{[]int64{3}, 1})}, Dir: dir,
		Progress: func(p Progress) {
			if p.Read < last.Read || p.Samples < last.Samples {
				t.Errorf("%+v after %+v", p, last)
			}
			last = p
		}}
	prepare(t, o)
	if last.Read != last.Total || last.Total == 0 || last.Samples != 2003 {
		t.Errorf("at the end %+v", last)
	}
}

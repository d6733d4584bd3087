package benchmarks

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tokenizer"
	"github.com/synapnet/synapnet-train/layers"
)

// object is a row as a file of a benchmark has it.
type object = map[string]any

// v1 is a row of LongBench with the fields that it ships with.
func v1(dataset, context, input string, classes any, answers ...string) object {
	return object{"input": input, "context": context, "answers": answers, "length": 100, "dataset": dataset,
		"language": "en", "all_classes": classes, "_id": "0123"}
}

// v2 is a row of LongBench v2.
func v2(question, answer string) object {
	return object{"_id": "1", "domain": "d", "sub_domain": "s", "difficulty": "easy", "length": "short",
		"question": question, "choice_A": "one", "choice_B": "two", "choice_C": "three", "choice_D": "four",
		"answer": answer, "context": "a text"}
}

func put(t *testing.T, path, text string) string {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// lines is JSON lines.
func lines(t *testing.T, rows ...object) string {
	t.Helper()
	var b strings.Builder
	for _, r := range rows {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.String()
}

// reader is that of a model with the given labels that reads bytes.
func reader(most int, labels ...string) Reader {
	return Reader{Tokenizer: tokenizer.Bytes{}, Labels: data.NewLabels(labels), Vocab: 257, Most: most}
}

// read reads the first file at path.
func read(t *testing.T, name, path string, r Reader) (*Set, error) {
	t.Helper()
	b, ok := Lookup(name)
	if !ok {
		t.Fatalf("no benchmark %s", name)
	}
	found, err := b.Files(path)
	if err != nil {
		return nil, err
	}
	return b.Read(t.Context(), found[0], r)
}

// Every form in which the benchmarks ship is read: what a model reads, the classes that it may choose of, and the
// answers outside of its labels.
func TestReads(t *testing.T) {
	t.Chdir(t.TempDir())
	trec := lines(t, v1("trec", "Example.", "Where?", []string{"Food", "Place"}, "Place"),
		v1("trec", "Example.", "What?", []string{"Food", "Place"}, "Food"))
	put(t, "longbench/data/trec.jsonl", trec)
	var elements []string
	for _, question := range []string{"Which?", "Who?"} {
		elements = append(elements, strings.TrimSpace(lines(t, v2(question, "C"))))
	}
	put(t, "v2/data.json", "\n["+strings.Join(elements, ",\n")+"]\n")
	put(t, "ruler/4096/niah_single_1/validation.jsonl",
		"\ufeff\n"+lines(t, object{"index": 0, "input": "What is the number?",
			"outputs": []string{"17", "18"}, "length": 10, "answer_prefix": " The"}))
	put(t, "babilong/qa1/0k.json",
		"["+strings.TrimSpace(lines(t, object{"input": "Mary is at home.", "question": "Where?", "target": "kitchen"}))+"]")
	archive(t, "longbench.zip", "data/trec.jsonl", trec)
	table(t, "tables/0k/qa1-00000-of-00001.parquet")
	for _, c := range []struct {
		benchmark, path string
		labels          []string
		name            string
		samples, out    int
		longest         int
	}{
		{"longbench", "longbench", []string{"Place", "Planet"}, "trec", 2, 1, len("Example.\nWhere?")},
		{"longbench", "longbench.zip", []string{"Place", "Food"}, "trec", 2, 0, len("Example.\nWhere?")},
		{"longbench-v2", "v2", []string{"A", "B", "C", "D"}, "longbench-v2", 2, 0,
			len("a text\nWhich?\n(A) one\n(B) two\n(C) three\n(D) four")},
		{"ruler", "ruler", []string{"17", "9"}, "niah_single_1", 1, 0, len("What is the number?")},
		{"babilong", "babilong", []string{"kitchen", "office"}, "qa1_0k", 1, 0, len("Mary is at home. Where?")},
		{"babilong", "tables", []string{"kitchen", "office"}, "qa1_0k", 3, 0, len("story 0 Where?")},
	} {
		s, err := read(t, c.benchmark, c.path, reader(100, c.labels...))
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if s.Name != c.name || s.Len() != c.samples || s.outside != c.out || s.Longest() != c.longest || s.Cut != 0 {
			t.Errorf("%s: %s, %d samples, %d outside, %d tokens", c.path, s.Name, s.Len(), s.outside, s.Longest())
		}
	}
}

// archive writes a ZIP of one file and of what is none of a benchmark's.
func archive(t *testing.T, path, name, text string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for entry, content := range map[string]string{name: text, "README.md": "x", "__MACOSX/data/._trec.jsonl": "x"} {
		w, err := z.Create(entry)
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// table writes three rows of BABILong as Hugging Face's Parquet has them, with columns that may be null.
func table(t *testing.T, path string) {
	t.Helper()
	type line struct {
		Input    *string `parquet:"input,optional"`
		Target   *string `parquet:"target,optional"`
		Question *string `parquet:"question,optional"`
	}
	var rows []line
	for i := range 3 {
		rows = append(rows, line{new(fmt.Sprint("story ", i)), new("kitchen"), new("Where?")})
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), parquet.WriteFile(path, rows)); err != nil {
		t.Fatal(err)
	}
}

// LongBench is cut in the middle as its pred.py does; what does not say so is refused, with the place.
func TestLongSamples(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "count.jsonl", lines(t, v1("passage_count", strings.Repeat("a", 30)+"bcde", "fghi", nil, "3")))
	s, err := read(t, "longbench", "count.jsonl", reader(10, "3"))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := tokenizer.Bytes{}.Encode("aaaaa" + "\nfghi")
	if s.Cut != 1 || !slices.Equal(s.ids[0], want) {
		t.Errorf("cut %d: %v, want %v", s.Cut, s.ids[0], want)
	}
	put(t, "vt.jsonl", lines(t, object{"input": "short", "outputs": []string{"3"}},
		object{"input": "a longer one", "outputs": []string{"3"}}))
	_, err = read(t, "ruler", "vt.jsonl", reader(10, "3"))
	if unfit, ok := errors.AsType[*UnfitError](err); !ok || !strings.Contains(unfit.Reason, "--long-samples left, ") ||
		!strings.Contains(err.Error(), "vt.jsonl line 2: vt: it has 12 tokens, more than the 10") {
		t.Errorf("%v", err)
	}
}

// What is wrong is told with file, place, what and the mend; what a classifier cannot answer, as unfit.
func TestWrongForm(t *testing.T) {
	t.Chdir(t.TempDir())
	good := object{"input": "i", "question": "q", "target": "kitchen"}
	put(t, "empty/README.md", "")
	for file, c := range map[string]struct {
		benchmark, text, want string
		unfit                 bool
	}{
		"qa1.json": {"babilong", lines(t, good) + "{\"input\": \"i\"}\n", "qa1.json line 2: it has no question; a sample " +
			"of BABILong (Kuratov et al. 2024) is {\"input\": ", false},
		"qa2.json": {"babilong", "[" + strings.TrimSpace(lines(t, good)) + ", 7]", "qa2.json element 2: ", false},
		"qa3.json": {"babilong", lines(t, object{"input": 7}), "qa3.json line 1: input has a value of another kind, number",
			false},
		"qa4.json":   {"babilong", lines(t, good) + "{\"input\": \"i", "qa4.json line 2: broken JSON (", false},
		"qa5.json":   {"babilong", "{\"input\": \"\xff\"}", "qa5.json line 1: broken JSON (", false},
		"utf16.json": {"babilong", "\xff\xfe{\x00", "utf16.json: it is text in UTF-16", false},
		"qa6.json":   {"babilong", "", "qa6.json has no samples", false},
		"qa7.json":   {"babilong", "\n \n", "qa7.json has no samples", false},
		"story.json": {"babilong", lines(t, good), "story.json line 1: which task is it?", false},
		"qa21.json":  {"babilong", lines(t, good), "qa21.json line 1: which task is it?", false},
		"qa1_2.json": {"babilong", lines(t, object{"input": "i", "question": "q", "target": "attic"}),
			"the target attic is none of BABILong's answers to qa1 (bathroom, ", false},
		"qa1.parquet": {"babilong", "PAR1 and no more", "qa1.parquet: broken Parquet", false},
		"a.jsonl": {"longbench", lines(t, v1("trek", "", "", nil, "x")),
			"the dataset trek is none of LongBench's: those with closed answers are lsht, passage_count, ", false},
		"b.jsonl": {"longbench", lines(t, v1("trec", "", "", nil, "x")), "b.jsonl line 1: it has no all_classes", false},
		"c.jsonl": {"longbench", lines(t, v1("passage_count", "", "", nil)), "c.jsonl line 1: it has no answers", false},
		"d.jsonl": {"longbench", lines(t, v1("passage_retrieval_en", "", "", nil, "3")),
			"the answer 3 names no paragraph", false},
		"e.jsonl": {"longbench", lines(t, v1("passage_count", "", "", nil, "3"), v1("lsht", "", "", []string{"3"}, "3")),
			"e.jsonl line 2: it is of lsht, and those before it are of passage_count", false},
		"f.jsonl": {"longbench", lines(t, v1("hotpotqa", "", "", nil, "3")),
			"hotpotqa: its answers are free-form (qa_f1_score): it needs a language model", true},
		"g.jsonl": {"longbench", lines(t, v1("passage_count", "", "", nil, "4")),
			"passage_count: none of its 1 answers is among the 2 labels that the model learnt", true},
		"h.json": {"longbench-v2", "[" + lines(t, v2("q", "E")) + "]",
			"h.json element 1: the answer is E: it is A, B, C or D", false},
		"numbers.jsonl": {"ruler", lines(t, object{"input": "i", "outputs": []string{"3"}}), "which task is it?", false},
		"niah.jsonl":    {"ruler", lines(t, object{"input": "i"}), "niah.jsonl line 1: it has no outputs", false},
		"broken.zip":    {"longbench", "PK no more", "broken.zip: broken ZIP", false},
		"absent.jsonl": {"longbench", "-", "cannot read absent.jsonl: no such file or directory; give a file of",
			false},
		"empty": {"longbench", "-", "empty has no file of LongBench (Bai et al. 2024) (.json, .jsonl, ", false},
	} {
		if c.text != "-" {
			put(t, file, c.text)
		}
		_, err := read(t, c.benchmark, file, reader(100, "3", "kitchen"))
		if _, unfit := errors.AsType[*UnfitError](err); err == nil || !strings.Contains(err.Error(), c.want) ||
			unfit != c.unfit || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: unfit %t: %v\nwant … %s", file, unfit, err, c.want)
		}
	}
}

// Without a path it is what Hugging Face's cache has, under the name of now or of then; else the line that fetches it.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HF_HOME", dir)
	_, err := longBench.Files("")
	if want := "hf download zai-org/LongBench --repo-type dataset"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v", err)
	}
	at := "hub/datasets--THUDM--LongBench/"
	put(t, at+"refs/main", "c0ffee\n")
	blob := put(t, at+"blobs/1", lines(t, v1("passage_count", "", "", nil, "3")))
	snapshot := filepath.Join(dir, at, "snapshots/c0ffee/data")
	if err := errors.Join(os.MkdirAll(snapshot, 0o700),
		os.Symlink(filepath.Join(dir, blob), filepath.Join(snapshot, "passage_count.jsonl"))); err != nil {
		t.Fatal(err)
	}
	for _, hub := range []string{"", filepath.Join(dir, "hub")} {
		t.Setenv("HF_HUB_CACHE", hub)
		if s, err := read(t, "longbench", "", reader(10, "3")); err != nil || s.Len() != 1 {
			t.Errorf("%+v %v", s, err)
		}
	}
	if _, err := ruler.Files(""); err == nil || !strings.Contains(err.Error(), "github.com/NVIDIA/RULER") {
		t.Errorf("%v", err)
	}
}

// A model's answers are its labels of the highest logits, of those that the sample allows.
func TestEvaluate(t *testing.T) {
	t.Chdir(t.TempDir())
	classes := []string{"A thing", "A person"}
	rows := make([]object, 7)
	for i := range rows {
		rows[i] = v1("trec", strings.Repeat("x", i), "?", classes, classes[i%2])
	}
	rows = append(rows, v1("trec", "", "?", classes, "An idea"))
	put(t, "trec.jsonl", lines(t, rows...))
	c := layers.Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots = 8, 1, 1, 257, 16, 3, 2
	m, err := layers.NewModel(c, 7)
	if err != nil {
		t.Fatal(err)
	}
	s, err := read(t, "longbench", "trec.jsonl", reader(16, "A thing", "A person", "Food"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Evaluate(t.Context(), m, 16, 3)
	if err != nil {
		t.Fatal(err)
	}
	if r.N != 8 || r.Outside != 1 || r.Accuracy == nil || r.Accuracy.Correct > 7 ||
		r.Score != rounded(100*float64(r.Accuracy.Correct)/8, 2) || !(r.Accuracy.Low < r.Accuracy.Mean || r.Score == 0) {
		t.Errorf("%+v %+v", r, r.Accuracy)
	}
	sample := &Sample{Classes: classes}
	for _, c := range []struct {
		logits []float32 // A person, A thing, Food
		want   string
	}{{[]float32{1, 2, 9}, "A thing"}, {[]float32{2, 1, 9}, "A person"}, {[]float32{1, 1, 0}, "A person"}} {
		if got := s.answer(sample, c.logits); got != c.want {
			t.Errorf("%v: %s", c.logits, got)
		}
	}
	if got := s.answer(&Sample{Classes: []string{"other"}}, []float32{1, 2, 3}); got != "" {
		t.Errorf("an answer that the sample does not allow: %s", got)
	}
}

// The documentation names every benchmark, and what a model reads of its samples.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		b, _ := Lookup(name)
		if !strings.Contains(string(page), "| `"+name+"` | "+b.Title) || !strings.Contains(string(page), "| "+b.Reads+" |") {
			t.Errorf("docs/benchmarks.md has no line of %s that reads %q", name, b.Reads)
		}
	}
}

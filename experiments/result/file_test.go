package result

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func valid() *Result {
	return &Result{
		Schema: Schema, Experiment: "some-table", Profile: "full", Complete: true, Key: strings.Repeat("0a", 32), Version: 2,
		Config: []byte(`{"seeds":[42]}`), Inputs: map[string]string{"pretrain/model.safetensors": strings.Repeat("f", 64)},
		Seeds: []uint64{42, math.MaxUint64}, Protocol: "as published",
		Environment: Environment{Version: "v1", Commit: "abc", Go: "go1", Platform: "linux/amd64", Features: []string{"AVX2"},
			Threads: 2},
		Cost: Cost{WallSeconds: 1, CPUSeconds: 2, PeakRSSBytes: 3},
		Measurements: []Measurement{
			Mean(Measurement{Labels: map[string]string{"variant": "fp16"}, Protocol: Paper, Metric: "loss", Unit: "nats",
				Published: &MeanStd{Mean: 2}}, 1, 2, 3),
			ExactOf(Labels{}, Strict, "size", "bytes", 7),
		},
		Details: []byte(`{"runs":[1,2]}`),
	}
}

// What is written is what is read, and the file is indented JSON.
func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "some-table.json")
	want := valid()
	if err := Write(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []*[]byte{(*[]byte)(&got.Config), (*[]byte)(&got.Details)} {
		*raw = []byte(strings.Join(strings.Fields(string(*raw)), ""))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v, want\n%+v", got, want)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) != 1 {
		t.Errorf("it leaves %v (%v)", left, err)
	}
}

// The interval of a mean is Student's: 2 ± 4.303 · 1/√3 for 1, 2, 3; one value has none.
func TestMean(t *testing.T) {
	m := Mean(Measurement{}, 1, 2, 3)
	if m.N != 3 || m.Mean != 2 || m.Std != 1 || math.Abs(m.Interval.Low-(2-2.484138)) > 1e-5 ||
		math.Abs(m.Interval.High-(2+2.484138)) > 1e-5 {
		t.Errorf("%+v %+v", m, m.Interval)
	}
	if m := Mean(Measurement{}, 5); m.N != 1 || m.Mean != 5 || m.Std != 0 || m.Interval != nil {
		t.Errorf("%+v", m)
	}
}

// A result that breaks the form is not written, and what was there stays.
func TestWriteRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	if err := Write(path, valid()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(r *Result)
		want  string
	}{
		"not a number":      {func(r *Result) { r.Measurements[0].Mean = math.NaN() }, "not finite"},
		"reversed interval": {func(r *Result) { r.Measurements[0].Interval.High = -9 }, "the interval runs from"},
		"twice the same":    {func(r *Result) { r.Measurements[1] = r.Measurements[0] }, "of measurement 0"},
		"no measurements":   {func(r *Result) { r.Measurements = nil }, "/measurements"},
		"no unit":           {func(r *Result) { r.Measurements[0].Unit = "" }, "/measurements/0/unit"},
		"unknown protocol":  {func(r *Result) { r.Measurements[0].Protocol = "lax" }, "/measurements/0/protocol"},
		"unknown method": {func(r *Result) { r.Measurements[0].Interval.Method = "guess" },
			"/measurements/0/interval_95/method"},
		"no key":             {func(r *Result) { r.Key = "" }, "/key"},
		"negative cost":      {func(r *Result) { r.Cost.WallSeconds = -1 }, "/cost/wall_seconds"},
		"no commit":          {func(r *Result) { r.Environment.Commit = "" }, "/environment/commit"},
		"unreadable details": {func(r *Result) { r.Details = []byte("{") }, "unexpected end"},
	} {
		r := valid()
		c.spoil(r)
		if err := Write(path, r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed (%v)", err)
	}
	r := valid()
	r.Complete, r.Measurements = false, nil
	if err := Write(path, r); err != nil {
		t.Errorf("an unfinished result without measurements: %v", err)
	}
}

// A file that is no result is one line: the file, what is wrong, the mend.
func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.json")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := Write(path, valid()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"cut":        {string(whole[:len(whole)/2]), "it is not JSON"},
		"empty":      {"", "it is not JSON"},
		"other JSON": {"[1]", "got array, want object"},
		"more":       {strings.Replace(string(whole), `"schema"`, `"more": 1, "schema"`, 1), "more"},
		"form 2":     {strings.Replace(string(whole), `"schema": 1`, `"schema": 2`, 1), "/schema"},
		"text mean": {strings.Replace(string(whole), `"mean": 2`, `"mean": "2"`, 1),
			"/measurements/0/mean: got string, want number"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		var invalid *Invalid
		if !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), path+" is not a valid result: ") ||
			!strings.Contains(err.Error(), c.want) ||
			!strings.HasSuffix(err.Error(), "; move it away, or delete it to measure anew") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// The results of this project are valid, and say which commit made them.
func TestCommittedResults(t *testing.T) {
	files, err := filepath.Glob("../../results/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range files {
		if filepath.Base(filepath.Dir(path)) == "published" { // the paper's, in its own form
			continue
		}
		n++
		if r, err := Read(path); err != nil || len(r.Environment.Commit) != 40 {
			t.Errorf("%s: %v", path, err)
		}
	}
	if n == 0 {
		t.Error("there are none")
	}
}

// Any bytes are refused, or read as a result that can be written again.
func FuzzDecode(f *testing.F) {
	text, err := valid().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"schema":1,"measurements":[{"mean":1e999}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Decode(text)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatalf("read, but not written: %v\n%s", err, text)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("written, but not read: %v\n%s", err, again)
		}
	})
}

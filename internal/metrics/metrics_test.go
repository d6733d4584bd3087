package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type line struct {
	Step int     `json:"step"`
	Loss float64 `json:"loss"`
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func add(t testing.TB, l *Log, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := l.Add("step", line{i, 1 / float64(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func text(t testing.TB, path string) string {
	t.Helper()
	return string(must[[]byte](t)(os.ReadFile(path)))
}

func steps(t testing.TB, path string, at Mark) (n int, err error) {
	t.Helper()
	err = Read(path, at, func(kind string, text []byte) error {
		n++
		if want := fmt.Sprintf(`{"kind":"step","step":%d,"loss":`, n); kind != "step" ||
			!strings.HasPrefix(string(text), want) {
			t.Errorf("line %d is %s of kind %s", n, text, kind)
		}
		return nil
	})
	return n, err
}

// A history that was cut at a mark and written on is that of a run that never stopped, whatever was behind the mark.
func TestContinuedHistoriesAreWhole(t *testing.T) {
	whole := New(filepath.Join(t.TempDir(), Name))
	add(t, whole, 1, 9)
	end := must[Mark](t)(whole.Mark())
	want := text(t, whole.path)
	for at := range 10 {
		for _, behind := range []string{"", "\n", `{"kind":"st`, "\x00\x00\x00", want} {
			path := filepath.Join(t.TempDir(), Name)
			l := New(path)
			add(t, l, 1, at)
			mark := must[Mark](t)(l.Mark())
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			f := must[*os.File](t)(os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0))
			must[int](t)(f.WriteString(behind))
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if n, err := steps(t, path, mark); n != at || err != nil {
				t.Fatalf("%d steps read of %d: %v", n, at, err)
			}
			again := Continue(path, mark)
			add(t, again, at+1, 9)
			if got := must[Mark](t)(again.Mark()); got != end || text(t, path) != want {
				t.Errorf("continued at %d with %q behind it: %+v, want %+v", at, behind, got, end)
			}
		}
	}
}

// A closed log goes on where it was, and each line is in the file when Add returns.
func TestLinesAreWrittenAsTheyCome(t *testing.T) {
	path := filepath.Join(t.TempDir(), Name)
	l := New(path)
	for i := 1; i <= 3; i++ {
		add(t, l, i, i)
		if got := strings.Count(text(t, path), "\n"); got != i {
			t.Errorf("%d lines are in the file after %d", got, i)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := steps(t, path, must[Mark](t)(l.Mark())); n != 3 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
}

// A file that is not what it was at the mark is told from one that is, and what to do is said.
func TestChangedFilesAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), Name)
	l := New(path)
	add(t, l, 1, 5)
	mark := must[Mark](t)(l.Mark())
	whole := text(t, path)
	for name, c := range map[string]struct{ text, want string }{
		"cut":             {whole[:len(whole)-1], fmt.Sprintf("it has %d bytes, there were %d", len(whole)-1, len(whole))},
		"empty":           {"", "it has 0 bytes"},
		"a digit changed": {strings.Replace(whole, `"step":3`, `"step":8`, 1), "its lines are others"},
		"a line joined":   {strings.Replace(whole, "\n", " ", 1), "are 4 lines, there were 5"},
		"no lines":        {strings.Repeat("x", len(whole)), "it has"},
		"endless line":    {strings.Repeat("x", 1<<20), "line 1"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := mark
		if name == "endless line" {
			at.Bytes = 1 << 19
		}
		var changed *Changed
		err := Read(path, at, func(string, []byte) error { return nil })
		if !errors.As(err, &changed) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) ||
			!strings.Contains(err.Error(), "or delete it to continue without the history so far") {
			t.Errorf("%s: read: %v", name, err)
		}
		if name != "no lines" && name != "endless line" && !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err := Continue(path, at).Add("step", line{6, 0}); err == nil {
			t.Errorf("%s: continued", name)
		}
		if got := text(t, path); got != c.text {
			t.Errorf("%s: the file was changed", name)
		}
	}
	gone := filepath.Join(t.TempDir(), Name)
	if err := Read(gone, mark, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := Continue(gone, mark).Add("step", line{6, 0}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, at := range []Mark{{Bytes: -1}, {Bytes: 1 << 62, Lines: 1 << 62}, {}} {
		if err := Read(path, at, func(string, []byte) error { return nil }); err == nil {
			t.Errorf("mark %+v is taken", at)
		}
	}
}

// What a user added to a history is not cut off.
func TestNotesAreNotCutOff(t *testing.T) {
	for _, note := range []string{"my note\n", `{"kind":"step","step":6}` + "\n# a note", `{"note":1}` + "\n"} {
		path := filepath.Join(t.TempDir(), Name)
		l := New(path)
		add(t, l, 1, 5)
		mark := must[Mark](t)(l.Mark())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		noted := text(t, path) + note
		if err := os.WriteFile(path, []byte(noted), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Continue(path, mark).Add("step", line{6, 0})
		if err == nil || !strings.Contains(err.Error(), "is none of the run's: move it away") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", note, err)
		}
		if got := text(t, path); got != noted {
			t.Errorf("%q: the file was changed", note)
		}
	}
}

// A log never takes the place of what no log wrote.
func TestOtherFilesAreLeft(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"my-notes": func(path string) error { return os.WriteFile(path, []byte("epoch,loss\n"), 0o600) },
		"a-folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if err := New(path).Add("step", line{1, 1}); err == nil || !strings.HasSuffix(err.Error(), ": move it away") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text(t, filepath.Join(dir, "my-notes")) != "epoch,loss\n" {
		t.Error("a file of the user's was replaced")
	}
	path := filepath.Join(dir, Name) // of an earlier run
	old := New(path)
	add(t, old, 1, 9)
	l := New(path)
	add(t, l, 1, 2)
	if n, err := steps(t, path, must[Mark](t)(l.Mark())); n != 2 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestBeside(t *testing.T) {
	for checkpoint, want := range map[string]string{
		"run/checkpoint.safetensors": filepath.Join("run", "metrics.jsonl"), "checkpoint.safetensors": "metrics.jsonl",
		"work/cajq_qat-42.safetensors": filepath.Join("work", "cajq_qat-42.metrics.jsonl"),
	} {
		if got := Beside(checkpoint); got != want {
			t.Errorf("%s: %s, want %s", checkpoint, got, want)
		}
	}
}

func TestLinesAreObjects(t *testing.T) {
	l := New(filepath.Join(t.TempDir(), Name))
	for _, v := range []any{1, []int{1}, struct{}{}, nil, func() {}} {
		if err := l.Add("step", v); err == nil {
			t.Errorf("%T became a line", v)
		}
	}
}

// Two million steps, which no header could hold: written and read back, and the mark is as small as that of one.
func TestTwoMillionSteps(t *testing.T) {
	const n = 2_000_000
	path := filepath.Join(t.TempDir(), Name)
	l := New(path)
	add(t, l, 1, 1)
	// Add hands each line to the system, which takes seconds for so many: the rest is written at once, as a killed run
	// leaves it.
	row := must[[]byte](t)(encode("step", line{2, 0.5}))
	block := strings.Repeat(string(row), 1000)
	for range n / 1000 {
		must[int](t)(l.file.WriteString(block))
		l.count([]byte(block), 1000)
	}
	mark := must[Mark](t)(l.Mark())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	read := 0
	if err := Read(path, mark, func(string, []byte) error { read++; return nil }); err != nil || read != n+1 {
		t.Fatalf("%d lines read: %v", read, err)
	}
	again := Continue(path, mark)
	add(t, again, 3, 3)
	if end := must[Mark](t)(again.Mark()); end.Lines != n+2 || len(end.SHA256) != len(mark.SHA256) {
		t.Errorf("%+v", end)
	}
}

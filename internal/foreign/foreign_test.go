package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// Letters of every script stay; all that a terminal obeys becomes an escape.
func TestText(t *testing.T) {
	cases := map[string]string{
		"blocks.0.weight":                 "blocks.0.weight",
		"é 漢字\u3000ß 🙂":                   "é 漢字\u3000ß 🙂",
		"a\x1b[31mb\x07":                  `a\u001b[31mb\u0007`,
		"a\nb\rc\td":                      `a\nb\rc\td`,
		"\x7f\u0085\u009b31m":             `\u007f\u0085\u009b31m`,
		"\u202eexe.txt\u2066\u200b\ufeff": `\u202eexe.txt\u2066\u200b\ufeff`,
		"\u2028\u2029":                    `\u2028\u2029`,
		"a\xff\xc3":                       `a\xff\xc3`,
		"\U000e0001":                      `\udb40\udc01`,
		"\x00":                            `\u0000`,
		"":                                "",
	}
	for in, want := range cases {
		if got := Text(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// A word is quoted where its ends could be misread, and else left alone.
func TestWord(t *testing.T) {
	cases := map[string]string{
		"plain": "plain", "é": "é", "": `""`, "two words": `"two words"`, "a\nb": `"a\nb"`, `a"b`: `"a\"b"`, `a\b`: `"a\\b"`,
		"a\x1b":    `"a\u001b"`,
		"a\u3000b": "\"a\u3000b\"",
	}
	for in, want := range cases {
		if got := Word(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// However long a word is, its two ends are shown, and whole letters.
func TestLongWordsAreCutInTheMiddle(t *testing.T) {
	for _, letter := range []string{"x", "é", "字", "🙂", "\x1b", "\xff"} {
		got := Text("begin-" + strings.Repeat(letter, 100_000) + "-end")
		if !strings.HasPrefix(got, "begin-") || !strings.HasSuffix(got, "-end") || !utf8.ValidString(got) ||
			!strings.Contains(got, ellipsis) {
			t.Errorf("%q: got %s", letter, got)
		}
		if len(got) > 6*WordLimit {
			t.Errorf("%q: %d bytes", letter, len(got))
		}
	}
	if at := strings.Repeat("é", WordLimit); Text(at) != at {
		t.Error("a word of just the limit is cut")
	}
}

// A message is one line, with what is wrong at its begin and the mend at its end.
func TestLine(t *testing.T) {
	if got := Line("a: first\r\nsecond\x1b]0;x\x07", 100); got != `a: first second\u001b]0;x\u0007` {
		t.Errorf("got %s", got)
	}
	for _, letter := range []string{"x", "字", "\x1b", "\U000e0001"} {
		for limit := 50; limit < 80; limit++ {
			got := Line("file: key "+strings.Repeat(letter, 1000)+" is unknown; leave it out", limit)
			if len(got) > limit || !utf8.ValidString(got) || !strings.HasPrefix(got, "file: key ") ||
				!strings.HasSuffix(got, "leave it out") {
				t.Errorf("%q to %d: %d bytes: %s", letter, limit, len(got), got)
			}
			front, _, _ := strings.Cut(got, ellipsis)
			if at := strings.LastIndex(front, `\`); letter == "\x1b" && at >= 0 && len(front)-at != len(`\u001b`) {
				t.Errorf("%q to %d cuts an escape: %s", letter, limit, got)
			}
		}
	}
}

// One endless word leaves the rest of a message in sight, on a line or two.
func TestLineCutsEndlessWords(t *testing.T) {
	for _, letter := range []string{"x", "字"} {
		got := Line("file: key "+strings.Repeat(letter, 100_000)+" is unknown; leave it out", LineLimit)
		if n := utf8.RuneCountInString(got); n != LineWordLimit+len("file: key  is unknown; leave it out") {
			t.Errorf("%q: %d letters: %s", letter, n, got)
		}
	}
}

// What passes the guard has no byte that a terminal obeys, whatever goes in and in whichever pieces.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("a\x1b[31m\xc3\xa9\n\t\xe5\xad\x97\xff\u202e"), 1)
	f.Add([]byte("\xf0\x9f\x99\x82\xf0\x9f"), 3)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		size = max(1, min(size, 1000))
		var whole, pieces bytes.Buffer
		g := NewWriter(&whole, 0)
		if n, err := g.Write(in); n != len(in) || err != nil {
			t.Fatal(n, err)
		}
		if err := g.Flush(); err != nil {
			t.Fatal(err)
		}
		p := NewWriter(&pieces, 0)
		for rest := in; len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := p.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		if whole.String() != pieces.String() {
			t.Errorf("in pieces %q, whole %q", pieces.String(), whole.String())
		}
		for i, r := range whole.String() {
			if r == utf8.RuneError && !bytes.ContainsRune(in, r) || !plain(r) && r != '\n' && r != '\t' {
				t.Fatalf("letter %U at %d of %q", r, i, whole.String())
			}
		}
	})
}

// JSON stays JSON and means the same.
func TestGuardedJSONMeansTheSame(t *testing.T) {
	var names []string
	for r := range rune(0x3100) {
		names = append(names, string(r))
	}
	names = append(names, "\U000e0001🙂", `\u001b`)
	var out bytes.Buffer
	if err := json.NewEncoder(NewWriter(&out, 0)).Encode(names); err != nil {
		t.Fatal(err)
	}
	var back []string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if back[i] != name && utf8.ValidString(name) {
			t.Errorf("%q became %q", name, back[i])
		}
	}
}

// Lines for people are cut each for itself.
func TestGuardCutsLines(t *testing.T) {
	var out bytes.Buffer
	text := "short\n" + strings.Repeat("x", 5000) + " end\nlast"
	if _, err := io.Copy(NewWriter(&out, 100), strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || lines[0] != "short" || len(lines[1]) > 100 || !strings.HasSuffix(lines[1], " end") ||
		lines[2] != "last" {
		t.Errorf("%q", lines)
	}
}

// An error of the guarded writer is the guard's.
func TestGuardReportsErrors(t *testing.T) {
	wrong := errors.New("full")
	if _, err := NewWriter(failing{wrong}, 0).Write([]byte("x")); !errors.Is(err, wrong) {
		t.Error(err)
	}
	if _, err := io.Copy(NewWriter(io.Discard, 0), iotest.OneByteReader(strings.NewReader("漢字"))); err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestErrorsOfJSONNameNoTypes(t *testing.T) {
	var into struct {
		Epochs struct{ Done []int }
	}
	for text, want := range map[string]string{
		`{"Epochs":{"Done":3}}`: `"Epochs.Done" is a number, which it cannot be`,
		`3`:                     "it is a number, which it cannot be",
		`{`:                     "unexpected end of JSON input",
	} {
		if err := JSON(json.Unmarshal([]byte(text), &into)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

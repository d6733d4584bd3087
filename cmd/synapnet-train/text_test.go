package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tokenizer"
	"github.com/synapnet/synapnet-train/layers"
)

// idsOf is all that a reader of text gives, in parts of at most `most`.
func idsOf(t *textReader, most int) (all []int32, err error) {
	for {
		ids, err := t.some(most)
		all = append(all, ids...)
		if err != nil {
			return all, err
		}
		if len(ids) == 0 || len(ids) > most {
			return all, fmt.Errorf("%d ids in place of 1 to %d", len(ids), most)
		}
	}
}

// However a text arrives, its ids are those of the whole of it without the line feed at its end, for tokenisers that
// look no further than white space.
func TestTextGivesTheIDsOfTheWhole(t *testing.T) {
	var counter tokenizer.WordCounter
	if err := counter.Add("Mary went to the garden. Where is Mary?"); err != nil {
		t.Fatal(err)
	}
	words, err := counter.Train(100)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]tokenizer.Tokenizer{"bytes": tokenizer.Bytes{}, "words": words} {
		for _, text := range []string{"Mary went", "Mary went\n", "Mary\nwent to\nthe garden.", "\n\nMary\n\n\nwent\n\n",
			"Mary\r\nwent\r\n", "où est 花 Mary?\n", strings.Repeat("Where is Mary? ", 2000) + "\nthe garden"} {
			want, err := k.Encode(strings.TrimSuffix(text, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
				got, err := idsOf(newTextReader("in", in, k, 300), 7)
				if !errors.Is(err, io.EOF) || !slices.Equal(got, want) {
					t.Errorf("%s of %.20q: %v, %d ids, want %d", name, text, err, len(got), len(want))
				}
			}
		}
	}
}

// A reading that fails, as one that is interrupted does, loses nothing: the next goes on where it ended.
func TestTextGoesOnAfterAnError(t *testing.T) {
	failing := io.MultiReader(strings.NewReader("ab\ncd"), iotest.TimeoutReader(iotest.OneByteReader(
		strings.NewReader("ef\ng"))))
	r := newTextReader("in", failing, tokenizer.Bytes{}, 257)
	got, err := idsOf(r, 100)
	if err == nil || errors.Is(err, io.EOF) || r.unfinished() != "the beginning of a line" {
		t.Fatalf("%v %v, %q", got, err, r.unfinished())
	}
	rest, err := idsOf(r, 100)
	want, _ := tokenizer.Bytes{}.Encode("ab\ncdef\ng")
	if !errors.Is(err, io.EOF) || !slices.Equal(append(got, rest...), want) || r.unfinished() != "" {
		t.Errorf("%v %v, want %v", append(got, rest...), err, want)
	}
}

func TestTextThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"good\nbad \xff\n":                    "in:2: it has invalid UTF-8",
		strings.Repeat("a", maxTextLine+2):    "in:1: the line has more than 1048576 bytes: break it",
		"a\n" + strings.Repeat("é", 1<<20):    "in:2: the line has more than 1048576 bytes: break it",
		"a\nzz\n":                             "",
		strings.Repeat("a", maxTextLine) + "": "",
	} {
		_, err := idsOf(newTextReader("in", strings.NewReader(text), tokenizer.Bytes{}, 257), 1000)
		if want == "" && !errors.Is(err, io.EOF) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	_, err := idsOf(newTextReader("in", strings.NewReader("z"), tokenizer.Bytes{}, 50), 10)
	if err == nil || !strings.Contains(err.Error(), "in:1: the tokeniser gives the id 123, and the model's vocabulary "+
		"is 0 to 49") {
		t.Error(err)
	}
}

// A stream of text answers as one of its ids does, with the label's word, and goes on from a snapshot.
func TestStreamOfText(t *testing.T) {
	t.Chdir(t.TempDir())
	model := walker(t)
	m, err := layers.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	k, err := curriculum.TokenizerOf(m.Extra)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("Ada was in the bathroom. Rain fell.\nAda is now in the garden. ", 9) + "\nWhere is Ada?"
	all, err := k.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "text.txt", text+"\n")
	write(t, "ids.txt", strings.Trim(fmt.Sprint(all), "[]"))
	line := []string{"stream", model, "--chunk-size", "16", "--json"}
	want := decode[streamSummary](t, append(line, "ids.txt")...)
	got := decode[streamSummary](t, append(line, "text.txt", "--text")...)
	if got.Tokens != int64(len(all)) || !slices.Equal(got.Top, want.Top) || len(got.Top) != 3 ||
		!slices.Contains([]string{"bathroom", "garden", "office"}, got.Top[0].Label) {
		t.Errorf("text gives %+v\nids give %+v", got, want)
	}
	out := success(t, "stream", model, "text.txt", "--text", "--snapshot", "s.safetensors")
	if !strings.Contains(out, "\nlabel") || !strings.Contains(out, "\n"+got.Top[0].Label+" ") {
		t.Errorf("the labels are not printed:\n%s", out)
	}
	again := decode[streamSummary](t, "stream", model, "text.txt", "--text", "--restore", "s.safetensors", "--same-input",
		"--json")
	if again.InputTokens != 0 || again.Tokens != int64(len(all)) {
		t.Errorf("%+v", again)
	}
	code, stdout, stderr := piped(t.Context(), strings.NewReader(text), "stream", model, "--text", "--chunk-size", "16",
		"-")
	if code != exitOK || !strings.Contains(stdout, got.Top[0].Label) {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
	tasks := smallModelFile(t, func(*layers.Config) {})
	refusal(t, exitUsage, "stream "+tasks+" text.txt --text", "--text: the model has no tokeniser")
	refusal(t, exitUsage, "stream "+model+" --text --random-tokens 9", "--random-tokens 9 are ids, and --text says")
	refusal(t, exitFailure, "stream "+model+" text.txt", "text.txt:1: Ada is not a token id: ", "; --text reads text")
	if err := os.WriteFile("empty.txt", []byte("\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refusal(t, exitFailure, "stream "+model+" empty.txt --text", "empty.txt holds no text")
}

// What marks a file as UTF-8 is no part of the text, as in --data.
func TestTextBeginsBehindItsMark(t *testing.T) {
	ids := func(text string) []int32 {
		r := newTextReader("it", strings.NewReader(text), tokenizer.Bytes{}, 300)
		all, err := r.some(10)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got, want := ids("\ufeffab c"), ids("ab c"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

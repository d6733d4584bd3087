package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	var c WordCounter
	for _, text := range []string{"the cat, the dog", "Dog ... cat_1 the", "a\u0308 c\u200dd"} {
		if err := c.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := c.Train(6)
	if err != nil {
		t.Fatal(err)
	}
	// the: 3; all others once, in the order of their bytes: "," "..." "Dog" and, left out, "a\u0308" "c\u200dd" "cat" ...
	if tok.Size() != 6 || tok.Pad() != 0 {
		t.Error(tok.Size(), tok.Pad())
	}
	ids, err := tok.Encode("the,Dog the [PAD]...")
	if err != nil || !slices.Equal(ids, []int32{2, 3, 5, 2, 1, 1, 1}) { // "]..." is a word, and none that is known
		t.Error(ids, err)
	}
	if ids, err := tok.Encode(" \n"); err != nil || len(ids) != 0 {
		t.Error(ids, err)
	}
	larger, err := c.Train(1000)
	if err != nil || larger.Size() != 2+9 {
		t.Error(larger.Size(), err)
	}
	again, err := c.Train(6)
	if err != nil || again.Spec() != tok.Spec() {
		t.Error("the same words make another file", err)
	}
}

func TestWordsSayWhatIsWrong(t *testing.T) {
	var c WordCounter
	fails := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	_, err := c.Train(10)
	fails(err, "no words to train")
	fails(c.Add("a\xfe"), "byte 0xfe at offset 1")
	fails(c.add("one two three", 2, 100), "more than 2 different words")
	fails(c.add("four", 9, 9), "use the tokeniser bytes")
	if err := c.add("one one two", 2, 100); err != nil { // known words are counted still
		t.Error(err)
	}
	_, err = c.Train(2)
	fails(err, "has to have 3 or more")
}

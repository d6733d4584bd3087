package data

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestLabelsKnowBothWays(t *testing.T) {
	for want, l := range map[string]*Labels{
		`{"words":["a","b","c"]}`: NewLabels([]string{"c", "a", "b", "a"}),
		`{"classes":3}`:           Numbered(3),
	} {
		text, err := json.Marshal(l)
		if err != nil || string(text) != want {
			t.Errorf("%s, %v; want %s", text, err, want)
		}
		back := new(Labels)
		if err := json.Unmarshal(text, back); err != nil || back.Len() != 3 || !slices.Equal(back.Words(), l.Words()) {
			t.Errorf("%s became %v, %v", text, back, err)
		}
		for class := range 3 {
			if got, err := back.Class(back.Label(class)); err != nil || got != class {
				t.Errorf("%s: class %d became %d, %v", want, class, got, err)
			}
		}
	}
}

func TestLabelsOfOtherFilesAreRefused(t *testing.T) {
	for _, text := range []string{`{}`, `{"classes":-1}`, `{"classes":65537}`, `{"classes":2,"words":["a"]}`, `[]`,
		`{"words":["b","a"]}`, `{"words":["a","a"]}`, `{"words":["","a"]}`} {
		if err := json.Unmarshal([]byte(text), new(Labels)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// However many labels there are, a message shows some.
func TestUnknownLabelsNameSomeOfTheKnown(t *testing.T) {
	var words []string
	for i := range 1000 {
		words = append(words, fmt.Sprintf("word%03d", i))
	}
	_, err := NewLabels(words).Class(Label{Word: "x y\n"})
	if err == nil || !strings.HasPrefix(err.Error(), `the label "x y\n" is unknown: those known are word000, word001, `) ||
		!strings.HasSuffix(err.Error(), "word011, … (1000 in all)") {
		t.Error(err)
	}
}

package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/spelling"
)

// Labels says which class a label is, and which label a class. It goes with a checkpoint, as JSON.
type Labels struct {
	words   []string // of classes in order, sorted; nil: labels are numbers
	classes int
}

// NewLabels gives words classes in sorted order.
func NewLabels(words []string) *Labels {
	sorted := slices.Compact(slices.Sorted(slices.Values(words)))
	return &Labels{sorted, len(sorted)}
}

// Numbered is the labels of numbers from 0 to classes-1.
func Numbered(classes int) *Labels { return &Labels{classes: classes} }

// Len is the number of classes.
func (l *Labels) Len() int { return l.classes }

// Words are the words of the classes, in order; nil: labels are numbers.
func (l *Labels) Words() []string { return slices.Clone(l.words) }

// Label is how data write a class, from 0 to Len()-1.
func (l *Labels) Label(class int) Label {
	if l.words == nil {
		return Label{Class: int32(class)}
	}
	return Label{Word: l.words[class]}
}

// Class is the class of a label. The error of an unknown one names what is known.
func (l *Labels) Class(label Label) (int, error) {
	switch {
	case label.Word == "" && l.words != nil:
		return 0, fmt.Errorf("the label %d is a number: those known are the words %s", label.Class, l.list())
	case label.Word == "" && int(label.Class) >= l.classes:
		return 0, fmt.Errorf("the label %d is out of range: it must be from 0 to %d", label.Class, l.classes-1)
	case label.Word == "":
		return int(label.Class), nil
	case l.words == nil:
		return 0, fmt.Errorf("the label %s is a word: it must be a number from 0 to %d", foreign.Word(label.Word),
			l.classes-1)
	}
	class, ok := slices.BinarySearch(l.words, label.Word)
	if ok {
		return class, nil
	}
	hint := ""
	if near, ok := spelling.Suggest(label.Word, l.words); ok {
		hint = fmt.Sprintf("; did you mean %s?", foreign.Word(near))
	}
	return 0, fmt.Errorf("the label %s is unknown: those known are %s%s", foreign.Word(label.Word), l.list(), hint)
}

// list is the words for a message.
func (l *Labels) list() string {
	const shown = 12
	var all []string
	for _, word := range l.words[:min(shown, len(l.words))] {
		all = append(all, foreign.Word(word))
	}
	if len(l.words) > shown {
		all = append(all, fmt.Sprintf("… (%d in all)", len(l.words)))
	}
	return strings.Join(all, ", ")
}

// labelsJSON is the form of Labels: one of the two.
type labelsJSON struct {
	Classes int      `json:"classes,omitempty"`
	Words   []string `json:"words,omitempty"`
}

// MarshalJSON is {"classes": N} for numbers and {"words": ["no", "yes"]} for words.
func (l *Labels) MarshalJSON() ([]byte, error) {
	if l.words != nil {
		return json.Marshal(labelsJSON{Words: l.words})
	}
	return json.Marshal(labelsJSON{Classes: l.classes})
}

// UnmarshalJSON reads what MarshalJSON writes, and refuses what it cannot have written.
func (l *Labels) UnmarshalJSON(text []byte) error {
	var j labelsJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	n := max(j.Classes, len(j.Words))
	switch {
	case (j.Classes != 0) == (len(j.Words) != 0), n < 1, n > MaxClasses:
		return fmt.Errorf("labels have %d classes and %d words: they must have one of the two, up to %d", j.Classes,
			len(j.Words), MaxClasses)
	case !slices.IsSorted(j.Words), len(slices.Compact(slices.Clone(j.Words))) != len(j.Words),
		slices.Contains(j.Words, ""):
		return errors.New("the words of labels must be sorted, each once, and none empty")
	}
	*l = Labels{j.Words, n}
	return nil
}

package data

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/spelling"
)

// Record is one sample as a file has it.
type Record struct {
	// IDs are the tokens, valid until the next record is read; nil: the sample is Text.
	IDs []int32
	// Text is the sample of a record without IDs.
	Text string
	// Label is what is to be predicted.
	Label Label
	// At is the record's line, element or row in its file, from 1.
	At int64
}

// Label is a class by its number or by a word.
type Label struct {
	// Word is the label's word; "": it is a number.
	Word string
	// Class is the number of a label without a word, from 0 to MaxClasses-1.
	Class int32
}

// MaxClasses is how many different labels data may have.
const MaxClasses = 1 << 16

// key is a column of a file, by its place in names.
type key int

const (
	ids key = iota
	text
	label
	input
	question
	target
	keys // how many there are
)

var names = [keys]string{"ids", "text", "label", "input", "question", "target"}

// Reads says whether samples have a key or column of that name, so that it cannot be left out.
func Reads(name string) bool { return slices.Contains(names[:], name) }

// forms is what a sample looks like, for errors.
const forms = `a sample is {"ids": [1, 2], "label": 3}, {"text": "…", "label": "yes"} or BABILong's ` +
	`{"input": "…", "question": "…", "target": "…"}`

// lookUp is the key of a name. skip says that the name is one of those to be ignored.
func lookUp(name string, ignore []string) (k key, skip bool, err error) {
	for k, known := range names {
		if name == known {
			return key(k), false, nil
		}
	}
	if slices.Contains(ignore, name) {
		return 0, true, nil
	}
	hint := "the keys are " + strings.Join(names[:], ", ")
	if near, ok := spelling.Suggest(name, names[:]); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return 0, false, fmt.Errorf("the key %s is unknown: %s (the setting ignore names keys to leave out)",
		foreign.Word(name), hint)
}

// fields are the values of one record, as a reader finds them.
type fields struct {
	present uint // a bit a key
	ids     []int32
	words   [keys]string // of the keys that are text
	label   Label        // of label or target
}

func (f *fields) reset() {
	f.present, f.ids, f.words, f.label = 0, f.ids[:0], [keys]string{}, Label{}
}

func (f *fields) has(all ...key) bool {
	var mask uint
	for _, k := range all {
		mask |= 1 << k
	}
	return f.present == mask
}

// complete is an error unless the keys are those of one form.
func (f *fields) complete() error {
	switch {
	case f.has(ids, label), f.has(text, label), f.has(input, question, target):
		return nil
	case f.present&(1<<ids) != 0 && f.present&(1<<text) != 0:
		return errors.New("it has both ids and text: keep one of them")
	}
	return f.incomplete()
}

// record is what the fields make up.
func (f *fields) record() (Record, error) {
	if err := f.complete(); err != nil {
		return Record{}, err
	}
	switch {
	case f.has(text, label):
		return Record{Text: f.words[text], Label: f.label}, nil
	case f.has(input, question, target):
		return Record{Text: f.words[input] + " " + f.words[question], Label: f.label}, nil
	case len(f.ids) == 0:
		return Record{}, errors.New("ids is empty: a sample has at least one token")
	}
	return Record{IDs: f.ids, Label: f.label}, nil
}

// incomplete names what keeps the fields from being a sample.
func (f *fields) incomplete() error {
	form := []key{ids, label}
	switch {
	case f.present&(1<<input|1<<question|1<<target) != 0:
		form = []key{input, question, target}
	case f.present&(1<<text) != 0:
		form = []key{text, label}
	case f.present&(1<<ids) == 0:
		return fmt.Errorf("it has neither ids nor text: %s", forms)
	}
	for _, k := range form {
		if f.present&(1<<k) == 0 {
			return fmt.Errorf("it has no %s: %s", names[k], forms)
		}
	}
	return fmt.Errorf("it has keys of two forms: %s", forms)
}

func notAnID(at int, value string) error {
	return fmt.Errorf("ids[%d] is %s: an id is a whole number from 0 to %d", at, foreign.Word(value), math.MaxInt32)
}

// setClass sets a label that is a number.
func (f *fields) setClass(k key, class int64) error {
	if class < 0 || class >= MaxClasses {
		return notALabel(k, fmt.Sprint(class))
	}
	f.label = Label{Class: int32(class)}
	return nil
}

// setWord sets a text, or a label that is a word.
func (f *fields) setWord(k key, word string) error {
	if k != label && k != target {
		f.words[k] = word
		return nil
	}
	if word == "" {
		return notALabel(k, `""`)
	}
	f.label = Label{Word: word}
	return nil
}

func notALabel(k key, value string) error {
	return fmt.Errorf("%s is %s: a label is a word, or a class as a whole number from 0 to %d", names[k],
		foreign.Text(value), MaxClasses-1)
}

// kinds is what the first record settles for all that follow, in all files that are read together.
type kinds struct {
	first  string // its place; "": there was none
	text   bool
	number bool
}

// check refuses a record of another kind than the first.
func (k *kinds) check(r Record, place func() string) error {
	isText, isNumber := r.IDs == nil, r.Label.Word == ""
	if k.first == "" {
		*k = kinds{place(), isText, isNumber}
	}
	pick := func(yes bool, a, b string) string {
		if yes {
			return a
		}
		return b
	}
	if isText != k.text {
		return fmt.Errorf("it has %s, but %s has %s: samples are all ids or all text", pick(isText, "text", "ids"),
			k.first, pick(k.text, "text", "ids"))
	}
	if isNumber != k.number {
		return fmt.Errorf("its label is a %s, but that of %s is a %s: labels are all numbers or all words (in quotes)",
			pick(isNumber, "number", "word"), k.first, pick(k.number, "number", "word"))
	}
	return nil
}

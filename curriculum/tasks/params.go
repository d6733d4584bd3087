package tasks

import (
	"fmt"
	"math"
	"strings"
)

// MinLength and MaxLength bound Params.Length for every task, in tokens.
const (
	MinLength = 8
	MaxLength = 1 << 24
)

// Position says where memory_pressure_niah puts its target (SPEC section 2, Layout).
type Position string

// The positions: the target's facts lie in the first 40% of the sample and the
// distractors in the rest; in the last 40% and the first 60%; or all anywhere.
const (
	Anywhere Position = "anywhere"
	Early    Position = "early"
	Late     Position = "late"
)

// Params are the dimensions of a task. Length, Vocab and Classes must be set; a
// zero in any other field means the task's own default (Task.Defaults), and a task
// ignores the fields that it does not name there.
type Params struct {
	// Length is the number of tokens T of a sample.
	Length int
	// Vocab is the vocabulary size V: ids lie in [0, V).
	Vocab int
	// Classes is the number N of classes: labels lie in [0, N).
	Classes int

	// Needles is the number of different needles: of keys with a fact
	// (niah_multi_key 4, needlebench/mkn 6, memory_pressure_niah 16,
	// longbench/single_doc_qa 8, longbench/few_shot 4), of chains
	// (ruler/variable_track 2, longbench/multi_doc_qa 2), of snippets
	// (longbench/code_completion 4).
	Needles int
	// Questions is how many questions are asked of the facts of niah_multi_key (1): all
	// but the last stand among the facts, for training.
	Questions int
	// Repeat is how often a needle is written (memory_pressure_niah: the target, 3;
	// longbench/few_shot: every example, 2).
	Repeat int
	// Hops is the number of assignments after the first (variable_track 3).
	Hops int
	// Items is the number of class tokens that fa counts (16).
	Items int
	// MaxCount is the largest count in needlebench/cn (8).
	MaxCount int
	// Distractors is the number of wrong facts in needlebench/adn (8).
	Distractors int
	// Passages is the number of passages in longbench/passage_retrieval (8).
	Passages int
	// Position places the target of memory_pressure_niah (anywhere).
	Position Position
}

// counts lists the fields that a task may default, with their names in messages.
func (p *Params) counts() []struct {
	name  string
	value *int
} {
	return []struct {
		name  string
		value *int
	}{
		{"needles", &p.Needles}, {"questions", &p.Questions}, {"repeat", &p.Repeat}, {"hops", &p.Hops}, {"items", &p.Items},
		{"max count", &p.MaxCount}, {"distractors", &p.Distractors}, {"passages", &p.Passages},
	}
}

// withDefaults fills zero fields of p from d, and clears those that d leaves zero:
// the task does not read them.
func (p Params) withDefaults(d Params) Params {
	fields := p.counts()
	for i, def := range d.counts() {
		if *def.value == 0 || *fields[i].value == 0 {
			*fields[i].value = *def.value
		}
	}
	if d.Position == "" || p.Position == "" {
		p.Position = d.Position
	}
	return p
}

// settings names the task-specific fields in use, for messages.
func (p Params) settings() string {
	var parts []string
	for _, f := range p.counts() {
		if *f.value != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", f.name, *f.value))
		}
	}
	if p.Position != "" {
		parts = append(parts, "position "+string(p.Position))
	}
	return strings.Join(parts, ", ")
}

// Need is the least that a task can work with. A zero field means the least that
// every task needs: length 8, 2 classes, and one filler token above the classes.
type Need struct{ Length, Vocab, Classes int }

// ParamError says which parameter of a task is out of range.
type ParamError struct {
	// Task is the task's name.
	Task string
	// Param is the parameter in lower case, as in Params: "length", "vocab", ...
	Param string
	// Value is what was given; Min and Max (inclusive) what is allowed.
	Value, Min, Max int
	// Settings are the other parameters that the bounds follow from, if any.
	Settings string
}

// Error is one line: the task, the parameter, its value, what is allowed, the mend.
func (e *ParamError) Error() string {
	given := ""
	if e.Settings != "" {
		given = " with " + e.Settings
	}
	if e.Value > e.Max {
		return fmt.Sprintf("task %s: %s %d is too large%s: use at most %d", e.Task, e.Param, e.Value, given, e.Max)
	}
	return fmt.Sprintf("task %s: %s %d is too small%s: use at least %d", e.Task, e.Param, e.Value, given, e.Min)
}

// check returns the first parameter of p (defaults filled in) that t cannot use.
func (t Task) check(p Params) error {
	bound := func(name string, value, least, most int, settings string) error {
		if value < least || value > most {
			return &ParamError{Task: t.Name, Param: name, Value: value, Min: least, Max: most, Settings: settings}
		}
		return nil
	}
	for _, f := range p.counts() {
		least := 0
		if *f.value != 0 {
			least = 1
		}
		// MaxLength bounds these too: no sample could hold more.
		if err := bound(f.name, *f.value, least, MaxLength, ""); err != nil {
			return err
		}
	}
	switch p.Position {
	case "", Anywhere, Early, Late:
	default:
		return fmt.Errorf("task %s: position %q is unknown: use %s, %s or %s", t.Name, p.Position, Anywhere, Early, Late)
	}
	var need Need
	if t.Need != nil {
		need = t.Need(p)
	}
	settings := p.settings()
	// Settings that a length bound follows from are worth telling only if the task
	// asks for more than every task does.
	lengthSettings, classSettings := settings, settings
	if need.Length <= MinLength {
		lengthSettings = ""
	}
	if need.Classes <= 2 {
		classSettings = ""
	}
	if err := bound("classes", p.Classes, max(need.Classes, 2), math.MaxInt32-int(KeyStart)-1, classSettings); err != nil {
		return err
	}
	vocab := max(need.Vocab, int(KeyStart)+p.Classes+1)
	if err := bound("vocab", p.Vocab, vocab, math.MaxInt32, fmt.Sprintf("%d classes", p.Classes)); err != nil {
		return err
	}
	return bound("length", p.Length, max(need.Length, MinLength), MaxLength, lengthSettings)
}

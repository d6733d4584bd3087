package tasks

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/synapnet/synapnet-train/internal/registry"
	"github.com/synapnet/synapnet-train/internal/spelling"
)

// Generator makes one sample from the stream rng. It gets p with the task's
// defaults filled in and checked against Task.Need, and leaves Sample.Task empty.
type Generator func(rng *rand.Rand, p Params) (Sample, error)

// Task is an entry of the registry.
type Task struct {
	// Name is the unique key: letters, digits and any of _ - . / (a suite's prefix
	// ends in /).
	Name string
	// Doc says in a line what is hidden and what is asked.
	Doc string
	// Source names the paper or document that the task follows.
	Source string
	// Unanswerable says why the label does not follow from the input; empty if it does.
	Unanswerable string
	// Defaults holds the task's own value of every field of Params that it reads
	// beside Length, Vocab and Classes.
	Defaults Params
	// Need gives the least dimensions for p; nil means the least of every task.
	Need func(p Params) Need
	// Chance is the accuracy of always giving the most frequent label: what a
	// model reaches without reading its input.
	Chance func(p Params) float64
	// Generate makes one sample.
	Generate Generator
}

// UnknownTaskError is the error of Lookup.
type UnknownTaskError struct {
	// Name is what was asked for, Nearest the registered name most like it.
	Name, Nearest string
}

// Error is one line with the nearest valid name.
func (e *UnknownTaskError) Error() string {
	return fmt.Sprintf("unknown task %q: did you mean %q?", e.Name, e.Nearest)
}

var registered = registry.New("task", registry.Word+"ABCDEFGHIJKLMNOPQRSTUVWXYZ-./", "letters, digits and _ - . /",
	Task.complete).
	With(func(t Task) string { return t.Name }, builtin()...)

func builtin() []Task {
	return slices.Concat(curriculumTasks(), needleBench(), ruler(), longBench(), publishedRULER(), publishedLongBench())
}

// Register adds a task under its name. It fails if the name is empty, malformed or
// taken, or if Doc, Chance or Generate is missing. It is safe for concurrent use.
func Register(t Task) error { return registered.Add(t.Name, t) }

func (t Task) complete() error {
	switch {
	case t.Doc == "":
		return errors.New("its Doc is empty: say in a line what is hidden and what is asked")
	case t.Chance == nil:
		return errors.New("its Chance is nil: declare the accuracy of guessing")
	case t.Generate == nil:
		return errors.New("its Generate is nil: give it a generator")
	}
	return nil
}

// Lookup returns the task of that name, or an *UnknownTaskError.
func Lookup(name string) (Task, error) {
	t, ok := registered.Find(name)
	if !ok {
		return Task{}, &UnknownTaskError{Name: name, Nearest: spelling.Nearest(name, Names())}
	}
	return t, nil
}

// Names returns the names of all registered tasks, sorted.
func Names() []string { return slices.Sorted(slices.Values(registered.Names())) }

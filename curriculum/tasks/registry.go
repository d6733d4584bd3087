package tasks

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

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

var registry = struct {
	sync.RWMutex
	tasks map[string]Task
}{tasks: builtinByName()}

func builtin() []Task {
	return slices.Concat(curriculumTasks(), needleBench(), ruler(), longBench(), publishedRULER(), publishedLongBench())
}

func builtinByName() map[string]Task {
	all := builtin()
	byName := make(map[string]Task, len(all))
	for _, t := range all {
		byName[t.Name] = t
	}
	return byName
}

// Register adds a task under its name. It fails if the name is empty, malformed or
// taken, or if Doc, Chance or Generate is missing. It is safe for concurrent use.
func Register(t Task) error {
	if err := t.complete(); err != nil {
		return err
	}
	registry.Lock()
	defer registry.Unlock()
	if _, taken := registry.tasks[t.Name]; taken {
		return fmt.Errorf("register task %q: the name is taken: choose another", t.Name)
	}
	registry.tasks[t.Name] = t
	return nil
}

func (t Task) complete() error {
	bad := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./", r)
	}
	switch {
	case t.Name == "":
		return errors.New("register task: Name is empty: give it a name")
	case strings.ContainsFunc(t.Name, bad):
		return fmt.Errorf("register task %q: a name has only letters, digits and _ - . /", t.Name)
	case t.Doc == "":
		return fmt.Errorf("register task %q: Doc is empty: say in a line what is hidden and what is asked", t.Name)
	case t.Chance == nil:
		return fmt.Errorf("register task %q: Chance is nil: declare the accuracy of guessing", t.Name)
	case t.Generate == nil:
		return fmt.Errorf("register task %q: Generate is nil: give it a generator", t.Name)
	}
	return nil
}

// Lookup returns the task of that name, or an *UnknownTaskError.
func Lookup(name string) (Task, error) {
	registry.RLock()
	t, ok := registry.tasks[name]
	registry.RUnlock()
	if !ok {
		return Task{}, &UnknownTaskError{Name: name, Nearest: spelling.Nearest(name, Names())}
	}
	return t, nil
}

// Names returns the names of all registered tasks, sorted.
func Names() []string {
	registry.RLock()
	defer registry.RUnlock()
	names := make([]string, 0, len(registry.tasks))
	for name := range registry.tasks {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

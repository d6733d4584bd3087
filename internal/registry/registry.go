// Package registry holds what other modules can add to the program by name: tasks, policies, architectures, layers.
package registry

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Word are the letters of most names.
const Word = "abcdefghijklmnopqrstuvwxyz0123456789_"

// Registry is a set of things with names, in the order in which they were added. It is safe for concurrent use.
type Registry[T any] struct {
	kind            string
	letters, called string // of names
	complete        func(T) error

	mu     sync.RWMutex
	byName map[string]T
	names  []string
}

// New makes a registry. The kind stands in messages ("policy"); a name has no other letters than those given, which the
// message calls so ("letters and digits"); complete says what a thing lacks.
func New[T any](kind, letters, called string, complete func(T) error) *Registry[T] {
	return &Registry[T]{kind: kind, letters: letters, called: called, complete: complete, byName: map[string]T{}}
}

// Words makes a registry of names that have lower-case letters, digits and _.
func Words[T any](kind string, complete func(T) error) *Registry[T] {
	return New(kind, Word, "lower-case letters, digits and _", complete)
}

// Add adds a thing. It fails if the name is empty, malformed or taken, or if the thing lacks something.
func (r *Registry[T]) Add(name string, thing T) error {
	switch {
	case name == "":
		return fmt.Errorf("register %s: Name is empty: give it a name", r.kind)
	case strings.Trim(name, r.letters) != "":
		return fmt.Errorf("register %s %q: a name has only %s", r.kind, name, r.called)
	}
	if err := r.complete(thing); err != nil {
		return fmt.Errorf("register %s %q: %w", r.kind, name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.byName[name]; taken {
		return fmt.Errorf("register %s %q: the name is taken: choose another", r.kind, name)
	}
	r.byName[name] = thing
	r.names = append(r.names, name)
	return nil
}

// With adds what the package itself has, which must be right, and returns the registry.
func (r *Registry[T]) With(name func(T) string, things ...T) *Registry[T] {
	for _, t := range things {
		if err := r.Add(name(t), t); err != nil {
			panic(err)
		}
	}
	return r
}

// Find returns the thing of that name, if there is one.
func (r *Registry[T]) Find(name string) (T, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t, ok := r.byName[name]
	return t, ok
}

// Names lists all names in the order in which they were added.
func (r *Registry[T]) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.names)
}

package scheme

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/synapnet/synapnet-train/internal/spelling"
)

// registry holds all schemes: those of this package, one a line, and behind them what Register added.
var registry = struct {
	sync.RWMutex
	schemes []*Scheme
}{schemes: []*Scheme{
	SEQ2,
	Paper7,
	Int4,
	Int4Float32,
	Int8,
}}

// Register adds a scheme, for an init function of the package that has it. From then on it can be chosen by its name,
// and packed files of it can be read.
func Register(s *Scheme) error {
	bad := func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_", r) }
	switch {
	case s == nil || s.Name == "":
		return errors.New("register scheme: Name is empty: give it a name")
	case strings.ContainsFunc(s.Name, bad):
		return fmt.Errorf("register scheme %q: a name has only lower-case letters, digits and _", s.Name)
	case s.Doc == "":
		return fmt.Errorf("register scheme %q: Doc is empty: say in a line how it holds a weight", s.Name)
	case !(s.Bits > 0) || s.Fake == nil:
		return fmt.Errorf("register scheme %q: Bits is %g, or Fake is nil: give it the size of a code, and a simulation",
			s.Name, s.Bits)
	case s.Steps != nil && (s.Steps.Initial == nil || s.Steps.Stored == nil),
		s.Form != nil && (s.Form.Size == nil || s.Form.Pack == nil || s.Form.Parse == nil):
		return fmt.Errorf("register scheme %q: its Steps lack Initial or Stored, or its Form Size, Pack or Parse", s.Name)
	case s.PackedAs != nil && s.PackedAs.Form == nil:
		return fmt.Errorf("register scheme %q: PackedAs is %s, which has no packed form", s.Name, s.PackedAs.Name)
	}
	registry.Lock()
	defer registry.Unlock()
	if slices.ContainsFunc(registry.schemes, func(x *Scheme) bool { return x.Name == s.Name }) {
		return fmt.Errorf("register scheme %q: the name is taken: choose another", s.Name)
	}
	registry.schemes = append(registry.schemes, s)
	return nil
}

// All lists the schemes, those of this package first.
func All() []*Scheme {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Clone(registry.schemes)
}

// Lookup finds a scheme by its name. An unknown one is an error that lists those that there are.
func Lookup(name string) (*Scheme, error) {
	var names []string
	for _, s := range All() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("unknown scheme %q: did you mean %q? There are %s",
		name, spelling.Nearest(name, names), strings.Join(names, ", "))
}

// namesOf lists the names of the schemes that are wanted.
func namesOf(want func(*Scheme) bool) string {
	var names []string
	for _, s := range All() {
		if want(s) {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, ", ")
}

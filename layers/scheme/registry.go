package scheme

import (
	"errors"
	"fmt"
	"strings"

	"github.com/synapnet/synapnet-train/internal/registry"
	"github.com/synapnet/synapnet-train/internal/spelling"
)

// registered holds all schemes: those of this package, one a line, and behind them what Register added.
var registered = registry.Words("scheme", (*Scheme).complete).With(func(s *Scheme) string { return s.Name },
	SEQ2,
	Paper7,
	Int4,
	Int4Float32,
	Int8,
)

// Register adds a scheme, for an init function of the package that has it. From then on it can be chosen by its name,
// and packed files of it can be read.
func Register(s *Scheme) error {
	if s == nil {
		s = &Scheme{}
	}
	return registered.Add(s.Name, s)
}

func (s *Scheme) complete() error {
	switch {
	case s.Doc == "":
		return errors.New("its Doc is empty: say in a line how it holds a weight")
	case !(s.Bits > 0) || s.Fake == nil:
		return fmt.Errorf("its Bits is %g, or Fake is nil: give it the size of a code, and a simulation", s.Bits)
	case s.Steps != nil && (s.Steps.Initial == nil || s.Steps.Stored == nil),
		s.Form != nil && (s.Form.Size == nil || s.Form.Pack == nil || s.Form.Parse == nil):
		return errors.New("its Steps lack Initial or Stored, or its Form Size, Pack or Parse")
	case s.PackedAs != nil && s.PackedAs.Form == nil:
		return fmt.Errorf("its PackedAs is %s, which has no packed form", s.PackedAs.Name)
	}
	return nil
}

// All lists the schemes, those of this package first.
func All() []*Scheme {
	var all []*Scheme
	for _, name := range registered.Names() {
		s, _ := registered.Find(name)
		all = append(all, s)
	}
	return all
}

// Lookup finds a scheme by its name. An unknown one is an error that lists those that there are.
func Lookup(name string) (*Scheme, error) {
	if s, ok := registered.Find(name); ok {
		return s, nil
	}
	names := registered.Names()
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

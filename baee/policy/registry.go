package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/internal/registry"
	"github.com/synapnet/synapnet-train/internal/spelling"
)

// UnknownError is the error of Lookup.
type UnknownError struct {
	// Name is what was asked for, Nearest the registered name most like it.
	Name, Nearest string
}

// Error is one line with the nearest valid name.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("unknown policy %q: did you mean %q? Known are %s", e.Name, e.Nearest, strings.Join(Names(), ", "))
}

var registered = registry.Words("policy", complete).With(func(p Policy) string { return p.Name },
	baee, baeeSalience, fifo, lru, random, h2o, scissorhands, snapKV, pyramidKV, locretProxy,
	tova, keyDiff, keyNorm, expectedAttention,
)

func complete(p Policy) error {
	switch {
	case p.Doc == "":
		return errors.New("its Doc is empty: say in a line what it keeps")
	case p.Keep == nil:
		return errors.New("its Keep is nil: give it a rule")
	}
	return nil
}

// Register makes a policy known under its name. It fails if the name is empty, malformed or taken, or if Doc or Keep is
// missing. It is safe for concurrent use.
func Register(p Policy) error { return registered.Add(p.Name, p) }

// Lookup returns the policy of that name, or an *UnknownError.
func Lookup(name string) (Policy, error) {
	p, ok := registered.Find(name)
	if !ok {
		return Policy{}, &UnknownError{Name: name, Nearest: spelling.Nearest(name, Names())}
	}
	return p, nil
}

// Names returns the names of all registered policies, sorted.
func Names() []string { return slices.Sorted(slices.Values(registered.Names())) }

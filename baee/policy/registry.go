package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

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

var registry = struct {
	sync.RWMutex
	byName map[string]Policy
}{byName: builtin()}

func builtin() map[string]Policy {
	all := map[string]Policy{}
	for _, p := range []Policy{
		baee, baeeSalience, fifo, lru, random, h2o, scissorhands, snapKV, pyramidKV, locretProxy,
		tova, keyDiff, keyNorm, expectedAttention,
	} {
		all[p.Name] = p
	}
	return all
}

// Register makes a policy known under its name. It fails if the name is empty, malformed or taken, or if Doc or Keep is
// missing. It is safe for concurrent use.
func Register(p Policy) error {
	bad := func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_", r) }
	switch {
	case p.Name == "":
		return errors.New("register policy: Name is empty: give it a name")
	case strings.ContainsFunc(p.Name, bad):
		return fmt.Errorf("register policy %q: a name has only lower-case letters, digits and _", p.Name)
	case p.Doc == "":
		return fmt.Errorf("register policy %q: Doc is empty: say in a line what it keeps", p.Name)
	case p.Keep == nil:
		return fmt.Errorf("register policy %q: Keep is nil: give it a rule", p.Name)
	}
	registry.Lock()
	defer registry.Unlock()
	if _, taken := registry.byName[p.Name]; taken {
		return fmt.Errorf("register policy %q: the name is taken: choose another", p.Name)
	}
	registry.byName[p.Name] = p
	return nil
}

// Lookup returns the policy of that name, or an *UnknownError.
func Lookup(name string) (Policy, error) {
	registry.RLock()
	p, ok := registry.byName[name]
	registry.RUnlock()
	if !ok {
		return Policy{}, &UnknownError{Name: name, Nearest: spelling.Nearest(name, Names())}
	}
	return p, nil
}

// Names returns the names of all registered policies, sorted.
func Names() []string {
	registry.RLock()
	defer registry.RUnlock()
	names := make([]string, 0, len(registry.byName))
	for name := range registry.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

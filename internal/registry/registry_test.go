package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func numbers() *Registry[int] {
	return Words("number", func(n int) error {
		if n < 0 {
			return errors.New("it is negative")
		}
		return nil
	}).With(func(n int) string { return fmt.Sprintf("n%d", n) }, 3, 1)
}

func TestAddRefuses(t *testing.T) {
	r := numbers()
	for want, add := range map[string]struct {
		name string
		n    int
	}{
		"register number: Name is empty":                            {"", 1},
		`register number "two words": a name has only lower-case`:   {"two words", 1},
		`register number "N": a name has only lower-case`:           {"N", 1},
		`register number "n1": the name is taken: choose another`:   {"n1", 5},
		`register number "minus": it is negative`:                   {"minus", -1},
		`register number "with\nlines": a name has only lower-case`: {"with\nlines", 1},
	} {
		if err := r.Add(add.name, add.n); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", add.name, err, want)
		}
	}
	if n, ok := r.Find("n1"); !ok || n != 1 {
		t.Errorf("n1 is %d, %v", n, ok)
	}
	if _, ok := r.Find("minus"); ok {
		t.Error("what was refused is found")
	}
}

func TestNamesAreInOrderOfRegistration(t *testing.T) {
	r := numbers()
	if err := r.Add("a", 2); err != nil {
		t.Fatal(err)
	}
	names := r.Names()
	if !slices.Equal(names, []string{"n3", "n1", "a"}) {
		t.Errorf("got %v", names)
	}
	names[0] = "changed"
	if r.Names()[0] != "n3" {
		t.Error("the names can be changed from outside")
	}
}

func TestConcurrentUse(t *testing.T) {
	r := numbers()
	var added sync.Map
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			if r.Add("one", i) == nil {
				added.Store(i, true)
			}
			r.Names()
		})
	}
	all.Wait()
	winners := 0
	added.Range(func(any, any) bool { winners++; return true })
	if winners != 1 {
		t.Errorf("%d of 16 got the one name", winners)
	}
}

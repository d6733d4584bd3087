package shell

import (
	"os/exec"
	"testing"
	"testing/quick"
)

// A shell reads the word as it was.
func TestWord(t *testing.T) {
	same := func(s string) bool {
		for _, c := range s {
			if c == 0 {
				return true // no argument can hold it
			}
		}
		out, err := exec.Command("sh", "-c", "printf %s "+Word(s)).Output()
		return err == nil && string(out) == s
	}
	for _, s := range []string{"results", "", "no ne", "it's $HOME", "new\nline", `a"b\c`, "-x", "~", "*"} {
		if !same(s) {
			t.Errorf("%q comes back otherwise as %s", s, Word(s))
		}
	}
	if Word("results/a-b.json") != "results/a-b.json" {
		t.Error("a plain word is quoted")
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 20}); err != nil {
		t.Error(err)
	}
}

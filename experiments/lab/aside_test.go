package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/internal/files"
)

// writing is an experiment that leaves a file and a picture; it stops half-way as often as stops says.
func writing(f *fakes, stops int) Experiment {
	e := f.fake("a", 2, func(_ context.Context, j *Job, step int) error {
		if err := files.Write(filepath.Join(j.Dir, "net"), []byte("ours")); err != nil {
			return err
		}
		if step == 1 && stops > 0 {
			stops--
			return errors.New("stopped")
		}
		return files.Write(filepath.Join(j.Dir, "picture"), []byte("drawn"))
	})
	e.Files, e.Extras = []string{"net"}, []string{"picture"}
	return e
}

// A run replaces the files that its experiment left before. What it did not leave is a user's: it is moved aside and
// told.
func TestNoRunReplacesAUsersFile(t *testing.T) {
	var f fakes
	user := func(t *testing.T, dir, name string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o755),
			os.WriteFile(filepath.Join(dir, name), []byte("theirs"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	changed := func(t *testing.T, d *Driver) { // to other settings: what is there is stale
		t.Helper()
		e := &d.Experiments[0]
		e.Version++
	}
	cases := []struct {
		name   string
		stops  int
		before func(t *testing.T, d *Driver, dir string)
		aside  []string
	}{
		{"no result, the user's file", 0, func(t *testing.T, _ *Driver, dir string) { user(t, dir, "net") },
			[]string{"net.before"}},
		{"no result, the user's picture", 0, func(t *testing.T, _ *Driver, dir string) { user(t, dir, "picture") },
			[]string{"picture.before"}},
		{"an older one is kept too", 0, func(t *testing.T, _ *Driver, dir string) {
			user(t, dir, "net")
			user(t, dir, "net.before")
		}, []string{"net.before-2"}},
		{"changed after the run", 0, func(t *testing.T, d *Driver, dir string) {
			if _, err := f.run(t, d); err != nil {
				t.Fatal(err)
			}
			user(t, dir, "net")
		}, []string{"net.before"}},
		{"a stale result and its own files", 0, func(t *testing.T, d *Driver, _ string) {
			if _, err := f.run(t, d); err != nil {
				t.Fatal(err)
			}
			changed(t, d)
		}, nil},
		{"a run that was stopped continues with its own files", 1, func(t *testing.T, d *Driver, _ string) {
			if _, err := f.run(t, d); err == nil {
				t.Fatal("it was not stopped")
			}
		}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newDriver(t.TempDir(), writing(&f, c.stops))
			dir := filepath.Join(d.Root, "a")
			c.before(t, d, dir)
			var told []string
			d.Hooks.Line = func(_ *Step, line string) { told = append(told, line) }
			if ran, err := f.run(t, d); ran == "" || err != nil {
				t.Fatalf("ran %q: %v", ran, err)
			}
			for _, name := range c.aside {
				kept := filepath.Join(dir, name)
				if text, err := os.ReadFile(kept); string(text) != "theirs" {
					t.Errorf("%s holds %q (%v)", name, text, err)
				}
				if !slices.ContainsFunc(told, func(line string) bool { return strings.HasSuffix(line, "it is now "+kept) }) {
					t.Errorf("%s is not told: %q", name, told)
				}
			}
			if len(told) != len(c.aside) {
				t.Errorf("told %q, want %d lines", told, len(c.aside))
			}
			if text, err := os.ReadFile(filepath.Join(dir, "net")); string(text) != "ours" {
				t.Errorf("net holds %q (%v)", text, err)
			}
			if got := states(t, d); got != "a up to date" {
				t.Errorf("then: %s", got)
			}
		})
	}
}

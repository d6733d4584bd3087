package measure_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
)

// A session's process does a pass when it is asked for one, and tells of all at the end.
func TestSession(t *testing.T) {
	_, path := labtest.StreamModel(t)
	p := measure.Probe{Model: path, Context: 32, Threads: 1, Warmups: 1, Seed: 1}
	s, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	seconds, err := measure.TakeTurns(t.Context(), []*measure.Session{s}, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	var r measure.ProbeResult
	if err := s.End(&r); err != nil {
		t.Fatal(err)
	}
	if len(seconds[0]) != 3 || slices.Min(seconds[0]) <= 0 || !slices.Equal(seconds[0], r.Seconds) || r.ArenaBytes <= 0 {
		t.Errorf("turns took %v, in all %+v", seconds, r)
	}
}

// command is a program that answers each line that sh reads as body says.
func command(t *testing.T, body string) *exec.Cmd {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	return exec.CommandContext(t.Context(), "sh", "-c", "while read -r line; do "+body+"; done")
}

// Sessions take turns in an order that moves on by one each round, so that none always follows the same one.
func TestTurnsMoveOn(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	var sessions []*measure.Session
	for _, name := range []string{"a", "b", "c"} {
		s, err := measure.OpenCommand(t.Context(), command(t, "echo "+name+" >>"+log+"; echo 0.5"), "begin", new(float64))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Kill()
		sessions = append(sessions, s)
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	seconds, err := measure.TakeTurns(t.Context(), sessions, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(string(text)), ""); got != "abcbcacab" {
		t.Errorf("the order of turns is %s", got)
	}
	if len(seconds) != 3 || !slices.Equal(seconds[2], []float64{0.5, 0.5, 0.5}) {
		t.Errorf("%v", seconds)
	}
}

// What goes wrong in a session is told in the process's words, or in ours; a stopped one leaves at once.
func TestSessionMistakes(t *testing.T) {
	for body, want := range map[string]string{
		"echo no memory >&2; exit 1": "no memory",
		"echo nonsense":              "does not speak as expected",
		"exit 0":                     "ended without an answer",
	} {
		if _, err := measure.OpenCommand(t.Context(), command(t, body), "begin", nil); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := measure.OpenCommand(ctx, exec.CommandContext(ctx, "sleep", "60"), "begin", nil); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// Two sides that compute the same batch agree, in inference and training; other weights do not.
func TestBatch(t *testing.T) {
	m, path := labtest.StreamModel(t)
	b := measure.Batch{Model: path, Context: 16, Batch: 2, Warmups: 2, Threads: 1,
		IDs: measure.Tokens(m.Config, 32, 1), Labels: []int32{3, 4}}
	train := b
	train.Train = &measure.Optimiser{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Clip: 1}
	open := func(b measure.Batch) measure.BatchReady {
		s, ready, err := b.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Kill()
		if took, err := s.Turn(); err != nil || took <= 0 {
			t.Fatalf("a pass of %g s (%v)", took, err)
		}
		return ready
	}
	inferred, trained := open(b), open(train)
	if n := len(inferred.Computed); n != 2*2*m.Config.NumClasses {
		t.Errorf("%d logits in two passes", n)
	}
	if l := trained.Computed; len(l) != 2 || l[1] >= l[0] {
		t.Errorf("losses of two steps are %v", l)
	}
	if d := trained.Disagreement(open(train)); d != 0 {
		t.Errorf("a side disagrees with itself by %g", d)
	}
	train.Labels = []int32{5, 4}
	if d := trained.Disagreement(open(train)); d < 1e-4 {
		t.Errorf("another batch disagrees by %g only", d)
	}
	if d := trained.Disagreement(inferred); d != 1 {
		t.Errorf("losses disagree with logits by %g", d)
	}
}

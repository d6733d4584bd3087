//go:build unix

package curriculum

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/synapnet/synapnet-train/curriculum/train"
)

// limitFileSize makes every write beyond 10,000 bytes fail, as a full disk does.
func limitFileSize(t *testing.T) (lift func()) {
	t.Helper()
	signal.Ignore(unix.SIGXFSZ)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Skipf("no limit on file sizes here: %v", err)
	}
	now := was
	now.Cur = 10_000 // a uint64, but an int64 on FreeBSD
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &now); err != nil {
		t.Skipf("no limit on file sizes here: %v", err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
	}
}

// alone says whether the test runs in a process of its own, and runs it in one if it does not: the log that go test
// writes would meet the limit, too.
func alone(t *testing.T) bool {
	t.Helper()
	const name = "SYNAPNET_TEST_ALONE"
	if os.Getenv(name) == t.Name() {
		return true
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), name+"="+t.Name())
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return false
}

// A disk that fills up during a run ends it with an error; the checkpoint before stays whole, nothing is left beside
// it, and the run can go on from it.
func TestFullDisk(t *testing.T) {
	if !alone(t) {
		return
	}
	want := finished(t, begin(t, tiny()))
	r := begin(t, tiny())
	var lift func()
	r.Hooks.Saved = func(step int) error {
		if step == 6 {
			lift = limitFileSize(t)
		}
		return nil
	}
	err := r.Run(t.Context())
	lift()
	if err == nil || !strings.Contains(err.Error(), "cannot write "+r.CheckpointPath) || r.Done() != 9 {
		t.Errorf("stopped at step %d: %v", r.Done(), err)
	}
	if files, err := filepath.Glob(filepath.Join(filepath.Dir(r.CheckpointPath), "*")); err != nil || len(files) != 3 {
		t.Errorf("left behind: %v %v", files, err)
	}
	again := resumed(t, r.CheckpointPath)
	if again.Done() != 6 || finished(t, again) != want {
		t.Errorf("resumed at step %d to another end", again.Done())
	}
}

// An interruption whose checkpoint cannot be written says both.
func TestInterruptOnAFullDisk(t *testing.T) {
	if !alone(t) {
		return
	}
	r := begin(t, tiny())
	ctx, cancel := context.WithCancel(t.Context())
	r.Hooks.Step = func(Step) { cancel() }
	lift := limitFileSize(t)
	err := r.Run(ctx)
	lift()
	if !errors.Is(err, train.ErrInterrupted) ||
		!strings.Contains(err.Error(), "interrupted at step 1, and the checkpoint could not be written: cannot write ") {
		t.Error(err)
	}
}

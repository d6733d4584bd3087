package experiments

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// However many try, and though the file is removed each time, one has the lock at a time.
func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	var inside, taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				release, held, err := lockFile(path)
				if err != nil {
					t.Error(err)
					return
				}
				if !held {
					continue
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				taken.Add(1)
				inside.Add(-1)
				release()
			}
		})
	}
	all.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got the lock")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file of a lock that nobody has is there")
	}
}

// A directory is one run's from its beginning on, not only when it trains.
func TestNewRunHoldsItsDirectory(t *testing.T) {
	dir := t.TempDir()
	c := QuickPretraining()
	p, err := NewPretraining(c, dir, Environment{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewPretraining(c, dir, Environment{}); err == nil || err.Error() != "another process is training in "+dir+": wait for it, stop it, or give another --output-dir" {
		t.Errorf("a second run: %v", err)
	}
	p.unlock()
}

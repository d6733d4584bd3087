package pretrain

import (
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// A directory is one run's from its beginning on, not only when it trains.
func TestNewRunHoldsItsDirectory(t *testing.T) {
	dir := t.TempDir()
	c := Experiment().Settings(lab.Quick).(Settings).Config
	p, err := New(t.Context(), c, dir, result.Environment{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), c, dir, result.Environment{}, nil); err == nil ||
		err.Error() != "another process is training in "+dir+
			": wait for it, stop it, or give another --output-dir" {
		t.Errorf("a second run: %v", err)
	}
	p.Unlock()
}

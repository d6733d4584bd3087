package experiments

import "testing"

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

package layers

import (
	"strings"
	"testing"
)

// Dense attention trains the salience MLP, sparse attention does not, and a curriculum with both trains it: nothing is
// told of the standard recipe. Frozen parameters are left out by whoever froze them.
func TestUntrained(t *testing.T) {
	c := Config{
		Dim: 32, Depth: 2, Heads: 2, VocabSize: 64, MaxLen: 64, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 8,
		EpisodicWriteFrac: 0.1, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: 32,
	}
	m, err := NewModel(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	names := func(tokens ...int) (all []string) {
		t.Helper()
		params, err := m.Untrained(tokens...)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range params {
			all = append(all, p.Name)
		}
		return all
	}
	for _, tokens := range [][]int{{16}, {16, 64}, {64, 16}} {
		if got := names(tokens...); len(got) > 0 {
			t.Errorf("lengths %v: %v", tokens, got)
		}
	}
	got := names(48, 64)
	if len(got) != 8 {
		t.Errorf("sparse lengths only: got %v, want the 8 parameters of two salience MLPs", got)
	}
	for _, name := range got {
		if !strings.Contains(name, "salience_mlp") {
			t.Errorf("%s is said to be untrained", name)
		}
	}
	forgotten := m.Params.Zeros("forgotten", 3)
	if got := names(16); len(got) != 1 || got[0] != "forgotten" {
		t.Errorf("got %v, want the parameter that no layer uses", got)
	}
	forgotten.Frozen = true
	if got := names(16); len(got) > 0 {
		t.Errorf("got %v, want no frozen parameter", got)
	}
}

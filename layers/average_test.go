package layers

import (
	"math"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
)

// After n updates an average is the sum of what the parameters were, each weighted by the decays after it.
func TestAverage(t *testing.T) {
	p := graph.NewParam("p", 2)
	copy(p.Data(), []float32{1, -1})
	a := NewAverage(0.5, []*graph.Param{p})
	want := []float64{1, -1}
	for n, x := range []float32{4, 8, -2, 6, 3, 1, 0, 5, 7, 9} {
		p.Data()[0], p.Data()[1] = x, -x
		a.Update()
		d := min(0.5, float64(1+n)/float64(10+n))
		want[0] = d*want[0] + (1-d)*float64(x)
		want[1] = -want[0]
	}
	a.Swap()
	for i, w := range want {
		if got := float64(p.Data()[i]); math.Abs(got-w) > 1e-5 {
			t.Errorf("element %d: %v, want %v", i, got, w)
		}
	}
	a.Swap()
	if p.Data()[0] != 9 || p.Data()[1] != -9 {
		t.Errorf("after another swap the parameters are %v, want 9 and -9", p.Data())
	}
}

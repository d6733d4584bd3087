package report

import (
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// pointsOf is a scatter of accuracy against x, with a variant for each pair of values.
func pointsOf(metric, unit string, xy ...[2]float64) (lab.View, []result.Measurement) {
	var all []result.Measurement
	for i, p := range xy {
		l := variantAt(string(rune('a'+i)), "512")
		all = append(all, result.ExactOf(l, result.Strict, metric, unit, p[0]),
			result.ExactOf(l, result.Strict, "accuracy", "1", p[1]))
	}
	return pairs(lab.View{Metric: "accuracy", Rows: []string{"variant"}, Column: "context",
		Figure: &lab.Figure{Kind: "scatter", X: metric, Series: "variant"}}, all)
}

// The front are the points that none beats in both: less of a time and of bytes, more of a rate.
func TestFront(t *testing.T) {
	xy := [][2]float64{{10, 0.5}, {20, 0.6}, {20, 0.4}, {30, 0.6}, {40, 0.7}}
	for _, c := range []struct{ metric, unit, want string }{
		{"latency", "ms", "abe"}, {"size", "bytes", "abe"}, {"tokens_per_second", "tokens/s", "e"},
	} {
		v, all := pointsOf(c.metric, c.unit, xy...)
		labels, found := selected(v, all)
		got := ""
		for _, d := range front(scattered(v.Figure, labels, found)) {
			got += d.m.Labels["variant"]
		}
		if got != c.want {
			t.Errorf("%s: the front is %s, want %s", c.metric, got, c.want)
		}
	}
}

// A scatter names its points, draws its front, and says in its legend what that is.
func TestScatterNamesItsPoints(t *testing.T) {
	v, all := pointsOf("latency", "ms", [2]float64{10, 0.5}, [2]float64{20, 0.6})
	table := newTable(v, all)
	if err := table.draw(v, all); err != nil {
		t.Fatal(err)
	}
	svg := table.Figures[0].SVG
	_, line, _ := strings.Cut(svg, `<g class="front">`)
	if !table.Front || !strings.HasPrefix(line, "<path d=") || !strings.Contains(svg, ">a</text>") ||
		!strings.Contains(svg, ">b</text>") {
		t.Errorf("%v %s", table.Front, svg)
	}
}

// A name has places on all sides of its mark, of its own size, and none on the mark.
func TestPlacesOfANameLeaveTheMarkFree(t *testing.T) {
	mark := vg.Rectangle{Min: vg.Point{X: 99, Y: 99}, Max: vg.Point{X: 101, Y: 101}}
	for _, box := range besides(vg.Point{X: 100, Y: 100}, 40, 8) {
		if overlap(box, mark) > 0 || box.Size().X != 40 || box.Size().Y != 8 {
			t.Errorf("%v covers the mark %v, or is of another size", box, mark)
		}
	}
}

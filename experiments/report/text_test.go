package report

import (
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// A table for a terminal has a line for each group of a row, the published value beside ours, and what a page says in
// notes; without a number there is no line, and a view that shows nothing is left out.
func TestText(t *testing.T) {
	noted := share(variantAt("b", "64"), result.Strict, 1, 4, nil)
	noted.Note = "by hand"
	e := lab.Experiment{Views: []lab.View{
		{Title: "Right answers", Metric: "accuracy", Rows: []string{result.VariantLabel}, Column: result.ContextLabel},
		{Title: "Nothing", Metric: "none", Rows: []string{result.VariantLabel}},
		{Title: "Sizes", Rows: []string{result.VariantLabel, "of"}},
	}}
	r := &result.Result{Measurements: []result.Measurement{
		share(variantAt("a", "32"), result.Paper, 1, 2, &result.MeanStd{Mean: 0.25, Std: 0.125}),
		share(variantAt("a", "64"), result.Paper, 2, 2, nil),
		share(variantAt("a", "64"), result.Strict, 0, 2, nil),
		noted,
		result.ExactOf(result.Labels{result.VariantLabel: "a", "of": "all"}, result.Strict, "size", "bytes", 12),
	}}
	var b strings.Builder
	if err := Text(&b, e, r); err != nil {
		t.Fatal(err)
	}
	want := `mean ± std over seeds (without ± it is of one, or they agree) [95% interval]

Right answers
variant  context      published                  ours (paper)                     ours (strict)               difference
a        32       0.250 ± 0.125  0.500 ± 0.010 [0.095, 0.905]                                 -  +0.250 [−0.155, +0.655]
a        64                   -  1.000 ± 0.010 [0.342, 1.000]      0.000 ± 0.010 [0.000, 0.658]                        -
b        64                   -                             -  0.250 ± 0.010 [0.046, 0.699] (1)                        -
(1) by hand

Sizes
variant  of   metric  ours (strict)
a        all  size             12 B
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

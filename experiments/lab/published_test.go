package lab

import (
	"reflect"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// A figure stands beside what its declaration is of: a number in another unit, a mean with its std, or a list over
// seeds; the first declaration that has one counts, and a run of another model than the paper's has none.
func TestWithPublished(t *testing.T) {
	e := describe(`
[[published]]
file = "exp_memory_breakdown.json"
at.slowdown = "sustained.degradation_pct"
unit = "%"

[[published]]
file = "exp_cajq_qat_multiseed.json"
labels = { variant = "ours", task = "" }
names = { ours = "cajq_qat" }
at.accuracy = "summary.$variant.per_ctx.${a context}.multi_task"
note = "as theirs"

[[published]]
file = "exp_classifier_stability.json"
protocol = "strict"
at.accuracy = "seed_stability_summary.val_auc_vals"

[[published]]
file = "exp_classifier_stability.json"
at.accuracy = "n_examples"
`, describedSettings{})
	type labels = result.Labels
	scores := labels{"variant": "ours", "a context": "1024"}
	for _, c := range []struct {
		metric, protocol string
		labels           labels
		want             *result.MeanStd
	}{
		{"slowdown", result.Paper, nil, &result.MeanStd{Mean: 30.260329648705742 / 100}},
		{"slowdown", result.Strict, nil, nil},
		{"loss", result.Paper, nil, nil},
		{"accuracy", result.Paper, scores, &result.MeanStd{Mean: 0.4716312056737589, Std: 0.012284048280630353}},
		{"accuracy", result.Paper, result.With(scores, "task", "needles"), &result.MeanStd{Mean: 6144}},
		{"accuracy", result.Paper, result.With(scores, "a context", "7"), &result.MeanStd{Mean: 6144}},
		{"accuracy", result.Paper, labels{"variant": "ours"}, &result.MeanStd{Mean: 6144}},
		{"accuracy", result.Strict, scores, &result.MeanStd{Mean: 0.9065631113694902, Std: 0.004772519759440382}},
	} {
		m := result.Measurement{Metric: c.metric, Protocol: c.protocol, Labels: c.labels, Note: "ours"}
		o := &Outcome{Measurements: []result.Measurement{m}}
		got := e.WithPublished(o)[0]
		if !reflect.DeepEqual(got.Published, c.want) {
			t.Errorf("%s, %s, %v: %+v, want %+v", c.metric, c.protocol, c.labels, got.Published, c.want)
		}
		noted := c.want != nil && c.want.Mean == 0.4716312056737589
		if want := map[bool]string{false: "ours", true: "ours; as theirs"}[noted]; got.Note != want {
			t.Errorf("%s, %s, %v: note %q, want %q", c.metric, c.protocol, c.labels, got.Note, want)
		}
		if o.Unpublished = true; !reflect.DeepEqual(e.WithPublished(o), []result.Measurement{m}) {
			t.Errorf("%s: a figure of the paper beside another model's", c.metric)
		}
	}
}

package cajq

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
)

// smallComparison are settings that take a second.
func smallComparison() Settings {
	s := QATExperiment().Settings(lab.Full).(Settings)
	s.Seeds, s.Contexts, s.Samples = []uint64{42, 43}, []int{64}, 6
	s.Experiment.CalibrationBatches, s.Experiment.CalibrationContext, s.Experiment.Options.GroupSize = 1, 32, 4
	s.Experiment.Finetune.Steps, s.Experiment.Finetune.Context, s.Experiment.Finetune.Batch = 2, 32, 2
	return s
}

// As a registered experiment it shows something in every view, and a run that was stopped ends alike.
func TestComparisonIsAnExperiment(t *testing.T) {
	s := smallComparison()
	run := func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
		j.Settings, j.Whole = s, s
		return QATExperiment().Run(ctx, j)
	}
	o := labtest.CheckRuns(t, QATExperiment(), labtest.SuiteRoot(t), run, labtest.Always)
	l := result.Labels{result.TaskLabel: measure.MetricSingle, result.VariantLabel: qat.CAJQQAT,
		result.AgainstLabel: qat.FP16Finetuned, result.ContextLabel: "64"}
	if d := labtest.Find(t, o, result.Strict, "difference", l); d.N != 12 || d.Interval.Method != "newcombe" {
		t.Errorf("%+v", d)
	}
}

// Where only packed bytes are evaluated, all that has any is, in one place, and compared; what has none is as it was.
func TestPackedOnly(t *testing.T) {
	s := smallComparison()
	s.PackedOnly, s.Seeds = true, []uint64{42}
	s.Variants = []string{qat.FP16Finetuned, qat.CAJQFull, "cajq_memory_only"}
	s.Experiment.Finetune.Mixture = []tasks.Weight{{Task: "niah_multi_key", Share: 0.5, Questions: 2},
		{Task: "fa", Share: 0.5}}
	j := labtest.NewJob(t, QATExperiment(), labtest.SuiteRoot(t))
	j.Settings, j.Whole = s, s
	o, err := QATExperiment().Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	cells := o.Details.(*lab.Cells[cell]).Done
	if c := cells[cellName(qat.CAJQFull, 42)]; c.Accuracy != nil || c.Packed == nil {
		t.Errorf("%s: %+v", qat.CAJQFull, c)
	}
	for _, name := range []string{qat.FP16Finetuned, "cajq_memory_only"} {
		if c := cells[cellName(name, 42)]; c.Accuracy == nil || c.Packed != nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	l := result.Labels{result.TaskLabel: measure.MetricMixture, result.VariantLabel: qat.CAJQFull,
		result.AgainstLabel: qat.FP16Finetuned, result.ContextLabel: "64"}
	labtest.Find(t, o, result.Strict, "difference", l)
	delete(l, result.AgainstLabel)
	delete(l, result.TaskLabel)
	if m := labtest.Find(t, o, result.Strict, measure.MetricMixture, l); m.Note != "from the packed bytes" || o.Partial {
		t.Errorf("%+v, partial %t", m, o.Partial)
	}
}

// Each variant is compared with FP16, what was trained with the control, too.
func TestPairs(t *testing.T) {
	got := pairs([]string{qat.CAJQQAT, qat.FP16, "int8_uniform", qat.FP16Finetuned, "cajq_ssm_only"})
	want := [][2]string{
		{"int8_uniform", qat.FP16}, {qat.CAJQQAT, qat.FP16}, {qat.CAJQQAT, qat.FP16Finetuned}, {qat.FP16Finetuned, qat.FP16},
		{"cajq_ssm_only", qat.FP16}, {"cajq_ssm_only", qat.FP16Finetuned},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Details of before become cells with the measurements that they gave: the differences that were taken seed by seed
// are, and no others; sizes are kept as counts. Those of today are left alone.
func TestComparisonIsConverted(t *testing.T) {
	s := QATExperiment().Settings(lab.Full).(Settings)
	s.Variants = []string{qat.FP16, "int8_uniform", qat.CAJQQAT}
	s.Seeds, s.Contexts = []uint64{42, 43}, []int{1024}
	score := func(correct int) scores {
		of := map[string]result.Score{}
		for _, metric := range measure.Metrics() {
			of[metric] = result.Score{Accuracy: curriculum.NewAccuracy(correct, 48)}
		}
		return scores{"1024": of}
	}
	type run struct {
		Variant  string `json:"variant"`
		Seed     uint64 `json:"seed"`
		Accuracy scores `json:"accuracy"`
		Packed   scores `json:"packed,omitempty"`
	}
	var runs []run
	for i, seed := range s.Seeds {
		runs = append(runs, run{qat.FP16, seed, score(20 + i), nil}, run{"int8_uniform", seed, score(21), nil},
			run{qat.CAJQQAT, seed, score(30), score(28 - 3*i)})
	}
	size := packedSize{Weights: 1000, WeightBytes: 487, Parameters: 8700123, Bytes: 15400001}
	details := map[string]any{"base_sha256": "x", "runs": runs, "sizes": sizes(qat.CAJQQAT, &size), "summary": []int{1}}
	settings, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	old, err := json.Marshal(details)
	if err != nil {
		t.Fatal(err)
	}
	o, err := convert(settings, old)
	if err != nil {
		t.Fatal(err)
	}
	l := result.Labels{result.TaskLabel: measure.MetricMixture, result.VariantLabel: qat.CAJQQAT,
		result.AgainstLabel: qat.FP16, result.ContextLabel: "1024"}
	if d := labtest.Find(t, o, result.Strict, "difference", l); d.N != 2 || d.Interval.Method != "t" {
		t.Errorf("%+v", d)
	}
	if cells := o.Details.(lab.Cells[cell]).Done; !reflect.DeepEqual(cells[sizeName(qat.CAJQQAT)].Size, &size) ||
		len(cells) != 7 {
		t.Errorf("%d cells, size %+v", len(cells), cells[sizeName(qat.CAJQQAT)].Size)
	}
	if n := len(o.Measurements); n != 4*3+3+6 || o.Partial {
		t.Errorf("%d measurements, partial %t", n, o.Partial)
	}
	today, err := json.Marshal(o.Details)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := convert(settings, today); o != nil || err != nil {
		t.Errorf("today's form is converted: %v %v", o, err)
	}
}

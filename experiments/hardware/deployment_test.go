package hardware

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/results/published"
)

func smallDeployment(c layers.Config) deploymentSettings {
	c.Depth = 3
	return deploymentSettings{
		Contexts: []int{16, 64, 128}, Tiers: []deploymentTier{{tierMulti, 64, 2}, {tierSingle, 16, 1}, {"quantum", 64, 1}},
		Variants: deploymentVariants(), Random: []layers.Config{c},
		Calibration: calibrationSettings{Batches: 1, Batch: 2, Context: 32, Seed: 999}, Warmups: 1, Seed: 1,
	}
}

func TestDeployment(t *testing.T) {
	root, m := labtest.StreamRoot(t)
	s := smallDeployment(m.Config)
	o, err := runDeployment(t.Context(), labtest.NewJob(t, DeploymentExperiment(), root), s)
	if err != nil {
		t.Fatal(err)
	}
	labtest.CheckOutcome(t, DeploymentExperiment(), o)
	for i, c := range []layers.Config{m.Config, s.Random[0]} {
		name := modelName(c) + []string{"", randomSuffix}[i]
		size := func(protocol, metric, variant string) float64 {
			return labtest.Find(t, o, protocol, metric,
				result.Labels{result.ModelLabel: name, result.VariantLabel: variant}).Mean
		}
		n := float64(c.Parameters())
		if fp16 := size(result.Strict, "storage_bytes", variantFP16); fp16 < 2*n ||
			size(result.Strict, "weight_bytes", variantFP16) != 4*n {
			t.Errorf("fp16: a file of %g bytes, %g parameters", fp16, n)
		}
		// Fewer bits are fewer bytes in memory, whatever a file's header takes.
		for i, v := range []string{variantInt8, variantInt4} {
			more := []string{variantFP16, variantInt8}[i]
			if size(result.Strict, "weight_bytes", v) >= size(result.Strict, "weight_bytes", more) ||
				size(result.Paper, "effective_bits", v) >= size(result.Paper, "effective_bits", more) {
				t.Errorf("%s takes no less than %s", v, more)
			}
		}
		if size(result.Strict, "weight_bytes", variantCAJQFull) >= size(result.Strict, "weight_bytes", variantCAJQ) {
			t.Error("every target packed takes no less than two")
		}
		for _, k := range []struct {
			tier    string
			context int
			n       int
		}{{tierMulti, 16, 2}, {tierMulti, 64, 2}, {tierSingle, 16, 1}} {
			l := result.Labels{result.ModelLabel: name, result.VariantLabel: variantCAJQ, tierLabel: k.tier,
				result.ContextLabel: result.ContextOf(k.context)}
			latency, rate := labtest.Find(t, o, result.Strict, "latency", l),
				labtest.Find(t, o, result.Strict, "tokens_per_second", l)
			if latency.N != k.n || latency.Mean <= 0 || k.n == 1 && math.Abs(latency.Mean*rate.Mean-1e3*float64(k.context)) > 1 {
				t.Errorf("%+v %+v", latency, rate)
			}
			if r := labtest.Find(t, o, result.Strict, "latency_ratio", l); r.N != k.n || r.Mean <= 0 {
				t.Errorf("%+v", r)
			}
			l = result.With(l, result.VariantLabel, variantFP16)
			if r := labtest.Find(t, o, result.Strict, "latency_ratio", l); r.Mean != 1 || r.Std != 0 {
				t.Errorf("fp16 against itself: %+v", r)
			}
		}
	}
	for _, m := range o.Measurements {
		if c := m.Labels[result.ContextLabel]; c == "128" || c == "64" && m.Labels[tierLabel] == tierSingle ||
			m.Labels[tierLabel] == "quantum" {
			t.Errorf("measured what there is not: %v", m.Labels)
		}
	}
}

func TestDeploymentContinues(t *testing.T) {
	root, m := labtest.StreamRoot(t)
	s := smallDeployment(m.Config)
	s.Variants, s.Random = []string{variantFP16, variantCAJQ}, nil
	labtest.CheckRuns(t, DeploymentExperiment(), root, func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
		return runDeployment(ctx, j, s)
	}, func(m result.Measurement) bool { return m.Labels[tierLabel] == "" })
}

// Each variant's file is a model that answers nearly as the one that it was made from.
func TestVariantsAreTheModel(t *testing.T) {
	m, _ := labtest.StreamModel(t)
	s := smallDeployment(m.Config).Calibration
	logits := func(m *layers.Model) []float64 {
		f, err := measure.NewForward(m, 64, 3)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		out, err := f.Inference.Run(f.IDs, nil)
		if err != nil {
			t.Fatal(err)
		}
		var all []float64
		for _, x := range out {
			all = append(all, float64(x))
		}
		return all
	}
	want := logits(m)
	for variant, bound := range map[string]float64{variantFP16: 0.003, variantInt8: 0.02, variantInt4: 0.25,
		variantCAJQ: 0.25, variantCAJQFull: 0.8} {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		if _, err := writeVariant(t.Context(), path, m, variant, s, tasks.CurrentKeys); err != nil {
			t.Fatal(err)
		}
		v, err := layers.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		var square, size float64
		for i, x := range logits(v) {
			square, size = square+(x-want[i])*(x-want[i]), size+want[i]*want[i]
		}
		if e := math.Sqrt(square / size); e > bound || e == 0 {
			t.Errorf("%s: logits differ by %.4f, want up to %g and not nothing", variant, e, bound)
		}
	}
	if _, err := writeVariant(t.Context(), filepath.Join(t.TempDir(), "x"), m, "int3", s, tasks.CurrentKeys); err == nil ||
		!strings.Contains(err.Error(), "there are fp16, int8_uniform") {
		t.Errorf("%v", err)
	}
}

// The published sizes follow from the rule, byte for byte.
func TestTheRuleGivesThePublishedSizes(t *testing.T) {
	c := layers.Reference()
	m, err := layers.NewModel(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{variantFP16, variantInt4, variantCAJQ} {
		paper := published.Get("exp_deployment.json", "tiers.cpu_multi.variants."+name)
		bytes, bits := paper.Get("storage.total_bytes").Float(), paper.Get("effective_bits").Float()
		rule, ruled := publishedRule(name, m)
		if !ruled || float64(rule.bytes) != bytes || math.Abs(rule.bits-bits) > 1e-9 {
			t.Errorf("%s: %+v, published are %.0f bytes and %.6f bits", name, rule, bytes, bits)
		}
	}
}

// Those of the large model too; it is large, so two small ones tell what a block and the rest take.
func TestTheRuleGivesThePublishedSizesOfTheLargeModel(t *testing.T) {
	var models []*layers.Model
	for depth := 1; depth <= 2; depth++ {
		c := DeploymentExperiment().Settings(lab.Full).(deploymentSettings).Random[0]
		c.Depth, c.VocabSize, c.MaxLen = depth, 1, layers.MinContext
		m, err := layers.NewModel(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
	}
	for _, name := range []string{variantFP16, variantInt4, variantCAJQ} {
		one, _ := publishedRule(name, models[0])
		two, _ := publishedRule(name, models[1])
		got := one.bytes + 9*(two.bytes-one.bytes) + 2*4095*640
		path := "tiers.cpu_multi.variants." + name + ".storage.total_bytes"
		if want := published.Get("130m/exp_deployment.json", path).Int(); int64(got) != want {
			t.Errorf("%s: %d bytes, published are %d", name, got, want)
		}
	}
}

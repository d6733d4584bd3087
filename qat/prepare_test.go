package qat

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Smoothing moves scale from activations to weights: the function of Q, K and V stays the same.
func TestSmoothingAloneChangesNothing(t *testing.T) {
	m := newModel(t, tiny())
	before := logits(t, m)
	c, err := Calibrate(m, calibrationData(t, m.Config, 2))
	if err != nil {
		t.Fatal(err)
	}
	q, err := Prepare(m, c, tinyOptions(Attention))
	if err != nil {
		t.Fatal(err)
	}
	quantised := logits(t, m)
	for _, w := range m.Params.Weights() {
		w.Fake = nil // smoothing without rounding
	}
	smoothed := logits(t, m)
	var rounding float64
	for i := range before {
		if math.Abs(float64(smoothed[i]-before[i])) > 1e-5 {
			t.Fatalf("logit %d: %v before, %v smoothed", i, before[i], smoothed[i])
		}
		rounding = max(rounding, math.Abs(float64(quantised[i]-before[i])))
	}
	if rounding < 1e-5 {
		t.Error("quantisation changed no logit: the fake-quant nodes do nothing")
	}
	if len(q.Weights) != 8 {
		t.Errorf("%d quantised weights, want 4 in each of 2 blocks", len(q.Weights))
	}
}

// SPEC section 4: smooth = act_max^α / (w_max^(1-α) + 1e-8), at least 1e-5.
func TestSmoothingFactorsFollowTheFormula(t *testing.T) {
	property := func(seed uint64) bool {
		r := rand.New(rand.NewPCG(seed, 1))
		const d, out = 5, 3
		act := make([]float32, d)
		weights := []*graph.Param{graph.NewParam("q", out, d), graph.NewParam("k", out, d)}
		for j := range act {
			act[j] = r.Float32() * float32(math.Pow(10, float64(r.IntN(7)-3)))
		}
		act[0] = 0 // a channel that is never active
		for _, w := range weights {
			for i := range w.Data() {
				w.Data()[i] = float32(r.NormFloat64())
			}
		}
		was := [][]float32{slices.Clone(weights[0].Data()), slices.Clone(weights[1].Data())}
		alpha := float64(r.IntN(5)) / 4
		factor := make([]float32, d)
		absorb(factor, act, alpha, weights...)
		for j := range d {
			var wMax float64
			for _, w := range was {
				for i := j; i < len(w); i += d {
					wMax = max(wMax, math.Abs(float64(w[i])))
				}
			}
			want := max(math.Pow(float64(act[j]), alpha)/(math.Pow(wMax, 1-alpha)+1e-8), 1e-5)
			if math.Abs(float64(factor[j])*want-1) > 1e-5 {
				return false
			}
			for k, w := range weights {
				for i := j; i < len(was[k]); i += d {
					if math.Abs(float64(w.Data()[i])-float64(was[k][i])*want) > 1e-5*math.Abs(float64(was[k][i]))*want {
						return false
					}
				}
			}
		}
		return true
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 50}); err != nil {
		t.Error(err)
	}
}

func TestLargestTakesTheFirstOfEquals(t *testing.T) {
	for _, c := range []struct {
		x    []float32
		k    int
		want []int
	}{
		{[]float32{1, 3, 2}, 1, []int{1}}, {[]float32{1, 3, 2}, 2, []int{1, 2}}, {[]float32{2, 2, 2}, 2, []int{0, 1}},
		{[]float32{1}, 0, []int{}},
	} {
		if got := largest(c.x, c.k); !slices.Equal(got, c.want) {
			t.Errorf("%d largest of %v: got %v, want %v", c.k, c.x, got, c.want)
		}
	}
}

// gradients runs one batch forward and backward.
func gradients(t *testing.T, q *Quantised) *graph.Program {
	t.Helper()
	p, err := q.Model.Train(2, 40, q.Drift(0.1)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(randomIDs(1, 80, q.Model.Config.VocabSize), []int32{1, 2}); err != nil {
		t.Fatal(err)
	}
	return p.Program
}

// In frozen mode no INT4 weight changes but its salient columns, weight decay included.
func TestFrozenModeTrainsSalientColumnsOnly(t *testing.T) {
	o := tinyOptions()
	o.Int4Mode = Int4Frozen
	q := prepareTiny(t, o)
	type state struct{ q, columns []float32 }
	before := map[*layers.Weight]state{}
	for _, w := range q.Weights {
		if w.Fake.Columns != nil {
			before[w] = state{slices.Clone(w.Param.Data()), slices.Clone(w.Fake.Columns.Data())}
		}
	}
	if len(before) != 8 {
		t.Fatalf("%d weights with columns of their own, want the 8 of attention", len(before))
	}
	smooth := slices.Clone(q.smooth[0].Data())
	c := tinyFinetune()
	c.WeightDecay, c.LR = 0.5, 1e-2
	if _, err := Finetune(t.Context(), q.Model, q, c, tasks.Seeded(1), Session{}); err != nil {
		t.Fatal(err)
	}
	for w, s := range before {
		if !slices.Equal(w.Param.Data(), s.q) {
			t.Errorf("%s changed", w.Param.Name)
		}
		if slices.Equal(w.Fake.Columns.Data(), s.columns) {
			t.Errorf("%s did not train", w.Fake.Columns.Name)
		}
	}
	if !slices.Equal(q.smooth[0].Data(), smooth) {
		t.Error("the smoothing factors changed")
	}
}

// Both modes begin at the same function.
func TestFrozenAndTrainModesBeginAlike(t *testing.T) {
	for _, metadata := range []string{MetadataFloat32, MetadataCompact} {
		o := tinyOptions()
		o.Metadata = metadata
		train := logits(t, prepareTiny(t, o).Model)
		o.Int4Mode = Int4Frozen
		q := prepareTiny(t, o)
		if !slices.Equal(logits(t, q.Model), train) {
			t.Errorf("%s metadata: the modes differ before training", metadata)
		}
		for _, w := range q.Weights {
			if w.Fake.Columns != nil && slices.Equal(w.Merged(), w.Param.Data()) {
				t.Errorf("%s: the merged weight lacks its salient columns", w.Param.Name)
			}
		}
	}
}

// A gradient may be zero in some element, or by rounding alone in all, so that it is not asked for where it is zero in
// exact arithmetic: the last bias of the salience MLP moves all saliences with their threshold.
func TestEveryTrainedParameterOfTheTargetsHasAGradient(t *testing.T) {
	for _, mode := range []string{Int4Train, Int4Frozen} {
		o := tinyOptions(AllTargets()...)
		o.Int4Mode = mode
		q := prepareTiny(t, o)
		p := gradients(t, q)
		trained := append(q.StepParams(), q.OtherParams()...)
		for _, param := range trained {
			g := p.Grad(param)
			cancels := strings.HasSuffix(param.Name, ".salience_mlp.2.bias")
			if g == nil || !cancels && !slices.ContainsFunc(g, func(x float32) bool { return x != 0 }) {
				t.Errorf("%s mode: %s has no gradient", mode, param.Name)
			}
		}
		// What does not train has no gradient: it would count in the norm to which all gradients are clipped.
		for _, param := range allParams(q) {
			if !slices.Contains(trained, param) && p.Grad(param) != nil {
				t.Errorf("%s mode: %s does not train and has a gradient", mode, param.Name)
			}
		}
		p.Close()
	}
}

// The whole graph's gradient of a log step is the derivative of the loss: rounding is constant around a generic step,
// so a central difference sees q·ds; straight-through adds the weight's share -u, which vanishes for clipped weights.
// The drift term alone is exactly differentiable.
func TestDriftGradientIsTheDerivative(t *testing.T) {
	q := prepareTiny(t, tinyOptions(SSM))
	steps := q.StepParams()
	for i, p := range steps {
		for j := range p.Data() {
			p.Data()[j] += 0.01 * float32(i+j)
		}
	}
	const lambda = 50
	with, without := map[*graph.Param][]float32{}, map[*graph.Param][]float32{}
	for _, run := range []struct {
		lambda float64
		into   map[*graph.Param][]float32
	}{{lambda, with}, {0, without}} {
		p, err := q.Model.Train(2, 40, q.Drift(run.lambda)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Run(randomIDs(1, 80, 64), []int32{1, 2}); err != nil {
			t.Fatal(err)
		}
		if got, want := float64(p.Terms()[0]), run.lambda*q.Steps().Drift; !near(got, want) {
			t.Errorf("lambda %g: the term is %v, want %v", run.lambda, got, want)
		}
		for _, s := range steps {
			run.into[s] = slices.Clone(p.Program.Grad(s))
		}
		p.Program.Close()
	}
	for i, s := range steps {
		j := s.Size() - 1
		const h = 1e-3
		at := s.Data()[j]
		s.Data()[j] = at + h
		up := q.Steps().Drift
		s.Data()[j] = at - h
		down := q.Steps().Drift
		s.Data()[j] = at
		want := lambda * (up - down) / (2 * h)
		if got := float64(with[s][j] - without[s][j]); math.Abs(got-want) > 1e-3*max(math.Abs(want), 1e-2) {
			t.Errorf("%s (%d): drift gradient %v, central difference %v", s.Name, i, got, want)
		}
	}
}

// A clipped weight's level does not change with the step, so the loss is differentiable in log s along channels of
// which every weight is clipped, and the gradient is the central difference.
func TestStepGradientOfClippedChannelsIsTheDerivative(t *testing.T) {
	q := prepareTiny(t, tinyOptions(SSM))
	w := q.Weights[1] // the first gate
	n := w.Shape[1]
	const channel = 3
	for i := range n { // no weight near zero
		x := &w.Param.Data()[channel*n+i]
		*x = float32(math.Copysign(0.5+math.Abs(float64(*x)), float64(*x)))
	}
	w.Fake.LogStep.Data()[channel] = float32(math.Log(0.1)) // 1.5 s = 0.15: all are clipped
	p, err := q.Model.Train(2, 40)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Program.Close()
	loss := func() float64 {
		l, err := p.Run(randomIDs(1, 80, 64), []int32{1, 2})
		if err != nil {
			t.Fatal(err)
		}
		return float64(l)
	}
	loss()
	got := float64(p.Program.Grad(w.Fake.LogStep)[channel])
	const h = 0.05
	at := w.Fake.LogStep.Data()[channel]
	w.Fake.LogStep.Data()[channel] = at + h
	up := loss()
	w.Fake.LogStep.Data()[channel] = at - h
	down := loss()
	want := (up - down) / (2 * h)
	if math.Abs(got-want) > 0.05*math.Abs(want)+2e-6 {
		t.Errorf("gradient %v, central difference %v", got, want)
	}
}

func TestUnsuitableOptionsAreRefused(t *testing.T) {
	m := newModel(t, tiny())
	c, err := Calibrate(m, calibrationData(t, m.Config, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		want string
		set  func(o *Options)
	}{
		{`did you mean "attention"`, func(o *Options) { o.Targets = []Target{"atention"} }},
		{"given twice", func(o *Options) { o.Targets = []Target{SSM, SSM} }},
		{"targets is []", func(o *Options) { o.Targets = nil }},
		{"group_size is 64: it must be from 2 to the 32 inputs", func(o *Options) { o.GroupSize = 64 }},
		{"2, 4, 8, 16, 32", func(o *Options) { o.GroupSize = 0 }},
		{"even", func(o *Options) { o.GroupSize, o.Metadata = 15, MetadataCompact }},
		{"ssm_quantiser", func(o *Options) { o.SSMQuantiser = "3bit" }},
		{"int4_mode", func(o *Options) { o.Int4Mode = "" }},
		{"salient_fraction", func(o *Options) { o.SalientFraction = math.NaN() }},
		{"smooth_alpha", func(o *Options) { o.SmoothAlpha = 1.5 }},
		{"embedding_bits is 2: it must be 4 or 8", func(o *Options) { o.EmbeddingBits = 2 }},
	} {
		o := tinyOptions()
		x.set(&o)
		if _, err := Prepare(m, c, o); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want an error with %q", err, x.want)
		}
	}
	if _, err := Prepare(m, nil, tinyOptions()); err == nil {
		t.Error("attention was quantised without calibration")
	}
	if prepared(m) {
		t.Error("the model was changed by a refused call")
	}
	if _, err := Prepare(m, nil, tinyOptions(SSM)); err != nil {
		t.Fatalf("the SSM needs no calibration: %v", err)
	}
	if _, err := Prepare(m, c, tinyOptions()); err == nil {
		t.Error("a quantised model was prepared again")
	}
	if _, err := Calibrate(m, calibrationData(t, m.Config, 1)); err == nil {
		t.Error("a quantised model was calibrated")
	}
	noBridge := tiny()
	noBridge.UseScaleBridge = false
	if err := tinyOptions(Bridge).Validate(noBridge); err == nil {
		t.Error("the bridge of a model without one was accepted")
	}
}

// Every quantiser stands where its weight is used: without it the model is another function.
func TestEveryQuantiserIsInUse(t *testing.T) {
	q := prepareTiny(t, tinyOptions(AllTargets()...))
	all := logits(t, q.Model)
	if n := len(slots(q.Model)); len(q.Weights) != n {
		t.Errorf("%d quantised weights, want all %d", len(q.Weights), n)
	}
	for _, s := range slots(q.Model) {
		quantiser := s.Fake
		s.Fake = nil
		if slices.Equal(logits(t, q.Model), all) {
			t.Errorf("the quantiser of %s does nothing", s.Name)
		}
		s.Fake = quantiser
	}
	for i, b := range q.Model.Blocks {
		b.Memory.EntryQuant = nil
		if slices.Equal(logits(t, q.Model), all) {
			t.Errorf("the quantiser of the entries of block %d does nothing", i)
		}
		b.Memory.EntryQuant = scheme.FakeInt8
	}
}

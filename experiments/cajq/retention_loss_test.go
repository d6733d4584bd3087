package cajq

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

// jointConfig is a three-phase run of seconds.
func jointConfig() qat.ThreePhaseConfig {
	c := qat.DefaultThreePhase()
	c.Model = layers.Config{
		Dim: 16, Depth: 2, Heads: 2, VocabSize: 48, MaxLen: 64, NumClasses: 8, KFrac: 0.25, EpisodicSlots: 6,
		EpisodicWriteFrac: 0.15, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
	}
	c.Context, c.Samples, c.BatchSize, c.EvalSamples, c.CalibrationBatches = 32, 768, 16, 16, 2
	c.Warmup, c.QAT, c.Cooldown = qat.PhaseConfig{Epochs: 1, LR: 3e-3}, qat.PhaseConfig{Epochs: 4, LR: 3e-3},
		qat.PhaseConfig{Epochs: 2, LR: 3e-3}
	c.Quantisation.GroupSize = 16
	return c
}

func jointModel(t *testing.T) (*layers.Model, *baee.Classifier) {
	t.Helper()
	m, err := layers.NewModel(jointConfig().Model, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for _, p := range m.Params.All() { // away from the initial values, so that attention is not even
		for i := range p.Data() {
			p.Data()[i] += float32(0.2 * r.NormFloat64())
		}
	}
	c, err := baee.NewClassifier(m.Config.Dim, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Params() {
		for i := range p.Data() {
			p.Data()[i] += float32(0.3 * r.NormFloat64())
		}
	}
	return m, c
}

func compile(t *testing.T, build func(g *graph.Graph)) *graph.Program {
	t.Helper()
	g, err := graph.Build(build)
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// The labels are made of the attention that a stream's reader sees the same read give, the features are what it stores.
func TestRetentionExamplesAreThoseOfTheRead(t *testing.T) {
	m, _ := jointModel(t)
	ids := make([]int32, 32)
	for i := range ids {
		ids[i] = int32(i * i % 48)
	}
	var features, labels [2]*graph.Node
	p := compile(t, func(g *graph.Graph) {
		in := g.InputInts("ids", 1, 32)
		copy(g.Ints(in), ids)
		for i, b := range m.Forward(g, in, nil).Blocks {
			features[i], labels[i] = retentionExamples(g, m.Blocks[i].Memory, b)
			g.Keep(features[i], labels[i])
		}
	})
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	reader, err := m.Reader(32, []int{1, 1}, 8, false)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Program.Close()
	if _, err := reader.Run(ids); err != nil {
		t.Fatal(err)
	}
	const n, width = 4, 16 + baee.HistoryFeatures // 15% of 32 tokens are written, to 6 slots
	for i := range 2 {
		received, got := reader.Received(i, graph.ReceivedAll)[:n], p.Value(labels[i])
		want := make([]float32, n) // 30% of 4: the one that received most
		want[slices.Index(received, slices.Max(received))] = 1
		if !slices.Equal(got, want) {
			t.Errorf("block %d: labels %v for the attention %v", i, got, received)
		}
		for j := range n {
			f := p.Value(features[i])[j*width : (j+1)*width]
			wanted := append(slices.Clone(reader.Bank(i)[j*16:(j+1)*16]), reader.Salience(i)[reader.Written(i)[j]], float32(j)/6,
				0, 0)
			for at := range wanted {
				if math.Abs(float64(f[at]-wanted[at])) > 1e-5 {
					t.Errorf("block %d: the features of entry %d are %v, want %v", i, j, f, wanted)
					break
				}
			}
		}
	}
}

// slope is the central difference of f with respect to x[i].
func slope(t *testing.T, x []float32, i int, f func() float64) float64 {
	t.Helper()
	const step = 1e-2
	was := x[i]
	x[i] = was + step
	above := f()
	x[i] = was - step
	below := f()
	x[i] = was
	return (above - below) / (2 * step)
}

// The gradients of the loss agree with finite differences: of the classifier in the model's own training graph, where
// the labels do not depend on it, and of the entries and their salience with labels held fast.
func TestRetentionLossGradients(t *testing.T) {
	m, c := jointModel(t)
	ids, labels := make([]int32, 2*32), []int32{1, 2}
	for i := range ids {
		ids[i] = int32(i * i % 48)
	}
	aux := RetentionLoss(c, m)
	trainer, err := m.Train(2, 32, aux.Loss)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Program.Close()
	loss := func() float64 {
		if _, err := trainer.Run(ids, labels); err != nil {
			t.Fatal(err)
		}
		return float64(trainer.Terms()[0])
	}
	check := func(p *graph.Param, grad []float32, loss func() float64) {
		t.Helper()
		grad = slices.Clone(grad)
		largest := 0.0
		for i := 0; i < p.Size(); i += 1 + p.Size()/40 {
			want := slope(t, p.Data(), i, loss)
			largest = max(largest, math.Abs(want))
			if math.Abs(float64(grad[i])-want) > 2e-4+2e-2*math.Abs(want) {
				t.Errorf("%s[%d]: gradient %v, finite difference %v", p.Name, i, grad[i], want)
			}
		}
		if largest < 1e-4 {
			t.Errorf("%s: the loss does not depend on it", p.Name)
		}
	}
	loss()
	for _, p := range c.Params() {
		check(p, trainer.Program.Grad(p), loss)
	}

	bank, sigma := graph.NewParam("bank", 2, 6, 16), graph.NewParam("sigma", 2, 32)
	r := rand.New(rand.NewPCG(5, 5))
	for _, p := range []*graph.Param{bank, sigma} {
		for i := range p.Data() {
			p.Data()[i] = r.Float32()
		}
	}
	var out *graph.Node
	p := compile(t, func(g *graph.Graph) {
		top, want := g.InputInts("top", 2, 5), g.Input("labels", 2, 4, 1)
		copy(g.Ints(top), []int32{3, 0, 9, 20, 5, 31, 1, 2, 3, 4})
		for i := range g.Floats(want) {
			g.Floats(want)[i] = r.Float32()
		}
		out = c.Loss(g, graph.Apply(g, freshFeatures{4, 6}, g.Param(bank), g.Param(sigma), top), want)
		g.Keep(out)
		g.Backward(out)
	})
	fixed := func() float64 {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		return float64(p.Value(out)[0])
	}
	fixed()
	dBank, dSigma := slices.Clone(p.Grad(bank)), slices.Clone(p.Grad(sigma))
	check(bank, dBank, fixed)
	for i, got := range dSigma {
		if want := slope(t, sigma.Data(), i, fixed); math.Abs(float64(got)-want) > 2e-4+2e-2*math.Abs(want) {
			t.Errorf("sigma[%d]: gradient %v, finite difference %v", i, got, want)
		}
	}
	if slices.Max(dSigma) == slices.Min(dSigma) {
		t.Error("no gradient reaches the salience")
	}
}

// The classifier is trained along through all quantised phases: its loss falls below that of the best constant, and the
// run leaves a model that loads and a classifier that loads.
func TestThreePhasesTrainTheClassifierAlong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	run, err := NewThreePhase(jointConfig(), nil, dir, result.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var quantised []qat.Epoch
	for _, e := range r.Epochs {
		t.Logf("%s %d: loss %.4f, retention %.4f", e.Phase, e.Epoch, e.Loss, e.Auxiliary)
		if e.Phase != "warmup" {
			quantised = append(quantised, e)
		}
	}
	first, last := quantised[0], quantised[len(quantised)-1]
	constant := -0.25*math.Log(0.25) - 0.75*math.Log(0.75) // one of four entries is positive
	if len(quantised) != 6 || r.Epochs[0].Auxiliary != 0 || !(first.Auxiliary > constant) ||
		!(last.Auxiliary < 0.95*constant) || !(last.Loss < r.Epochs[0].Loss) {
		t.Errorf("the retention loss went from %v to %v, where the best constant has %v", first.Auxiliary, last.Auxiliary,
			constant)
	}
	f, err := safetensors.Read(filepath.Join(dir, lab.ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	q, err := qat.FromFile(f)
	if err != nil || !q.Model.Config.Equal(jointConfig().Model) {
		t.Errorf("the model: %v", err)
	}
	c, err := baee.LoadClassifier(filepath.Join(dir, lab.ClassifierFile))
	if err != nil || c.Dim != 16 || !slices.Equal(c.Params()[0].Data(), run.Classifier.Params()[0].Data()) {
		t.Errorf("the classifier: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 5 {
		t.Errorf("the run leaves %v", left)
	}
	if _, err := NewThreePhase(jointConfig(), nil, dir, result.Environment{}); err == nil {
		t.Error("a second run in the same directory was begun")
	}
	if _, err := ResumeThreePhase(dir, result.Environment{}); err == nil {
		t.Error("a run that has ended was resumed")
	}
}

// Without a weight there is no classifier; interrupted and resumed a run leaves the same model and classifier.
func TestThreePhasesResume(t *testing.T) {
	c := jointConfig()
	c.QAT.Epochs, c.Cooldown.Epochs = 1, 1
	files := map[string][]byte{}
	for _, at := range []int{0, 3, 20, 35} { // 0: not interrupted
		dir := t.TempDir()
		run, err := NewThreePhase(c, nil, dir, result.Environment{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := contextAt(t, at)
		run.Trainer.Hooks.Step = stop
		if _, err := run.Run(ctx); at > 0 {
			if !errors.Is(err, train.ErrInterrupted) {
				t.Fatalf("got %v, want an interruption", err)
			}
			if run, err = ResumeThreePhase(dir, result.Environment{}); err != nil {
				t.Fatal(err)
			}
			if _, err := run.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{lab.ModelFile, lab.ClassifierFile} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if at == 0 {
				files[name] = b
			} else if !slices.Equal(b, files[name]) {
				t.Errorf("interrupted at step %d, %s ends otherwise", at, name)
			}
		}
	}
	c.LambdaBAEE, c.Warmup.Epochs, c.Cooldown.Epochs = 0, 0, 0
	dir := t.TempDir()
	run, err := NewThreePhase(c, nil, dir, result.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := run.Run(t.Context()); err != nil || r.Classifier != "" || run.Classifier != nil {
		t.Errorf("without a weight: %+v %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(dir, lab.ClassifierFile)); err == nil {
		t.Error("without a weight there is a classifier")
	}
}

// contextAt is a context that ends at a step; 0: never.
func contextAt(t *testing.T, at int) (context.Context, func(qat.Step)) {
	ctx, cancel := context.WithCancel(t.Context())
	return ctx, func(s qat.Step) {
		if s.Step == at {
			cancel()
		}
	}
}

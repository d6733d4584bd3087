package baee

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
)

func normal(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 3))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func classifier(t testing.TB, dim, hidden int) *Classifier {
	t.Helper()
	c, err := NewClassifier(dim, hidden, 1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trained moves the weights away from their small initial values, so that scores differ.
func trained(t testing.TB, dim int) *Classifier {
	c := classifier(t, dim, DefaultHidden)
	for i, p := range c.Params() {
		for j, x := range normal(uint64(i), p.Size()) {
			p.Data()[j] = x / float32(math.Sqrt(float64(p.Shape()[len(p.Shape())-1])))
		}
	}
	return c
}

func TestTheTrueParameterCount(t *testing.T) {
	for _, c := range []struct{ dim, hidden, want int }{{192, 32, 7393}, {64, 32, 3297}, {192, 15, 3211}} {
		if got := classifier(t, c.dim, c.hidden).Parameters(); got != c.want {
			t.Errorf("dim %d, hidden %d: %d parameters, want %d", c.dim, c.hidden, got, c.want)
		}
	}
	head, err := NewHead(192, 32, 1)
	if err != nil || head.Parameters() != 192*32+32+32*32+32+32+1 {
		t.Errorf("head: %v", err)
	}
}

func TestInitialWeightsAreXavierUniform(t *testing.T) {
	c := classifier(t, 192, 32)
	for i, w := range c.w {
		bound := 0.1 * math.Sqrt(6/float64(w.Shape()[0]+w.Shape()[1]))
		largest, sum := 0.0, 0.0
		for _, x := range w.Data() {
			largest, sum = max(largest, math.Abs(float64(x))), sum+float64(x)*float64(x)
		}
		variance := sum / float64(w.Size())
		if largest > bound*(1+1e-6) || i < 2 && (largest < 0.98*bound || math.Abs(variance/(bound*bound/3)-1) > 0.1) {
			t.Errorf("%s: largest %v, variance %v of a bound of %v", w.Name, largest, variance, bound)
		}
		if slices.ContainsFunc(c.b[i].Data(), func(x float32) bool { return x != 0 }) {
			t.Errorf("%s is not zero", c.b[i].Name)
		}
	}
}

// The path for inference computes what the graph computes, for any number of entries.
func TestScoresEqualTheGraph(t *testing.T) {
	for _, n := range []int{1, 7, scoreRows, 2*scoreRows + 3} {
		c := trained(t, 12)
		x := normal(9, n*c.Width())
		var out *graph.Node
		g, err := graph.Build(func(g *graph.Graph) {
			in := g.Input("x", n, c.Width())
			copy(g.Floats(in), x)
			out = c.Forward(g, in)
			g.Keep(out)
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		for i, s := range c.Scores(x) {
			if want := p.Value(out)[i]; math.Abs(float64(s-want)) > 1e-6 {
				t.Fatalf("%d entries: score %d is %v, want %v", n, i, s, want)
			}
		}
		p.Close()
	}
}

// Where half of the entries were positive and a tenth is to be presumed, odds fall by 9: score s becomes s / (s + 9 (1
// - s)).
func TestMovePriorScalesTheOdds(t *testing.T) {
	c := trained(t, 8)
	x := normal(1, 50*c.Width())
	before := slices.Clone(c.Scores(x))
	if err := c.MovePrior(0.5, 0.1); err != nil {
		t.Fatal(err)
	}
	for i, s := range c.Scores(x) {
		b := float64(before[i])
		if want := b / (b + 9*(1-b)); math.Abs(float64(s)-want) > 1e-5 {
			t.Errorf("score %g becomes %g, want %g", b, s, want)
		}
	}
	for _, p := range []float64{0, 1, -1, 2, math.NaN()} {
		if c.MovePrior(p, 0.5) == nil || c.MovePrior(0.5, p) == nil {
			t.Errorf("a share of %g was taken", p)
		}
	}
}

func TestClassifiersSurviveAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.safetensors")
	head, err := NewHead(5, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Classifier{trained(t, 6), head} {
		if err := c.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := LoadClassifier(path)
		if err != nil {
			t.Fatal(err)
		}
		x := normal(1, 4*c.Width())
		if got.shape() != c.shape() || !slices.Equal(got.Scores(x), c.Scores(x)) {
			t.Error("another classifier came back")
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadClassifier(path); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged file: %v", err)
	}
	bad := trained(t, 6)
	bad.w[1].Data()[0] = float32(math.NaN())
	if err := bad.Save(path); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("weights that are not finite: %v", err)
	}
}

func TestImpossibleShapesAreRefused(t *testing.T) {
	for _, c := range [][2]int{{0, 4}, {4, 0}, {-1, 4}, {1 << 20, 4}, {4, 1 << 20}} {
		if _, err := NewClassifier(c[0], c[1], 0); err == nil {
			t.Errorf("dim %d, hidden %d was accepted", c[0], c[1])
		}
	}
}

// examples are labelled by the sign of a direction that mixes content and history.
func examples(seed uint64, n, dim int) Examples {
	e := Examples{Width: dim + HistoryFeatures, Features: normal(seed, n*(dim+HistoryFeatures))}
	for i := range n {
		x := e.Features[i*e.Width : (i+1)*e.Width]
		label := float32(0)
		if x[0]-x[1]+x[dim] > 0 {
			label = 1
		}
		e.Labels = append(e.Labels, label)
	}
	return e
}

func TestFitLearns(t *testing.T) {
	c := classifier(t, 6, DefaultHidden)
	o := DefaultFit(1)
	o.LR = 5e-3
	var losses []float32
	o.Report = func(_ int, loss float32) { losses = append(losses, loss) }
	if err := c.Fit(context.Background(), examples(1, 500, 6), o); err != nil {
		t.Fatal(err)
	}
	test := examples(2, 500, 6)
	auc, ok := AUC(c.Scores(test.Features), test.Labels)
	if !ok || auc < 0.97 {
		t.Errorf("AUC %v on new examples", auc)
	}
	if len(losses) != 400 || losses[399] > losses[0]/2 {
		t.Errorf("losses from %v to %v in %d steps", losses[0], losses[len(losses)-1], len(losses))
	}
	again := classifier(t, 6, DefaultHidden)
	o.Report = nil
	if err := again.Fit(context.Background(), examples(1, 500, 6), o); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.w[0].Data(), c.w[0].Data()) {
		t.Error("the same seed gave other weights")
	}
}

func TestFitRefuses(t *testing.T) {
	c := classifier(t, 6, 4)
	for _, e := range []Examples{{Width: 10}, examples(1, 5, 7),
		{Width: 10, Features: make([]float32, 15), Labels: make([]float32, 2)}} {
		if err := c.Fit(context.Background(), e, DefaultFit(1)); err == nil {
			t.Errorf("%d examples of width %d were accepted", e.Len(), e.Width)
		}
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	err := c.Fit(stopped, examples(1, 5, 6), DefaultFit(1))
	if !errors.Is(err, train.ErrInterrupted) || err.Error() != "classifier: interrupted at step 0" {
		t.Errorf("of a training that was cancelled: %v", err)
	}
	o := DefaultFit(1)
	o.LR = 1e38
	err = c.Fit(context.Background(), examples(1, 500, 6), o)
	if !errors.Is(err, train.ErrDiverged) ||
		!strings.HasSuffix(err.Error(), "; the training diverged at learning rate 1e+38") {
		t.Errorf("of a training that diverged: %v", err)
	}
}

// AUC is the share of pairs in the right order, equal scores counting one half.
func TestAUCEqualsABruteForceCount(t *testing.T) {
	check := func(seed uint64, size uint8, levels uint8) bool {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 2 + int(size)%60
		scores, labels := make([]float32, n), make([]float32, n)
		for i := range scores {
			scores[i] = float32(r.IntN(int(levels)%20+1)) / 4
			labels[i] = float32(r.IntN(2))
		}
		won, pairs := 0.0, 0.0
		for i := range scores {
			for j := range scores {
				if labels[i] == 1 && labels[j] == 0 {
					pairs++
					switch {
					case scores[i] > scores[j]:
						won++
					case scores[i] == scores[j]:
						won += 0.5
					}
				}
			}
		}
		auc, ok := AUC(scores, labels)
		if pairs == 0 {
			return !ok
		}
		return ok && math.Abs(auc-won/pairs) < 1e-12
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
	if _, ok := AUC([]float32{float32(math.NaN()), 1}, []float32{1, 0}); ok {
		t.Error("an area was given for a score that is not a number")
	}
}

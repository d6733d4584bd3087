package curriculum

import (
	"context"
	"errors"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
)

// A run makes the steps of its configuration in order, evaluates after each epoch, and tells of both.
func TestRunFollowsTheCurriculum(t *testing.T) {
	c := tiny()
	r := begin(t, c)
	var told History
	r.Hooks.Step = func(s Step) {
		if s.Tokens <= 0 || s.Duration <= 0 {
			t.Errorf("step %d: %d tokens in %v", s.Step, s.Tokens, s.Duration)
		}
		told.Steps = append(told.Steps, s)
	}
	r.Hooks.Evaluation = func(e EpochEvaluation) { told.Evaluations = append(told.Evaluations, e) }
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.History, told) {
		t.Error("the history is not what was reported")
	}
	if len(told.Steps) != tinyTotal || r.Done() != tinyTotal || len(told.Evaluations) != 4 {
		t.Fatalf("%d steps, %d done, %d evaluations; want 20, 20, 4", len(told.Steps), r.Done(), len(told.Evaluations))
	}
	for i, s := range told.Steps {
		stage := i / (2 * tinyPerEpoch)
		samples := 8
		if i%tinyPerEpoch == tinyPerEpoch-1 {
			samples = 5
		}
		want := Step{Step: i + 1, Stage: stage, Context: c.Curriculum[stage], LR: c.schedule(tinyTotal).At(i),
			Tokens: samples * c.Curriculum[stage]}
		got := Step{Step: s.Step, Stage: s.Stage, Context: s.Context, LR: s.LR, Tokens: s.Tokens}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if !(s.Loss > 0 && s.GradNorm > 0 && s.Accuracy >= 0 && s.Accuracy <= 1) {
			t.Errorf("step %d: loss %g, gradient norm %g, accuracy %g", s.Step, s.Loss, s.GradNorm, s.Accuracy)
		}
	}
	for i, e := range told.Evaluations {
		if e.Step != (i+1)*tinyPerEpoch || e.Stage != i/2 || e.Epoch != i%2 || e.Context != c.Curriculum[i/2] ||
			e.Overall.N != 32 {
			t.Errorf("evaluation %d: %+v", i, e)
		}
	}
}

// Every sample of a stage is seen once an epoch, in another order each time. Of a model that hardly moves, the losses
// of an epoch's batches add up to the same, batch by batch they differ.
func TestEpochsTakeEverySampleOnce(t *testing.T) {
	c := tiny()
	c.LR, c.EpochsPerStage, c.Curriculum = 1e-30, 3, []int{24}
	r := begin(t, c)
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sums []float64
	first := map[float64]bool{}
	for i, s := range r.History.Steps {
		if i%tinyPerEpoch == 0 {
			sums = append(sums, 0)
			first[s.Loss] = true
		}
		sums[len(sums)-1] += s.Loss * float64(s.Tokens)
	}
	if len(sums) != 3 || math.Abs(sums[1]/sums[0]-1) > 1e-6 || math.Abs(sums[2]/sums[0]-1) > 1e-6 {
		t.Errorf("the losses of the epochs add up to %v", sums)
	}
	if len(first) != 3 {
		t.Errorf("two of the epochs begin with the same batch: %v", first)
	}
}

// The last batch of an epoch is smaller: the rows that fill it up count for nothing, neither loss nor gradient.
func TestSmallerBatch(t *testing.T) {
	c := tiny()
	m := modelFor(t, c)
	samples := samplesFor(t, c, 32)[:5]
	ids, labels := Collate(samples, 8)
	for i, l := range labels {
		if filler := i >= 5; filler != (l == graph.Ignore) {
			t.Errorf("row %d has label %d", i, l)
		}
	}
	padded, errA := m.Train(8, 24)
	exact, errB := m.Train(5, 24)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	got, errA := padded.Run(ids, labels)
	ids, labels = Collate(samples, 5)
	want, errB := exact.Run(ids, labels)
	if errA != nil || errB != nil || math.Abs(float64(got-want)) > 1e-6 {
		t.Errorf("loss %g, want %g (%v %v)", got, want, errA, errB)
	}
	for _, p := range m.Params.All() {
		g, w := padded.Program.Grad(p), exact.Program.Grad(p)
		for i := range w {
			// 5 and 8 rows are summed by other kernels, in another order
			if math.Abs(float64(g[i]-w[i])) > 1e-6*(1+math.Abs(float64(w[i]))) {
				t.Fatalf("gradient of %s at %d: %g, want %g", p.Name, i, g[i], w[i])
			}
		}
	}
}

// The same configuration gives the same bytes, however many processors compute them; another seed gives others.
func TestRunsAreReproducible(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	c := tiny() // wide and long enough that every kernel has work for several processors
	c.Model.Dim, c.Model.VocabSize, c.Model.MaxLen, c.Model.SparseThreshold = 96, 1024, 150, 100
	c.Curriculum, c.EpochsPerStage = []int{70, 130}, 1
	want := finished(t, begin(t, c))
	for _, n := range []int{1, 2, 3} {
		runtime.GOMAXPROCS(n)
		if got := finished(t, begin(t, c)); got != want {
			t.Errorf("GOMAXPROCS %d: another checkpoint", n)
		}
	}
	c.Seed++
	if finished(t, begin(t, c)) == want {
		t.Error("another seed gives the same checkpoint")
	}
}

// A run that was interrupted and resumed ends in the same bytes as one that was not: weights, moments and history.
func TestInterruptedRunsContinueExactly(t *testing.T) {
	want := finished(t, begin(t, tiny()))
	// Before the first step, within an epoch, at the end of one, of a stage, on the way to the last step and in it.
	for _, at := range []int{0, 2, 5, 6, 10, 13, 19, 20} {
		r := begin(t, tiny())
		ctx, cancel := context.WithCancel(t.Context())
		if at == 0 {
			cancel()
		}
		r.Hooks.Step = func(s Step) {
			if s.Step == at {
				cancel()
			}
		}
		err := r.Run(ctx)
		if !errors.Is(err, train.ErrInterrupted) || !errors.Is(err, context.Canceled) || r.Done() != at {
			t.Fatalf("stopped at step %d of %d: %v", r.Done(), at, err)
		}
		again := resumed(t, r.CheckpointPath)
		if again.Done() != at {
			t.Errorf("resumed at step %d, want %d", again.Done(), at)
		}
		if got := finished(t, again); got != want {
			t.Errorf("interrupted at step %d: another checkpoint at the end", at)
		}
	}
}

// looks is a context that ends once it has been looked at a number of times.
type looks struct {
	context.Context
	left int
}

func (c *looks) Err() error {
	if c.left == 0 {
		return context.Canceled
	}
	c.left--
	return nil
}

// An evaluation does not keep a run that was told to stop. It is made when the run continues, which ends in the same
// bytes.
func TestInterruptedEvaluationsAreMadeUpFor(t *testing.T) {
	want := finished(t, begin(t, tiny()))
	const perEvaluation = 4 // batches: the context is looked at before each, as before each step
	const perEpoch = tinyPerEpoch + perEvaluation
	for _, x := range []struct{ epoch, batch int }{{0, 0}, {0, 2}, {1, 3}, {3, 1}} { // of an epoch, a stage, the run
		r := begin(t, tiny())
		err := r.Run(&looks{t.Context(), x.epoch*perEpoch + tinyPerEpoch + x.batch})
		at := (x.epoch + 1) * tinyPerEpoch
		if !errors.Is(err, train.ErrInterrupted) || r.Done() != at || len(r.History.Evaluations) != x.epoch {
			t.Fatalf("batch %d after step %d: stopped at step %d with %d evaluations: %v", x.batch, at, r.Done(),
				len(r.History.Evaluations), err)
		}
		again := resumed(t, r.CheckpointPath)
		if again.Done() != at {
			t.Errorf("resumed at step %d, want %d", again.Done(), at)
		}
		if got := finished(t, again); got != want {
			t.Errorf("batch %d of the evaluation after step %d: another checkpoint at the end", x.batch, at)
		}
	}
}

// A run that is told to stop when all is done is finished.
func TestInterruptAfterTheLastEvaluation(t *testing.T) {
	r := begin(t, tiny())
	ctx, cancel := context.WithCancel(t.Context())
	r.Hooks.Evaluation = func(e EpochEvaluation) {
		if e.Step == tinyTotal {
			cancel()
		}
	}
	if err := r.Run(ctx); err != nil || resumed(t, r.CheckpointPath).Done() != tinyTotal {
		t.Errorf("%d steps, %v", r.Done(), err)
	}
}

// A run can be stopped again and again, after each step.
func TestInterruptedAfterEachStep(t *testing.T) {
	want := finished(t, begin(t, tiny()))
	r := begin(t, tiny())
	path := r.CheckpointPath
	for i := 1; ; i++ {
		ctx, cancel := context.WithCancel(t.Context())
		r.Hooks.Step = func(Step) { cancel() }
		err := r.Run(ctx)
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, train.ErrInterrupted) || i > tinyTotal {
			t.Fatalf("stop %d: %v", i, err)
		}
		r = resumed(t, path)
	}
	if left(t, path) != want {
		t.Error("another checkpoint at the end")
	}
}

// The power fails: what counts is the last checkpoint written, wherever the run had got to.
func TestKilledRunsContinueExactly(t *testing.T) {
	want := finished(t, begin(t, tiny()))
	r := begin(t, tiny())
	kept, lines := map[int]string{}, map[int]string{}
	r.Hooks.Saved = func(step int) error {
		kept[step], lines[step] = contents(t, r.CheckpointPath), contents(t, metrics.Beside(r.CheckpointPath))
		return nil
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	history := contents(t, metrics.Beside(r.CheckpointPath))
	for _, step := range []int{3, 5, 6, 9, 10, 12, 15, 18, 20} { // every 3 steps and at the end of each epoch
		text, ok := kept[step]
		if !ok {
			t.Errorf("no checkpoint of step %d", step)
			continue
		}
		// The history's file goes on behind the checkpoint: whole lines, or one that was cut.
		for _, after := range []string{"", `{"kind":"step","ste`, history} {
			path := written(t, text)
			if after == history {
				after = strings.TrimPrefix(history, lines[step])
			}
			put(t, metrics.Beside(path), lines[step]+after)
			if got := finished(t, resumed(t, path)); got != want {
				t.Errorf("resumed from step %d, %.20q behind it: another end", step, after)
			}
		}
	}
}

// Without CheckpointPath nothing is saved, and an interruption says so.
func TestRunWithoutCheckpoint(t *testing.T) {
	r, err := New(tiny())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); !errors.Is(err, train.ErrInterrupted) || err.Error() != "interrupted at step 0" {
		t.Error(err)
	}
	if err := r.Save(); err != nil {
		t.Error(err)
	}
}

// A small model learns the tasks far beyond guessing, whose accuracy is 1/16.
func TestTrainingLearns(t *testing.T) {
	c := Default()
	c.Model.Dim, c.Model.Depth, c.Model.Heads, c.Model.VocabSize = 64, 1, 4, 128
	c.Model.NumClasses, c.Model.MaxLen, c.Model.EpisodicSlots = 16, 64, 8
	c.Curriculum, c.SamplesPerStage, c.BatchSize, c.WarmupSteps, c.LR = []int{48}, 1024, 16, 20, 4e-3
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps, last := r.History.Steps, r.History.Evaluations[len(r.History.Evaluations)-1]
	var end float64
	for _, s := range steps[len(steps)-16:] {
		end += s.Loss / 16
	}
	if start := steps[0].Loss; last.Overall.Mean < 0.5 || end > 0.6*start {
		t.Errorf("accuracy %.3f, loss from %.3f to %.3f", last.Overall.Mean, start, end)
	}
}

package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
)

// A run makes the steps of its phases in order, evaluates after each epoch, saves after that and every CheckpointEvery
// steps, and tells of each in this order: step, evaluation, saved.
func TestHooksAreToldInOrder(t *testing.T) {
	r := saved(t, 0.1)
	var told []string
	say := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	r.Hooks.Step = func(s record) { say("step %d", s.Step) }
	r.Hooks.Evaluation = func(e evaluation) { say("evaluation %d", e.Step) }
	r.Hooks.Saved = func(step int) error { say("saved %d", step); return nil }
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"step 1", "step 2", "saved 2", "step 3", "evaluation 3", "saved 3",
		"step 4", "saved 4", "step 5", "step 6", "evaluation 6", "saved 6", // 6 is a multiple of 2 too: saved once
		"step 7", "step 8", "saved 8", "step 9", "evaluation 9", "saved 9",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
	if len(r.History.Steps) != total || len(r.History.Evaluations) != 3 || r.Done() != total || r.Evaluated() != 3 {
		t.Errorf("%d steps and %d evaluations in the history, %d and %d done",
			len(r.History.Steps), len(r.History.Evaluations), r.Done(), r.Evaluated())
	}
	if first, last := r.History.Steps[0].Loss, r.History.Steps[total-1].Loss; !(last < first) {
		t.Errorf("the loss went from %g to %g", first, last)
	}
}

// The error of the hook for checkpoints ends the run.
func TestAFailedHookEndsTheRun(t *testing.T) {
	r := saved(t, 0.1)
	r.Hooks.Saved = func(int) error { return os.ErrDeadlineExceeded }
	if err := r.run(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) || r.Done() != 2 {
		t.Errorf("after %d steps: %v", r.Done(), err)
	}
}

// The last batch of an epoch of a finite dataset is smaller; an endless one has none that is.
func TestFiniteAndEndlessDatasets(t *testing.T) {
	for _, x := range []struct {
		data Dataset[point]
		want []int
	}{{points(10), []int{4, 4, 2, 4, 4, 2, 4, 4, 2}}, {line{}, []int{4, 4, 4, 4, 4, 4, 4, 4, 4}}} {
		r := newRegression(0.1)
		r.data = x.data
		if err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, s := range r.History.Steps {
			if s.samples != x.want[i] {
				t.Errorf("%d samples: step %d took %d, want %d", x.data.Len(), s.Step, s.samples, x.want[i])
			}
		}
	}
}

// An order that asks for what a dataset does not have is an error of the step.
func TestAnOrderBeyondTheDataset(t *testing.T) {
	r := newRegression(0.1)
	p, err := r.program(0)
	if err != nil {
		t.Fatal(err)
	}
	p.Order = InOrder(batchSize)
	err = r.Run(t.Context(), phase{To: total, Begin: func(context.Context) (*program, error) { return p, nil }})
	want := "training stopped at step 3: the order asks for sample 10 of a dataset of 10"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Each group has a rate and a decay of its own; a parameter in no group stays.
func TestGroups(t *testing.T) {
	r := newRegression(0.1)
	r.Optimiser = NewOptimiser(Recipe{}, Group{Rate: Constant(0.1), Params: []*graph.Param{r.w}})
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.w.Data()[0] == 0 || r.b.Data()[0] != 0 {
		t.Errorf("w %v is trained, b %v is not", r.w.Data()[0], r.b.Data()[0])
	}
	r = newRegression(0.1)
	r.w.Data()[0], r.b.Data()[0] = 2, -1 // no error, no gradient: in the first step decay alone moves
	r.Optimiser.SetRate(0, Constant(0.2))
	var w, b float32
	r.Hooks.Step = func(s record) {
		if s.Step == 1 {
			w, b = r.w.Data()[0], r.b.Data()[0]
		}
	}
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if math.Abs(float64(w)-(2-0.2*0.1*2)) > 1e-6 || b != -1 {
		t.Errorf("w %v and b %v after a step of decay 0.1 and of none at rate 0.2, want 1.96 and -1", w, b)
	}
}

// A run that was interrupted anywhere and resumed ends in the same bytes as one that was not: checkpoint and history.
func TestInterruptedRunsContinueToTheByte(t *testing.T) {
	whole := saved(t, 0.1)
	if err := whole.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := left(t, whole.CheckpointPath)
	for at := range total + 1 {
		r := saved(t, 0.1)
		ctx, cancel := context.WithCancel(t.Context())
		r.Hooks.Step = func(s record) {
			if s.Step == at {
				cancel()
			}
		}
		r.evaluate = func(ctx context.Context) error { return ctx.Err() } // given up when the context ends
		if at == 0 {
			cancel()
		}
		err := r.run(ctx)
		if at > 0 && at < total && (!errors.Is(err, ErrInterrupted) || !errors.Is(err, context.Canceled)) {
			t.Fatalf("at step %d: %v", at, err)
		}
		said := fmt.Sprintf("interrupted at step %d; everything up to it is in %s", at, r.CheckpointPath)
		if err == nil || err.Error() != said {
			t.Errorf("got %v, want %s", err, said)
		}
		again := resumed(t, r.CheckpointPath)
		if again.Done() != at || again.Evaluated() != max(0, at-1)/perEpoch {
			t.Errorf("resumed at step %d with %d evaluations, want step %d", again.Done(), again.Evaluated(), at)
		}
		if err := again.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left(t, r.CheckpointPath) != want {
			t.Errorf("interrupted at step %d, it ends in other bytes", at)
		}
	}
}

// A phase that is told to stop while it begins, in a calibration, ends the run as an interruption.
func TestAPhaseIsInterruptedAsItBegins(t *testing.T) {
	r := newRegression(0.1)
	err := r.Run(t.Context(), phase{To: 1, Begin: func(context.Context) (*program, error) {
		return nil, fmt.Errorf("calibration: %w after 2 batches", ErrInterrupted)
	}})
	if !errors.Is(err, ErrInterrupted) || err.Error() != "interrupted at step 0" {
		t.Errorf("got %v", err)
	}
}

// Numbers that are no longer finite end the run, and are not saved: the checkpoint is that of the last good step.
func TestDivergence(t *testing.T) {
	for what, x := range map[string]struct {
		spoil func(r *regression)
		saved int // the step of the last good checkpoint
		want  string
	}{
		"a loss": {func(r *regression) { r.data = append(points(9), point{1, float32(math.NaN())}) },
			2, "training stopped at step 3: the loss is NaN; "}, // the third batch has the last sample
		"a gradient": {func(r *regression) { r.data = append(Samples[point]{{1e30, 1e15}}, points(9)...) },
			0, "training stopped at step 1: graph: the gradient norm is +Inf: no update was made; "},
		"a weight": {func(r *regression) { r.Hooks.Step = func(record) { r.b.Data()[0] = float32(math.Inf(1)) } },
			0, "training stopped at step 2: tensor b has the value +Inf at index 0: not a finite number; "},
		"a moment": {func(r *regression) {
			r.Hooks.Step = func(record) { r.Optimiser.State(r.b).V[0] = float32(math.NaN()) }
		}, 0, "training stopped at step 2: tensor optim.v.b has the value NaN at index 0: not a finite number; "},
		"an evaluation": {func(r *regression) {
			r.evaluate = func(context.Context) error { return fmt.Errorf("evaluation: %w", layers.ErrNotFinite) }
		}, 2, "training stopped at step 4: evaluation: not a finite number; "},
	} {
		r := saved(t, 0.1)
		r.CheckpointEvery = 1
		if err := r.Save(); err != nil {
			t.Fatal(err)
		}
		x.spoil(r)
		err := r.run(t.Context())
		said := fmt.Sprintf("the last good checkpoint, of step %d, is %s; the training diverged at lr 0.1 and bias_lr 0.1",
			x.saved, r.CheckpointPath)
		if !errors.Is(err, ErrDiverged) || !strings.HasPrefix(err.Error(), x.want) || !strings.HasSuffix(err.Error(), said) {
			t.Errorf("%s: got %v\nwant %s…%s", what, err, x.want, said)
		}
		text, err := os.ReadFile(metrics.Beside(r.CheckpointPath))
		if last := fmt.Sprintf(`{"kind":"diverged","step":%d}`+"\n", r.Done()+1); err != nil ||
			!strings.HasSuffix(string(text), last) {
			t.Errorf("%s: the history is %s, not with %s at its end", what, text, last)
		}
		if kept := resumed(t, r.CheckpointPath); kept.Done() != x.saved {
			t.Errorf("%s: the checkpoint is of step %d, want %d", what, kept.Done(), x.saved)
		}
	}
}

// A run whose history is gone says so, goes on, and evaluates the last epoch again; one whose history was changed is
// refused.
func TestHistoriesThatAreGone(t *testing.T) {
	r := saved(t, 0.1)
	stop := os.ErrDeadlineExceeded
	r.Hooks.Saved = func(step int) error {
		if step == 2*perEpoch {
			return stop
		}
		return nil
	}
	if err := r.run(t.Context()); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	file := metrics.Beside(r.CheckpointPath)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	again := resumed(t, r.CheckpointPath)
	want := []string{file + " is gone: the run goes on, and its history begins at step 7"}
	if !slices.Equal(again.Warnings, want) {
		t.Errorf("warnings %q, want %q", again.Warnings, want)
	}
	if err := again.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(again.History.Steps) != 3 || len(again.History.Evaluations) != 2 || again.History.Evaluations[0].Step != 6 {
		t.Errorf("%d steps, evaluations %+v", len(again.History.Steps), again.History.Evaluations)
	}
	lost := `{"kind":"lost","steps":6}` + "\n" + `{"kind":"evaluation","step":6,`
	if all := left(t, r.CheckpointPath); !strings.Contains(all, lost) {
		t.Errorf("the history does not tell what is lost: %s", all)
	}
	if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := Position{Done: 9, Metrics: &metrics.Mark{Bytes: 5, Lines: 1}}
	if err := newRegression(0.1).Resume(r.CheckpointPath, at); err == nil {
		t.Error("a history that was changed is taken for that of the checkpoint")
	}
}

// The history of an old checkpoint, which held it, is written to a file with each evaluation where it was made.
func TestHistoriesOfOldCheckpointsAreWritten(t *testing.T) {
	r := saved(t, 0.1)
	for i := range 7 {
		r.History.Steps = append(r.History.Steps, record{Step: i + 1})
	}
	r.History.Evaluations = []evaluation{{Step: 3}, {Step: 6}}
	if err := r.Resume(r.CheckpointPath, Position{Done: 7, Evaluated: 2}); err != nil {
		t.Fatal(err)
	}
	if err := r.Save(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(metrics.Beside(r.CheckpointPath))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for line := range strings.Lines(string(text)) {
		order = append(order, line[len(`{"kind":"`):][:4])
	}
	want := []string{"step", "step", "step", "eval", "step", "step", "step", "eval", "step"}
	if !slices.Equal(order, want) {
		t.Errorf("the file has %q, want %q", order, want)
	}
}

// A position that no run can have is refused.
func TestPositionsAreChecked(t *testing.T) {
	for _, x := range []struct {
		done, evaluated int
		want            string
	}{
		{0, 0, ""}, {2, 0, ""}, {3, 0, ""}, {3, 1, ""}, {9, 3, ""}, {9, 2, ""},
		{10, 3, "10 steps are done of 9"}, {-1, 0, "-1 steps are done of 9"},
		{4, 0, "after 4 steps 0 epochs are evaluated"}, {3, 2, "after 3 steps 2 epochs are evaluated"},
	} {
		err := Position{Done: x.done, Evaluated: x.evaluated}.CheckEpochs(total, Every(perEpoch))
		if (err == nil) != (x.want == "") || err != nil && err.Error() != x.want {
			t.Errorf("%d steps, %d epochs: %v, want %q", x.done, x.evaluated, err, x.want)
		}
	}
}

package runs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkpoint writes one of a run of configuration c after the given steps.
func checkpoint(t testing.TB, dir string, c any, done int) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"config": c, "done": done})
	must(t, err)
	must(t, os.MkdirAll(dir, 0o755))
	f := &safetensors.File{Metadata: map[string]string{train.Key: string(text)}}
	must(t, safetensors.Write(filepath.Join(dir, lab.CheckpointFile), f))
}

// history writes that of a run: steps, evaluations of `correct` right answers of 100 after every tenth.
func history(t testing.TB, dir string, steps, correct int) *metrics.Log {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	l := metrics.New(filepath.Join(dir, metrics.Name))
	for i := 1; i <= steps; i++ {
		must(t, l.Add(metrics.StepKind, curriculum.Step{Step: i, Loss: 2}))
		if i%10 == 0 {
			must(t, l.Add(metrics.EvaluationKind, curriculum.EpochEvaluation{Step: i,
				Evaluation: curriculum.Evaluation{Overall: curriculum.NewAccuracy(correct, 100)}}))
		}
	}
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	in := func(name string) string { return filepath.Join(root, name) }
	c := curriculum.Default()
	checkpoint(t, in("a-unfinished"), c, 25)
	history(t, in("a-unfinished"), 27, 50) // two steps were made after the checkpoint

	c.Seed, c.LR = 43, 1e-3
	checkpoint(t, in("b/running"), c, 25)
	history(t, in("b/running"), 27, 60)
	release, held, err := files.Lock(filepath.Join(in("b/running"), lab.LockFile))
	if must(t, err); !held {
		t.Fatal("no lock")
	}
	defer release()

	checkpoint(t, in("c-diverged"), c, 0)
	must(t, history(t, in("c-diverged"), 3, 0).Add(metrics.DivergedKind, map[string]int{"step": 4}))

	phases := qat.DefaultThreePhase()
	must(t, os.MkdirAll(in("d-finished"), 0o755))
	must(t, files.WriteJSON(filepath.Join(in("d-finished"), "cajq-3phase.json"), map[string]any{"config": phases,
		"epochs": strings.Repeat("x", 1<<20)}))
	l := history(t, in("d-finished"), 0, 0)
	must(t, l.Add(metrics.StepKind, qat.Step{Step: 1}))
	must(t, l.Add(metrics.EvaluationKind, qat.Epoch{Accuracy: curriculum.Evaluation{
		Overall: curriculum.NewAccuracy(7, 10)}}))

	must(t, os.MkdirAll(in("e-broken"), 0o755))
	must(t, os.WriteFile(filepath.Join(in("e-broken"), lab.CheckpointFile), []byte("not tensors"), 0o600))
	must(t, os.MkdirAll(in("f-model-alone"), 0o755))
	must(t, os.WriteFile(filepath.Join(in("f-model-alone"), lab.ModelFile), nil, 0o600))
	must(t, os.MkdirAll(in("g-no-run"), 0o755))
	must(t, os.WriteFile(filepath.Join(in("g-no-run"), "notes"), nil, 0o600))

	total, err := phases.TotalSteps()
	must(t, err)
	found, err := Find(root)
	must(t, err)
	var got []string
	for i, r := range found {
		accuracy := "-"
		if r.Accuracy != nil {
			accuracy = fmt.Sprint(r.Accuracy.Mean)
		}
		name, err := filepath.Rel(root, r.Dir)
		must(t, err)
		got = append(got, fmt.Sprintf("%s %s %d/%d %s %s", name, r.State, r.Done, r.Total, accuracy, Differing(found)[i]))
	}
	want := []string{
		"a-unfinished unfinished 25/2048 0.5 lr 0.0003, seed 42",
		"b/running running 27/2048 0.6 lr 0.001, seed 43",
		"c-diverged diverged 0/2048 - lr 0.001, seed 43",
		fmt.Sprintf("d-finished finished 1/%d 0.7 ", total),
		"e-broken unreadable 0/0 - ",
		"f-model-alone finished 0/0 - ",
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	if !strings.Contains(found[4].Problem, lab.CheckpointFile) {
		t.Errorf("the problem of a broken checkpoint is %q", found[4].Problem)
	}
	if _, err := Find(filepath.Join(root, "nowhere")); err == nil {
		t.Error("a folder that is not there has runs")
	}
	if _, err := Find(filepath.Join(root, "g-no-run/notes")); err == nil {
		t.Error("a file has runs")
	}
}

// The end of a history is enough, wherever its last evaluation stands, and lines that are not whole do no harm.
func TestEndOfHistories(t *testing.T) {
	dir := t.TempDir()
	l := history(t, dir, 10, 30)
	for i := 11; i <= 3000; i++ {
		must(t, l.Add(metrics.StepKind, curriculum.Step{Step: i}))
	}
	path := filepath.Join(dir, metrics.Name)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"kind":"step","step":30`)
	must(t, err)
	must(t, f.Close())
	e, err := endOf(path)
	must(t, err)
	if e.step != 3000 || e.accuracy == nil || e.accuracy.Correct != 30 || e.diverged {
		t.Errorf("%+v", e)
	}
	for _, text := range []string{"", "\n", "x", "x\n", "{}\n", "\n\n{\"kind\":\"evaluation\"}\n"} {
		if e := ofLines([]byte(text)); e.step != 0 || e.accuracy != nil {
			t.Errorf("%q: %+v", text, e)
		}
	}
}

func TestAThousandRunsAreListedInASecond(t *testing.T) {
	root := t.TempDir()
	for i := range 1000 {
		dir := filepath.Join(root, fmt.Sprint(i))
		c := curriculum.Default()
		c.Seed = uint64(i)
		text, err := json.Marshal(map[string]any{"config": c, "done": 10, "filler": strings.Repeat("x", 20_000)})
		must(t, err)
		must(t, os.Mkdir(dir, 0o755))
		header := fmt.Sprintf(`{"__metadata__":{"training":%q}}`, text)
		must(t, os.WriteFile(filepath.Join(dir, lab.CheckpointFile), append(le(len(header)), header...), 0o600))
		line := `{"kind":"step","step":1,"loss":4.1588830833596715,"lr":0.0003,"grad_norm":1.5}` + "\n"
		must(t, os.WriteFile(filepath.Join(dir, metrics.Name), []byte(strings.Repeat(line, 1000)), 0o600))
	}
	began := time.Now()
	found, err := Find(root)
	took := time.Since(began)
	must(t, err)
	if len(found) != 1000 || found[500].State != Unfinished || found[500].Done != 10 {
		t.Fatalf("%d runs: %+v", len(found), found[500])
	}
	t.Logf("listed in %v", took)
	if took > 5*time.Second { // a second on a machine that does nothing else
		t.Errorf("listing takes %v", took)
	}
}

func le(n int) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	return b
}

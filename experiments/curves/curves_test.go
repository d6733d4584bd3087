package curves

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/qat"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func scores(right int) curriculum.Evaluation {
	return curriculum.Evaluation{Overall: curriculum.NewAccuracy(right, 20), PerTask: map[string]curriculum.Accuracy{
		"fa": curriculum.NewAccuracy(right, 10), "<niah>": curriculum.NewAccuracy(0, 10)}}
}

// history is the folder of a run of pretrain of two epochs of 30 steps that has just begun to write another line.
func history(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	l := metrics.New(filepath.Join(dir, metrics.Name))
	for i := 1; i <= 60; i++ {
		must(t, l.Add(metrics.StepKind, curriculum.Step{Step: i, Loss: 60 - float64(i), LR: 1 / float64(i)}))
		if i%30 == 0 {
			must(t, l.Add(metrics.EvaluationKind, curriculum.EpochEvaluation{Step: i, Evaluation: scores(i / 6)}))
		}
	}
	must(t, l.Close())
	f, err := os.OpenFile(filepath.Join(dir, metrics.Name), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"kind":"step","st`)
	must(t, errors.Join(err, f.Close()))
	return dir
}

func read(t testing.TB, path string) Run {
	t.Helper()
	r, err := Read(path)
	must(t, err)
	return r
}

// Histories of a running pretraining, of a three-phase run, and of a result whose history is gone.
func TestRead(t *testing.T) {
	dir := history(t)
	for _, path := range []string{dir, filepath.Join(dir, metrics.Name)} {
		r := read(t, path)
		if len(r.Steps) != 60 || r.Steps[59] != (Step{60, 0, 1. / 60}) || len(r.Evaluations) != 2 ||
			r.Evaluations[1].Step != 60 || r.Evaluations[1].PerTask["fa"] != curriculum.NewAccuracy(10, 10) || r.Name != path {
			t.Errorf("%+v", r)
		}
	}
	dir = t.TempDir()
	l := metrics.New(filepath.Join(dir, metrics.Name))
	must(t, l.Add(metrics.StepKind, qat.Step{Step: 7, Loss: 3}))
	must(t, l.Add(metrics.EvaluationKind, qat.Epoch{Phase: "qat", Accuracy: scores(5)}))
	must(t, l.Close())
	if r := read(t, dir); len(r.Steps) != 1 || r.Evaluations[0].Step != 7 || r.Evaluations[0].Overall.Mean != 0.25 {
		t.Errorf("%+v", r)
	}
	dir = t.TempDir()
	must(t, files.WriteJSON(filepath.Join(dir, lab.PretrainFile), map[string]any{"details": map[string]any{
		"history": curriculum.History{Steps: []curriculum.Step{{Step: 1, Loss: 2}},
			Evaluations: []curriculum.EpochEvaluation{{Step: 1, Evaluation: scores(1)}}}}}))
	if r := read(t, dir); len(r.Steps) != 1 || r.Evaluations[0].Overall != curriculum.NewAccuracy(1, 20) {
		t.Errorf("%+v", r)
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "its history has no step yet",
		"{\"kind\":\"step\",\"ste": "its history has no step yet",
		"{\"kind\":\"step\",\"step\":1}\nloss,lr\n": "line 2 is not valid JSON",
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, metrics.Name), []byte(text), 0o600))
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "name the folder of a training") {
		t.Error(err)
	}
}

// The mean is that of up to 25 batches on either side.
func TestSmoothed(t *testing.T) {
	means := smoothed(read(t, history(t)))
	for i, want := range map[int]float64{0: 59 - 12.5, 30: 29, 59: 12.5} {
		if means[i].Y != want || means[i].X != float64(i+1) {
			t.Errorf("mean %d is %v, want %v", i, means[i], want)
		}
	}
}

// A figure has a panel for the loss, for the rate and, in a comparison, for each task, in every format.
func TestFigures(t *testing.T) {
	r := read(t, history(t))
	r.Name = "runs/a&b"
	other, begun := r, Run{Name: "just begun", Steps: r.Steps[:1]}
	other.Name = "<script>"
	for _, c := range []struct {
		runs   []Run
		panels int
	}{{[]Run{r}, 3}, {[]Run{begun}, 2}, {[]Run{begun, begun}, 2}, {[]Run{r, other, begun}, 5},
		{[]Run{r, r, r, r, r, r, r, r, r, r, r, r}, 5}} {
		figure, err := Compare(c.runs...)
		must(t, err)
		if len(figure) != c.panels {
			t.Errorf("%d runs have %d panels, want %d", len(c.runs), len(figure), c.panels)
		}
		for _, format := range Formats {
			var b bytes.Buffer
			must(t, figure.Write(&b, "name"+strings.ToUpper(format), c.runs...))
			check(t, format, b.String(), c.runs)
		}
	}
	figure, err := Of(r)
	must(t, err)
	if err := figure.Write(io.Discard, "figure.pdf"); err == nil || !strings.Contains(err.Error(), ".svg, .png, .html") {
		t.Error(err)
	}
}

func check(t *testing.T, format, text string, runs []Run) {
	t.Helper()
	if format == ".png" {
		if _, err := png.Decode(strings.NewReader(text)); err != nil {
			t.Error(err)
		}
		return
	}
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "<!DOCTYPE html>")))
	d.Strict, d.AutoClose, d.Entity = format == ".svg", xml.HTMLAutoClose, xml.HTMLEntity
	var words strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if chars, ok := token.(xml.CharData); ok {
			words.Write(chars)
		}
	}
	for _, r := range runs {
		if len(runs) > 1 && !strings.Contains(words.String(), r.Name) {
			t.Errorf("%s does not name %q", format, r.Name)
		}
	}
	if format == ".html" && len(runs[0].Evaluations) > 0 {
		a := runs[0].Evaluations[1].Overall
		if want := fmt.Sprintf("%.3f [%.3f, %.3f]", a.Mean, a.Low, a.High); !strings.Contains(words.String(), want) {
			t.Errorf("the page does not say %s", want)
		}
	}
}

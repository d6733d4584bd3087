package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers"
)

// ownEvaluation is what eval --data --json prints.
type ownEvaluation struct {
	Model            string              `json:"model"`
	Parameters       int                 `json:"parameters"`
	Data             []string            `json:"data"`
	Context          int                 `json:"context"`
	Positions        layers.Positions    `json:"positions"`
	Cut              int64               `json:"cut"` // samples that were longer
	Accuracy         curriculum.Accuracy `json:"accuracy"`
	CalibrationError float64             `json:"calibration_error"` // expected, of calibrationBins bins
	Labels           []labelResult       `json:"labels"`
	Confusion        [][]int             `json:"confusion"` // rows: labels; columns: answers
}

// labelResult is how often samples of a label were answered right.
type labelResult struct {
	Label    string              `json:"label"`
	Answered int                 `json:"answered"` // samples that got this answer
	Accuracy curriculum.Accuracy `json:"accuracy"`
}

// calibrationBins are those of the expected calibration error, as in Guo et al. 2017.
const calibrationBins = 15

// evalData measures a model on samples of the user's own.
func evalData(c *cli.Context) (err error) {
	for _, flag := range []string{"tasks", "suite", "samples", "seed", "sample-keys"} {
		if c.IsSet(flag) {
			return usagef(c, "--%s is of tasks, and --data are evaluated: leave one of them out", flag)
		}
	}
	path, m, err := loadArgument(c)
	if err != nil {
		return err
	}
	if m.Config.LanguageModel() {
		return fmt.Errorf("%s is a language model: --data has labels, which a classifier gives", foreign.Path(path))
	}
	if err := setPositions(c, path, m); err != nil {
		return err
	}
	which := everything
	if c.Bool("held-out") {
		which = heldOut
	}
	set, err := openSamples(c, m, which)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	r, err := evaluateData(c, m, set)
	if err != nil {
		return err
	}
	r.Model, r.Parameters, r.Data = path, m.Parameters(), c.StringSlice("data")
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	return r.print(&firstError{w: c.App.Writer})
}

// evaluateData scores the samples at one context: that of --contexts, or that at which the model learnt.
func evaluateData(c *cli.Context, m *layers.Model, set *ownSamples) (*ownEvaluation, error) {
	length, err := oneContext(c, m)
	if err != nil {
		return nil, err
	}
	length = cmp.Or(length, set.context(m.Config))
	samples, err := set.of(length)
	if err != nil {
		return nil, err
	}
	if err := checkShapes(c, m.Config, []int{length}, c.Int("batch-size")); err != nil {
		return nil, err
	}
	batch := min(c.Int("batch-size"), samples.Len())
	if err := checkEvalMemory(c, m, batch, []int{length}); err != nil {
		return nil, err
	}
	at, answers := -1, make([]curriculum.Answer, 0, samples.Len())
	scored, err := curriculum.EvaluateSamples(c.Context, m, samples.Len(), length, batch, func() (tasks.Sample, error) {
		at++
		return samples.Sample(at)
	}, func(a curriculum.Answer) { answers = append(answers, a) })
	if err != nil {
		return nil, err
	}
	r := resultOf(answers, set.Labels)
	r.Context, r.Positions, r.Cut, r.Accuracy = length, m.Positions, samples.Cut(), scored.Overall
	return r, nil
}

// resultOf counts answers by label.
func resultOf(answers []curriculum.Answer, labels *data.Labels) *ownEvaluation {
	r := &ownEvaluation{CalibrationError: curriculum.CalibrationError(answers, calibrationBins),
		Confusion: make([][]int, labels.Len())}
	for i := range r.Confusion {
		r.Confusion[i] = make([]int, labels.Len())
	}
	n, answered := make([]int, labels.Len()), make([]int, labels.Len())
	for _, a := range answers {
		n[a.Label]++
		if int(a.Class) < labels.Len() { // a model may have classes that no label has
			r.Confusion[a.Label][a.Class]++
			answered[a.Class]++
		}
	}
	for i := range n {
		label := labels.Label(i)
		name := label.Word
		if name == "" {
			name = fmt.Sprint(label.Class)
		}
		l := labelResult{Label: name, Answered: answered[i]}
		if n[i] > 0 {
			l.Accuracy = curriculum.NewAccuracy(r.Confusion[i][i], n[i])
		}
		r.Labels = append(r.Labels, l)
	}
	return r
}

// mostConfused is up to how many labels the table of answers is printed; --json has it always.
const mostConfused = 12

func (r *ownEvaluation) print(w *firstError) error {
	w.printf("%s: %s parameters, %s samples at %d tokens", foreign.Path(r.Model), grouped(r.Parameters),
		grouped(r.Accuracy.N), r.Context)
	if r.Cut > 0 {
		w.printf(", %s of them cut", grouped(int(r.Cut)))
	}
	w.printf("%s", positionsText(r.Positions))
	w.printf("\naccuracy %s, expected calibration error %.3f\n\n", accuracyText(r.Accuracy), r.CalibrationError)
	head := []string{"label", "accuracy", "95% interval", "n", "answered"}
	confused := len(r.Labels) <= mostConfused
	if confused {
		for _, l := range r.Labels {
			head = append(head, "as "+foreign.Word(l.Label))
		}
	}
	rows := [][]string{head}
	for i, l := range r.Labels {
		row := []string{foreign.Word(l.Label), "-", "-", fmt.Sprint(l.Accuracy.N), fmt.Sprint(l.Answered)}
		if l.Accuracy.N > 0 {
			row[1], row[2] = fmt.Sprintf("%.3f", l.Accuracy.Mean), fmt.Sprintf("[%.3f, %.3f]", l.Accuracy.Low, l.Accuracy.High)
		}
		if confused {
			for _, n := range r.Confusion[i] {
				row = append(row, fmt.Sprint(n))
			}
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(head))
	for _, row := range rows {
		for k, cell := range row {
			widths[k] = max(widths[k], len(cell))
		}
	}
	for _, row := range rows {
		w.printf("%s\n", strings.TrimRight(table.Line(1, widths, row), " "))
	}
	return w.err
}

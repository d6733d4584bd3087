package pretrain

import (
	"bytes"
	"path/filepath"

	"github.com/synapnet/synapnet-train/experiments/curves"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
)

// Plot draws the loss, and the accuracy by task after each epoch with the published ones, to curves.svg and curves.png.
func Plot(r *Result, dir string) error {
	run := curves.Run{Published: map[string]float64{}}
	for _, s := range r.History.Steps {
		run.Steps = append(run.Steps, curves.Step{Step: s.Step, Loss: s.Loss, LR: s.LR})
	}
	for _, e := range r.History.Evaluations {
		run.Evaluations = append(run.Evaluations, curves.Evaluation{Step: e.Step, Evaluation: e.Evaluation})
	}
	for _, m := range r.Final {
		if m.Published != nil {
			run.Published[m.Labels[result.TaskLabel]] = m.Published.Mean
		}
	}
	figure, err := curves.Of(run)
	if err != nil {
		return err
	}
	for _, name := range []string{lab.CurvesSVG, lab.CurvesPNG} {
		var picture bytes.Buffer
		if err := figure.Write(&picture, name); err != nil {
			return err
		}
		if err := files.Write(filepath.Join(dir, name), picture.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

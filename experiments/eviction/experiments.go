package eviction

import (
	"embed"
	"strconv"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// descriptions are the experiments' descriptions.
//
//go:embed *.toml
var descriptions embed.FS

// The labels of the two experiments besides those that others share.
const (
	networkLabel  = "network"
	rateLabel     = "learning rate"
	noiseLabel    = "label noise"
	budgetLabel   = "budget"
	positionLabel = "position"
)

// TrainExperiment trains the networks that score entries. It streams the tasks of pretraining: the one that the grid
// tests on is not among them.
func TrainExperiment() lab.Experiment {
	base := TrainConfig{Hidden: baee.DefaultHidden}
	for _, w := range tasks.TrainingMixture() {
		base.Tasks = append(base.Tasks, w.Task)
	}
	e := lab.Planned[TrainConfig](lab.Describe(descriptions, "baee-train", base, runTraining))
	e.Convert = convertTraining
	return e
}

// GridExperiment holds every policy against every other on the published grid, in both protocols, and in the headline
// case.
func GridExperiment() lab.Experiment {
	e := lab.Planned[GridConfig](lab.Describe(descriptions, "baee-grid", GridConfig{Policies: Policies()}, runGrid))
	e.Convert = convertGrid
	e.Recompute = func(r *result.Result, model func() (layers.Config, error)) (*lab.Outcome, error) {
		c, cells, err := lab.Kept[GridConfig, []GridCell](r)
		if err != nil {
			return nil, err
		}
		m, err := model()
		if err != nil {
			return nil, err
		}
		return gridOutcome(c, m, cells)
	}
	return e
}

// number writes a setting as a label.
func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

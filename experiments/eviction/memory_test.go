package eviction

import (
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/layers"
)

// The published settings on the reference model fit into 8 GB, and what grows beyond all memory is told.
func TestReferenceExperimentsFit(t *testing.T) {
	for name, settings := range map[string]interface {
		Demands(m layers.Config) ([]lab.Demand, error)
	}{
		"baee-train": TrainExperiment().Settings(lab.Full).(TrainConfig),
		"baee-grid":  GridExperiment().Settings(lab.Full).(GridConfig),
		"answers":    AnswersExperiment().Settings(lab.Full).(answersSettings),
	} {
		demands, err := settings.Demands(layers.Reference())
		if err != nil {
			t.Fatal(err)
		}
		for _, demand := range demands {
			if n, err := demand.Need(demand.Value); err != nil || n > 8e9 {
				t.Errorf("%s: %s %d is planned with %d bytes: %v", name, demand.Setting, demand.Value, n, err)
			}
			if n, err := demand.Need(1 << 40); err != nil || n < 8e9 {
				t.Errorf("%s: %s of 1<<40 is planned with %d bytes: %v", name, demand.Setting, n, err)
			}
		}
	}
}

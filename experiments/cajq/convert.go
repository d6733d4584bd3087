package cajq

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// convert reads the details that results had before their runs were cells.
func convert(settings, details json.RawMessage) (*lab.Outcome, error) {
	var old struct {
		Runs []struct {
			Variant string `json:"variant"`
			Seed    uint64 `json:"seed"`
			cell
		} `json:"runs"`
		Sizes []result.Measurement `json:"sizes"`
	}
	var s Settings
	if err := json.Unmarshal(details, &old); err != nil || old.Runs == nil {
		return nil, err
	}
	if err := json.Unmarshal(settings, &s); err != nil {
		return nil, err
	}
	cells := map[string]cell{}
	for _, r := range old.Runs {
		cells[cellName(r.Variant, r.Seed)] = r.cell
	}
	values := map[[3]string]float64{}
	for _, m := range old.Sizes {
		values[[3]string{m.Labels[result.VariantLabel], m.Labels["of"], m.Metric}] = m.Mean
	}
	for _, v := range s.Variants {
		bytes, ok := values[[3]string{v, wholeModel, "size"}]
		if !ok {
			continue
		}
		weightBytes := values[[3]string{v, packedWeights, "size"}]
		numbers := func(of string, bytes float64) int {
			return int(math.Round(8 * bytes / values[[3]string{v, of, "bits"}]))
		}
		cells[sizeName(v)] = cell{Size: &packedSize{
			numbers(packedWeights, weightBytes), int(weightBytes), numbers(wholeModel, bytes), int(bytes),
		}}
	}
	o, err := outcome(s, cells)
	if err != nil {
		return nil, fmt.Errorf("details: %w", err)
	}
	o.Details = lab.Cells[cell]{Done: cells}
	return o, nil
}

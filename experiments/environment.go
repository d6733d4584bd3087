package experiments

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
)

// Environment says with what and where a result was measured.
type Environment = result.Environment

// Cost is what a measurement took.
type Cost = result.Cost

// MeanStd is a published mean with its standard deviation over seeds.
type MeanStd = result.MeanStd

// stopwatch measures the cost from its start on.
type stopwatch struct {
	start time.Time
	cpu   float64
}

func startWatch() stopwatch {
	return stopwatch{time.Now(), cpuSeconds()}
}

func (s stopwatch) cost() Cost {
	return Cost{WallSeconds: time.Since(s.start).Seconds(), CPUSeconds: cpuSeconds() - s.cpu, PeakRSSBytes: PeakRSS()}
}

// PeakRSS is the largest resident set of this process so far, in bytes; 0 where the system does not tell.
func PeakRSS() uint64 {
	return peakRSS()
}

// writeJSON replaces the file at path by v.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return files.Write(path, append(text, '\n'))
}

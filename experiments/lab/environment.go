package lab

import (
	"time"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/host"
)

// Stopwatch measures the cost from its start on.
type Stopwatch struct {
	start time.Time
	cpu   float64
}

// StartWatch starts a stopwatch.
func StartWatch() Stopwatch {
	return Stopwatch{time.Now(), host.CPUSeconds()}
}

// Cost is what this process took since the start.
func (s Stopwatch) Cost() result.Cost {
	return result.Cost{WallSeconds: time.Since(s.start).Seconds(), CPUSeconds: host.CPUSeconds() - s.cpu,
		PeakRSSBytes: host.PeakRSS()}
}

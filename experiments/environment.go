package experiments

import (
	"time"
)

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

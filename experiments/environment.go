package experiments

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/renameio/v2"
)

// Environment says with what and where a result was measured.
type Environment struct {
	Version  string   `json:"version"`
	Commit   string   `json:"commit"`
	Go       string   `json:"go"`
	Platform string   `json:"platform"` // GOOS/GOARCH
	Host     string   `json:"host"`
	CPU      string   `json:"cpu"`
	Features []string `json:"cpu_features"`
	SIMD     string   `json:"simd"` // level of graph/vec
	BLAS     string   `json:"blas"`
	Threads  int      `json:"threads"` // GOMAXPROCS
}

// Cost is what a measurement took.
type Cost struct {
	WallSeconds  float64 `json:"wall_seconds"`
	CPUSeconds   float64 `json:"cpu_seconds"`    // user and system, of all threads
	PeakRSSBytes uint64  `json:"peak_rss_bytes"` // of the process
}

// add is the cost of two sessions of one run, one after the other.
func (c Cost) add(d Cost) Cost {
	return Cost{c.WallSeconds + d.WallSeconds, c.CPUSeconds + d.CPUSeconds, max(c.PeakRSSBytes, d.PeakRSSBytes)}
}

// stopwatch measures the cost from its start on.
type stopwatch struct {
	start time.Time
	cpu   float64
}

func startWatch() stopwatch {
	cpu, _ := usage()
	return stopwatch{time.Now(), cpu}
}

func (s stopwatch) cost() Cost {
	cpu, rss := usage()
	return Cost{time.Since(s.start).Seconds(), cpu - s.cpu, rss}
}

// PeakRSS is the largest resident set of this process so far, in bytes; 0 where the system does not tell.
func PeakRSS() uint64 {
	_, rss := usage()
	return rss
}

// writeJSON replaces the file at path by v.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := renameio.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("cannot write %s: %w; free space or choose another --output-dir", path, err)
	}
	return nil
}

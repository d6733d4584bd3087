// Package result is the one form in which every experiment leaves its numbers: a file that says what was measured, with
// what settings, from what inputs, by what program, where, and at what cost.
package result

import (
	"encoding/json"

	"github.com/synapnet/synapnet-train/graph"
)

// Schema is the version of the form that this program writes and reads.
const Schema = 1

// Result is a finished or unfinished experiment.
type Result struct {
	Schema     int    `json:"schema"`
	Experiment string `json:"experiment"`
	Profile    string `json:"profile"`  // full, quick, strong, or custom: settings of a command line
	Complete   bool   `json:"complete"` // false: the next run continues
	// Key is the content address: the SHA-256 of the experiment, the version of its protocol, its settings and its inputs.
	Key     string          `json:"key"`
	Version int             `json:"version"` // of the experiment's protocol
	Config  json.RawMessage `json:"config"`  // the settings
	// SHA-256 of each file that it read, as experiment (its result) or experiment/file
	Inputs map[string]string `json:"inputs,omitempty"`
	// SHA-256 of each file that it left beside itself for others, by name
	Outputs map[string]string `json:"outputs,omitempty"`
	Seeds   []uint64          `json:"seeds"`
	// how the numbers were got, and what was chosen where the paper is silent
	Protocol     string          `json:"protocol"`
	Environment  Environment     `json:"environment"`
	Kernels      []graph.Kernels `json:"kernels,omitempty"` // of all calls in order, where they were not the same
	Cost         Cost            `json:"cost"`              // of all calls
	Measurements []Measurement   `json:"measurements"`
	// what the experiment itself wants to keep: single runs, histories
	Details json.RawMessage `json:"details,omitempty"`
}

// Protocols of SPEC section 6.
const (
	Paper  = "paper"  // as published
	Strict = "strict" // where the published protocol proves less than it says
)

// Measurement is one number of a table.
type Measurement struct {
	Labels   map[string]string `json:"labels"` // what it was measured on, e.g. variant, context, task
	Protocol string            `json:"protocol"`
	Metric   string            `json:"metric"` // e.g. accuracy
	Unit     string            `json:"unit"`   // e.g. "1" for a share, "ms", "tokens/s", "bytes"
	N        int               `json:"n"`      // samples or repetitions
	Mean     float64           `json:"mean"`
	Std      float64           `json:"std"` // over seeds or repetitions, n-1; 0 for one
	// Interval is the 95% interval of the mean; nil where there is one exact number, e.g. a size.
	Interval  *Interval `json:"interval_95,omitempty"`
	Published *MeanStd  `json:"published,omitempty"` // the paper's; nil where it has none
	Note      string    `json:"note,omitempty"`
}

// Interval is a 95% interval and the method by which it was made: wilson, bootstrap, t, or newcombe for paired shares.
type Interval struct {
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Method string  `json:"method"`
}

// MeanStd is a published mean with its standard deviation over seeds, 0 where the paper gives none.
type MeanStd struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

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
	WallSeconds float64 `json:"wall_seconds"`
	// CPUSeconds are user and system, of all threads and of processes that were started for it. With --jobs above 1 they,
	// and PeakRSSBytes, are of everything that ran meanwhile.
	CPUSeconds   float64 `json:"cpu_seconds"`
	PeakRSSBytes uint64  `json:"peak_rss_bytes"` // of the process
}

// Add is the cost of two sessions of one run, one after the other.
func (c Cost) Add(d Cost) Cost {
	return Cost{c.WallSeconds + d.WallSeconds, c.CPUSeconds + d.CPUSeconds, max(c.PeakRSSBytes, d.PeakRSSBytes)}
}

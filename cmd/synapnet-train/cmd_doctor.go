package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/internal/table"
)

// diagnosis is what a bug report or a benchmark needs to know about a machine.
type diagnosis struct {
	Build    build    `json:"build"`
	Platform string   `json:"platform"` // GOOS/GOARCH
	CPU      string   `json:"cpu"`
	Features []string `json:"cpu_features"`
	SIMD     string   `json:"simd"` // level of graph/vec
	BLAS     string   `json:"blas"`
	GFLOPS   float64  `json:"blas_gflops"` // 10^9 single-precision operations/s, all threads; 0: see Unmeasured
	// Unmeasured says why the matrix product was not measured; "" where it was.
	Unmeasured string      `json:"blas_unmeasured,omitempty"`
	Threads    int         `json:"threads"` // GOMAXPROCS
	Cores      int         `json:"cores"`   // logical processors this process may use
	Memory     host.Memory `json:"memory"`
	Hints      []string    `json:"hints"`
}

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "show what this machine and this build offer: CPU, SIMD, BLAS and its speed, memory",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.DurationFlag{Name: "measure", Value: time.Second, Usage: "how long to measure the matrix product"},
		},
		Action: func(c *cli.Context) error {
			if c.Duration("measure") <= 0 {
				return usagef(c, "--measure %v: must be above 0; give e.g. --measure 1s", c.Duration("measure"))
			}
			found, err := diagnose(c.Context, c.Duration("measure"))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, found)
			}
			return found.print(c.App.Writer)
		},
	}
}

// diagnose looks at the machine and measures sgemm for the given time, or until ctx ends.
func diagnose(ctx context.Context, measure time.Duration) (diagnosis, error) {
	d := diagnosis{
		Build:    readBuild(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPU:      host.CPUModel(),
		Features: host.CPUFeatures(),
		SIMD:     vec.Level(),
		BLAS:     blas.Name(),
		Threads:  runtime.GOMAXPROCS(0),
		Cores:    runtime.NumCPU(),
		Memory:   host.SystemMemory(),
	}
	// A BLAS that finds no room for its buffers may wait for it for ever.
	if err := host.CheckComputation("measuring matrix products", measureBytes); err != nil {
		d.Unmeasured = err.Error()
	} else {
		measured := make(chan float64, 1)
		go func() { measured <- blas.Measure(measure) }() // it ends by itself, or with the process
		select {
		case d.GFLOPS = <-measured:
		case <-ctx.Done():
			return d, ctx.Err()
		}
	}
	d.Hints = hints(d)
	return d, nil
}

// measureBytes is what measuring matrix products takes: the matrices, and a BLAS's copies of them.
const measureBytes = 64 << 20

// speed is the rate of matrix products, or why it is not known.
func (d diagnosis) speed() string {
	if d.Unmeasured != "" {
		return "not measured: " + d.Unmeasured
	}
	return fmt.Sprintf("%.1f GFLOP/s", d.GFLOPS)
}

// hints says what would make training faster.
func hints(d diagnosis) []string {
	found := []string{}
	if strings.HasPrefix(d.BLAS, "gonum") {
		found = append(found, "matrix products run in pure Go without vector kernels, several times slower than "+
			"OpenBLAS: run `make setup build`")
	}
	if d.Threads < d.Cores {
		found = append(found, fmt.Sprintf("%d of %d cores are used: unset GOMAXPROCS to use all", d.Threads, d.Cores))
	}
	return found
}

// print writes the diagnosis for people.
func (d diagnosis) print(w io.Writer) error {
	rows := [][]string{
		{"version", d.Build.Version},
		{"commit", d.Build.Commit},
		{"Go", d.Build.Go + " " + d.Platform},
		{"CPU", d.CPU},
		{"CPU features", cmp.Or(strings.Join(d.Features, " "), "none detected")},
		{"SIMD kernels", d.SIMD},
		{"BLAS", d.BLAS},
		{"sgemm", d.speed()},
		{"threads", fmt.Sprintf("%d (GOMAXPROCS) on %d cores", d.Threads, d.Cores)},
		{"memory", memoryText(d.Memory)},
	}
	for _, hint := range d.Hints {
		rows = append(rows, []string{"hint", hint})
	}
	return table.Write(w, 2, rows...)
}

func memoryText(m host.Memory) string {
	if m.Total == 0 {
		return "unknown"
	}
	text := fmt.Sprintf("%.1f GiB", float64(m.Total)/(1<<30))
	if m.Available > 0 {
		text += fmt.Sprintf(", %.1f GiB available", float64(m.Available)/(1<<30))
	}
	return text
}

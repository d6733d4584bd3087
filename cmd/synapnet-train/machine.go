package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/internal/host"
)

// threadsFlag is of all commands that compute, those that measure included: the text must be true of both.
func threadsFlag() cli.Flag {
	return &cli.IntFlag{Name: "threads",
		Usage: "processor cores to use; what is measured depends on it, what is computed does not", DefaultText: "all"}
}

// mostThreads is what --threads may ask for on any machine: each thread takes memory, and thousands end the process.
const mostThreads = 256

// useThreads applies --threads, where a command has it.
func useThreads(c *cli.Context) error {
	if !c.IsSet("threads") {
		return nil
	}
	n, most := c.Int("threads"), max(mostThreads, runtime.NumCPU())
	if n < 1 {
		return usagef(c, "--threads %d: must be at least 1", n)
	}
	if n > most {
		return usagef(c, "--threads %d: must be at most %d; this machine has %s", n, most, plural(runtime.NumCPU(), "core"))
	}
	runtime.GOMAXPROCS(n)
	return nil
}

// machineLine is the first line of a run: what its steps are computed with. The kernels belong to what determines the
// bytes of a run, the threads to its speed.
func machineLine() string {
	return fmt.Sprintf("%s; %s", graph.CurrentKernels(), plural(runtime.GOMAXPROCS(0), "thread"))
}

// environment describes this program and machine for results.
func environment() result.Environment {
	b := readBuild()
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return result.Environment{
		Version: b.Version, Commit: b.Commit, Go: b.Go, Platform: runtime.GOOS + "/" + runtime.GOARCH, Host: name,
		CPU: host.CPUModel(), Features: host.CPUFeatures(), SIMD: vec.Level(), BLAS: blas.Name(),
		Threads: runtime.GOMAXPROCS(0),
	}
}

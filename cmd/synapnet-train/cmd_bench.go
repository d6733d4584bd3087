package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/bench"
	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers"
)

// benchCases are the values of --cases.
var benchCases = map[string]struct {
	name     string
	contexts []int
	batch    int
}{
	"train":     {bench.TrainStep, []int{512, 1024}, 4},
	"inference": {bench.Inference, []int{4096}, 1},
	"packed":    {bench.Packed, []int{1024}, 1},
	"growth":    {bench.MemoryGrowth, []int{128}, 1},
}

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:        "bench",
		Usage:       "time training steps and inference of the reference model, and watch memory",
		Description: helpText("bench"),
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "cases", Usage: "`CASE`s to run: train, inference, packed, growth",
				Value: cli.NewStringSlice("train", "inference")},
			&cli.IntSliceFlag{Name: "contexts", Usage: "context `LENGTH`s in tokens (default: those of each case)"},
			&cli.IntFlag{Name: "batch-size", Usage: "samples at a time", DefaultText: "that of each case"},
			&cli.IntFlag{Name: "repetitions", Usage: "timed repetitions of each case", Value: 10},
			&cli.BoolFlag{Name: "quick", Usage: "3 repetitions and a short measurement of sgemm"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			threadsFlag(),
		},
		Action: benchmark,
	}
}

func benchmark(c *cli.Context) error {
	cases, err := casesOf(c)
	if err != nil {
		return err
	}
	if err := checkBenchMemory(c, cases); err != nil {
		return err
	}
	report, err := runBench(c, cases)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, report)
	} else {
		err = printBench(c.App.Writer, report)
	}
	if err != nil {
		return err
	}
	for _, g := range report.Growth {
		if !g.Within() {
			return fmt.Errorf("memory grew by %.1f%% between steps %d and %d: at most %.0f%% is allowed", 100*g.Change,
				g.FromStep, g.ToStep, 100*bench.GrowthAllowed)
		}
	}
	return nil
}

// casesOf puts together what is to be measured.
func casesOf(c *cli.Context) ([]bench.Case, error) {
	repetitions := c.Int("repetitions")
	if c.Bool("quick") && !c.IsSet("repetitions") {
		repetitions = 3
	}
	if repetitions < 1 {
		return nil, usagef(c, "--repetitions %d: must be at least 1", repetitions)
	}
	var cases []bench.Case
	for _, word := range distinct(c.StringSlice("cases")) {
		known, ok := benchCases[word]
		if !ok {
			names := []string{"train", "inference", "packed", "growth"}
			return nil, usagef(c, "--cases %s: no such case%s; there are %s", printable(word), didYouMean(word, names, asIs),
				strings.Join(names, ", "))
		}
		contexts, batch := known.contexts, known.batch
		if c.IsSet("contexts") {
			contexts = distinct(c.IntSlice("contexts"))
		}
		if c.IsSet("batch-size") {
			batch = c.Int("batch-size")
		}
		if err := checkShapes(c, layers.Reference(), contexts, batch); err != nil {
			return nil, err
		}
		for _, t := range contexts {
			if known.name == bench.Packed { // beside what it is compared with
				cases = append(cases, bench.Case{Name: bench.Inference, Context: t, Batch: batch, Repetitions: repetitions})
			}
			cases = append(cases, bench.Case{Name: known.name, Context: t, Batch: batch, Repetitions: repetitions})
		}
	}
	return cases, nil
}

// runBench measures each case in a new process, and the machine's sgemm rate before each and at the end.
func runBench(c *cli.Context, cases []bench.Case) (*bench.Run, error) {
	report := &bench.Run{Environment: environment(), Results: []bench.Result{}}
	measure := time.Second
	if c.Bool("quick") {
		measure /= 5
	}
	dir, err := os.MkdirTemp("", "synapnet-bench-")
	if err != nil {
		return nil, fmt.Errorf("no temporary directory: %w; set TMPDIR to one that can be written", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover of it harms nobody
	packed := filepath.Join(dir, "packed.safetensors")
	for _, benchCase := range cases {
		if benchCase.Name == bench.Packed {
			benchCase.Model = packed
			if _, err := os.Stat(packed); err != nil {
				if err := bench.PackReference(packed); err != nil {
					return nil, err
				}
			}
		}
		report.PeakGFLOPS = max(report.PeakGFLOPS, blas.Measure(measure))
		_, _ = fmt.Fprintf(c.App.ErrWriter, "measuring %s, context %d, batch %d\n", benchCase.Name, benchCase.Context,
			benchCase.Batch)
		if benchCase.Name == bench.MemoryGrowth {
			var g bench.Growth
			if err := benchCase.InOwnProcess(c.Context, &g); err != nil {
				return nil, err
			}
			report.Growth = append(report.Growth, g)
			continue
		}
		var r bench.Result
		if err := benchCase.InOwnProcess(c.Context, &r); err != nil {
			return nil, err
		}
		report.Results = append(report.Results, r)
	}
	report.PeakGFLOPS = max(report.PeakGFLOPS, blas.Measure(measure))
	for i := range report.Results {
		report.Results[i].ShareOfPeak = report.Results[i].GFLOPS / report.PeakGFLOPS
	}
	return report, nil
}

// printBench writes the report for people.
func printBench(w io.Writer, r *bench.Run) error {
	e := r.Environment
	if _, err := fmt.Fprintf(w, "%s, %s, %s, sgemm %.1f GFLOP/s\n", e.CPU, plural(e.Threads, "thread"), e.BLAS,
		r.PeakGFLOPS); err != nil {
		return err
	}
	if len(r.Results) > 0 {
		rows := [][]string{{"case", "context", "batch", "seconds", "min", "max", "tokens/s", "GFLOP/s", "of sgemm", "weights",
			"peak RSS"}}
		for _, x := range r.Results {
			rows = append(rows, []string{
				x.Name, strconv.Itoa(x.Context), strconv.Itoa(x.Batch),
				fmt.Sprintf("%.3f", x.Seconds), fmt.Sprintf("%.3f", x.SecondsMin), fmt.Sprintf("%.3f", x.SecondsMax),
				grouped(int(x.TokensPerSecond)), fmt.Sprintf("%.1f", x.GFLOPS), fmt.Sprintf("%.0f%%", 100*x.ShareOfPeak),
				megabytes(x.WeightBytes), rssText(x.PeakRSSBytes),
			})
		}
		if err := table.Write(w, 1, rows...); err != nil {
			return err
		}
	}
	for _, g := range r.Growth {
		verdict := "within"
		if !g.Within() {
			verdict = "NOT within"
		}
		if _, err := fmt.Fprintf(w, "growth, context %d, batch %d: RSS %.1f MB after %d steps, %.1f MB after %d (%+.1f%%, "+
			"largest %.1f MB): %s %.0f%%\n",
			g.Context, g.Batch, float64(g.From)/1e6, g.FromStep, float64(g.To)/1e6, g.ToStep, 100*g.Change,
			float64(g.Largest)/1e6,
			verdict, 100*bench.GrowthAllowed); err != nil {
			return err
		}
	}
	return nil
}

func rssText(bytes uint64) string {
	if bytes == 0 {
		return "unknown"
	}
	return megabytes(int(bytes))
}

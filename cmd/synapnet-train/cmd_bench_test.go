package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/bench"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// init lets bench run this test binary again as if it were the program.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "bench" {
		os.Exit(run(context.Background(), append([]string{program}, os.Args[1:]...), os.Stdout, os.Stderr))
	}
}

// Each case is measured in a process of its own, with the threads asked for.
func TestBench(t *testing.T) {
	r := decode[bench.Run](t, "bench", "--contexts", "16", "--repetitions", "1", "--quick", "--json")
	if len(r.Results) != 2 || r.Results[0].Name != "train_step" || r.Results[0].Batch != 4 ||
		r.Results[1].Name != "inference" || r.Results[1].Batch != 1 {
		t.Fatalf("%+v", r.Results)
	}
	for _, x := range r.Results {
		if x.Context != 16 || x.Repetitions != 1 || x.Seconds <= 0 || x.GFLOPS <= 0 ||
			x.ShareOfPeak != x.GFLOPS/r.PeakGFLOPS {
			t.Errorf("%+v", x)
		}
	}
	if train, inference := r.Results[0].PeakRSSBytes, r.Results[1].PeakRSSBytes; train != 0 && train <= inference {
		t.Errorf("peak memory %d of training, %d of inference: they ran in one process", train, inference)
	}
	if r.PeakGFLOPS <= 0 || r.Environment.BLAS == "" || r.Growth != nil {
		t.Errorf("%+v", r)
	}
}

func TestBenchTable(t *testing.T) {
	var out strings.Builder
	report := &bench.Run{
		PeakGFLOPS:  200,
		Environment: result.Environment{CPU: "Some CPU", BLAS: "OpenBLAS", Threads: 2},
		Results: []bench.Result{{
			Case:    bench.Case{Name: "train_step", Context: 1024, Batch: 4},
			Seconds: 1.5, SecondsMin: 1.25, SecondsMax: 2, TokensPerSecond: 2730.7, GFLOPS: 115, ShareOfPeak: 0.575,
			WeightBytes: 34859800, PeakRSSBytes: 1e9,
		}},
		Growth: []bench.Growth{{Context: 128, Batch: 1, FromStep: 20, ToStep: 300, From: 200e6, To: 220e6, Largest: 221e6,
			Change: 0.1}},
	}
	if err := printBench(&out, report); err != nil {
		t.Fatal(err)
	}
	want := `Some CPU, 2 threads, OpenBLAS, sgemm 200.0 GFLOP/s
case        context  batch  seconds    min    max  tokens/s  GFLOP/s  of sgemm  weights  peak RSS
train_step     1024      4    1.500  1.250  2.000     2,730    115.0       57%    35 MB  1,000 MB
growth, context 128, batch 1: RSS 200.0 MB after 20 steps, 220.0 MB after 300 (+10.0%, largest 221.0 MB): NOT within 5%
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestBenchMistakes(t *testing.T) {
	mistakes(t, map[string]string{
		"bench --cases trian": "--cases trian: no such case (did you mean train?); there are train, inference, packed, " +
			"growth",
		"bench --repetitions 0":     "--repetitions 0: must be at least 1",
		"bench --contexts 4":        "--contexts 4: must be from 8",
		"bench --contexts 8193":     "--contexts 8193: must be from 8 to the model's 8192 positions",
		"bench --batch-size 0":      "--batch-size 0: must be at least 1",
		"bench --threads -3":        "--threads -3: must be at least 1",
		"bench --quick extra":       "unexpected argument extra",
		"bench --repetitons 3":      "did you mean --repetitions?",
		"bench --batch-size 999999": "--batch-size 999999: too large",
	})
}

// What went wrong in a case's process is told in one line.
func TestBenchCaseFails(t *testing.T) {
	var r bench.Result
	err := bench.Case{Name: "nothing", Context: 16, Batch: 1, Repetitions: 1}.InOwnProcess(t.Context(), &r)
	if err == nil || err.Error() != `nothing at context 16, batch 1: no benchmark is called "nothing"` {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (bench.Case{Name: "inference", Context: 16, Batch: 1, Repetitions: 1}).InOwnProcess(ctx, &r); !errors.Is(err,
		context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

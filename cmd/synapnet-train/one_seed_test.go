package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// The tables of every command that takes seeds.
func TestTablesOfOneSeedHaveNoDeviation(t *testing.T) {
	output := filepath.Join(t.TempDir(), "r.json")
	line := cajqLine(t, output, "--variants fp16 --seeds 42")
	if table := success(t, line...); strings.Contains(table, "± 0.000") ||
		!strings.Contains(table, "without ± it is of one") {
		t.Errorf("cajq-qat over one seed:\n%s", table)
	}
	if table := success(t, append(line, "43")...); !strings.Contains(table, " ± 0.") {
		t.Errorf("cajq-qat over two seeds:\n%s", table)
	}
	grid := success(t, "baee-grid", "--checkpoint", pressureModelFile(t), "--policies", "fifo", "--contexts", "128",
		"--chunk-size", "32", "--samples", "2",
		"--seeds", "42", "--headline=false", "--budgets", "0.5", "--output", filepath.Join(t.TempDir(), "g.json"))
	if strings.Contains(grid, "± 0.000") {
		t.Errorf("baee-grid over one seed:\n%s", grid)
	}
}

// A warm-up that the run does not get through is said, with the largest rate that is reached; a shorter one is not.
func TestWarmUpLongerThanTheRun(t *testing.T) {
	for steps, want := range map[string]bool{"1000": true, "8": true, "7": false, "0": false} {
		ctx, cancel := context.WithCancel(context.Background())
		_, _, stderr := synapnet(ctx, t,
			"pretrain --dim 8 --depth 1 --heads 2 --vocab 64 --max-len 64 --num-classes 8 --episodic-slots 2 --curriculum 32 "+
				"--samples-per-stage 16 --epochs-per-stage 1 --batch-size 4 --eval-samples 4 --lr 1e-2 --warmup-steps "+steps,
			"--output-dir", filepath.Join(t.TempDir(), "r"))
		cancel()
		said := strings.Contains(stderr, "warning: warmup_steps is "+steps+" and the run has ") &&
			strings.Contains(stderr, "not lr 0.01; give a --warmup-steps below ")
		if said != want {
			t.Errorf("--warmup-steps %s: warned %v, want %v\n%s", steps, said, want, stderr)
		}
	}
}

package curriculum

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
)

// tiny is a run of 20 steps that takes a fraction of a second: two stages of two epochs of 5 steps, the last step of
// each epoch with 5 samples instead of 8.
func tiny() Config {
	c := Default()
	c.Model = layers.Config{
		Dim: 16, Depth: 2, Heads: 2, VocabSize: 48, MaxLen: 40, NumClasses: 16,
		KFrac: 0.25, EpisodicSlots: 4, EpisodicWriteFrac: 0.1, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: 30,
	}
	c.Curriculum = []int{24, 32} // dense, then sparse
	c.SamplesPerStage, c.EpochsPerStage, c.BatchSize, c.EvalSamples, c.WarmupSteps, c.LR = 32, 2, 8, 16, 4, 3e-3
	return c
}

const tinyPerEpoch, tinyTotal = 5, 20

// begin is a trainer that saves to a new directory.
func begin(t testing.TB, c Config) *Trainer {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.CheckpointPath = filepath.Join(t.TempDir(), "checkpoint.safetensors")
	r.CheckpointEvery = 3
	return r
}

// finished is everything that a run to the end leaves: its checkpoint's bytes, those of its history's file, and those
// of TensorBoard's but for the times of its events.
func finished(t testing.TB, r *Trainer) string {
	t.Helper()
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return left(t, r.CheckpointPath)
}

// left are a checkpoint and the history beside it.
func left(t testing.TB, checkpoint string) string {
	t.Helper()
	return contents(t, checkpoint) + contents(t, metrics.Beside(checkpoint)) + events(t, checkpoint)
}

// events are those of the run, each without the sum and with zeros for its time.
func events(t testing.TB, checkpoint string) (all string) {
	t.Helper()
	file, err := os.ReadFile(metrics.EventsBeside(checkpoint))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	for len(file) > 0 {
		end := 12 + binary.LittleEndian.Uint64(file)
		event := file[12:end]
		clear(event[1:9])
		all += string(event)
		file = file[end+4:]
	}
	return all
}

func contents(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func resumed(t testing.TB, path string) *Trainer {
	t.Helper()
	r, err := Resume(path)
	if err != nil {
		t.Fatal(err)
	}
	r.CheckpointEvery = 3
	return r
}

// stopped runs until it is told to stop after a step; 0: before the first.
func stopped(t testing.TB, r *Trainer, after int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.Hooks.Step = func(s Step) {
		if s.Step == after {
			cancel()
		}
	}
	if after == 0 {
		cancel()
	}
	if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped after step %d: %v", after, err)
	}
}

package measure_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

func TestProbe(t *testing.T) {
	_, path := labtest.StreamModel(t)
	p := measure.Probe{Model: path, Context: 32, Threads: 1, Warmups: 1, Timed: 3, Seed: 1}
	r, err := p.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := layers.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Seconds) != 3 || result.Median(r.Seconds) <= 0 || r.WeightBytes != 4*m.Params.Count() || r.ArenaBytes <= 0 {
		t.Errorf("%+v", r)
	}
	if r.RSS > 0 && (r.LoadedRSS == 0 || r.PeakRSS < r.RSS) {
		t.Errorf("%+v", r)
	}
	// Arenas are those that the plan says, and larger for longer contexts.
	plan, err := m.PlanInfer(1, 32, 0)
	if err != nil || plan.Arena != r.ArenaBytes {
		t.Errorf("%d bytes, planned are %d (%v)", r.ArenaBytes, plan.Arena, err)
	}
}

// What goes wrong in the other process is told in its words; one that is stopped leaves at once.
func TestProbeMistakes(t *testing.T) {
	absent := measure.Probe{Model: filepath.Join(t.TempDir(), "absent"), Context: 8, Threads: 1, Timed: 1}
	if _, err := absent.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
	_, path := labtest.StreamModel(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	endless := measure.Probe{Model: path, Context: 64, Threads: 1, Timed: 1 << 40}
	if _, err := endless.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := measure.Serve(t.Context(), measure.PassKinds(), strings.NewReader("{}"), io.Discard); err == nil {
		t.Error("a probe of nothing gave no error")
	}
	if err := measure.Serve(t.Context(), measure.PassKinds(), strings.NewReader("pretrain"), io.Discard); err == nil ||
		!strings.Contains(err.Error(), "for the program's own use") {
		t.Errorf("%v", err)
	}
}

// A probe whose experiment is gone, so that its standard input ends, stops.
func TestProbeEndsWithItsExperiment(t *testing.T) {
	_, path := labtest.StreamModel(t)
	input, experiment := io.Pipe()
	ended := make(chan error)
	go func() {
		var out bytes.Buffer
		ended <- measure.Serve(t.Context(), measure.PassKinds(), input, &out)
	}()
	if _, err := fmt.Fprintf(experiment, `{"pass":{"model":%q,"context":64,"timed":1000000000}}`, path); err != nil {
		t.Fatal(err)
	}
	if err := experiment.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

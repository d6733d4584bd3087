package lab

import (
	"errors"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/internal/host"
)

// An experiment whose memory does not fit is not begun; its error is one line with its name and setting. Others run.
func TestExperimentThatDoesNotFit(t *testing.T) {
	var f fakes
	large := f.fake("large", 2, nil)
	large.Demands = func(j *Job) ([]Demand, error) {
		return []Demand{{"steps", j.Settings.(fakeSettings).Steps, "counting",
			func(n int) (uint64, error) { return host.Times(n, 1<<60), nil }, nil}}, nil
	}
	d := &Driver{Profile: Full, Root: t.TempDir(),
		Experiments: []Experiment{large, f.fake("needs", 1, nil, "large"), f.fake("other", 1, nil)}, Jobs: 1}
	steps, err := d.Plan()
	if err != nil {
		t.Fatal(err)
	}
	var failed *Failed
	if err := d.Run(t.Context(), steps); !errors.As(err, &failed) || strings.Join(failed.Names, " ") != "large needs" {
		t.Fatalf("%v", err)
	}
	if text := failed.First.Error(); !strings.HasPrefix(text,
		"experiment large was not begun: steps 2: counting takes at least 2.306e+06 TB of memory, and ") ||
		strings.Contains(text, "\n") {
		t.Error(text)
	}
	if got := strings.Join(f.runs, ", "); got != "other from 0" {
		t.Errorf("ran: %s", got)
	}
}

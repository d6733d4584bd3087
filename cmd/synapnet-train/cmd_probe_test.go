package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/measure"
)

// init lets an experiment run this test binary again as if it were the program.
func init() {
	if len(os.Args) == 2 && os.Args[1] == measure.ProbeCommand {
		os.Exit(run(context.Background(), append([]string{program}, os.Args[1:]...), os.Stdout, os.Stderr))
	}
}

// The program's own command is not in the help, and tells a user who tries it where to go.
func TestProbeIsHidden(t *testing.T) {
	if help := success(t, "help"); strings.Contains(help, measure.ProbeCommand+" ") {
		t.Errorf("%s", help)
	}
	// The tests' standard input is empty.
	code, _, stderr := real(t, measure.ProbeCommand)
	if code != exitFailure || !strings.Contains(stderr, "for the program's own use") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%d %s", code, stderr)
	}
}

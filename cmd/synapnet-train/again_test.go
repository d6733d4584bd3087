package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/layers"
)

// Ctrl-C is said in words of this program, whatever the command was about.
func TestInterruptionsAreSaidPlainly(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	for _, line := range []string{
		"eval " + model + " --contexts 32 --samples 65536 --tasks niah_single", "doctor --measure 1m",
		"bench --cases inference --contexts 64 --repetitions 1",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		stopped, stop := context.WithCancel(context.Background())
		context.AfterFunc(ctx, stop)
		var stdout, stderr bytes.Buffer
		code := run(stopped, strings.Fields(program+" "+line), &stdout, &stderr)
		cancel()
		if code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted") ||
			strings.Contains(stderr.String(), "context canceled") ||
			strings.Contains(stderr.String(), "cannot be run again") {
			t.Errorf("%s: %d %s", line, code, stderr.String())
		}
	}
}

// The command that continues a run has what its checkpoint does not: how often it saves, on how many threads it runs.
func TestTheCommandThatContinuesIsWhole(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	s := &stopAt{text: "step 1/", cancel: cancel}
	var out bytes.Buffer
	code := run(ctx, strings.Fields(program+" pretrain --curriculum 32 "+tiny+
		" --output-dir r --threads 1 --checkpoint-every 3"), &out, s)
	want := "continue with: synapnet-train pretrain --resume --output-dir r --checkpoint-every 3 --threads 1\n"
	if code != exitInterrupted || !strings.HasSuffix(s.String(), want) {
		t.Errorf("%d %s, want %s", code, s.String(), want)
	}
}

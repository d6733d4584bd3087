//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/layers"
)

// atOnce runs a command line that must not wait for anything.
func atOnce(t *testing.T, line string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		code, stdout, stderr = synapnet(ctx, t, line)
	}()
	select {
	case <-done:
		return code, stdout, stderr
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", line)
		return 0, "", ""
	}
}

// positions are, by command, command lines in each of which the word PIPE stands in the place of a file that is read.
// M is a model, I are token ids.
var positions = map[string][]string{
	"pretrain": {"pretrain --config PIPE --output-dir new", "pretrain --data PIPE --output-dir new",
		"pretrain --data D --tokenizer bytes --eval-data PIPE --output-dir new",
		"pretrain --data D --tokenizer PIPE --output-dir new", "pretrain --init-from PIPE --output-dir new"},
	"cajq-qat":    {"cajq-qat --config PIPE --output new.json", "cajq-qat --checkpoint PIPE --output new.json"},
	"cajq-3phase": {"cajq-3phase --config PIPE --output-dir new", "cajq-3phase --checkpoint PIPE --output-dir new"},
	"baee-train":  {"baee-train --checkpoint PIPE --output-dir new"},
	"baee-grid": {"baee-grid --checkpoint PIPE --output new.json",
		"baee-grid --checkpoint M --policies baee --protocol strict --contexts 64 --chunk-size 16 --classifier PIPE " +
			"--output new.json",
		"baee-grid --checkpoint M --policies locret_proxy --protocol strict --contexts 64 --chunk-size 16 --head PIPE " +
			"--output new.json"},
	"stream":  {"stream PIPE I", "stream M I --classifier PIPE", "stream M I --restore PIPE"},
	"export":  {"export PIPE --output new", "export M --data PIPE --output new"},
	"inspect": {"inspect PIPE", "inspect packed --against PIPE"},
	"eval":    {"eval PIPE", "eval M --data PIPE"},
	"info":    {"info PIPE", "info --config PIPE"},
	"conform": {"conform PIPE", "conform PIPE.json"},

	"experiments run":      {"experiments run energy --config PIPE"},
	"experiments settings": {"experiments settings energy --config PIPE"},
}

// A pipe in the place of any file that any command reads is refused in a line, and not waited for.
func TestPipesAreNotWaitedFor(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"PIPE", "PIPE.json"} {
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Skip(err)
		}
	}
	model := pressureModelFile(t)
	if err := errors.Join(os.Rename(model, "M"), os.Rename(textFile(t, ids(20)), "I")); err != nil {
		t.Fatal(err)
	}
	visits(t, "D", 0, 30)
	success(t, "export", "M", "--output", "packed", "--calib-samples", "4", "--calib-context", "32")
	before := present(t, ".")
	for command, use := range fileUses {
		lines := strings.Join(positions[command], "\n")
		for _, flag := range use.inputs {
			if !strings.Contains(lines, "--"+flag+" PIPE") {
				t.Errorf("no line of %s tries --%s", command, flag)
			}
		}
		if len(use.arguments) > 0 && !strings.Contains(lines, command+" PIPE") {
			t.Errorf("no line of %s tries %s", command, use.arguments[0])
		}
	}
	for _, lines := range positions {
		for _, line := range lines {
			code, stdout, stderr := atOnce(t, line)
			if code == exitOK || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "PIPE") ||
				!strings.Contains(stderr, "it is a pipe, not a file") {
				t.Errorf("%s: %d %s%s", line, code, stdout, stderr)
			}
		}
	}
	if after := present(t, "."); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

// The same of the files in the folders of runs and results.
func TestPipesInFoldersAreNotWaitedFor(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("three.toml", []byte(tinyThreePhase), 0o600); err != nil {
		t.Fatal(err)
	}
	runs := map[string]string{"pretrain": "pretrain --curriculum 32 " + tiny,
		"cajq-3phase": "cajq-3phase --config three.toml"}
	for command, line := range runs {
		for _, name := range []string{lab.CheckpointFile, "cost.json", ".run.lock"} {
			dir := command + name
			stopped(t, line+" --output-dir "+dir, "step 2/")
			path := filepath.Join(dir, name)
			if err := errors.Join(os.RemoveAll(path), syscall.Mkfifo(path, 0o644)); err != nil {
				t.Skip(err)
			}
			code, _, stderr := atOnce(t, command+" --resume --output-dir "+dir)
			if code == exitOK || !strings.Contains(stderr, path) || !strings.Contains(stderr, "it is a pipe, not a file") {
				t.Errorf("%s: %d %s", path, code, stderr)
			}
		}
	}
	all := experiments.All()
	for _, e := range all {
		path := filepath.Join("results", e.Folder, e.Name+".json")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), syscall.Mkfifo(path, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := atOnce(t, "experiments list --profile quick --results results")
	if code != exitOK || strings.Count(stdout, "unreadable") != len(all) {
		t.Errorf("list: %d %s%s", code, stdout, stderr)
	}
	for _, line := range []string{"experiments run --profile quick --results results",
		"experiments report --profile quick --results results"} {
		if _, stdout, stderr := atOnce(t, line); !strings.Contains(stdout+stderr, "it is a pipe, not a file") {
			t.Errorf("%s: %s%s", line, stdout, stderr)
		}
	}
	for _, lock := range []string{".experiments.lock", "pretrain/.pretrain.lock", "pretrain/" + lab.CheckpointFile} {
		dir := "locked" + fmt.Sprint(len(lock))
		path := filepath.Join(dir, lock)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), syscall.Mkfifo(path, 0o644)); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := atOnce(t, "experiments run pretrain --profile quick --results "+dir); code == exitOK ||
			!strings.Contains(stderr, "it is a pipe, not a file") {
			t.Errorf("%s: %d %s", path, code, stderr)
		}
	}
}

// A pipe of token ids is what stream is for: it is waited for, until Ctrl-C.
func TestStreamWaitsForAPipeUntilItIsInterrupted(t *testing.T) {
	model, pipe := smallModelFile(t, func(*layers.Config) {}), filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if code, _, stderr := piped(ctx, nil, "stream", model, pipe); code == exitOK || strings.Count(stderr, "\n") != 1 {
		t.Errorf("no writer: %d %s", code, stderr)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

func TestDoctor(t *testing.T) {
	code, stdout, stderr := outcome(t.Context(), t, "doctor", "--measure", "1ms")
	if code != exitOK || stderr != "" {
		t.Fatalf("%d %s", code, stderr)
	}
	for _, want := range []string{"Go            " + runtime.Version(), "SIMD kernels  " + vec.Level(), "BLAS          " +
		blas.Name(), "GFLOP/s", "(GOMAXPROCS)", "memory"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
}

func TestDoctorJSON(t *testing.T) {
	code, stdout, stderr := outcome(t.Context(), t, "doctor", "--json", "--measure", "1ms")
	var got diagnosis
	if err := json.Unmarshal([]byte(stdout), &got); code != exitOK || stderr != "" || err != nil {
		t.Fatalf("%d %s %v", code, stderr, err)
	}
	if got.BLAS != blas.Name() || got.SIMD != vec.Level() || got.GFLOPS <= 0 || got.Threads != runtime.GOMAXPROCS(0) ||
		got.CPU == "" || got.Build.Go != runtime.Version() {
		t.Errorf("%+v", got)
	}
	if runtime.GOOS == "linux" && (got.Memory.Total < 1<<26 || got.Memory.Available > got.Memory.Total) {
		t.Errorf("memory %+v", got.Memory)
	}
}

// The slow BLAS and idle cores are pointed out, the fast set-up is not.
func TestHints(t *testing.T) {
	slow := strings.Join(hints(diagnosis{BLAS: "gonum (pure Go)", Threads: 1, Cores: 8}), "\n")
	if !strings.Contains(slow, "make setup build") || !strings.Contains(slow, "1 of 8 cores") {
		t.Errorf("%s", slow)
	}
	for _, name := range []string{"OpenBLAS 0.3.21 SkylakeX (cgo)", "Accelerate (cgo)", "panels and gonum (pure Go)"} {
		if fast := hints(diagnosis{BLAS: name, Threads: 8, Cores: 8}); len(fast) != 0 {
			t.Errorf("%s: %s", name, fast)
		}
	}
}

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"anything", "--version"}, &stdout, &stderr)
	want := "synapnet-train version " + readBuild().String() + "\n"
	if code != exitOK || stdout.String() != want || stderr.Len() != 0 {
		t.Errorf("%d %q %q, want %q", code, stdout.String(), stderr.String(), want)
	}
}

// What the linker was told wins over what the go command recorded.
func TestBuild(t *testing.T) {
	defer func(v, c string) { version, commit = v, c }(version, commit)
	version, commit = "1.2.3", "abcdef"
	if got, want := readBuild().String(), "1.2.3 (commit abcdef, "+runtime.Version()+")"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	recorded := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"},
		{Key: "vcs.modified", Value: "true"}}
	if got := recordedCommit(recorded); got != "0123456789ab+changes" {
		t.Errorf("recorded %s", got)
	}
	if got := recordedCommit(nil); got != "" {
		t.Errorf("recorded %s", got)
	}
}

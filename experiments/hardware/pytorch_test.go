package hardware

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// other makes the test binary, run as an interpreter of Python would be, a side that computes with this program and
// calls itself PyTorch of the version that the variable says; one that ends in "wrong" has a loss or logit more.
const other = "SYNAPNET_TEST_PYTORCH"

func init() {
	if len(os.Args) == 2 && filepath.Base(os.Args[1]) == "pytorch.py" {
		if err := otherSide(os.Getenv(other)); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func otherSide(version string) error {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	request, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		rest := io.MultiReader(strings.NewReader(`{"batch":`+request+"}"), in)
		ended <- measure.Serve(context.Background(), measure.PassKinds(), rest, w)
		_ = w.Close() // never fails
	}()
	var ready measure.BatchReady
	answers := json.NewDecoder(r)
	if err := answers.Decode(&ready); err != nil {
		return err
	}
	ready.Version, ready.Build = version, "no Python"
	if strings.HasSuffix(version, "wrong") {
		ready.Computed[0]++
	}
	if err := json.NewEncoder(out).Encode(ready); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if _, err := io.Copy(os.Stdout, io.MultiReader(answers.Buffered(), r)); err != nil {
		return err
	}
	return <-ended
}

func smallPyTorch() pytorchSettings {
	return pytorchSettings{
		Cases:     []pytorchCase{{Train: true, Context: 16, Batch: 2}, {Context: 32, Batch: 1}},
		Optimiser: measure.Optimiser{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Clip: 1}, Warmups: 2, Rounds: 3, Tolerance: 1e-3,
		Seed: 1,
	}
}

// testPython is the test binary as an interpreter whose PyTorch has a version.
func testPython(t *testing.T, version string) []string {
	t.Helper()
	t.Setenv(other, version)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

func TestPyTorch(t *testing.T) {
	root, _ := labtest.StreamRoot(t)
	python, s := testPython(t, "2.0"), smallPyTorch()
	s.Compiled = true
	o := labtest.CheckRuns(t, PyTorchExperiment(), root, func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
		j.Python = python
		return runPyTorch(ctx, j, s)
	}, func(m result.Measurement) bool { return m.Metric == "disagreement" })
	for _, k := range s.Cases {
		for _, side := range []string{"PyTorch 2.0", "PyTorch 2.0, compiled"} {
			l := result.Labels{caseLabel: k.String(), result.ContextLabel: result.ContextOf(k.Context), sideLabel: side}
			if d := labtest.Find(t, o, result.Strict, "disagreement", l); d.Mean != 0 {
				t.Errorf("%v: the same program disagrees with itself by %g", l, d.Mean)
			}
			faster, time := labtest.Find(t, o, result.Strict, "times_faster", l), labtest.Find(t, o, result.Strict, "time", l)
			if faster.N != s.Rounds || faster.Mean <= 0 || time.N != s.Rounds {
				t.Errorf("%v: %+v %+v", l, faster, time)
			}
		}
	}
	if !strings.Contains(o.Notes[0], "PyTorch 2.0: no Python") {
		t.Errorf("notes: %q", o.Notes)
	}
}

// A side that computes something else is not timed, nor is a version twice.
func TestPyTorchThatIsNot(t *testing.T) {
	root, _ := labtest.StreamRoot(t)
	for version, want := range map[string]string{"1.13 wrong": "computes something else", "1.13": "name one of them"} {
		j := labtest.NewJob(t, PyTorchExperiment(), root)
		j.Python = testPython(t, version)
		j.Python = append(j.Python, j.Python...)
		if _, err := runPyTorch(t.Context(), j, smallPyTorch()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", version, err)
		}
		if _, err := os.Stat(j.Path); err == nil {
			t.Errorf("%s: a time was taken", version)
		}
	}
}

// What is lacking is said with the mend.
func TestLacksPyTorch(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	python := filepath.Join(t.TempDir(), "python")
	for code, want := range map[int]string{0: "", 3: "has no PyTorch: install it", 1: "cannot be run"} {
		text := fmt.Sprintf("#!/bin/sh\nexit %d\n", code)
		if err := os.WriteFile(python, []byte(text), 0o700); err != nil { //nolint:gosec // it is to be executed
			t.Fatal(err)
		}
		err := lacksPyTorch([]string{python})
		if want == "" && err == nil {
			continue
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--python") {
			t.Errorf("exit %d: %v", code, err)
		}
	}
	if err := lacksPyTorch([]string{python + "-absent"}); err == nil || !strings.Contains(err.Error(), "cannot be run") {
		t.Errorf("%v", err)
	}
}

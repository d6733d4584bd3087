// Package examples_test runs the tests of the examples that are a module of their own, which `go test ./...` does not
// enter.
package examples_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph/blas"
)

// A layer, an architecture, a policy, a task and a scheme of another module are trained, evaluated, packed and
// streamed.
func TestOutsideModule(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("examples/outside is not tested: there is no go command here")
	} else if err != nil {
		t.Fatal(err)
	}
	tags := "" // those that this test was built with
	switch library, _, _ := strings.Cut(blas.Name(), " "); library {
	case "OpenBLAS", "Accelerate":
		tags = strings.ToLower(library)
	}
	before, err := os.ReadFile("outside/go.sum")
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(goTool, "test", "-count=1", "-tags="+tags, "./...")
	run.Dir = "outside"
	run.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("go test in examples/outside: %v\n%s", err, out)
	}
	if after, err := os.ReadFile("outside/go.sum"); err != nil || string(after) != string(before) {
		t.Errorf("go.sum has changed: %v", err)
	}
}

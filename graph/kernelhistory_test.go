package graph

import (
	"reflect"
	"strings"
	"testing"
)

func TestKernelHistoriesGrowWithChangesAlone(t *testing.T) {
	a, b := Kernels{SIMD: "avx2", BLAS: "OpenBLAS 1 Haswell", Arch: "amd64", Go: "go1"},
		Kernels{SIMD: "go", BLAS: "gonum", Arch: "amd64", Go: "go1"}
	var h KernelHistory
	var warnings []string
	for _, s := range []struct {
		done int
		on   Kernels
	}{{0, a}, {0, b}, {0, a}, {5, a}, {9, b}, {9, a}, {9, b}, {20, b}, {30, a}} {
		var line string
		if h, line = h.Continue(s.done, s.on); line != "" {
			warnings = append(warnings, line)
		}
	}
	if want := (KernelHistory{{0, a}, {9, b}, {30, a}}); !reflect.DeepEqual(h, want) {
		t.Errorf("%+v, want %+v", h, want)
	}
	const line = "it goes on with other kernels: from SIMD avx2, BLAS OpenBLAS 1 Haswell to SIMD go, BLAS gonum; "
	if len(warnings) != 3 || !strings.HasPrefix(warnings[0], line) {
		t.Errorf("%q", warnings)
	}
	if h.Changes() == nil || (KernelHistory{{0, a}}).Changes() != nil {
		t.Error("changes")
	}
	if k := CurrentKernels(); k.SIMD == "" || k.BLAS == "" || k.Arch == "" || k.Go == "" {
		t.Errorf("%+v", k)
	}
}

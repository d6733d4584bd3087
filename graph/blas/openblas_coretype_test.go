//go:build cgo && openblas && linux && amd64

package blas

import (
	"os"
	"testing"

	"golang.org/x/sys/cpu"
)

func TestKernelsOldForTheProcessorAreReplaced(t *testing.T) {
	for _, c := range []struct {
		detected     string
		avx2, avx512 bool
		want         string
	}{
		{"Prescott", true, true, "SkylakeX"},
		{"Prescott", true, false, "Haswell"},
		{"Prescott", false, false, ""},
		{"Core2", true, false, "Haswell"},
		{"Haswell", true, true, ""}, // knows the processor and prefers it
		{"SkylakeX", true, true, ""},
		{"Zen", true, false, ""},
		{"Sapphirerapids", true, true, ""},
	} {
		if got := coretypeFor(c.detected, c.avx2, c.avx512); got != c.want {
			t.Errorf("coretypeFor(%q, avx2 %t, avx512 %t) is %q, want %q", c.detected, c.avx2, c.avx512, got, c.want)
		}
	}
}

func TestLoadedKernelsUseTheProcessor(t *testing.T) {
	if _, chosen := os.LookupEnv("OPENBLAS_CORETYPE"); chosen {
		t.Skip("OPENBLAS_CORETYPE is set")
	}
	if !canRedetect() {
		t.Skip("this OpenBLAS was built for one processor type")
	}
	if again := coretypeFor(corename(), cpu.X86.HasAVX2 && cpu.X86.HasFMA, hasSkylakeAVX512()); again != "" {
		t.Errorf("OpenBLAS runs its %s kernels on a processor that could run %s", corename(), again)
	}
}

//go:build cgo && openblas && linux && amd64

package blas

import (
	"os"
	"os/exec"
	"strings"
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

// A user who names kernels gets them, those too that this package would replace: a fault can be looked for on another
// machine's kernels.
func TestUsersCoretypeIsFollowed(t *testing.T) {
	const print = "SYNAPNET_TEST_PRINT_CORETYPE"
	if os.Getenv(print) != "" {
		t.Logf("kernels: %s.", corename())
		return
	}
	if !canRedetect() {
		t.Skip("this OpenBLAS was built for one processor type")
	}
	names := []string{"Prescott", "Core2", "Nehalem"} // processors of 2009 and later run these
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		names = append(names, "Haswell", "Zen")
	}
	if hasSkylakeAVX512() {
		names = append(names, "SkylakeX")
	}
	for _, name := range names {
		again := exec.Command(os.Args[0], "-test.run=^TestUsersCoretypeIsFollowed$", "-test.v", "-test.count=1")
		again.Env = append(os.Environ(), "OPENBLAS_CORETYPE="+name, print+"=1")
		out, err := again.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "kernels: "+name+".") {
			t.Errorf("OPENBLAS_CORETYPE=%s: %v\n%s", name, err, out)
		}
	}
}

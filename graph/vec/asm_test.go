package vec

import (
	"os"
	"regexp"
	"testing"
)

// The AVX2 file must not hold what only AVX-512 machines execute: instructions
// that avo marks so, opmasks, or registers above 15.
func TestAVX2KernelsNeedNoAVX512(t *testing.T) {
	src, err := os.ReadFile("kernels_avx2_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`AVX512|\bZ\d+\b|\bK[0-7]\b|\b[XY](1[6-9]|[23]\d)\b`).Find(src); bad != nil {
		t.Errorf("kernels_avx2_amd64.s contains %s", bad)
	}
}

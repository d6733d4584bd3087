//go:build cgo && openblas && linux && amd64

package blas

/*
#include <stdlib.h>

// What a build of OpenBLAS with run-time processor detection exports; weak, so
// that a build for one processor type links too.
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern void openblas_set_num_threads(int n);
extern int openblas_get_num_threads(void);
extern char *openblas_get_corename(void);

static int can_redetect(void) { return gotoblas_dynamic_init && gotoblas_dynamic_quit; }

// The library reads OPENBLAS_CORETYPE when it chooses its kernels, which it has
// done once already while it was loaded.
static void redetect(const char *coretype) {
	if (coretype) setenv("OPENBLAS_CORETYPE", coretype, 1);
	gotoblas_dynamic_quit();
	gotoblas_dynamic_init();
	if (coretype) unsetenv("OPENBLAS_CORETYPE");
	if (openblas_get_num_threads() != 1) openblas_set_num_threads(1);
}
*/
import "C"

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// preAVX2 are the kernel families an OpenBLAS falls back to when the processor is
// newer than itself: it identifies processors by model number, not by what they
// can do. OpenBLAS 0.3.21 (Debian 12), for one, runs an Emerald Rapids server on
// its Prescott (SSE3) kernels, at a fraction of the speed.
const preAVX2 = " katmai coppermine northwood prescott banias atom core2 penryn dunnington nehalem sandybridge " +
	"athlon opteron opteron_sse3 barcelona bobcat bulldozer piledriver steamroller nano generic unknown "

// A wrong guess of the library is mended here, before anything can multiply. The
// user's own OPENBLAS_CORETYPE has the last word.
func init() {
	want := coretypeFor(corename(), cpu.X86.HasAVX2 && cpu.X86.HasFMA, hasSkylakeAVX512())
	if _, chosen := os.LookupEnv("OPENBLAS_CORETYPE"); chosen || want == "" || !canRedetect() {
		return
	}
	name := C.CString(want)
	defer C.free(unsafe.Pointer(name))
	C.redetect(name)
}

// coretypeFor returns the kernel family to ask for in place of the one the
// library detected, or "" if that one suits the processor.
func coretypeFor(detected string, avx2, avx512 bool) string {
	if !strings.Contains(preAVX2, " "+strings.ToLower(detected)+" ") {
		return ""
	}
	switch {
	case avx512:
		return "SkylakeX"
	case avx2:
		return "Haswell"
	}
	return ""
}

func hasSkylakeAVX512() bool {
	x := cpu.X86
	return x.HasAVX2 && x.HasFMA && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL
}

func canRedetect() bool { return C.can_redetect() != 0 }

func corename() string { return C.GoString(C.openblas_get_corename()) }

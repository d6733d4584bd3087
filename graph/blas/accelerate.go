//go:build cgo && accelerate && darwin && !openblas

package blas

/*
#cgo LDFLAGS: -framework Accelerate
#include <dlfcn.h>
#include <stdlib.h>

// BLASSetThreading exists since macOS 15; it is looked up at run time so that
// the binary also starts on older systems, where the environment variable is
// the only way.
static void single_threaded(void) {
	setenv("VECLIB_MAXIMUM_THREADS", "1", 1);
	int (*set)(unsigned int) = (int (*)(unsigned int))dlsym(RTLD_DEFAULT, "BLASSetThreading");
	if (set) set(1); // BLAS_THREADING_SINGLE_THREADED
}
*/
import "C"

// The callers tile and parallelise; see the package comment.
func init() { C.single_threaded() }

// Name tells which library [Gemm] calls.
func Name() string { return "Accelerate (cgo)" }

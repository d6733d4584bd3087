//go:build cgo && openblas

package blas

/*
#cgo LDFLAGS: -lopenblas

// Declared here rather than included: the header's place differs between
// distributions, these signatures do not.
extern void openblas_set_num_threads(int n);
extern int openblas_get_num_threads(void);
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);
*/
import "C"

import (
	"fmt"
	"strings"
)

// The callers tile and parallelise; a library that also did would oversubscribe
// the processors and cut accumulations by their number. Where that is so already (threads_linux.go), the call would
// only start threads again.
func init() {
	if C.openblas_get_num_threads() != 1 {
		C.openblas_set_num_threads(1)
	}
}

// Name tells which library [Gemm] calls, its version and the processor kernels it
// chose, for example "OpenBLAS 0.3.21 SkylakeX (cgo)".
func Name() string {
	version := "(unknown version)"
	if f := strings.Fields(C.GoString(C.openblas_get_config())); len(f) > 1 && f[0] == "OpenBLAS" {
		version = f[1]
	}
	return fmt.Sprintf("OpenBLAS %s %s (cgo)", version, C.GoString(C.openblas_get_corename()))
}

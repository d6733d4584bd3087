package qat

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/internal/spelling"
)

// checkNames refuses names that are unknown, with the nearest known one, or given twice.
func checkNames[S ~string](kind string, names, known []S) error {
	for i, n := range names {
		if !slices.Contains(known, n) {
			return fmt.Errorf("unknown %s %q: did you mean %q? There are %s", kind, n, spelling.Nearest(n, known), join(known))
		}
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("%s %q is given twice: name it once", kind, n)
		}
	}
	return nil
}

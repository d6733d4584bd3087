package qat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

// checkNames refuses names that are unknown, with the nearest known one, or given twice.
func checkNames[S ~string](kind string, names, known []S) error {
	for i, n := range names {
		if !slices.Contains(known, n) {
			return fmt.Errorf("unknown %s %q: did you mean %q? There are %s", kind, n, nearest(n, known), join(known))
		}
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("%s %q is given twice: name it once", kind, n)
		}
	}
	return nil
}

// nearest is the known name with the least edit distance, the first of equals.
func nearest[S ~string](name S, known []S) S {
	const longest = 64 // the distance takes quadratic time; no name is longer
	text := strings.ToLower(string(name[:min(len(name), longest)]))
	best, least := known[0], -1
	for _, k := range known {
		if d := smetrics.WagnerFischer(text, string(k), 1, 1, 1); least < 0 || d < least {
			best, least = k, d
		}
	}
	return best
}

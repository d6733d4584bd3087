package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/metrics"
)

// What results keep and say about work that is continued.

// mostKept is the number of steps, or of epochs, of a training that a result keeps: enough for any plot, and little
// enough to be read. The whole history is in the file beside the checkpoint.
const mostKept = 20_000

// Thin is every k-th of a history, counted from its end, so that at most mostKept are left; all of a short one.
func Thin[T any](all []T) []T { return ThinTo(mostKept, all) }

// ThinTo is Thin with another bound.
func ThinTo[T any](most int, all []T) []T {
	k := (len(all) + most - 1) / most
	if k < 2 {
		return all
	}
	kept := make([]T, 0, most)
	for i := (len(all) - 1) % k; i < len(all); i += k {
		kept = append(kept, all[i])
	}
	return kept
}

// RemoveCheckpoint removes a checkpoint that has served, and the history beside it, in both its forms.
func RemoveCheckpoint(path string) error {
	return removeFiles(path, metrics.Beside(path), metrics.EventsBeside(path))
}

// removeFiles removes files that may be gone.
func removeFiles(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// KeysNote is a line that says that what a file holds goes on with its version of the keys of samples, not with the
// wanted one; "" where they are the same.
func KeysNote(path string, wanted, began tasks.Keys) string {
	if wanted.Version() == began.Version() {
		return ""
	}
	return fmt.Sprintf("%s was begun with sample_keys %d: it goes on with them, not with %d", path, began.Version(),
		wanted.Version())
}

// kernelsOf are the kernels in an environment.
func kernelsOf(e result.Environment) graph.Kernels {
	_, arch, _ := strings.Cut(e.Platform, "/")
	return graph.Kernels{SIMD: e.SIMD, BLAS: e.BLAS, Arch: arch, Go: e.Go}
}

// follow takes over what an earlier call left: its cost, and the kernels that it measured with.
func (f *ResultFile) follow(before *result.Result) {
	f.spent = before.Cost
	if before.Details == nil {
		return
	}
	was, now := before.Kernels, kernelsOf(f.head.Environment)
	if len(was) == 0 {
		was = []graph.Kernels{kernelsOf(before.Environment)}
	}
	last := was[len(was)-1]
	if last == now {
		f.head.Kernels = before.Kernels
		return
	}
	f.head.Kernels = append(slices.Clone(was), now)
	f.Note = fmt.Sprintf("%s was begun on other kernels (%s; these are %s): what it holds is kept, and numbers may "+
		"differ by rounding",
		f.path, last, now)
}

// LossBlock is the number of steps whose mean loss is a measurement.
const LossBlock = 64

// MostEvaluations is how many evaluations, or epochs, a result keeps.
const MostEvaluations = 2000

package graph

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/synapnet/synapnet-train/graph/blas"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// Kernels names what the bits of a computation depend on besides its input: equal runs on equal kernels give equal
// bytes, whatever the number of threads; on other kernels they agree within rounding. The zero value is "not recorded".
type Kernels struct {
	SIMD string `json:"simd"` // level of graph/vec
	BLAS string `json:"blas"` // library, version and processor kernels of graph/blas
	Arch string `json:"arch"` // GOARCH
	Go   string `json:"go"`   // version of the compiler, whose mathematical functions are used
}

// CurrentKernels are those of this process.
func CurrentKernels() Kernels {
	return Kernels{SIMD: vec.Level(), BLAS: blas.Name(), Arch: runtime.GOARCH, Go: runtime.Version()}
}

// String is all in one line.
func (k Kernels) String() string {
	if k == (Kernels{}) {
		return "kernels that were not recorded"
	}
	return fmt.Sprintf("SIMD %s, %s, %s, %s", k.SIMD, k.BLAS, k.Arch, k.Go)
}

// KernelRange are the kernels from a step of a run on.
type KernelRange struct {
	From int `json:"from"` // steps that were done before
	Kernels
}

// KernelHistory are the kernels of a run, in the order of its steps. Its length grows only where kernels change.
type KernelHistory []KernelRange

// Continue is the history of a run that goes on after `done` steps on the kernels now. Where these are others than
// before, warning is a line that says so, for users; it is empty otherwise. A run without a history is of a program
// that kept none.
func (h KernelHistory) Continue(done int, now Kernels) (all KernelHistory, warning string) {
	if done == 0 {
		return KernelHistory{{0, now}}, ""
	}
	all = append(all, h...)
	for len(all) > 1 && all[len(all)-1].From >= done {
		all = all[:len(all)-1] // no step was made on them
	}
	if len(all) == 0 {
		all = KernelHistory{{0, Kernels{}}}
	}
	was := all[len(all)-1].Kernels
	if was == now {
		return all, ""
	}
	return append(all, KernelRange{done, now}), changed(was, now)
}

// Changes is the history of a run whose kernels changed on the way, nil for one that was made on the same from end to
// end.
func (h KernelHistory) Changes() KernelHistory {
	if len(h) < 2 {
		return nil
	}
	return h
}

// changed is the line about a change of kernels.
func changed(was, now Kernels) string {
	const result = "what follows equals what an unbroken run gives within rounding, not to the bit"
	if was == (Kernels{}) {
		return fmt.Sprintf("it is not recorded on which kernels this was begun; these are %s: if they are others, %s", now,
			result)
	}
	var from, to []string
	for _, part := range []struct{ name, was, now string }{
		{"SIMD ", was.SIMD, now.SIMD}, {"BLAS ", was.BLAS, now.BLAS}, {"", was.Arch, now.Arch}, {"", was.Go, now.Go},
	} {
		if part.was != part.now {
			from, to = append(from, part.name+part.was), append(to, part.name+part.now)
		}
	}
	return fmt.Sprintf("it goes on with other kernels: from %s to %s; %s", strings.Join(from, ", "),
		strings.Join(to, ", "), result)
}

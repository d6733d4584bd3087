// Package host tells what this process may use of the machine it runs on.
package host

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
)

// TooLarge is the error of work that does not fit.
type TooLarge struct {
	What string // "the weights", "a step at context 1024": takes Need
	Need uint64 // bytes
	Room Room
}

// Error is one line that names what, its size and the room there is.
func (e *TooLarge) Error() string {
	return fmt.Sprintf("%s takes %s of memory, and %s", e.What, Size(e.Need), e.Room)
}

// settled says that the process has multiplied before: its threads and buffers are there, and counted as what it holds.
var settled atomic.Bool

// Settled is called when a computation has run.
func Settled() {
	if !settled.Load() {
		settled.Store(true)
	}
}

// unchecked is what is too small to ask the system about: reading its files takes longer than such work.
const unchecked = 16 << 20

// Check is a *TooLarge if what is about to be allocated does not fit. It is asked before every allocation whose size a
// user or a file decides: an allocation that fails ends a Go program without a word that helps.
func Check(what string, need uint64) error {
	if need < unchecked {
		return nil
	}
	return check(what, need, free(false))
}

// CheckComputation is Check for the memory of a computation. Under a limit on address space even the smallest is asked
// for: where OpenBLAS cannot reserve its buffers it waits for ever.
func CheckComputation(what string, need uint64) error {
	if need < unchecked && !addressRoom(false).Known {
		return nil
	}
	return check(what, need, Free())
}

func check(what string, need uint64, r Room) error {
	if r.Known && need > r.Bytes {
		return &TooLarge{what, need, r}
	}
	return nil
}

// Size spells a number of bytes: MB up to a gigabyte, then GB, in powers of ten.
func Size(bytes uint64) string {
	switch b := float64(bytes); {
	case b >= 1e12:
		return fmt.Sprintf("%.4g TB", b/1e12)
	case b >= 1e10:
		return fmt.Sprintf("%.1f GB", b/1e9)
	case b >= 1e9:
		return fmt.Sprintf("%.2f GB", b/1e9)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}

// Times is the product of counts and sizes, the largest uint64 if it exceeds that or a factor is negative.
func Times(factors ...int) uint64 {
	product := uint64(1)
	for _, f := range factors {
		if f < 0 || f > 0 && product > math.MaxUint64/uint64(f) {
			return math.MaxUint64
		}
		product *= uint64(f)
	}
	return product
}

// Plus is a sum that stops at the largest uint64.
func Plus(terms ...uint64) uint64 {
	sum := uint64(0)
	for _, t := range terms {
		if sum += t; sum < t {
			return math.MaxUint64
		}
	}
	return sum
}

// BoundGarbage makes Go collect garbage before the process reaches what limits it: without, the heap may grow to twice
// what is in use, and a run that fits is ended. GOMEMLIMIT of the user's own has the last word. It changes when memory
// is collected, never what is computed.
func BoundGarbage() {
	if _, set := os.LookupEnv("GOMEMLIMIT"); set {
		return
	}
	if r := Free(); r.Known && r.Bytes < math.MaxInt64/2 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		const least = 64 << 20 // below it Go would do nothing but collect
		debug.SetMemoryLimit(int64(m.Sys-m.HeapReleased) + max(least, int64(r.Bytes/20*19)))
	}
}

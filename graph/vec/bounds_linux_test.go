package vec

import (
	"math/rand"
	"syscall"
	"testing"
	"unsafe"
)

// fenced returns one page of float32 between two pages that may not be touched.
func fenced(t *testing.T) []float32 {
	page := syscall.Getpagesize()
	b, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(b); err != nil {
			t.Error(err)
		}
	})
	for _, fence := range [][]byte{b[:page], b[2*page:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[page])), page/4)
}

// A read or write past either end of a slice ends the test with a fault.
func TestKernelsDoNotReadOutOfBounds(t *testing.T) {
	var pages [][]float32
	for range 6 {
		pages = append(pages, fenced(t))
	}
	r := rand.New(rand.NewSource(9))
	eachLevel(t, func(t *testing.T) {
		for _, c := range kernelCases() {
			for n := range 131 {
				in := c.inputs(r, n, 1)
				for _, atEnd := range []bool{false, true} {
					v := make([][]float32, c.args)
					for k := range v {
						v[k] = pages[k][:n]
						if atEnd {
							v[k] = pages[k][len(pages[k])-n:]
						}
						copy(v[k], in[k])
					}
					c.check(t, in, v, c.run(v))
				}
			}
		}
	})
}

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

// The panel kernels read and write up to the last byte of their slices and not beyond.
func TestPanelsDoNotReadOutOfBounds(t *testing.T) {
	var pages [][]float32
	for range 4 {
		pages = append(pages, fenced(t))
	}
	end := func(page, n int) []float32 { return pages[page][len(pages[page])-n:] }
	eachLevel(t, func(t *testing.T) {
		lanes := PanelLanes()
		width := 2 * lanes
		for rows := 1; rows < 20; rows++ {
			for k := 1; k < 10; k++ {
				c, a, panel := end(0, rows*width), end(1, rows*k), end(2, k*width)
				PanelMul(c, a, panel, end(3, width), rows, k, k, width)
				PanelAdd(c, a, panel, rows, k, k, width)
				PanelAddT(c, a, panel, rows, k, rows, width)
			}
		}
		for _, bits := range []int{8, 4, 2} {
			for words := 1; words < 4; words++ {
				codes := end(0, lanes*words)
				bytes := unsafe.Slice((*byte)(unsafe.Pointer(&codes[0])), 4*lanes*words)
				offsets := unsafe.Slice((*int32)(unsafe.Pointer(&end(1, lanes)[0])), lanes)
				for i := range offsets {
					offsets[i] = int32(4 * words * i)
				}
				if bits == 8 {
					PanelPack(end(2, 4*words*lanes), end(0, 4*words*lanes), offsets, 4*words, lanes)
				}
				PanelUnpack(bits, end(2, words*32/bits*lanes), bytes, offsets, end(3, lanes), end(3, lanes), words, lanes)
			}
		}
	})
}

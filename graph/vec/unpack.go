package vec

import "fmt"

// Unpack4 computes dst = (q-zero)·scale for 4-bit codes q, two a byte, the first in the low half. codes has
// (len(dst)+1)/2 bytes. All levels give the same bits.
func Unpack4(dst []float32, codes []byte, zero, scale float32) {
	if len(codes) != (len(dst)+1)/2 {
		codeMismatch("Unpack4", len(dst), len(codes), (len(dst)+1)/2)
	}
	unpack4Kernel(dst, codes, zero, scale)
	if done := len(dst) / unpackBlock * unpackBlock; done < len(dst) {
		unpack4Go(dst[done:], codes[done/2:], zero, scale)
	}
}

// Unpack8 computes dst = (q-zero)·scale for signed bytes q. codes has len(dst) bytes. All levels give the same bits.
func Unpack8(dst []float32, codes []byte, zero, scale float32) {
	if len(codes) != len(dst) {
		codeMismatch("Unpack8", len(dst), len(codes), len(dst))
	}
	unpack8Kernel(dst, codes, zero, scale)
	if done := len(dst) / unpackBlock * unpackBlock; done < len(dst) {
		unpack8Go(dst[done:], codes[done:], zero, scale)
	}
}

// Unpack2 computes dst = (q-zero)·scale for 2-bit codes q, four a byte, the first in the lowest bits. codes has
// (len(dst)+3)/4 bytes. All levels give the same bits.
func Unpack2(dst []float32, codes []byte, zero, scale float32) {
	if len(codes) != (len(dst)+3)/4 {
		codeMismatch("Unpack2", len(dst), len(codes), (len(dst)+3)/4)
	}
	unpack2Kernel(dst, codes, zero, scale)
	if done := len(dst) / unpackBlock * unpackBlock; done < len(dst) {
		unpack2Go(dst[done:], codes[done/4:], zero, scale)
	}
}

// unpackBlock is the number of codes that the assembly unpacks at a time; it leaves the rest.
const unpackBlock = 16

//go:noinline
func codeMismatch(fn string, n, got, want int) {
	panic(fmt.Sprintf("vec.%s: got %d bytes of codes, want %d for %d floats", fn, got, want, n))
}

func unpack8Go(dst []float32, codes []byte, zero, scale float32) {
	for i := range dst {
		dst[i] = (float32(int8(codes[i])) - zero) * scale
	}
}

func unpack4Go(dst []float32, codes []byte, zero, scale float32) {
	for i := range dst {
		q := codes[i/2] >> (4 * (i % 2)) & 15
		dst[i] = (float32(q) - zero) * scale
	}
}

func unpack2Go(dst []float32, codes []byte, zero, scale float32) {
	for i := range dst {
		q := codes[i/4] >> (2 * (i % 4)) & 3
		dst[i] = (float32(q) - zero) * scale
	}
}

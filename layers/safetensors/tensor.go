package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	format "github.com/nlpodyssey/safetensors"
)

// DType is the element type of a tensor.
type DType = format.DType

// The element types of the format, all little-endian.
const (
	Bool = format.BOOL
	U8   = format.U8
	I8   = format.I8
	I16  = format.I16
	U16  = format.U16
	F16  = format.F16
	BF16 = format.BF16
	I32  = format.I32
	U32  = format.U32
	F32  = format.F32
	F64  = format.F64
	I64  = format.I64
	U64  = format.U64
)

// Tensor is one named array in row-major order.
type Tensor struct {
	// Name is unique within a file, e.g. the PyTorch state-dict name.
	Name string
	// DType is the type of every element.
	DType DType
	// Shape lists the dimensions; an empty shape is a scalar (one element).
	Shape []int
	// Data holds the elements, little-endian, Len() * DType.Size() bytes.
	Data []byte
}

// Len is the number of elements, the product of Shape (1 for a scalar).
// It is meaningful for tensors that Read returned or Write accepts.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// check says whether the tensor can be written, or its Data read.
func (t Tensor) check() error {
	if t.DType > U64 {
		return fmt.Errorf("tensor %q: unknown dtype number %d", t.Name, uint8(t.DType))
	}
	dims := make([]uint64, len(t.Shape))
	for i, d := range t.Shape {
		if d < 0 {
			return fmt.Errorf("tensor %q: shape %v has a negative dimension", t.Name, t.Shape)
		}
		dims[i] = uint64(d)
	}
	return checkSize(t.Name, t.DType, dims, uint64(len(t.Data)))
}

// checkSize compares shape x dtype with the number of bytes there are.
func checkSize(name string, dtype DType, shape []uint64, have uint64) error {
	want, ok := byteSize(dtype, shape)
	if !ok {
		return fmt.Errorf("tensor %q: shape %v is too large to address", name, shape)
	}
	if want != have {
		return fmt.Errorf("tensor %q: shape %v of %s takes %d bytes, but it has %d", name, shape, dtype, want, have)
	}
	return nil
}

// byteSize returns the bytes that shape x dtype takes, false on overflow.
func byteSize(dtype DType, shape []uint64) (uint64, bool) {
	size := dtype.Size()
	for _, d := range shape {
		high, low := bits.Mul64(size, d)
		if high != 0 || d > math.MaxInt {
			return 0, false
		}
		size = low
	}
	return size, size <= math.MaxInt
}

// Float32s returns the elements of an F32, F16, BF16 or F64 tensor as float32,
// in a new slice. F64 values are rounded to nearest (beyond float32's range: ±Inf).
// Other dtypes are an error.
func (t Tensor) Float32s() ([]float32, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	var at func(b []byte) float32
	switch t.DType {
	case F32:
		at = func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	case F64:
		at = func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }
	case F16:
		at = func(b []byte) float32 { return halfToFloat32(binary.LittleEndian.Uint16(b)) }
	case BF16:
		at = func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }
	default:
		return nil, fmt.Errorf("tensor %q: dtype %s is not a floating-point type (F16, BF16, F32, F64)", t.Name, t.DType)
	}
	return decode(t, at), nil
}

// decode applies at to the bytes of every element.
func decode[T any](t Tensor, at func([]byte) T) []T {
	size := int(t.DType.Size())
	out := make([]T, len(t.Data)/size)
	for i := range out {
		out[i] = at(t.Data[i*size:])
	}
	return out
}

// halfToFloat32 widens IEEE 754 binary16; every value is exact in float32.
func halfToFloat32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent := uint32(h >> 10 & 0x1f)
	fraction := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction * 2^-24
		magnitude := float32(fraction) * 0x1p-24
		return math.Float32frombits(sign | math.Float32bits(magnitude))
	case 0x1f: // infinities and NaNs
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

package safetensors

import (
	"encoding/binary"
	"fmt"
)

// integer is what the integer accessors return.
type integer interface {
	~int8 | ~uint8 | ~int32 | ~int64 | ~uint64
}

// Int64s returns the elements of a tensor of any integer dtype (or Bool, as 0
// and 1) as int64, in a new slice; a value that does not fit is an error.
func (t Tensor) Int64s() ([]int64, error) { return integers[int64](t, I64) }

// Uint64s is Int64s for uint64.
func (t Tensor) Uint64s() ([]uint64, error) { return integers[uint64](t, U64) }

// Int32s is Int64s for int32.
func (t Tensor) Int32s() ([]int32, error) { return integers[int32](t, I32) }

// Int8s is Int64s for int8.
func (t Tensor) Int8s() ([]int8, error) { return integers[int8](t, I8) }

// Uint8s is Int64s for uint8.
func (t Tensor) Uint8s() ([]uint8, error) { return integers[uint8](t, U8) }

// integers converts each element to T, checking that it survives.
func integers[T integer](t Tensor, want DType) ([]T, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if t.DType == U64 {
		return convert(t, want, decode(t, binary.LittleEndian.Uint64), func(v uint64) (T, bool) {
			x := T(v)
			return x, x >= 0 && uint64(x) == v
		})
	}
	at, ok := signedReader(t.DType)
	if !ok {
		return nil, fmt.Errorf("tensor %q: dtype %s is not an integer type", t.Name, t.DType)
	}
	return convert(t, want, decode(t, at), func(v int64) (T, bool) {
		x := T(v)
		return x, int64(x) == v && (x < 0) == (v < 0)
	})
}

// signedReader reads one element of an integer dtype that int64 holds.
func signedReader(dtype DType) (func([]byte) int64, bool) {
	le := binary.LittleEndian
	switch dtype {
	case Bool, U8:
		return func(b []byte) int64 { return int64(b[0]) }, true
	case I8:
		return func(b []byte) int64 { return int64(int8(b[0])) }, true
	case I16:
		return func(b []byte) int64 { return int64(int16(le.Uint16(b))) }, true
	case U16:
		return func(b []byte) int64 { return int64(le.Uint16(b)) }, true
	case I32:
		return func(b []byte) int64 { return int64(int32(le.Uint32(b))) }, true
	case U32:
		return func(b []byte) int64 { return int64(le.Uint32(b)) }, true
	case I64:
		return func(b []byte) int64 { return int64(le.Uint64(b)) }, true
	}
	return nil, false
}

func convert[From, To any](t Tensor, want DType, in []From, to func(From) (To, bool)) ([]To, error) {
	out := make([]To, len(in))
	for i, v := range in {
		x, ok := to(v)
		if !ok {
			return nil, fmt.Errorf("tensor %q: element %d is %v, which does not fit %s", t.Name, i, v, want)
		}
		out[i] = x
	}
	return out, nil
}

package safetensors

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Int64s returns the elements of a tensor of any integer dtype (or Bool, as 0 and 1) as int64, in a new slice; a value
// that does not fit is an error.
func (t Tensor) Int64s() ([]int64, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	at, ok := integerReader(t.DType)
	if !ok {
		return nil, fmt.Errorf("tensor %q: dtype %s is not an integer type", t.Name, t.DType)
	}
	values := decode(t, at)
	if i := slices.IndexFunc(values, func(v int64) bool { return v < 0 }); i >= 0 && t.DType == U64 {
		return nil, fmt.Errorf("tensor %q: element %d is %d, which does not fit I64", t.Name, i, uint64(values[i]))
	}
	return values, nil
}

// integerReader reads one element of an integer dtype; one of U64 beyond int64 comes out negative.
func integerReader(dtype DType) (func([]byte) int64, bool) {
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
	case I64, U64:
		return func(b []byte) int64 { return int64(le.Uint64(b)) }, true
	}
	return nil, false
}

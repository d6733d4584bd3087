package safetensors

import (
	"encoding/binary"
	"unsafe"
)

// The constructors take a shape and its elements in row-major order. They do
// not copy: the tensor shares data's memory (on little-endian machines), so do
// not change data before the tensor has been written. Write reports a shape
// that does not fit the data.

// FromFloat32 makes an F32 tensor.
func FromFloat32(name string, shape []int, data []float32) Tensor {
	return fromSlice(name, F32, shape, data)
}

// FromInt64 makes an I64 tensor.
func FromInt64(name string, shape []int, data []int64) Tensor {
	return fromSlice(name, I64, shape, data)
}

// FromUint8 makes a U8 tensor.
func FromUint8(name string, shape []int, data []uint8) Tensor {
	return fromSlice(name, U8, shape, data)
}

// element is a number of a tensor's dtype.
type element interface {
	int8 | uint8 | int32 | int64 | uint64 | float32 | float64
}

func fromSlice[T element](name string, dtype DType, shape []int, data []T) Tensor {
	return Tensor{Name: name, DType: dtype, Shape: append([]int{}, shape...), Data: littleEndian(data)}
}

// hostIsLittleEndian says whether memory already has the file's byte order.
var hostIsLittleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// littleEndian returns data's elements as bytes in file order.
func littleEndian[T element](data []T) []byte {
	if len(data) == 0 {
		return []byte{}
	}
	size := int(unsafe.Sizeof(data[0]))
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), len(data)*size)
	if hostIsLittleEndian {
		return raw
	}
	return reversedElements(raw, size)
}

// reversedElements copies raw with the bytes of each element reversed.
func reversedElements(raw []byte, size int) []byte {
	out := make([]byte, len(raw))
	for i := range raw {
		element, byteIn := i/size, i%size
		out[element*size+size-1-byteIn] = raw[i]
	}
	return out
}

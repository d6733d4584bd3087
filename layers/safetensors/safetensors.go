// Package safetensors reads and writes .safetensors files, the exchange format
// for weights, checkpoints and golden tensors
// (https://github.com/huggingface/safetensors, "Format").
//
// A file is an 8-byte little-endian header length, a JSON header that maps
// tensor names to dtype, shape and byte range, and one data section.
// github.com/nlpodyssey/safetensors does the encoding and the JSON decoding.
// That library lets duplicate names pass, can be made to slice out of range by
// offsets that overflow, and says little about what is wrong; this package adds
// those checks, a checksum, and atomic writes.
package safetensors

// File is the content of a .safetensors file.
type File struct {
	// Tensors in the order of their bytes in the file when read. Write chooses
	// its own order (widest dtype first, then by name).
	Tensors []Tensor
	// Metadata is the header's free-form `__metadata__` map, without the two
	// checksum keys, which Write adds and Read takes out.
	Metadata map[string]string
	// Checksum is the hexadecimal SHA-256 of the data section that Read
	// verified; empty for a file that carries none (one saved from PyTorch).
	// Write ignores it and computes its own.
	Checksum string
}

// Lookup returns the tensor called name, and whether the file has it.
func (f *File) Lookup(name string) (Tensor, bool) {
	for _, t := range f.Tensors {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}

// Names returns the tensors' names in the order of Tensors.
func (f *File) Names() []string {
	names := make([]string, len(f.Tensors))
	for i, t := range f.Tensors {
		names[i] = t.Name
	}
	return names
}

package safetensors

import (
	"fmt"
	"io"
	"maps"
	"unicode/utf8"

	format "github.com/nlpodyssey/safetensors"

	"github.com/synapnet/synapnet-train/internal/files"
)

// metadataName is the header entry that holds Metadata, so no tensor's name.
const metadataName = "__metadata__"

// Write stores f at path, with checksums. The bytes depend on the content
// only, not on the order of f.Tensors. They go to a temporary file in the same
// directory, which is synced and renamed: after a crash or an error, path holds
// either what it held before or all of f. The tensors' data is not copied.
// Errors are one line with the path and the mend.
func Write(path string, f *File) error {
	header, err := prepare(f)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return files.Replace(path, header.size, header.encode)
}

// prepared is a checked file in the form the library writes.
type prepared struct {
	views    map[string]view
	metadata map[string]string
	size     int64 // of the data section, bytes
}

// view lends a Tensor to the library's encoder.
type view struct {
	dtype DType
	shape []uint64
	data  []byte
}

// EncodedSize is the length in bytes of the file that Write makes of f; its errors are those of a file that is not
// valid.
func EncodedSize(f *File) (int64, error) {
	p, err := prepare(f)
	if err != nil {
		return 0, err
	}
	var n counter
	err = p.encode(&n)
	return int64(n), err
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func (v view) DType() DType    { return v.dtype }
func (v view) Shape() []uint64 { return v.shape }
func (v view) Data() []byte    { return v.data }
func (v view) DataLen() uint64 { return uint64(len(v.data)) }

// prepare checks f and computes its checksums.
func prepare(f *File) (prepared, error) {
	p := prepared{views: make(map[string]view, len(f.Tensors)), metadata: map[string]string{}}
	for _, t := range f.Tensors {
		if err := p.add(t); err != nil {
			return p, err
		}
	}
	if err := checkMetadata(f.Metadata); err != nil {
		return p, err
	}
	maps.Copy(p.metadata, f.Metadata)
	data, length := newDataHash(), counter(0)
	if err := p.encode(io.MultiWriter(data, &length)); err != nil {
		return p, err
	}
	// What Read would refuse is not written: the checksums, which are still to come, are short.
	if header := int64(length) - p.size + checksumRoom; header > maxHeader {
		return p,
			fmt.Errorf("its header would have some %d bytes: the format allows %d; keep large metadata in a file of their own",
				header, maxHeader)
	}
	header, err := headerChecksum(f)
	if err != nil {
		return p, err
	}
	p.metadata[keyData], p.metadata[keyHeader] = data.sum(), header
	return p, nil
}

// add checks one tensor and keeps a view of it.
func (p *prepared) add(t Tensor) error {
	if err := t.check(); err != nil {
		return err
	}
	if t.Name == metadataName {
		return fmt.Errorf("tensor name %q is reserved by the format", t.Name)
	}
	if !utf8.ValidString(t.Name) {
		return fmt.Errorf("tensor name %q is not valid UTF-8", t.Name)
	}
	if _, twice := p.views[t.Name]; twice {
		return fmt.Errorf("two tensors are called %q", t.Name)
	}
	v := view{dtype: t.DType, shape: make([]uint64, len(t.Shape)), data: t.Data}
	for i, d := range t.Shape {
		v.shape[i] = uint64(d)
	}
	p.views[t.Name] = v
	p.size += int64(len(t.Data))
	return nil
}

// checksumRoom is more than the checksums take in the header, bytes.
const checksumRoom = 1024

// checkMetadata refuses entries that JSON or Read would not give back.
func checkMetadata(metadata map[string]string) error {
	for key, value := range metadata {
		if key == keyData || key == keyHeader {
			return fmt.Errorf("metadata key %q is reserved for the checksum", key)
		}
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return fmt.Errorf("metadata entry %q is not valid UTF-8", key)
		}
	}
	return nil
}

// encode writes the whole file to w.
func (p prepared) encode(w io.Writer) error {
	return format.SerializeToWriter(p.views, p.metadata, w)
}

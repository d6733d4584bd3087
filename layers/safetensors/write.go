package safetensors

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"unicode/utf8"

	"github.com/google/renameio/v2"
	format "github.com/nlpodyssey/safetensors"
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
	if err := replace(path, header); err != nil {
		return writeError(path, header.size, err)
	}
	return nil
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

// EncodedSize is the length in bytes of the file that Write makes of f; its errors are those of a file that is not valid.
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
		return p, fmt.Errorf("its header would have some %d bytes: the format allows %d; keep large metadata in a file of their own", header, maxHeader)
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

// replace writes p beside path, syncs it and renames it to path.
func replace(path string, p prepared) (err error) {
	dir := filepath.Dir(path)
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Cleanup()) }()
	buffered := bufio.NewWriterSize(file, 1<<20)
	if err := p.encode(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the rename itself survive a power loss. Some file systems
// cannot sync a directory; the file's own content is safe by then.
func syncDir(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

// writeError names the file and what the user can do about it.
func writeError(path string, size int64, err error) error {
	dir := filepath.Dir(path)
	mend := ""
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		mend = fmt.Sprintf("; free at least %d MB there or choose another directory", size>>20+1)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		mend = fmt.Sprintf("; make %s writable or choose another directory", dir)
	case errors.Is(err, fs.ErrNotExist):
		mend = fmt.Sprintf("; create the directory %s first", dir)
	case errors.Is(err, syscall.ENOTDIR):
		mend = fmt.Sprintf("; %s is not a directory, choose one that is", dir)
	}
	return fmt.Errorf("cannot write %s: %w%s", path, reason(err), mend)
}

// reason strips the temporary name that os errors carry: it means nothing to a user.
func reason(err error) error {
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return withoutPath(err)
}

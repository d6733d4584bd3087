package data

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"math/bits"
	"os"
	"runtime"
	"slices"
)

// partition is how many different hashes are compared at a time.
var partition = 1 << 19

// hashes is a list of hashes on disk.
type hashes struct {
	file *os.File
	out  *bufio.Writer
	n    int64
}

// newHashes makes a list in a folder. Its file has no name where that can be, so that it is gone when this process is.
func newHashes(dir string) (*hashes, error) {
	f, err := os.CreateTemp(dir, ".synapnet-hashes-*.tmp")
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" { // where nobody removes an open file
		if err := os.Remove(f.Name()); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return &hashes{file: f, out: bufio.NewWriter(f)}, nil
}

// close removes the list.
func (h *hashes) close() error {
	err := h.file.Close()
	if runtime.GOOS == "windows" {
		err = errors.Join(err, os.Remove(h.file.Name()))
	}
	return err
}

// add appends a hash.
func (h *hashes) add(hash uint64) error {
	h.n++
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], hash)
	_, err := h.out.Write(b[:])
	return err
}

// repeated is how many hashes are equal to one before. The list is read once for each part of the range of hashes, so
// that memory is that of a part.
func (h *hashes) repeated(ctx context.Context) (n int64, err error) {
	if err := h.out.Flush(); err != nil {
		return 0, err
	}
	parts := uint64(h.n/int64(partition) + 1)
	part := make([]uint64, 0, h.n/int64(parts)*5/4+1)
	chunk := make([]byte, 1<<20)
	for p := range parts {
		part = part[:0]
		for at := int64(0); at < 8*h.n; at += int64(len(chunk)) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			some := chunk[:min(int64(len(chunk)), 8*h.n-at)]
			if _, err := h.file.ReadAt(some, at); err != nil {
				return 0, err
			}
			for ; len(some) > 0; some = some[8:] {
				hash := binary.LittleEndian.Uint64(some)
				if of, _ := bits.Mul64(hash, parts); of == p {
					part = append(part, hash)
				}
			}
			if len(part) >= 2*partition { // the same ones again and again
				n += compact(&part)
			}
		}
		n += compact(&part)
	}
	return n, nil
}

// compact sorts hashes and removes those that are equal to another.
func compact(part *[]uint64) (removed int64) {
	slices.Sort(*part)
	before := len(*part)
	*part = slices.Compact(*part)
	return int64(before - len(*part))
}

package safetensors

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
)

// The metadata keys that carry checksums: keyData covers the data section,
// keyHeader every name, dtype, shape, order and other metadata entry. A file
// may have both (written here), one or none (written elsewhere).
const (
	keyData   = "sha256"
	keyHeader = "sha256.header"
)

// summary is what keyHeader is the hash of, in canonical JSON, so that it does
// not depend on how the header was spaced or ordered.
type summary struct {
	Metadata map[string]string
	Tensors  []summaryTensor
}

type summaryTensor struct {
	Name  string
	DType string
	Shape []int
}

// headerChecksum hashes what the header says, without the checksum keys.
func headerChecksum(f *File) (string, error) {
	s := summary{Metadata: map[string]string{}}
	maps.Copy(s.Metadata, f.Metadata)
	delete(s.Metadata, keyData)
	delete(s.Metadata, keyHeader)
	for _, t := range f.Tensors {
		s.Tensors = append(s.Tensors, summaryTensor{t.Name, t.DType.String(), append([]int{}, t.Shape...)})
	}
	slices.SortFunc(s.Tensors, func(a, b summaryTensor) int { return strings.Compare(a.Name, b.Name) })
	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// verify checks the checksums the file carries and moves them out of Metadata.
func verify(f *File, data []byte) error {
	if want, ok := f.Metadata[keyHeader]; ok {
		got, err := headerChecksum(f)
		if err != nil {
			return err
		}
		if !strings.EqualFold(got, want) {
			return mismatch("header", keyHeader, want, got)
		}
	}
	if want, ok := f.Metadata[keyData]; ok {
		sum := sha256.Sum256(data)
		got := hex.EncodeToString(sum[:])
		if !strings.EqualFold(got, want) {
			// A tool that lays the same tensors out in another order changes nothing that matters.
			if ordered, err := canonicalSum(f); err != nil || !strings.EqualFold(ordered, want) {
				return mismatch("tensor data", keyData, want, got)
			}
			got = strings.ToLower(want)
		}
		f.Checksum = got
	}
	delete(f.Metadata, keyData)
	delete(f.Metadata, keyHeader)
	return nil
}

// mismatch is the error of a part that is not what it was when its checksum was written. A damaged file and one that
// another tool changed while it kept the metadata, checksums included, look alike: it says both, with the mend of each.
func mismatch(part, key, want, got string) error {
	return fmt.Errorf("the %s does not match its checksum (%s %.12q, computed %.12q): the file was damaged, or changed "+
		"by another tool that kept the old checksum; "+
		"copy or make it anew, or, if the change is meant, save it again without the metadata entries %s and %s", part, key,
		want, got, keyData, keyHeader)
}

// canonicalSum is the checksum that the data of f has as Write lays it out, whatever the order in the file it was read
// from.
func canonicalSum(f *File) (string, error) {
	p := prepared{views: make(map[string]view, len(f.Tensors))}
	for _, t := range f.Tensors {
		if err := p.add(t); err != nil {
			return "", err
		}
	}
	data := newDataHash()
	err := p.encode(data)
	return data.sum(), err
}

// dataHash is an io.Writer that takes a whole file and hashes its data section
// only, so that the library alone decides in which order tensors are stored.
type dataHash struct {
	hash   hash.Hash
	prefix []byte // the first 8 bytes, then nothing more
	skip   uint64 // header bytes still to come
}

func newDataHash() *dataHash { return &dataHash{hash: sha256.New()} }

// Write implements io.Writer; it never fails.
func (h *dataHash) Write(p []byte) (int, error) {
	total := len(p)
	if missing := 8 - len(h.prefix); missing > 0 {
		n := min(missing, len(p))
		h.prefix = append(h.prefix, p[:n]...)
		p = p[n:]
		if len(h.prefix) == 8 {
			h.skip = binary.LittleEndian.Uint64(h.prefix)
		}
	}
	n := min(h.skip, uint64(len(p)))
	h.skip -= n
	h.hash.Write(p[n:])
	return total, nil
}

func (h *dataHash) sum() string { return hex.EncodeToString(h.hash.Sum(nil)) }

var _ io.Writer = (*dataHash)(nil)

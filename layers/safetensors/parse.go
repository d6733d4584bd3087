package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	format "github.com/nlpodyssey/safetensors"

	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/host"
)

const (
	lengthBytes = 8
	// maxHeader is the format's own limit on the header.
	maxHeader = 100_000_000
	// headerMemory is how many bytes a byte of the header may take while it is decoded: an estimate, on the safe side.
	headerMemory = 24
)

// Read loads a .safetensors file and verifies the checksums it carries. Its
// error is one line with the path and what is wrong: a missing or truncated
// file, a bad header, byte ranges that overlap, leave gaps, do not fit the
// shape or the file, duplicate names, trailing bytes, a checksum mismatch.
// The tensors share one buffer of the size of the file.
func Read(path string) (*File, error) {
	buffer, err := readAll(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, files.Cause(err))
	}
	f, err := Parse(buffer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// readAll reads a regular file whose header length is plausible, so that a huge
// file of another kind is refused before it fills the memory.
func readAll(path string) (_ []byte, err error) {
	file, err := files.Open(path)
	if errors.As(err, new(files.NotRegularError)) {
		err = fmt.Errorf("%w; give the path of a .safetensors file", files.Cause(err))
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	size := stat.Size()
	var prefix [lengthBytes]byte
	n, err := file.ReadAt(prefix[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	header, err := headerLength(prefix[:n], uint64(size))
	if err != nil {
		return nil, err
	}
	if err := host.Check("a file of this size", host.Plus(uint64(size), headerMemory*header)); err != nil {
		return nil, err
	}
	buffer := make([]byte, size)
	if _, err := io.ReadFull(file, buffer); err != nil {
		return nil, fmt.Errorf("cannot read all %d bytes: %w", size, err)
	}
	return buffer, nil
}

// headerLength decodes the length prefix and checks it against the file size.
func headerLength(prefix []byte, size uint64) (uint64, error) {
	if len(prefix) < lengthBytes {
		return 0, fmt.Errorf("truncated: %d bytes, but a safetensors file starts with an %d-byte header length", size,
			lengthBytes)
	}
	n := binary.LittleEndian.Uint64(prefix)
	if n > maxHeader {
		return 0, fmt.Errorf("header length %d is above the format's limit of %d: not a safetensors file, or corrupt", n,
			maxHeader)
	}
	if n > size-lengthBytes {
		return 0,
			fmt.Errorf("header of %d bytes reaches beyond the end of the file (%d bytes): truncated, or not a safetensors file",
				n, size)
	}
	return n, nil
}

// Parse decodes the bytes of a whole file; see Read. The tensors' Data are
// slices of data.
func Parse(data []byte) (*File, error) {
	f, err := parse(data)
	if err != nil {
		return nil, errors.New(clip(err.Error()))
	}
	return f, nil
}

func parse(data []byte) (*File, error) {
	n, err := headerLength(data[:min(lengthBytes, len(data))], uint64(len(data)))
	if err != nil {
		return nil, err
	}
	header, body := data[lengthBytes:lengthBytes+n], data[lengthBytes+n:]
	infos, metadata, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	f := &File{Metadata: metadata}
	if f.Tensors, err = place(infos, body); err != nil {
		return nil, err
	}
	if err := verify(f, body); err != nil {
		return nil, err
	}
	return f, nil
}

// parseHeader decodes the JSON header into tensor entries in file order.
func parseHeader(header []byte) ([]format.NamedTensorInfo, map[string]string, error) {
	if !utf8.Valid(header) {
		return nil, nil, errors.New("not valid UTF-8")
	}
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("does not start with a JSON object")
	}
	var decoded format.Metadata
	// Decoding a million names takes half a minute: count them before.
	if n := bytes.Count(header, []byte(`"data_offsets"`)); n > maxTensors {
		return nil, nil, fmt.Errorf("the header has %d tensors: a file may have at most %d", n, maxTensors)
	}
	if err := json.Unmarshal(header, &decoded); err != nil {
		return nil, nil, cmp.Or(dtypeProblem(header), err)
	}
	if err := refuseDuplicates(header); err != nil {
		return nil, nil, err
	}
	metadata := decoded.Metadata()
	if metadata == nil {
		metadata = map[string]string{}
	}
	var infos []format.NamedTensorInfo
	for name, info := range decoded.Tensors() {
		infos = append(infos, format.NamedTensorInfo{Name: name, TensorInfo: *info})
	}
	slices.SortFunc(infos, func(a, b format.NamedTensorInfo) int {
		x, y := a.TensorInfo.DataOffsets, b.TensorInfo.DataOffsets
		return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1]), strings.Compare(a.Name, b.Name))
	})
	return infos, metadata, nil
}

// maxTensors is more than the deepest model has with the moments of all its parameters: 4,096 blocks of 38, three
// times.
const maxTensors = 1 << 19

// dtypeProblem names the first tensor, by name, whose dtype is none that is read, and those that are: files of other
// tools have more, such as F8_E4M3.
func dtypeProblem(header []byte) error {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(header, &entries); err != nil {
		return nil
	}
	var known []string
	for d := Bool; d <= U64; d++ {
		known = append(known, d.String())
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		var t struct {
			DType *string `json:"dtype"`
		}
		if name == metadataName || json.Unmarshal(entries[name], &t) != nil || t.DType == nil ||
			slices.Contains(known, *t.DType) {
			continue
		}
		return fmt.Errorf("tensor %.100q has dtype %.40q, and the types that are read are %s: convert it to one of them",
			name, *t.DType, strings.Join(known, ", "))
	}
	return nil
}

// refuseDuplicates reports an object key that occurs twice, which encoding/json
// would settle silently in favour of the last one. header is valid JSON.
func refuseDuplicates(header []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(header))
	type level struct {
		seen map[string]bool // nil in an array
		key  bool            // the next token is a key
	}
	var stack []level
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
			continue
		}
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.seen != nil {
				top.key = !top.key
			}
			if name, ok := token.(string); ok && top.seen != nil && !top.key {
				if top.seen[name] {
					return fmt.Errorf("the name %q occurs twice", name)
				}
				top.seen[name] = true
			}
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{seen: map[string]bool{}, key: true})
		case json.Delim('['):
			stack = append(stack, level{})
		}
	}
}

// place cuts the data section into tensors, which must tile it exactly.
func place(infos []format.NamedTensorInfo, body []byte) ([]Tensor, error) {
	size := uint64(len(body))
	var end uint64
	tensors := make([]Tensor, 0, len(infos))
	for i, entry := range infos {
		info := entry.TensorInfo
		from, to := info.DataOffsets[0], info.DataOffsets[1]
		switch {
		case from > to:
			return nil, fmt.Errorf("tensor %q: data_offsets [%d, %d] end before they begin", entry.Name, from, to)
		case to > size:
			return nil,
				fmt.Errorf("tensor %q: data_offsets [%d, %d] reach beyond the file's %d data bytes: truncated or corrupt",
					entry.Name, from, to, size)
		case from < end:
			return nil, fmt.Errorf("tensor %q: data_offsets [%d, %d] overlap tensor %q, which ends at %d", entry.Name, from, to,
				infos[i-1].Name, end)
		case from > end:
			return nil, fmt.Errorf("tensor %q: data_offsets [%d, %d] leave a gap, the tensor before ends at %d", entry.Name,
				from, to, end)
		}
		if err := checkSize(entry.Name, info.DType, info.Shape, to-from); err != nil {
			return nil, err
		}
		tensors = append(tensors, Tensor{Name: entry.Name, DType: info.DType, Shape: ints(info.Shape),
			Data: body[from:to:to]})
		end = to
	}
	if end != size {
		return nil, fmt.Errorf("%d trailing bytes after the last tensor: the file is corrupt; copy or make it anew", size-end)
	}
	return tensors, nil
}

// ints narrows a shape whose dimensions checkSize has bounded.
func ints(shape []uint64) []int {
	out := make([]int, len(shape))
	for i, d := range shape {
		out[i] = int(d)
	}
	return out
}

// clip keeps an error short and on one line, however long the names, shapes and
// values are that it quotes from the file.
func clip(text string) string {
	const limit = 400
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"

	"github.com/synapnet/synapnet-train/internal/files"
)

// The store is one file, as Megatron-LM's .bin and .idx are two:
//
//	magic
//	samples     label uint32, ids uint16 or uint32, little endian; after every blockSamples of a side, and at the end,
//	blocks      an entry a sample: offset uint64, tokens uint32, CRC-32C uint32 of the sample, hash uint64 of its ids
//	footer      JSON: contents, with the offsets of the blocks
//	tail        length uint64 and CRC-32C uint32 of the footer, magic
//
// so that it is written in one pass from front to end, and read in two small reads a sample.
const (
	magic        = "SYNDATA1"
	blockSamples = 4096
	entryBytes   = 24
	tailBytes    = 8 + 4 + len(magic)
)

// version is that of the store's format and of all that decides about its content.
const version = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// contents is the footer.
type contents struct {
	Key    Key     `json:"key"`
	Width  int     `json:"width"` // bytes an id
	Labels *Labels `json:"labels"`
	// Classes are those of the labels as samples have them: words are numbered as they come. Empty for numbers.
	Classes    []int32 `json:"classes,omitempty"`
	Train      side    `json:"train"`
	Eval       side    `json:"eval"`
	Duplicates int64   `json:"duplicates"` // samples of Train whose ids one before has
}

// side is the samples for one use.
type side struct {
	Samples int64 `json:"samples"`
	Tokens  int64 `json:"tokens"`
	Highest int32 `json:"highest"` // id
	// Lengths is how many samples have how many tokens. Samples of k different lengths have k*k/2 tokens at least, so it
	// stays small.
	Lengths   map[int]int64 `json:"lengths"`
	Longest   int           `json:"longest"`
	LongestAt string        `json:"longest_at"`
	PerLabel  []int64       `json:"per_label"` // samples, by the label as samples have it
	Blocks    []int64       `json:"blocks"`    // their offsets
}

// longer is how many samples have more tokens than length.
func (s *side) longer(length int) (n int64) {
	for tokens, samples := range s.Lengths {
		if tokens > length {
			n += samples
		}
	}
	return n
}

// writer writes a store.
type writer struct {
	out   io.Writer
	at    int64
	width int
	buf   []byte
	open  map[*side][]byte // entries of the block that is not full

	failed error // of out
}

func newWriter(out io.Writer, width int) *writer {
	return &writer{out: out, width: width, open: map[*side][]byte{}}
}

func (w *writer) begin() error { return w.write([]byte(magic)) }

func (w *writer) write(p []byte) error {
	n, err := w.out.Write(p)
	w.at += int64(n)
	if err != nil {
		w.failed = err
	}
	return err
}

// hashOf is what samples of equal ids have in common: the first bytes of the SHA-256 of the ids, whatever file or form
// they came in.
func hashOf(ids []int32, buf []byte) (hash uint64, grown []byte) {
	buf = slices.Grow(buf[:0], 4*len(ids))[:4*len(ids)]
	for i, id := range ids {
		binary.LittleEndian.PutUint32(buf[4*i:], uint32(id))
	}
	sum := sha256.Sum256(buf)
	return binary.LittleEndian.Uint64(sum[:]), buf
}

// add appends a sample to a side. place names where it is from.
func (w *writer) add(s *side, ids []int32, label int32, hash uint64, place func() string) error {
	size := 4 + w.width*len(ids)
	w.buf = slices.Grow(w.buf[:0], size)[:size]
	binary.LittleEndian.PutUint32(w.buf, uint32(label))
	if w.width == 2 {
		for i, id := range ids {
			binary.LittleEndian.PutUint16(w.buf[4+2*i:], uint16(id))
		}
	} else {
		for i, id := range ids {
			binary.LittleEndian.PutUint32(w.buf[4+4*i:], uint32(id))
		}
	}
	s.Highest = max(s.Highest, slices.Max(ids))
	entry := binary.LittleEndian.AppendUint64(w.open[s], uint64(w.at))
	entry = binary.LittleEndian.AppendUint32(entry, uint32(len(ids)))
	entry = binary.LittleEndian.AppendUint32(entry, crc32.Checksum(w.buf, castagnoli))
	w.open[s] = binary.LittleEndian.AppendUint64(entry, hash)
	if err := w.write(w.buf); err != nil {
		return err
	}
	if s.Lengths == nil {
		s.Lengths = map[int]int64{}
	}
	s.Samples++
	s.Tokens += int64(len(ids))
	s.Lengths[len(ids)]++
	if len(ids) > s.Longest {
		s.Longest, s.LongestAt = len(ids), place()
	}
	for len(s.PerLabel) <= int(label) {
		s.PerLabel = append(s.PerLabel, 0)
	}
	s.PerLabel[label]++
	if s.Samples%blockSamples == 0 {
		return w.closeBlock(s)
	}
	return nil
}

func (w *writer) closeBlock(s *side) error {
	if len(w.open[s]) == 0 {
		return nil
	}
	s.Blocks = append(s.Blocks, w.at)
	err := w.write(w.open[s])
	w.open[s] = w.open[s][:0]
	return err
}

// finish writes what is left.
func (w *writer) finish(c *contents) error {
	if err := errors.Join(w.closeBlock(&c.Train), w.closeBlock(&c.Eval)); err != nil {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tail := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	tail = append(binary.LittleEndian.AppendUint32(tail, crc32.Checksum(text, castagnoli)), magic...)
	return w.write(append(text, tail...))
}

// store is a file of samples that is read.
type store struct {
	file *os.File
	contents
}

// errNoStore is the error of a file that is something else.
var errNoStore = errors.New("it is no store of samples of this program: choose another folder or move it away")

func openStore(path string) (_ *store, err error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	s := &store{file: f}
	if err := s.readContents(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return s, nil
}

func (s *store) readContents() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	begin := make([]byte, len(magic))
	if _, err := s.file.ReadAt(begin, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(begin) != magic {
		return errNoStore
	}
	tail := make([]byte, tailBytes)
	if _, err := s.file.ReadAt(tail, size-int64(tailBytes)); err != nil {
		return errDamaged
	}
	length, sum := binary.LittleEndian.Uint64(tail), binary.LittleEndian.Uint32(tail[8:])
	if string(tail[12:]) != magic || length > uint64(size)-uint64(tailBytes) {
		return errDamaged
	}
	text := make([]byte, length)
	if _, err := s.file.ReadAt(text, size-int64(tailBytes)-int64(length)); err != nil {
		return err
	}
	if crc32.Checksum(text, castagnoli) != sum {
		return errDamaged
	}
	if err := json.Unmarshal(text, &s.contents); err != nil || !s.valid() {
		return errDamaged
	}
	return nil
}

// valid says that the parts of a footer are such as a writer writes.
func (c *contents) valid() bool {
	ok := c.Key.Version == version && c.Labels != nil && (c.Width == 2 || c.Width == 4)
	for _, s := range []*side{&c.Train, &c.Eval} {
		ok = ok && s.Samples >= 0 && int64(len(s.Blocks)) == (s.Samples+blockSamples-1)/blockSamples
		for label := range s.PerLabel {
			if c.Classes != nil && ok {
				ok = label < len(c.Classes)
			}
			ok = ok && (c.Classes != nil || label < c.Labels.Len())
		}
	}
	for _, class := range c.Classes {
		ok = ok && class >= 0 && int(class) < c.Labels.Len()
	}
	return ok
}

// errDamaged is the error of a store whose checksums are wrong.
var errDamaged = errors.New("it is damaged: delete it, it is made again from the data")

// sample reads sample i of a side: its ids and its label as the store has it.
func (s *store) sample(of *side, i int) (ids []int32, label int32, err error) {
	if i < 0 || int64(i) >= of.Samples {
		return nil, 0, fmt.Errorf("sample %d of %d is asked for", i, of.Samples)
	}
	var entry [entryBytes]byte
	if _, err := s.file.ReadAt(entry[:], of.Blocks[i/blockSamples]+int64(i%blockSamples)*entryBytes); err != nil {
		return nil, 0, s.unreadable(err)
	}
	offset, tokens := binary.LittleEndian.Uint64(entry[:]), binary.LittleEndian.Uint32(entry[8:])
	if int(tokens) > of.Longest || offset > math.MaxInt64 {
		return nil, 0, s.unreadable(errDamaged)
	}
	bytes := make([]byte, 4+int(tokens)*s.Width)
	if _, err := s.file.ReadAt(bytes, int64(offset)); err != nil {
		return nil, 0, s.unreadable(err)
	}
	if crc32.Checksum(bytes, castagnoli) != binary.LittleEndian.Uint32(entry[12:]) {
		return nil, 0, s.unreadable(errDamaged)
	}
	ids = make([]int32, tokens)
	for k := range ids {
		if s.Width == 2 {
			ids[k] = int32(binary.LittleEndian.Uint16(bytes[4+2*k:]))
		} else {
			ids[k] = int32(binary.LittleEndian.Uint32(bytes[4+4*k:]))
		}
	}
	label = int32(binary.LittleEndian.Uint32(bytes))
	if s.Classes != nil {
		label = s.Classes[label]
	}
	return ids, label, nil
}

func (s *store) unreadable(err error) error {
	if errors.Is(err, io.EOF) {
		err = errDamaged
	}
	return fmt.Errorf("%s: %w", s.file.Name(), err)
}

// perClass is how many samples of a side each class has.
func (s *store) perClass(of *side) []int64 {
	all := make([]int64, s.Labels.Len())
	for label, n := range of.PerLabel {
		if s.Classes != nil {
			label = int(s.Classes[label])
		}
		all[label] += n
	}
	return all
}

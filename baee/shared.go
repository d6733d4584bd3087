package baee

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/layers"
)

// Shared runs sequences through one model with several memories side by side, each as a Stream of its own would, and
// computes a chunk once for all memories that hold the same at its start: the first chunk for all of one protocol,
// later ones for as long as policies have not come to differ. It is not for concurrent use.
type Shared struct {
	model  *layers.Model
	chunk  int
	reader *layers.Reader
	room   []int // capacity and options of the reader
	window int
	wide   bool // with projections

	// Forwards counts the chunks that were computed, Chunks those that would have been without sharing.
	Forwards, Chunks int64
}

// NewShared prepares to run sequences in chunks of the given number of tokens.
func NewShared(model *layers.Model, chunk int) (*Shared, error) {
	if chunk < 1 || chunk > model.Config.MaxLen {
		return nil, fmt.Errorf("stream: chunk size %d: it must be from 1 to the model's max-len %d", chunk,
			model.Config.MaxLen)
	}
	return &Shared{model: model, chunk: chunk}, nil
}

// Close frees the compiled graph.
func (s *Shared) Close() {
	if s.reader != nil {
		s.reader.Program.Close()
		s.reader = nil
	}
}

// Run takes a whole number of chunks through every memory, from its state on, and returns the last chunk's logits for
// each.
func (s *Shared) Run(ids []int32, memories []*Manager) ([][]float32, error) {
	if len(ids) == 0 || len(ids)%s.chunk != 0 {
		return nil, fmt.Errorf("stream: %d tokens are not a whole number of chunks of %d", len(ids), s.chunk)
	}
	for _, m := range memories {
		if c, k := s.model.Config, m.config; k.Dim != c.Dim || k.Layers != c.Depth || k.Slots != c.EpisodicSlots ||
			k.Window != memories[0].config.Window {
			return nil,
				fmt.Errorf("stream: a memory is for %d layers of %d slots of width %d and a window of %d, the model and the "+
					"others have %d, %d, %d and %d",
					k.Layers, k.Slots, k.Dim, k.Window, c.Depth, c.EpisodicSlots, c.Dim, memories[0].config.Window)
		}
	}
	logits := make([][]float32, len(memories))
	for at := 0; at < len(ids); at += s.chunk {
		for _, group := range sameBanks(memories) {
			if err := s.step(ids[at:at+s.chunk], int64(at), memories, group, logits); err != nil {
				return nil, fmt.Errorf("stream: chunk at token %d: %w", at, err)
			}
		}
	}
	return logits, nil
}

// step computes one chunk for the memories of a group, which hold the same.
func (s *Shared) step(ids []int32, position int64, memories []*Manager, group []int, logits [][]float32) error {
	if err := s.prepare(memories); err != nil {
		return err
	}
	memories[group[0]].fill(s.reader)
	out, err := s.reader.Run(ids)
	if err != nil {
		return err
	}
	s.Forwards++
	for _, at := range group {
		s.Chunks++
		m := memories[at]
		logits[at] = append(logits[at][:0], out...)
		if err := m.take(s.reader, position); err != nil {
			return err
		}
	}
	return nil
}

// prepare compiles a reader with room for all memories, unless there is one.
func (s *Shared) prepare(memories []*Manager) error {
	room, wide := make([]int, s.model.Config.Depth), false
	for _, m := range memories {
		wide = wide || m.NeedsProjections()
		for i := range room {
			room[i] = max(room[i], m.Rows(i), m.MostRows(i), 1)
		}
	}
	fits := s.reader != nil && s.window == memories[0].config.Window && (s.wide || !wide)
	for i := range room {
		fits = fits && room[i] <= s.room[i]
	}
	if fits {
		return nil
	}
	for i := range s.room {
		room[i] = max(room[i], s.room[i])
	}
	wide = wide || s.wide && s.reader != nil
	s.Close()
	r, err := s.model.Reader(s.chunk, room, memories[0].config.Window, wide)
	if err != nil {
		return err
	}
	s.reader, s.room, s.window, s.wide = r, room, memories[0].config.Window, wide
	return nil
}

// sameBanks groups the memories by what the next chunk reads of them, in the order of their first members.
func sameBanks(memories []*Manager) [][]int {
	var groups [][]int
	var seen [][sha256.Size]byte
	for at, m := range memories {
		h := m.bankHash()
		if g := slices.Index(seen, h); g >= 0 {
			groups[g] = append(groups[g], at)
			continue
		}
		seen, groups = append(seen, h), append(groups, []int{at})
	}
	return groups
}

// bankHash tells apart what different memories make a chunk read.
func (m *Manager) bankHash() (sum [sha256.Size]byte) {
	h := sha256.New()
	var x []float32
	var b []byte
	for i := range m.layers {
		n := m.Rows(i) * m.config.Dim
		x = slices.Grow(x[:0], n)[:n]
		m.Bank(i, x)
		b = binary.LittleEndian.AppendUint64(b[:0], uint64(n))
		for _, v := range x {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		h.Write(b)
	}
	h.Sum(sum[:0])
	return sum
}

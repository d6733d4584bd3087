package baee

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// Stream runs one sequence of any length through a model, chunk by chunk, with a managed memory, in space that does not
// grow with the sequence. Positions restart at 0 in each chunk (SPEC section 1, Streaming).
type Stream struct {
	// Warning, of a restored stream, is a line for users about its kernels, if they are others than those it began with.
	Warning string

	model    *layers.Model
	memory   *Manager
	chunk    int
	position int64     // of the first token that waits, in the stream
	pending  []int32   // fewer than a chunk
	taken    Digest    // of all tokens
	last     []float32 // the last position's logits of the chunk before
	capacity []int     // rows of external memory that the forward pass has room for, by layer
	steady   *layers.Reader
	broken   error  // after a chunk that failed half-way
	print    string // the model's fingerprint, once it was asked for
	kernels  graph.KernelHistory
}

// NewStream starts a stream with chunks of the given number of tokens and an empty memory made for the model.
func NewStream(model *layers.Model, memory *Manager, chunk int) (*Stream, error) {
	c, k := model.Config, memory.Config()
	if chunk < 1 || chunk > c.MaxLen {
		return nil, fmt.Errorf("stream: chunk size %d: it must be from 1 to the model's max-len %d", chunk, c.MaxLen)
	}
	if k.Dim != c.Dim || k.Layers != c.Depth || k.Slots != c.EpisodicSlots {
		return nil, fmt.Errorf("stream: the memory is for %d layers of %d slots of width %d, the model has %d, %d and %d",
			k.Layers, k.Slots, k.Dim, c.Depth, c.EpisodicSlots, c.Dim)
	}
	s := &Stream{model: model, memory: memory, chunk: chunk, capacity: make([]int, c.Depth), taken: NewDigest()}
	s.kernels, _ = s.kernels.Continue(0, graph.CurrentKernels())
	return s, nil
}

// Memory is the stream's memory.
func (s *Stream) Memory() *Manager { return s.memory }

// ChunkSize is the number of tokens of a whole chunk.
func (s *Stream) ChunkSize() int { return s.chunk }

// Position is the number of tokens taken so far, those that wait included.
func (s *Stream) Position() int64 { return s.position + int64(len(s.pending)) }

// Taken is the digest of the tokens taken so far; not known of a stream that was restored from a snapshot of before.
func (s *Stream) Taken() Digest { return s.taken }

// Kernels are those of the tokens taken so far, by position.
func (s *Stream) Kernels() graph.KernelHistory { return s.kernels }

// Push runs every whole chunk that the given tokens complete and calls f with each one's logits: [C] for
// classification, [tokens, V] for a language model, valid during the call. Left-over tokens wait for more. An error
// ends the call: if it is f's, that chunk and those before it are done and the tokens after it are not taken; after any
// other the stream must be Reset.
func (s *Stream) Push(ids []int32, f func(logits []float32) error) error {
	for len(ids) > 0 {
		n := min(len(ids), s.chunk-len(s.pending))
		s.pending, s.taken = append(s.pending, ids[:n]...), s.taken.Add(ids[:n])
		ids = ids[n:]
		if len(s.pending) < s.chunk {
			return nil
		}
		if err := s.Flush(f); err != nil {
			return err
		}
	}
	return nil
}

// Flush runs the tokens that wait, fewer than a chunk, if there are any.
func (s *Stream) Flush(f func(logits []float32) error) error {
	if s.broken != nil {
		return s.broken
	}
	if len(s.pending) == 0 {
		return nil
	}
	logits, done, err := s.run()
	if err != nil {
		s.broken = fmt.Errorf("stream: chunk at token %d: %w", s.position, err)
		return s.broken
	}
	s.position += int64(len(s.pending))
	s.pending = s.pending[:0]
	s.last = append(s.last[:0], logits[len(logits)-s.model.Outputs():]...)
	defer done()
	return f(logits)
}

// LastLogits are those of the last position of the last chunk that was run, [C] for classification and [V] for a
// language model, and nil before the first one: what the stream has answered so far.
func (s *Stream) LastLogits() []float32 { return slices.Clone(s.last) }

// Reset starts a new sequence with an empty memory.
func (s *Stream) Reset() {
	s.memory.Reset()
	s.position, s.pending, s.last, s.taken, s.broken = 0, s.pending[:0], nil, NewDigest(), nil
	s.kernels, _ = s.kernels.Continue(0, graph.CurrentKernels())
}

// Close frees the compiled graph.
func (s *Stream) Close() {
	if s.steady != nil {
		s.steady.Program.Close()
		s.steady = nil
	}
}

// run computes the waiting tokens and updates the memory. done frees what was made for this chunk only; the logits are
// valid until then.
func (s *Stream) run() (logits []float32, done func(), err error) {
	r, err := s.reader(len(s.pending))
	if err != nil {
		return nil, nil, err
	}
	done = func() {}
	if r != s.steady {
		done = r.Program.Close
	}
	s.memory.fill(r)
	if logits, err = r.Run(s.pending); err == nil {
		err = s.memory.take(r, s.position)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return logits, done, nil
}

// fill makes r's next run read the memory.
func (m *Manager) fill(r *layers.Reader) {
	graph.Parallel(len(m.layers), func(i int) { m.Bank(i, r.External(i)) })
	for i := range m.layers {
		r.SetRows(i, m.Rows(i))
	}
}

// take updates all layers with what r's last run read and wrote, in a chunk whose first token has the given position.
func (m *Manager) take(r *layers.Reader, position int64) error {
	for i := range m.layers {
		if err := m.Update(i, m.read(r, i, position)); err != nil {
			return err
		}
	}
	m.EndChunk()
	return nil
}

// read is what layer i's read tells the memory, in a chunk whose first token has the given position in the stream.
func (m *Manager) read(r *layers.Reader, i int, position int64) Read {
	window := min(m.config.Window, r.Tokens)
	read := Read{
		Bank:          r.Bank(i),
		Queries:       r.Queries(i),
		WindowQueries: min(window, r.Queries(i)),
		All:           r.Received(i, graph.ReceivedAll),
		Window:        r.Received(i, graph.ReceivedWindow),
		Last:          r.Received(i, graph.ReceivedLast),
		WindowStart:   position + int64(r.Tokens-window),
	}
	read.wrote(r.Written(i), r.Salience(i), position)
	if m.NeedsProjections() {
		read.QueryRows, read.Keys, read.Values = r.Projections(i)
	}
	return read
}

// reader is the compiled forward pass for the next chunk: a graph has room for a number of rows of memory, and is made
// anew, with twice the room, when that is too little. Only the one that most chunks need is kept.
func (s *Stream) reader(tokens int) (*layers.Reader, error) {
	if s.grow() {
		s.Close()
	}
	if tokens == s.chunk && s.steady != nil {
		return s.steady, nil
	}
	r, err := s.model.Reader(tokens, s.capacity, s.memory.config.Window, s.memory.NeedsProjections())
	if err == nil && tokens == s.chunk {
		s.steady = r
	}
	return r, err
}

// leastCapacity is the room that a graph has at least, in rows.
const leastCapacity = 32

// grow makes room for the rows there are, and says whether there was too little.
func (s *Stream) grow() bool {
	before := slices.Clone(s.capacity)
	for i := range s.capacity {
		s.capacity[i] = capacityFor(s.capacity[i], s.memory.Rows(i), s.memory.MostRows(i))
	}
	return !slices.Equal(before, s.capacity)
}

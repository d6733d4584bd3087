package layers

import (
	"fmt"
)

// Stream runs one sequence of any length through a model chunk by chunk in constant memory (SPEC section 1, Streaming).
// Positions restart at 0 in each chunk; the fresh bank of a chunk is the external memory of the next.
type Stream struct {
	model   *Model
	chunk   int
	steady  *Inference  // of whole chunks with the memory of one before; nil until needed
	banks   [][]float32 // one [1, S, D] a block, nil before the first chunk
	pending []int32
}

// NewStream starts a stream with chunks of the given number of tokens.
func NewStream(m *Model, chunk int) (*Stream, error) {
	if err := m.CheckMemory(); err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if chunk < 1 || chunk > m.Config.MaxLen {
		return nil, fmt.Errorf("stream: chunk size %d: it must be from 1 to the model's max-len %d", chunk, m.Config.MaxLen)
	}
	return &Stream{model: m, chunk: chunk}, nil
}

// Push runs every whole chunk that the given tokens complete and calls f with each one's logits: [C] for
// classification, [tokens, V] for a language model, valid during the call. Left-over tokens wait for more. An error, of
// f or of the chunk, ends the call: that chunk and the tokens before it are done, those after it are not taken.
func (s *Stream) Push(ids []int32, f func(logits []float32) error) error {
	for len(ids) > 0 {
		n := min(len(ids), s.chunk-len(s.pending))
		s.pending = append(s.pending, ids[:n]...)
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
	if len(s.pending) == 0 {
		return nil
	}
	defer func() { s.pending = s.pending[:0] }()
	return s.run(s.pending, f)
}

func (s *Stream) run(ids []int32, f func(logits []float32) error) error {
	p, err := s.program(len(ids))
	if err != nil {
		return err
	}
	if p != s.steady { // the first chunk, or a short one
		defer p.Program.Close()
	}
	logits, err := p.Run(ids, s.banks)
	if err != nil {
		return err
	}
	if s.banks == nil {
		s.banks = make([][]float32, s.model.Config.Depth)
	}
	for i := range s.banks {
		s.banks[i] = append(s.banks[i][:0], p.Bank(i)...)
	}
	return f(logits)
}

// program is the one for the next chunk. Only the one that most chunks need is kept: a stream's memory must not grow
// with the number of different lengths that are flushed.
func (s *Stream) program(tokens int) (*Inference, error) {
	if s.banks == nil {
		return s.model.Infer(1, tokens, 0)
	}
	if tokens < s.chunk {
		return s.model.Infer(1, tokens, s.model.Config.EpisodicSlots)
	}
	if s.steady == nil {
		var err error
		if s.steady, err = s.model.Infer(1, tokens, s.model.Config.EpisodicSlots); err != nil {
			return nil, err
		}
	}
	return s.steady, nil
}

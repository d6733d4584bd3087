package layers

import "fmt"

// Stream runs one sequence of any length through a model chunk by chunk in constant memory (SPEC section 1, Streaming).
// Positions restart at 0 in each chunk; the fresh bank of a chunk is the external memory of the next.
type Stream struct {
	model    *Model
	chunk    int
	programs map[[2]int]*Inference // by tokens and external entries
	banks    [][]float32           // one [1, S, D] a block, nil before the first chunk
	pending  []int32
}

// NewStream starts a stream with chunks of the given number of tokens.
func NewStream(m *Model, chunk int) (*Stream, error) {
	if chunk < 1 || chunk > m.Config.MaxLen {
		return nil, fmt.Errorf("stream: chunk size %d: it must be from 1 to the model's max-len %d", chunk, m.Config.MaxLen)
	}
	return &Stream{model: m, chunk: chunk, programs: map[[2]int]*Inference{}}, nil
}

// Push runs every whole chunk that the given tokens complete and calls f with each one's logits: [C] for classification,
// [tokens, V] for a language model, valid during the call. Left-over tokens wait for more.
func (s *Stream) Push(ids []int32, f func(logits []float32) error) error {
	s.pending = append(s.pending, ids...)
	for len(s.pending) >= s.chunk {
		if err := s.run(s.pending[:s.chunk], f); err != nil {
			return err
		}
		s.pending = s.pending[:copy(s.pending, s.pending[s.chunk:])]
	}
	return nil
}

// Flush runs the tokens that do not fill a chunk, if there are any.
func (s *Stream) Flush(f func(logits []float32) error) error {
	if len(s.pending) == 0 {
		return nil
	}
	err := s.run(s.pending, f)
	s.pending = s.pending[:0]
	return err
}

func (s *Stream) run(ids []int32, f func(logits []float32) error) error {
	entries := 0
	if s.banks != nil {
		entries = s.model.Config.EpisodicSlots
	}
	key := [2]int{len(ids), entries}
	p, ok := s.programs[key]
	if !ok {
		var err error
		if p, err = s.model.Infer(1, len(ids), entries); err != nil {
			return err
		}
		s.programs[key] = p
	}
	logits, err := p.Run(ids, s.banks)
	if err != nil {
		return err
	}
	if s.banks == nil {
		s.banks = make([][]float32, len(s.model.Blocks))
	}
	for i := range s.banks {
		s.banks[i] = append(s.banks[i][:0], p.Bank(i)...)
	}
	return f(logits)
}

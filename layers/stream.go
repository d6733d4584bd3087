package layers

import (
	"fmt"
	"slices"
)

// Stream runs a sequence of any length chunk by chunk in constant memory (SPEC section 1, Streaming): positions restart
// at 0 in each chunk, of which the last may be short, and the fresh bank of a chunk is the external memory of the next.
// f is called with each one's logits: [C] for classification, [tokens, V] for a language model, valid during the call.
// An error, of f or of a chunk, ends the call. A baee.Stream keeps more than one bank, and takes tokens as they come.
func (m *Model) Stream(ids []int32, chunk int, f func(logits []float32) error) error {
	if err := m.CheckMemory(); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if chunk < 1 || chunk > m.Config.MaxLen {
		return fmt.Errorf("stream: chunk size %d: it must be from 1 to the model's max-len %d", chunk, m.Config.MaxLen)
	}
	var p *Inference // of chunks like the one before
	defer func() {
		if p != nil {
			p.Program.Close()
		}
	}()
	var banks [][]float32 // one [1, S, D] a block, nil for the first chunk
	slots := 0
	for part := range slices.Chunk(ids, chunk) {
		if p == nil || len(part) != p.tokens || len(banks) != len(p.external) {
			next, err := m.Infer(1, len(part), slots)
			if err != nil {
				return err
			}
			if p != nil {
				p.Program.Close()
			}
			p = next
		}
		logits, err := p.Run(part, banks)
		if err != nil {
			return err
		}
		if banks == nil {
			banks, slots = make([][]float32, m.Config.Depth), m.Config.EpisodicSlots
		}
		for i := range banks {
			banks[i] = append(banks[i][:0], p.Bank(i)...)
		}
		if err := f(logits); err != nil {
			return err
		}
	}
	return nil
}

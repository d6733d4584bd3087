package tokenizer

// wordLevel has an id for each word it knows.
type wordLevel struct {
	vocab vocabulary
	unk   string
}

func (m *wordLevel) encode(ids []int32, piece string) ([]int32, error) {
	id, ok := m.vocab[piece]
	if !ok {
		var err error
		if id, err = m.vocab.unknown(m.unk, piece); err != nil {
			return nil, err
		}
	}
	return append(ids, id), nil
}

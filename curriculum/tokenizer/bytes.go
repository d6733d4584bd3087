package tokenizer

// Bytes is the tokeniser without a vocabulary: byte b of the text is id b+1, and 0 is padding. It takes any text, UTF-8
// or not.
type Bytes struct{}

// Encode gives an id a byte; it has no errors.
func (Bytes) Encode(text string) ([]int32, error) {
	ids := make([]int32, len(text))
	for i := range ids {
		ids[i] = int32(text[i]) + 1
	}
	return ids, nil
}

// Size is 257.
func (Bytes) Size() int { return 257 }

// Pad is 0.
func (Bytes) Pad() int32 { return 0 }

// Spec has the kind alone.
func (Bytes) Spec() Spec { return Spec{Kind: KindBytes} }

package layers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// collect gives a function that keeps the logits of every chunk.
func collect(into *[][]float32) func([]float32) error {
	return func(logits []float32) error {
		*into = append(*into, slices.Clone(logits))
		return nil
	}
}

// streamed is the logits of every chunk of ids.
func streamed(t *testing.T, m *Model, chunk int, ids []int32) (out [][]float32) {
	t.Helper()
	if err := m.Stream(ids, chunk, collect(&out)); err != nil {
		t.Fatal(err)
	}
	return out
}

// Each chunk is the model's run with positions from 0 and, as external memory, the bank of the chunk before, which
// replaces the one before that.
func TestStreamIsTheModelWithTheLastBank(t *testing.T) {
	c := tiny()
	m := scrambled(t, c)
	ids, _ := randomBatch(1, 25, c)
	got := streamed(t, m, 10, ids)
	var banks [][]float32
	for i, part := range [][]int32{ids[:10], ids[10:20], ids[20:]} {
		entries := 0
		if banks != nil {
			entries = c.EpisodicSlots
		}
		f, err := m.Infer(1, len(part), entries)
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.Run(part, banks)
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("chunk %d", i), got[i], want, 0)
		banks = nil
		for b := range m.Blocks {
			banks = append(banks, slices.Clone(f.Bank(b)))
		}
	}
	if alone := streamed(t, m, 10, ids[10:20])[0]; slices.Equal(got[1], alone) {
		t.Error("the memory of the first chunk makes no difference to the second")
	}
}

// A sequence shorter than the chunk is an ordinary run.
func TestStreamOfLessThanAChunk(t *testing.T) {
	for _, classes := range []int{7, 0} {
		c := tiny()
		c.NumClasses = classes
		m := scrambled(t, c)
		ids, _ := randomBatch(1, 12, tiny())
		f, err := m.Infer(1, 12, 0)
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.Run(ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := streamed(t, m, 64, ids)
		if len(got) != 1 {
			t.Fatalf("%d chunks, want 1", len(got))
		}
		near(t, fmt.Sprintf("%d classes", classes), got[0], want, 0)
	}
	if got := streamed(t, newModel(t, tiny()), 8, nil); got != nil {
		t.Errorf("an empty stream gives %v", got)
	}
}

// A stream's memory does not grow with its length.
func TestStreamInConstantMemory(t *testing.T) {
	c := tiny()
	m := newModel(t, c)
	ids, _ := randomBatch(1, 4000, c)
	heapAfter := func(chunks int) uint64 {
		var used uint64
		if err := m.Stream(ids[:16*chunks+3], 16, func([]float32) error {
			chunks--
			if chunks == 0 {
				used = heap()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return used
	}
	const bound = 128 << 10
	if before, after := heapAfter(4), heapAfter(200); after > before+bound {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
}

// A mistake ends the call.
func TestStreamErrors(t *testing.T) {
	c := tiny()
	m := newModel(t, c)
	for _, chunk := range []int{0, -1, c.MaxLen + 1} {
		if err := m.Stream(nil, chunk, nil); err == nil ||
			!strings.Contains(err.Error(), fmt.Sprintf("chunk size %d: it must be from 1 to the model's max-len 64", chunk)) {
			t.Errorf("chunk %d: %v", chunk, err)
		}
	}
	ids, _ := randomBatch(1, 24, c)
	ids[18] = -1
	var out [][]float32
	if err := m.Stream(ids, 8, collect(&out)); err == nil || !strings.Contains(err.Error(), "token id -1") ||
		len(out) != 2 {
		t.Errorf("a token id of -1: %d chunks, %v", len(out), err)
	}
	stop := errors.New("enough")
	if err := m.Stream(ids, 8, func([]float32) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the receiver: %v", err)
	}
}

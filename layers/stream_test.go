package layers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/quick"
)

// collect gives a function that keeps the logits of every chunk.
func collect(into *[][]float32) func([]float32) error {
	return func(logits []float32) error {
		*into = append(*into, slices.Clone(logits))
		return nil
	}
}

// streamed is the logits of every chunk of ids, pushed in pieces of the given sizes and flushed.
func streamed(t *testing.T, m *Model, chunk int, ids []int32, pieces []int) [][]float32 {
	t.Helper()
	s, err := NewStream(m, chunk)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]float32
	for _, n := range append(pieces, len(ids)) {
		n = min(n, len(ids))
		if err := s.Push(ids[:n], collect(&out)); err != nil {
			t.Fatal(err)
		}
		ids = ids[n:]
	}
	if err := s.Flush(collect(&out)); err != nil {
		t.Fatal(err)
	}
	return out
}

// However the tokens arrive, the stream gives the same.
func TestStreamIsTheSameInAnyPieces(t *testing.T) {
	c := tiny()
	m := scrambled(t, c)
	ids, _ := randomBatch(1, 47, c)
	want := streamed(t, m, 10, ids, nil)
	if len(want) != 5 {
		t.Fatalf("%d chunks, want 4 whole ones and 7 tokens", len(want))
	}
	property := func(seed uint64) bool {
		rng := rand.New(rand.NewPCG(seed, 0))
		var pieces []int
		for range rng.IntN(12) {
			pieces = append(pieces, rng.IntN(25)) // nothing, less than a chunk, more than two
		}
		return slices.EqualFunc(streamed(t, m, 10, ids, pieces), want, slices.Equal)
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 20}); err != nil {
		t.Error(err)
	}
}

// Each chunk is the model's run with positions from 0 and, as external memory, the bank of the chunk before, which
// replaces the one before that.
func TestStreamIsTheModelWithTheLastBank(t *testing.T) {
	c := tiny()
	m := scrambled(t, c)
	ids, _ := randomBatch(1, 25, c)
	got := streamed(t, m, 10, ids, nil)
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
	if alone := streamed(t, m, 10, ids[10:20], nil)[0]; slices.Equal(got[1], alone) {
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
		got := streamed(t, m, 64, ids, []int{5})
		if len(got) != 1 {
			t.Fatalf("%d chunks, want 1", len(got))
		}
		near(t, fmt.Sprintf("%d classes", classes), got[0], want, 0)
	}
	if got := streamed(t, newModel(t, tiny()), 8, nil, nil); got != nil {
		t.Errorf("an empty stream gives %v", got)
	}
}

// A stream's memory does not grow with its length, nor with the number of different lengths that are flushed.
func TestStreamInConstantMemory(t *testing.T) {
	c := tiny()
	m := newModel(t, c)
	s, err := NewStream(m, 16)
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := randomBatch(1, 400, c)
	ignore := func([]float32) error { return nil }
	heapAfter := func(rounds int) uint64 {
		for i := range rounds {
			if err := errors.Join(s.Push(ids[:33+i], ignore), s.Flush(ignore)); err != nil {
				t.Fatal(err)
			}
		}
		return heap()
	}
	before := heapAfter(4)
	after := heapAfter(60)
	const bound = 128 << 10
	if after > before+bound {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if cap(s.pending) > 32 {
		t.Errorf("the stream holds room for %d tokens, a chunk has 16", cap(s.pending))
	}
}

// A mistake ends the call and leaves the stream usable.
func TestStreamErrors(t *testing.T) {
	c := tiny()
	m := newModel(t, c)
	for _, chunk := range []int{0, -1, c.MaxLen + 1} {
		if _, err := NewStream(m, chunk); err == nil ||
			!strings.Contains(err.Error(), fmt.Sprintf("chunk size %d: it must be from 1 to the model's max-len 64", chunk)) {
			t.Errorf("chunk %d: %v", chunk, err)
		}
	}
	s, err := NewStream(m, 8)
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := randomBatch(1, 8, c)
	bad := slices.Clone(ids)
	bad[2] = -1
	var out [][]float32
	if err := s.Push(bad, collect(&out)); err == nil || !strings.Contains(err.Error(), "token id -1") {
		t.Errorf("a token id of -1: %v", err)
	}
	stop := errors.New("enough")
	if err := s.Push(ids, func([]float32) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the receiver: %v", err)
	}
	if err := s.Push(ids, collect(&out)); err != nil || len(out) != 1 {
		t.Errorf("after errors: %d chunks, %v", len(out), err)
	}
}

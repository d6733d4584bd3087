package layers

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func small(classes int) Config {
	return Config{Dim: 16, Depth: 3, Heads: 2, VocabSize: 50, MaxLen: 64, NumClasses: classes, KFrac: 0.25,
		EpisodicSlots: 6, EpisodicWriteFrac: 0.1, MLPRatio: 2, UseScaleBridge: true, SparseThreshold: 40}
}

// A reader with room to spare computes what a graph made for the very number of rows computes.
func TestReaderEqualsInference(t *testing.T) {
	for _, classes := range []int{5, 0} {
		for _, tokens := range []int{30, 50} {
			m, err := NewModel(small(classes), 3)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			ids := make([]int32, tokens)
			for i := range ids {
				ids[i] = int32(rng.IntN(50))
			}
			r, err := m.Reader(tokens, []int{9, 4, 12}, 8, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, rows := range []int{4, 1, 0} {
				inf, err := m.Infer(1, tokens, rows)
				if err != nil {
					t.Fatal(err)
				}
				var banks [][]float32
				for i := range m.Blocks {
					for j := range r.External(i) {
						r.External(i)[j] = float32(rng.NormFloat64())
					}
					r.SetRows(i, rows)
					if rows > 0 {
						banks = append(banks, r.External(i)[:rows*16])
					}
				}
				want, err := inf.Run(ids, banks)
				if err != nil {
					t.Fatal(err)
				}
				got, err := r.Run(ids)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if d := got[i] - want[i]; d > 1e-5 || d < -1e-5 {
						t.Fatalf("%d classes, %d tokens, %d rows: logits %v, want %v", classes, tokens, rows, got, want)
					}
				}
				checkReads(t, m, r, rows, inf)
			}
		}
	}
}

func checkReads(t *testing.T, m *Model, r *Reader, rows int, inf *Inference) {
	t.Helper()
	for i := range m.Blocks {
		received := r.Received(i, 0)
		if len(received) != rows+6 {
			t.Fatalf("block %d: %d rows received attention, want %d", i, len(received), rows+6)
		}
		var sum float64
		for _, x := range received {
			sum += float64(x)
		}
		if q := float64(r.Queries(i)); sum < 0.999*q || sum > 1.001*q {
			t.Errorf("block %d: %v queries gave %v", i, q, sum)
		}
		if !slices.Equal(r.Written(i), inf.Top(i)[:len(r.Written(i))]) {
			t.Errorf("block %d: written %v, want the first of %v", i, r.Written(i), inf.Top(i))
		}
		q, k, v := r.Projections(i)
		if len(q) != 16*r.Queries(i) || len(k) != 16*(rows+6) || len(v) != len(k) {
			t.Errorf("block %d: %d, %d, %d projected values", i, len(q), len(k), len(v))
		}
	}
}

func TestReaderRefusesMoreRowsThanItHolds(t *testing.T) {
	m, err := NewModel(small(5), 3)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Reader(30, []int{2, 2, 2}, 8, false)
	if err != nil {
		t.Fatal(err)
	}
	r.SetRows(1, 3)
	if _, err := r.Run(make([]int32, 30)); err == nil {
		t.Error("3 rows of 2 were read")
	}
	if _, err := m.Reader(30, []int{2}, 8, false); err == nil {
		t.Error("one capacity for three blocks was accepted")
	}
}

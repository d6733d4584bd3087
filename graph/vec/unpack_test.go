package vec

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
)

// unpacked computes in the plainest way what Unpack8, Unpack4 and Unpack2 promise.
func unpacked(bits, n int, codes []byte, zero, scale float32) []float32 {
	w := make([]float32, n)
	for i := range w {
		at := i * bits
		q := int(codes[at/8]) >> (at % 8) & (1<<bits - 1)
		if bits == 8 {
			q = int(int8(q))
		}
		w[i] = (float32(q) - zero) * scale
	}
	return w
}

var unpackers = map[int]func(dst []float32, codes []byte, zero, scale float32){2: Unpack2, 4: Unpack4, 8: Unpack8}

// Every level gives the same bits at every length, and nothing beyond dst is written.
func TestUnpack(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(1))
		for bits, unpack := range unpackers {
			for n := range 200 {
				codes := make([]byte, (n*bits+7)/8)
				r.Read(codes)
				zero, scale := 15*r.Float32(), r.Float32()
				room := make([]float32, n+40)
				unpack(room[:n], codes, zero, scale)
				if want := unpacked(bits, n, codes, zero, scale); !slices.Equal(room[:n], want) {
					t.Fatalf("%d bits, %d codes: got %v, want %v", bits, n, room[:n], want)
				}
				if slices.ContainsFunc(room[n:], func(v float32) bool { return v != 0 }) {
					t.Fatalf("%d bits, %d codes: written beyond the end", bits, n)
				}
			}
		}
	})
}

func TestUnpackLengthMismatchPanics(t *testing.T) {
	for bits, unpack := range unpackers {
		t.Run(fmt.Sprint(bits), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			unpack(make([]float32, 32), make([]byte, 3), 0, 1)
		})
	}
}

func BenchmarkUnpack(b *testing.B) {
	dst := make([]float32, 192)
	for bits, unpack := range unpackers {
		codes := make([]byte, len(dst)*bits/8)
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			b.SetBytes(int64(4 * len(dst)))
			for b.Loop() {
				unpack(dst, codes, 7, 0.1)
			}
		})
	}
}

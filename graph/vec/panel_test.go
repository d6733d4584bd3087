package vec

import (
	"math"
	"math/rand"
	"testing"
)

// A panel of codes has the weights (q - zero)·scale of each row, to the bit, whatever its offsets and its place in dst.
func TestPanelUnpack(t *testing.T) {
	r := rand.New(rand.NewSource(31))
	eachLevel(t, func(t *testing.T) {
		lanes := PanelLanes()
		for _, bits := range []int{8, 4, 2} {
			for words := range 9 {
				stride, columns, rowBytes := lanes+r.Intn(lanes+1), words*32/bits, 4*words+r.Intn(3)
				codes := make([]byte, lanes*rowBytes+4)
				for i := range codes {
					codes[i] = byte(r.Uint32())
				}
				offsets, zeros, scales := make([]int32, lanes), make([]float32, lanes), make([]float32, lanes)
				for i := range lanes {
					offsets[i], zeros[i], scales[i] = int32(r.Intn(lanes)*rowBytes), r.Float32()*15, r.Float32()
				}
				dst := make([]float32, max(1, columns)*stride+3)
				for i := range dst {
					dst[i] = -99
				}
				PanelUnpack(bits, dst[:max(0, (columns-1)*stride+lanes)], codes, offsets, zeros, scales, words, stride)
				for i, got := range dst {
					column, row, want := i/stride, i%stride, float32(-99)
					if column < columns && row < lanes {
						code := codes[int(offsets[row])+column*bits/8] >> (column * bits % 8)
						q := float32(code & (1<<bits - 1))
						if bits == 8 {
							q = float32(int8(code))
						}
						want = (q - zeros[row]) * scales[row]
					}
					if math.Float32bits(got) != math.Float32bits(want) {
						t.Fatalf("%d bits, %d words, stride %d: dst[%d] is %g, want %g", bits, words, stride, i, got, want)
					}
				}
			}
		}
	})
}

// A panel of floats has the rows' values, transposed.
func TestPanelPack(t *testing.T) {
	r := rand.New(rand.NewSource(33))
	eachLevel(t, func(t *testing.T) {
		lanes := PanelLanes()
		for k := range 20 {
			stride, rowLen := lanes+r.Intn(lanes+1), k+r.Intn(3)
			w, offsets := make([]float32, lanes*rowLen), make([]int32, lanes)
			for i := range w {
				w[i] = r.Float32()
			}
			for i := range offsets {
				offsets[i] = int32(r.Intn(lanes) * rowLen)
			}
			dst := make([]float32, max(1, k)*stride+3)
			PanelPack(dst[:max(0, (k-1)*stride+lanes)], w, offsets, k, stride)
			for i, got := range dst {
				column, row, want := i/stride, i%stride, float32(0)
				if column < k && row < lanes {
					want = w[int(offsets[row])+column]
				}
				if got != want {
					t.Fatalf("k %d, stride %d: dst[%d] is %g, want %g", k, stride, i, got, want)
				}
			}
		}
	})
}

// The products with a panel are those of float64 within rounding, for every number of rows and of columns, with gaps
// between rows that are neither read nor written; how rows are divided among calls does not change a bit.
func TestPanelProducts(t *testing.T) {
	r := rand.New(rand.NewSource(32))
	draw := func(n int) []float32 {
		v := make([]float32, max(0, n))
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	for _, p := range []struct {
		name       string
		transposed bool
		// run computes into c, which holds what the sums begin with
		run func(c, a, b []float32, rows, k, lda, ldc int)
	}{
		{"PanelMul", false, func(c, a, b []float32, rows, k, lda, ldc int) {
			bias := append([]float32{}, c[:min(len(c), 2*PanelLanes())]...) // that of the first row is every row's
			PanelMul(c, a, b, bias, rows, k, lda, ldc)
		}},
		{"PanelAdd", false, PanelAdd},
		{"PanelAddT", true, PanelAddT},
	} {
		t.Run(p.name, func(t *testing.T) {
			eachLevel(t, func(t *testing.T) {
				width := 2 * PanelLanes()
				for rows := range 30 {
					for _, k := range []int{1, 2, 3, 4, 5, 8, 31} {
						along, across := k, rows // a row of a, and the number of them
						if p.transposed {
							along, across = rows, k
						}
						lda, ldc := along+r.Intn(3), width+r.Intn(3)
						a, b := draw((across-1)*lda+along), draw(k*width)
						c := draw((rows-1)*ldc + width)
						if p.name == "PanelMul" {
							for row := 1; row < rows; row++ {
								copy(c[row*ldc:row*ldc+width], c)
							}
						}
						before := append([]float32{}, c...)
						p.run(c, a, b, rows, k, lda, ldc)
						of := func(row, j int) int {
							if p.transposed {
								return j*lda + row
							}
							return row*lda + j
						}
						for i, got := range c {
							row, column := i/ldc, i%ldc
							if column >= width {
								if got != before[i] {
									t.Fatalf("rows %d, k %d: wrote between rows, at %d", rows, k, i)
								}
								continue
							}
							want, size := float64(before[i]), math.Abs(float64(before[i]))
							for j := range k {
								p := float64(a[of(row, j)]) * float64(b[j*width+column])
								want, size = want+p, size+math.Abs(p)
							}
							if math.Abs(float64(got)-want) > 1e-7*float64(k+1)*size {
								t.Fatalf("rows %d, k %d: c[%d,%d] is %g, want %g", rows, k, row, column, got, want)
							}
						}
						for row := range rows {
							one := append([]float32{}, before[row*ldc:row*ldc+width]...)
							p.run(one, a[of(row, 0):], b, 1, k, lda, width)
							for j, v := range one {
								if math.Float32bits(v) != math.Float32bits(c[row*ldc+j]) {
									t.Fatalf("rows %d, k %d: row %d alone gives %g, with the others %g", rows, k, row, v,
										c[row*ldc+j])
								}
							}
						}
					}
				}
			})
		})
	}
}

// Slices that are too short are refused before anything is read.
func TestPanelsRefuseShortSlices(t *testing.T) {
	lanes := PanelLanes()
	ints, floats := make([]int32, lanes), make([]float32, 8*lanes)
	for name, f := range map[string]func(){
		"codes": func() {
			PanelUnpack(4, floats[:8*lanes], make([]byte, 3), ints, floats[:lanes], floats[:lanes], 1, lanes)
		},
		"dst": func() {
			PanelUnpack(4, floats[:7*lanes], make([]byte, 4), ints, floats[:lanes], floats[:lanes], 1, lanes)
		},
		"bits": func() {
			PanelUnpack(3, floats[:8*lanes], make([]byte, 4), ints, floats[:lanes], floats[:lanes], 1, lanes)
		},
		"product": func() { PanelMul(floats[:2*lanes-1], floats, floats, floats, 1, 1, 1, 2*lanes) },
		"sum":     func() { PanelAdd(floats[:2*lanes-1], floats, floats, 1, 1, 1, 2*lanes) },
		"sum of columns": func() {
			PanelAddT(floats, floats[:2], floats, 2, 2, 2, 2*lanes)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

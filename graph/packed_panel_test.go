package graph

import (
	"fmt"
	"math"
	"math/rand"
	"testing"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// A panel has the bits that Rows gives, transposed, whatever the kind, the group size, the salient columns and the number
// of rows; where codes do not fill words there are no panels.
func TestPanelsHaveTheBitsOfRows(t *testing.T) {
	r := rand.New(rand.NewSource(41))
	for _, level := range vec.Levels() {
		restore, err := vec.SetLevel(level)
		if err != nil {
			t.Fatal(err)
		}
		for _, rows := range []int{1, 5, 16, 37, 64} {
			for _, cols := range []int{4, 8, 48, 64, 80, 18} {
				w := make([]float32, rows*cols)
				for i := range w {
					w[i] = float32(r.NormFloat64())
				}
				steps := make([]float32, rows)
				for i := range steps {
					steps[i] = HalfLogStep(float32(r.NormFloat64()))
				}
				made := map[string]func() (*Packed, error){
					"int4 group 32": func() (*Packed, error) { return PackInt4(w, []int{rows, cols}, Int4Compact{Group: 32}) },
					"int4 group 8": func() (*Packed, error) {
						return PackInt4(w, []int{rows, cols}, Int4Compact{Group: 8, Salient: []int{1, 3}})
					},
					"int4 group of row+": func() (*Packed, error) { return PackInt4(w, []int{rows, cols}, Int4Compact{Group: 128}) },
					"seq2":               func() (*Packed, error) { return PackSEQ2(w, []int{rows, cols}, steps) },
					"int8":               func() (*Packed, error) { return PackInt8(w, []int{rows, cols}) },
				}
				for name, pack := range made {
					p, err := pack()
					if err != nil {
						t.Fatal(err)
					}
					at := fmt.Sprintf("%s, %s [%d, %d]", level, name, rows, cols)
					if !p.panels() {
						if cols%16 == 0 {
							t.Errorf("%s: no panels", at)
						}
						continue
					}
					width := 2 * vec.PanelLanes()
					want, panel := make([]float32, rows*cols), make([]float32, cols*width)
					p.Rows(want, 0, rows)
					for from := 0; from < rows; from += width {
						p.panel(panel, from)
						for i, got := range panel {
							row := min(from+i%width, rows-1)
							if math.Float32bits(got) != math.Float32bits(want[row*cols+i/width]) {
								t.Fatalf("%s: row %d, column %d is %g, want %g", at, row, i/width, got, want[row*cols+i/width])
							}
						}
					}
				}
			}
		}
		restore()
	}
}

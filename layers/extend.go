package layers

import "fmt"

// Extension says what the rows of a longer position table are made of.
type Extension string

// The extensions.
const (
	// Interpolate stretches the table: row p of N lies at p·(M-1)/(N-1) among the M rows that there were, linearly between
	// two of them; the first and the last row stay. Every row is made of trained ones, but those of the old positions
	// change, and so does what the model says at the lengths that it knows, until it is trained on.
	Interpolate Extension = "interpolate"
	// Fresh keeps the old rows, and draws the new ones as those of a new model are.
	Fresh Extension = "fresh"
)

// Extensions lists them, the default first.
func Extensions() []Extension { return []Extension{Interpolate, Fresh} }

// Extended is a model in floating point with n positions in place of fewer, and a copy of all else of m. Fresh rows are
// drawn from the seed. Hooks are not copied, as in Clone.
func (m *Model) Extended(n int, by Extension, seed uint64) (*Model, error) {
	if m.Packed() {
		return nil, ErrPacked
	}
	if n <= m.Config.MaxLen {
		return nil, fmt.Errorf("model: %d positions in place of %d: they must be more", n, m.Config.MaxLen)
	}
	c := m.Config
	c.MaxLen = n
	e, err := m.cloneAs(c, seed) // of fresh positions the first rows
	if err == nil && by == Interpolate {
		stretch(e.Embedding.Positions.Param.Data(), m.Embedding.Positions.Param.Data(), c.Dim)
	}
	return e, err
}

// stretch interpolates the rows of width d of a table into those of a longer one.
func stretch(into, from []float32, d int) {
	last, rows := len(from)/d-1, len(into)/d
	for p := range rows {
		at := p * last / (rows - 1)
		below, above := from[at*d:], from[min(at+1, last)*d:]
		share := float64(p*last%(rows-1)) / float64(rows-1) // of the row above
		for i := range d {
			// Each product is rounded by itself, on every machine.
			into[p*d+i] = float32(float64((1-share)*float64(below[i])) + float64(share*float64(above[i])))
		}
	}
}

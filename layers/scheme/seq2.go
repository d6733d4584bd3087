package scheme

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
)

// SEQ2 is the stretched-elastic quantiser of 2 bits (SPEC section 4; ParetoQ, Liu et al. 2025): the levels -1.5,
// -0.5, 0.5 and 1.5, each times a learned step of the row. Packed steps are half-precision numbers: unless they were
// rounded beforehand (Steps.Stored), what is stored differs from what was simulated by up to 2^-11 of itself.
var SEQ2 = &Scheme{
	Name: "seq2", Doc: "4 levels with a learned step a row, 2 bits (ParetoQ)", Bits: 2,
	Fake:  fourLevels.fake,
	Least: largestLevel * leastInitialStep, LeastOf: "the reach of the least 2-bit step",
	Steps: &Steps{Initial: fourLevels.initial, Stored: storedSteps},
	Form:  &Form{Size: seq2Size, Pack: packSEQ2, Parse: parseSEQ2},
}

// seq2 is a packed weight, cut into the parts that FORMAT.md describes.
type seq2 struct {
	Matrix
	steps halves
	codes []byte
}

func seq2Size(m Matrix) int { return 2*m.Rows + (m.Size()+3)/4 }

func cutSEQ2(data []byte, m Matrix) seq2 { return seq2{m, data[:2*m.Rows], data[2*m.Rows:]} }

func packSEQ2(dst []byte, w, logStep []float32, m Matrix) error {
	p := cutSEQ2(dst, m)
	if len(logStep) != m.Rows {
		return fmt.Errorf("%d steps, want one for each of the %d rows", len(logStep), m.Rows)
	}
	for r, l := range logStep {
		s := stepOf(l)
		if !(s > 0) {
			return fmt.Errorf("step %g of row %d: it must be above 0", s, r)
		}
		if err := p.steps.put(r, s); err != nil {
			return fmt.Errorf("step of row %d: %w", r, err)
		}
		if p.steps.at(r) == 0 {
			return fmt.Errorf("step %g of row %d is 0 in half precision", s, r)
		}
	}
	if most := slices.Max(logStep); stepOf(most) < leastHalfStep {
		return fmt.Errorf("the largest of its steps is %g: 2-bit steps in half precision must reach %.2g",
			stepOf(most), leastHalfStep)
	}
	for i, x := range w {
		u, _ := scaled(x, stepOf(logStep[i/m.Cols]))
		p.codes[i/4] |= byte(nearest(fourLevels, u)+largestLevel) << (2 * (i % 4))
	}
	return nil
}

func parseSEQ2(data []byte, m Matrix) (graph.Unpacker, error) {
	p := cutSEQ2(data, m)
	if err := p.steps.check(func(h float32) bool { return h > 0 }); err != nil {
		return nil, err
	}
	if n := m.Size() % 4; n != 0 && p.codes[len(p.codes)-1]>>(2*n) != 0 {
		return nil, fmt.Errorf("the bits after the last weight are not 0")
	}
	return p, nil
}

// Rows is graph.Unpacker's.
func (p seq2) Rows(dst []float32, from, to int) {
	for r := from; r < to; r++ {
		s := p.steps.at(r)
		row, i := dst[(r-from)*p.Cols:(r-from+1)*p.Cols], r*p.Cols
		for ; i%4 != 0 && len(row) > 0; i++ { // the row begins in the middle of a byte
			row[0] = dequantized(float32(p.codes[i/4]>>(2*(i%4))&3), largestLevel, s)
			row = row[1:]
		}
		if n := len(row); n > 0 {
			vec.Unpack2(row, p.codes[i/4:(i+n+3)/4], largestLevel, s)
		}
	}
}

// Panels is graph.Unpacker's.
func (p seq2) Panels() bool { return inWords(p.codes, p.Cols, 2) }

// Panel is graph.Unpacker's.
func (p seq2) Panel(dst []float32, from int) {
	panel(dst, p.codes, p.Matrix, 2, from, func(r, _ int) (zero, scale float32) { return largestLevel, p.steps.at(r) })
}

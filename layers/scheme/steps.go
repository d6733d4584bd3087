package scheme

import (
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
)

// levelSet is a symmetric set of evenly spaced levels with largest level 1.5, each times a step s = exp(logStep) that
// is learned for every row. With u = clamp(w/s, -1.5, 1.5) and q the level nearest to u, a weight w becomes q s.
//
// Rounding is straight-through: ∂w = ∂y where |w/s| ≤ 1.5, else 0; ∂logStep = s Σ ∂y (q - u [|w/s| ≤ 1.5]) over the
// row.
type levelSet int

const (
	fourLevels  levelSet = 4 // -1.5, -0.5, 0.5, 1.5
	sevenLevels levelSet = 7 // the multiples of 0.5
)

// largestLevel is the largest multiple of the step.
const largestLevel = 1.5

// leastInitialStep keeps the step of a row of zeros positive (SPEC section 4). The weights of a row that are all far
// below it become half of it.
const leastInitialStep = 1e-4

// nearest is the level nearest to u in -1.5 … 1.5, halves of its rounding to even. In float32 a u next to 0 counts as
// 0.
func nearest[F float32 | float64](l levelSet, u F) F {
	if l == fourLevels {
		return F(math.RoundToEven(float64(u-0.5))) + 0.5
	}
	return F(math.RoundToEven(float64(2*u))) / 2
}

// boundarySlack decides what counts as |w/s| ≤ 1.5. At initialisation the row's largest weight is at 1.5 s exactly,
// but s went through a logarithm rounded to float32: for steps down to 1e-7 that moves w/s by less than 1e-6. Inside,
// such a weight has q - u = 0; taken for outside it would pull the step with 1.5 at every update.
const boundarySlack = 1e-6

// scaled is u, and whether w was inside.
func scaled(w, step float32) (u float32, inside bool) {
	x := float64(w) / float64(step)
	inside = math.Abs(x) <= largestLevel*(1+boundarySlack)
	return float32(min(max(x, -largestLevel), largestLevel)), inside
}

func stepOf(logStep float32) float32 { return float32(math.Exp(float64(logStep))) }

// stepQuant is the kernel of w [rows, ...] or [1, rows, ...] and logStep [rows].
type stepQuant struct{ levels levelSet }

// fake is Scheme.Fake.
func (l levelSet) fake(g *graph.Graph, w, logStep *graph.Node, _ Settings) *graph.Node {
	return graph.Apply(g, stepQuant{l}, w, logStep)
}

func (o stepQuant) String() string { return fmt.Sprintf("fakequant(levels=%d)", o.levels) }

func (o stepQuant) Plan(in []graph.Spec) (graph.Plan, error) {
	w, steps := in[0], in[1]
	if len(w.Shape) < 2 || w.Ints {
		return graph.Plan{}, fmt.Errorf("got weight %v, want floats [out, ...]", w.Shape)
	}
	rows := w.Shape[0]
	if rows == 1 && len(w.Shape) == 3 {
		rows = w.Shape[1]
	}
	if !slices.Equal(steps.Shape, []int{rows}) || steps.Ints {
		return graph.Plan{}, fmt.Errorf("got log step %v, want [%d]", steps.Shape, rows)
	}
	return graph.Plan{Out: w}, nil
}

func (o stepQuant) Forward(c *graph.Call) {
	rows := len(c.In[1].F)
	n := len(c.In[0].F) / rows
	graph.Parallel(rows, func(ch int) {
		step := stepOf(c.In[1].F[ch])
		for i := ch * n; i < (ch+1)*n; i++ {
			u, _ := scaled(c.In[0].F[i], step)
			c.Out.F[i] = nearest(o.levels, u) * step
		}
	})
}

func (o stepQuant) Backward(c *graph.Call) {
	rows := len(c.In[1].F)
	n := len(c.In[0].F) / rows
	graph.Parallel(rows, func(ch int) {
		step := stepOf(c.In[1].F[ch])
		var sum float64
		for i := ch * n; i < (ch+1)*n; i++ {
			u, inside := scaled(c.In[0].F[i], step)
			slope := nearest(o.levels, u)
			if inside {
				slope -= u
			}
			sum += float64(c.Grad.F[i]) * float64(slope)
			if dw := c.GradIn[0].F; dw != nil {
				dw[i] = 0
				if inside {
					dw[i] = c.Grad.F[i]
				}
			}
		}
		if ds := c.GradIn[1].F; ds != nil {
			ds[ch] = float32(float64(step) * sum)
		}
	})
}

// initial is Steps.Initial: the step is max|w| / 1.5 of the row, at which no weight is clipped, at least 1e-4; or, of
// that and 59 smaller ones down to 1/4 of it, the one with the least squared error, of equals the largest.
func (l levelSet) initial(w []float32, rows int, leastSquares bool) []float32 {
	const candidates = 60
	n := len(w) / rows
	logStep := make([]float32, rows)
	for r := range logStep {
		row := w[r*n : (r+1)*n]
		start := float32(math.Log(max(float64(largestOf(row))/largestLevel, leastInitialStep)))
		logStep[r] = start
		if !leastSquares {
			continue
		}
		least := math.Inf(1)
		for i := range candidates {
			step := start + float32(math.Log(1-0.75*float64(i)/candidates))
			if e := l.squaredError(row, math.Exp(float64(step))); e < least {
				least, logStep[r] = e, step
			}
		}
	}
	return logStep
}

// squaredError is Σ (ŵ - w)² of a row.
func (l levelSet) squaredError(w []float32, step float64) float64 {
	var sum float64
	for _, x := range w {
		d := nearest(l, min(max(float64(x)/step, -largestLevel), largestLevel))*step - float64(x)
		sum += d * d
	}
	return sum
}

// storedSteps is Steps.Stored: the logarithms of the steps in half precision, those of small rows raised to
// leastHalfStep. The largest must reach it. A step beyond half precision stays as it is, and packing refuses it.
func storedSteps(logStep []float32) ([]float32, error) {
	var most float64
	stored := make([]float32, len(logStep))
	for i, l := range logStep {
		most, stored[i] = max(most, math.Exp(float64(l))), halfLogStep(l)
	}
	if most < leastHalfStep {
		return nil, fmt.Errorf("the largest of its 2-bit steps is %.3g, and a packed file holds steps from %.2g on",
			most, leastHalfStep)
	}
	return stored, nil
}

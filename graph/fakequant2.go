package graph

import (
	"fmt"
	"math"

	"github.com/synapnet/synapnet-train/graph/vec"
)

// FakeQuant2Bit is the stretched-elastic 2-bit quantiser (SPEC section 4; ParetoQ, Liu et al. 2025) for weights w [O, ...] with a
// learned step s = exp(logStep) per output channel, logStep [O]: with u = clamp(w/s, -1.5, 1.5) and q the nearest of
// -1.5, -0.5, 0.5, 1.5 (u - 0.5 rounded half to even, plus 0.5), the result is q s, shaped as w.
//
// Rounding is straight-through: ∂w = ∂y where |w/s| ≤ 1.5, else 0; ∂logStep = s Σ ∂y (q - u [|w/s| ≤ 1.5]) over the channel.
func FakeQuant2Bit(g *Graph, w, logStep *Node) *Node {
	return Apply(g, stepQuant{fourLevels}, w, logStep)
}

// FakeQuant7Level is FakeQuant2Bit with the seven multiples of 0.5 in -1.5 … 1.5 as levels: what the paper's code does,
// which calls it 2-bit. It needs three bits and is here for comparison only.
func FakeQuant7Level(g *Graph, w, logStep *Node) *Node {
	return Apply(g, stepQuant{sevenLevels}, w, logStep)
}

// levelSet is a symmetric set of evenly spaced levels with largest level 1.5.
type levelSet int

const (
	fourLevels  levelSet = 4
	sevenLevels levelSet = 7
)

// largestLevel is the largest multiple of the step.
const largestLevel = 1.5

// nearest is the level nearest to u in -1.5 … 1.5.
func (l levelSet) nearest(u float32) float32 {
	if l == fourLevels {
		return roundEven(u-0.5) + 0.5
	}
	return roundEven(2*u) / 2
}

// boundarySlack decides what counts as |w/s| ≤ 1.5. At initialisation the channel's largest weight is at 1.5 s exactly,
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

type stepQuant struct{ levels levelSet }

func (o stepQuant) String() string { return fmt.Sprintf("fakequant(levels=%d)", o.levels) }

func (o stepQuant) Plan(in []Spec) (Plan, error) {
	if len(in[0].Shape) < 2 {
		return Plan{}, fmt.Errorf("got weight %v, want [out, ...]", in[0].Shape)
	}
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	return Plan{Out: in[0]}, wantShape("log step", in[1], in[0].Shape[0])
}

func (o stepQuant) Forward(c *Call) {
	n := len(c.In[0].F) / c.In[0].Dim(0)
	Parallel(c.In[0].Dim(0), func(ch int) {
		step := stepOf(c.In[1].F[ch])
		for i := ch * n; i < (ch+1)*n; i++ {
			u, _ := scaled(c.In[0].F[i], step)
			c.Out.F[i] = o.levels.nearest(u) * step
		}
	})
}

func (o stepQuant) Backward(c *Call) {
	n := len(c.In[0].F) / c.In[0].Dim(0)
	Parallel(c.In[0].Dim(0), func(ch int) {
		step := stepOf(c.In[1].F[ch])
		var sum float64
		for i := ch * n; i < (ch+1)*n; i++ {
			u, inside := scaled(c.In[0].F[i], step)
			slope := o.levels.nearest(u)
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

// LeastInitialStep keeps the step of a channel of zeros positive (SPEC section 4). The weights of a channel that are all far
// below it become half of it.
const LeastInitialStep = 1e-4

// InitLogStep gives the initial log step of each channel of w [channels, ...]: log(max|w| / 1.5), the step at least 1e-4.
func InitLogStep(w []float32, channels int) []float32 {
	n := len(w) / channels
	logStep := make([]float32, channels)
	for ch := range logStep {
		var largest float32
		for _, x := range w[ch*n : (ch+1)*n] {
			largest = max(largest, x, -x)
		}
		logStep[ch] = float32(math.Log(max(float64(largest)/largestLevel, LeastInitialStep)))
	}
	return logStep
}

// Quantize2Bit gives the code of each weight of w [channels, ...]: 0, 1, 2, 3 for the levels -1.5, -0.5, 0.5, 1.5, each
// times the channel's step. The weights must be finite.
func Quantize2Bit(w, logStep []float32) []uint8 {
	n := len(w) / len(logStep)
	codes := make([]uint8, len(w))
	for i, x := range w {
		u, _ := scaled(x, stepOf(logStep[i/n]))
		codes[i] = uint8(fourLevels.nearest(u) + largestLevel)
	}
	return codes
}

// Dequantize2Bit is the inverse: bit for bit what FakeQuant2Bit makes of the weights.
func Dequantize2Bit(codes []uint8, logStep []float32) []float32 {
	n := len(codes) / len(logStep)
	w := make([]float32, len(codes))
	for ch, l := range logStep {
		step := stepOf(l)
		for i := ch * n; i < (ch+1)*n; i++ {
			w[i] = (float32(codes[i]) - largestLevel) * step
		}
	}
	return w
}

// finite says whether all elements are finite numbers, which integers can stand for.
func finite(x []float32) bool { return !vec.HasNonFinite(x) }

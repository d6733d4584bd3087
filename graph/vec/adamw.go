package vec

import "math"

// AdamWParams are the scalars of one AdamW step. They are float64 so that
// differences such as 1-Beta2 are rounded once, as in PyTorch.
type AdamWParams struct {
	LR          float64 // learning rate
	Beta1       float64 // decay of the first moment
	Beta2       float64 // decay of the second moment
	Eps         float64 // added to the denominator after the square root
	WeightDecay float64 // decoupled weight decay, multiplied by LR
	Bias1       float64 // 1 - Beta1^t, t counting steps from 1
	Bias2       float64 // 1 - Beta2^t
	GradScale   float64 // factor on the gradient (1, or the clipping factor)
}

// AdamW updates the weights w and the moments m and v in one pass over the
// gradient g (Loshchilov & Hutter, "Decoupled Weight Decay Regularization",
// 2019; the order of operations is that of torch.optim.AdamW):
//
//	g' = g·GradScale
//	w  = w·(1 - LR·WeightDecay)
//	m  = Beta1·m + (1-Beta1)·g'
//	v  = Beta2·v + (1-Beta2)·g'²
//	w  = w - (LR/Bias1)·m / (√v/√Bias2 + Eps)
func AdamW(w, m, v, g []float32, p AdamWParams) {
	sameLen3("AdamW", w, m, v)
	sameLen2("AdamW", w, g)
	adamwKernel(w, m, v, g,
		float32(p.GradScale), float32(1-p.LR*p.WeightDecay),
		float32(p.Beta1), float32(1-p.Beta1), float32(p.Beta2), float32(1-p.Beta2),
		float32(math.Sqrt(p.Bias2)), float32(p.Eps), float32(-p.LR/p.Bias1))
}

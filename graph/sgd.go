package graph

import "gorgonia.org/gorgonia"

// SGD is stochastic gradient descent with momentum, with the semantics of PyTorch's torch.optim.SGD at dampening 0, and
// with AdamW's parameter groups and clipping to a global norm. It is a gorgonia.Solver. For each parameter w with
// gradient g, after scaling all gradients by min(1, Clip / (‖g‖ + 1e-6)):
//
//	d ← g + wd·w;  b ← μ b + d;  w ← w - lr·b,  or with Nesterov  w ← w - lr·(d + μ b)
//
// Here the weight decay is that of the loss wd/2 ‖w‖² (L2): it enters the momentum, which AdamW's does not. b starts at
// 0. A parameter without a gradient is left alone, its decay included.
type SGD struct {
	Momentum float64 // μ; 0: none
	Nesterov bool
	Clip     float64 // the largest global gradient norm; 0: no clipping
	Groups   []*Group

	momentum map[*Param][]float32
	norm     float64
}

// NewSGD makes an optimiser whose momentum is at rest.
func NewSGD(momentum float64, nesterov bool, clip float64, groups ...*Group) *SGD {
	return &SGD{Momentum: momentum, Nesterov: nesterov, Clip: clip, Groups: groups, momentum: map[*Param][]float32{}}
}

// State is the momentum b of a parameter, shaped as the parameter, made at its first use, for checkpoints.
func (s *SGD) State(p *Param) []float32 {
	b, ok := s.momentum[p]
	if !ok {
		b = make([]float32, p.Size())
		s.momentum[p] = b
	}
	return b
}

// Norm is the global gradient norm of the last step, before clipping.
func (s *SGD) Norm() float64 { return s.norm }

// Step updates the parameters of all groups from the gradients in model, which are those of a Program. An update with a
// gradient that is not finite is refused and changes nothing.
func (s *SGD) Step(model []gorgonia.ValueGrad) error {
	grads, norm, err := gradients("SGD", model)
	s.norm = norm
	if err != nil {
		return err
	}
	scale := clipScale(s.Clip, norm)
	for _, group := range s.Groups {
		for _, p := range group.Params {
			if g, ok := grads[p]; ok {
				s.update(p, g, group, float32(scale))
			}
		}
	}
	return nil
}

// update makes one parameter's step. Each product is rounded by itself, so that no machine fuses it with the sum after.
func (s *SGD) update(p *Param, g []float32, group *Group, scale float32) {
	w, b := p.Data(), s.State(p)
	lr, wd, mu := float32(group.LR), float32(group.WeightDecay), float32(s.Momentum)
	ParallelElements(len(w), func(from, to int) {
		for i := from; i < to; i++ {
			d := float32(scale*g[i]) + float32(wd*w[i])
			b[i] = float32(mu*b[i]) + d
			step := b[i]
			if s.Nesterov {
				step = d + float32(mu*b[i])
			}
			w[i] -= float32(lr * step)
		}
	})
}

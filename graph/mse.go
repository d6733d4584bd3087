package graph

// MeanSquaredError is the mean over all elements of (x - t)², for predictions x and targets t of one shape. The result
// is [1]; ∂x = 2 (x - t) ∂y / n, ∂t = -∂x.
func MeanSquaredError(g *Graph, x, target *Node) *Node {
	return Apply(g, meanSquaredError{}, x, target)
}

type meanSquaredError struct{}

func (meanSquaredError) String() string { return "mse" }

func (meanSquaredError) Plan(in []Spec) (Plan, error) {
	if err := wantFloats(in[0]); err != nil {
		return Plan{}, err
	}
	return Plan{Out: floatSpec(1)}, sameShape(in[0], in[1])
}

func (meanSquaredError) Forward(c *Call) {
	x, t := c.In[0].F, c.In[1].F
	partial := make([]float64, tiles(len(x), elementTile))
	Parallel(len(partial), func(i int) {
		from, to := tile(i, elementTile, len(x))
		for j := from; j < to; j++ {
			d := float64(x[j]) - float64(t[j])
			partial[i] += d * d
		}
	})
	var sum float64
	for _, s := range partial {
		sum += s
	}
	c.Out.F[0] = float32(sum / float64(len(x)))
}

func (meanSquaredError) Backward(c *Call) {
	x, t := c.In[0].F, c.In[1].F
	scale := 2 * c.Grad.F[0] / float32(len(x))
	ParallelElements(len(x), func(from, to int) {
		for i := from; i < to; i++ {
			d := scale * (x[i] - t[i])
			if c.GradIn[0].F != nil {
				c.GradIn[0].F[i] = d
			}
			if c.GradIn[1].F != nil {
				c.GradIn[1].F[i] = -d
			}
		}
	})
}

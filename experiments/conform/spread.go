package conform

import (
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/rounding"
)

// The tolerance of a tensor: package rounding says why it is measured and how. Each case that has parameters is run
// again with them perturbed, and the largest distance of an element of a tensor between those runs and ours is its
// spread.

// largestShare bounds what the spread adds to a tolerance, relative to the tensor's largest element. A case in which
// float32 says no more than that, or where most runs change the order of saliences, must not make everything right.
const largestShare = 1e-3

// reduction is the length of the longest sum in a case: that of a product with a parameter, or over the rows, the
// tokens of a batch, in a parameter's gradient.
func reduction(params []*graph.Param, rows int) int {
	for _, p := range params {
		if s := p.Shape(); len(s) > 1 {
			rows = max(rows, p.Size()/s[0])
		}
	}
	return rows
}

// perturb makes every parameter off by as much as rounding makes a sum of its products, in all runs but the first.
func (c *check) perturb(params []*graph.Param, rows int) {
	c.terms = reduction(params, rows)
	c.perturbed = true
	if c.draw == 0 {
		return
	}
	var weights [][]float32
	for _, p := range params {
		weights = append(weights, p.Data())
	}
	rounding.Perturb(c.terms, c.draw, weights...)
}

// measure keeps what the first run gave, and how far the others are from it.
func (c *check) measure(name string, got []float32) {
	if c.draw == 0 {
		c.first[name] = slices.Clone(got)
		c.moved[name] = make([]bool, len(got))
		c.largest[kind(name)] = max(c.largest[kind(name)], size(got))
		return
	}
	first, moved := c.first[name], c.moved[name]
	for i := range first {
		moved[i] = moved[i] || got[i] != first[i]
	}
	c.strayed[name] = append(c.strayed[name], rounding.Distance(got, first))
}

// kind is what tensors of one magnitude have in common: "g" of g.blocks.0.attn.to_q.weight.
func kind(name string) string {
	before, _, _ := strings.Cut(name, ".")
	return before
}

// size is the largest magnitude among the elements.
func size(x []float32) float64 {
	var largest float64
	for _, v := range x {
		if a := math.Abs(float64(v)); a > largest { // false for NaN
			largest = a
		}
	}
	return largest
}

// floor is the part of a tensor's tolerance that does not depend on the element: its spread and roundingFloor.
func (c *check) floor(name string) float64 {
	spread := min(rounding.Spread(c.strayed[name]), largestShare*size(c.first[name]))
	return c.roundingFloor(name) + rounding.Margin*spread
}

// roundingFloor is what rounding makes of the largest element of a tensor's kind in a sum. It is all there is where a
// sum cancels exactly (the gradient of the last bias of the salience MLP: r and its threshold move together): both
// sides then have nothing but rounding, and the runs, in which the sum cancels too, may not show how much.
func (c *check) roundingFloor(name string) float64 {
	return rounding.Margin * rounding.Of(c.terms) * c.largest[kind(name)]
}

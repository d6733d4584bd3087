package train

import (
	"fmt"
	"strings"

	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// Group is a set of parameters with a learning rate and a weight decay of its own. Log step sizes, for one, have no
// decay: it would pull them towards 0.
type Group struct {
	Name        string // of the setting of its rate, for messages; empty: not told
	Rate        Schedule
	WeightDecay float64
	Params      []*graph.Param
}

// Recipe are AdamW's settings for all groups.
type Recipe struct {
	Beta1, Beta2 float64
	Clip         float64 // the largest global gradient norm; 0: no clipping
}

// Optimiser is AdamW over groups of parameters. A parameter in none is not trained.
type Optimiser struct {
	*graph.AdamW
	groups []Group
}

// NewOptimiser makes one whose moments are 0.
func NewOptimiser(r Recipe, groups ...Group) *Optimiser {
	o := &Optimiser{AdamW: graph.NewAdamW(r.Beta1, r.Beta2, r.Clip), groups: groups}
	for _, g := range groups {
		o.Groups = append(o.Groups, &graph.Group{WeightDecay: g.WeightDecay, Params: g.Params})
	}
	return o
}

// SetRate gives a group, by its place, another schedule: where it depends on how the run goes.
func (o *Optimiser) SetRate(group int, s Schedule) { o.groups[group].Rate = s }

// Params lists all that are trained.
func (o *Optimiser) Params() []*graph.Param {
	var all []*graph.Param
	for _, g := range o.groups {
		all = append(all, g.Params...)
	}
	return all
}

// Update makes the update of a step, from 0, and returns the rate of each group. Gradients that are not finite are an
// error and change nothing.
func (o *Optimiser) Update(step int, gradients []gorgonia.ValueGrad) (rates []float64, err error) {
	for i, g := range o.groups {
		o.Groups[i].LR = g.Rate.At(step)
		rates = append(rates, o.Groups[i].LR)
	}
	return rates, o.Step(gradients)
}

// Restore reads back the moments of a checkpoint, and each parameter's number of updates in as many steps as are done.
func (o *Optimiser) Restore(f *safetensors.File, updates map[string]int, done int) error {
	for _, p := range o.Params() {
		if n := updates[p.Name]; n < 0 || n > done {
			return fmt.Errorf("after %d steps %s has %d updates", done, p.Name, n)
		}
	}
	return layers.SetMoments(f, o.AdamW, o.Params(), updates)
}

// rates names the settings of the groups' rates.
func (o *Optimiser) rates() string {
	var all []string
	for _, g := range o.groups {
		if g.Name != "" {
			all = append(all, fmt.Sprintf("%s %g", g.Name, g.Rate.Peak))
		}
	}
	return strings.Join(all, " and ")
}

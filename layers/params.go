package layers

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Params is the ordered set of a model's parameters. Constructors of layers add theirs; the order is that of
// construction and fixes the random numbers that each one starts from.
type Params struct {
	list   []*graph.Param
	byName map[string]*graph.Param
	rng    *rand.Rand

	weights []*Weight                 // those that can be quantised, in order of construction
	packed  map[string]*scheme.Packed // those that have no parameter, see NewPackedModel
	err     error                     // the first that does not fit its layer

	outline bool // parameters are names and shapes without memory
}

// NewParams makes an empty set whose parameters will be drawn from the given seed.
func NewParams(seed uint64) *Params {
	return &Params{byName: map[string]*graph.Param{}, rng: rand.New(rand.NewPCG(seed, 0x73796e61706e6574))}
}

// All lists the parameters in order of construction.
func (ps *Params) All() []*graph.Param { return ps.list }

// ByName finds a parameter by its state-dict name.
func (ps *Params) ByName(name string) (*graph.Param, bool) {
	p, ok := ps.byName[name]
	return p, ok
}

// Weights walks through the weights of all layers, those of layers from outside this package too, in order of
// construction, which is that of the parameters.
func (ps *Params) Weights() []*Weight { return ps.weights }

// Count is the number of elements of all parameters.
func (ps *Params) Count() int {
	n := 0
	for _, p := range ps.list {
		n += p.Size()
	}
	return n
}

// add registers a parameter of zeros. Two parameters of one name are a mistake in a layer's construction.
func (ps *Params) add(name string, shape ...int) *graph.Param {
	if _, ok := ps.byName[name]; ok {
		panic(fmt.Sprintf("layers: two parameters are named %s", name))
	}
	p := graph.OutlineParam(name, shape...)
	if !ps.outline {
		p = graph.NewParam(name, shape...)
	}
	ps.list = append(ps.list, p)
	ps.byName[name] = p
	return p
}

// toFill is the memory that a parameter's initial values go to: none in an outline.
func (ps *Params) toFill(p *graph.Param) []float32 {
	if ps.outline {
		return nil
	}
	return p.Data()
}

// Zeros adds a parameter that starts at 0.
func (ps *Params) Zeros(name string, shape ...int) *graph.Param { return ps.add(name, shape...) }

// Ones adds a parameter that starts at 1.
func (ps *Params) Ones(name string, shape ...int) *graph.Param {
	p := ps.add(name, shape...)
	for i, data := 0, ps.toFill(p); i < len(data); i++ {
		data[i] = 1
	}
	return p
}

// InitStd is the standard deviation of initial weights and embeddings (SPEC section 1).
const InitStd = 0.02

// Normal adds a parameter drawn from N(0, 0.02²).
func (ps *Params) Normal(name string, shape ...int) *graph.Param {
	return ps.Drawn(name, func(r *rand.Rand) float64 { return InitStd * r.NormFloat64() }, shape...)
}

// Uniform adds a parameter drawn from the interval ±1/sqrt(fanIn).
func (ps *Params) Uniform(name string, fanIn int, shape ...int) *graph.Param {
	bound := 1 / math.Sqrt(float64(fanIn))
	return ps.Drawn(name, func(r *rand.Rand) float64 { return bound * (2*r.Float64() - 1) }, shape...)
}

// Drawn adds a parameter whose elements are drawn by f.
func (ps *Params) Drawn(name string, f func(r *rand.Rand) float64, shape ...int) *graph.Param {
	p := ps.add(name, shape...)
	for i, data := 0, ps.toFill(p); i < len(data); i++ {
		data[i] = float32(f(ps.rng))
	}
	return p
}

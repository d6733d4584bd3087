package layers

import (
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Role is how a layer uses a weight.
type Role int

// The roles of weights.
const (
	Matrix      Role = iota // [out, in], of a Linear
	Convolution             // [D, 1, K], of a depthwise convolution
	Table                   // [V, D] or [1, M, D], whose rows are looked up
)

// Weight is a weight that can be quantised. Whether it is in floating point, behind a quantiser or packed is its own
// business: a layer calls the method for what it does with it.
type Weight struct {
	Name  string // in the state dict
	Shape []int
	Role  Role

	Param  *graph.Param   // in floating point; nil if the weight is packed
	Fake   *FakeQuant     // the quantiser between Param and its use; nil: none
	Packed *scheme.Packed // in packed form, in place of Param
}

// NewWeight registers a weight. Unless ps has it in packed form, init adds its parameter: ps.Normal, mostly.
func NewWeight(ps *Params, name string, role Role, init func(string, ...int) *graph.Param, shape ...int) *Weight {
	w := &Weight{Name: name, Shape: shape, Role: role, Packed: ps.packed[name]}
	switch {
	case w.Packed == nil:
		w.Param = init(name, shape...)
	case !slices.Equal(w.Packed.Spec().Shape, shape) && ps.err == nil:
		ps.err = fmt.Errorf("packed weight %s has shape %v, the model needs %v", name, w.Packed.Spec().Shape, shape)
	}
	ps.weights = append(ps.weights, w)
	return w
}

// Size is the number of elements.
func (w *Weight) Size() int { return graph.Spec{Shape: w.Shape}.Size() }

// Node is the weight as it is used, in floating point or quantised and dequantised. There is none of a packed weight.
func (w *Weight) Node(g *graph.Graph) *graph.Node {
	if w.Packed != nil {
		graph.Fail("layers: weight %s is packed as %s: it has no floating-point value", w.Name, w.Packed.Spec().Scheme)
	}
	if w.Fake != nil {
		return w.Fake.node(g, g.Param(w.Param))
	}
	return g.Param(w.Param)
}

// Linear is act(x Wᵀ + b) of a Matrix, x [..., in] to [..., out]; b may be nil.
func (w *Weight) Linear(g *graph.Graph, x, b *graph.Node, act graph.Activation) *graph.Node {
	if w.Packed != nil {
		return graph.LinearPacked(g, x, w.Packed.PackedMatrix, b, act)
	}
	return graph.Linear(g, x, w.Node(g), b, act)
}

// GatedConv is graph.GatedConv by a Convolution.
func (w *Weight) GatedConv(g *graph.Graph, n, gate, b *graph.Node) *graph.Node {
	if w.Packed != nil {
		return graph.GatedConvPacked(g, n, gate, w.Packed.PackedMatrix, b)
	}
	return graph.GatedConv(g, n, gate, w.Node(g), b)
}

// Embed gives the rows of a Table for ids, int32 [B, T], each with that of its position, of another Table. Both are
// packed, or neither.
func (w *Weight) Embed(g *graph.Graph, ids *graph.Node, positions *Weight) *graph.Node {
	if w.Packed != nil && positions.Packed != nil {
		return graph.EmbedPacked(g, ids, w.Packed.PackedMatrix, positions.Packed.PackedMatrix)
	}
	return graph.Embed(g, ids, w.Node(g), positions.Node(g))
}

// EmbedAt is Embed with the position of each token given, at int32 [B, T].
func (w *Weight) EmbedAt(g *graph.Graph, ids, at *graph.Node, positions *Weight) *graph.Node {
	if w.Packed != nil && positions.Packed != nil {
		return graph.EmbedAtPacked(g, ids, at, w.Packed.PackedMatrix, positions.Packed.PackedMatrix)
	}
	return graph.EmbedAt(g, ids, at, w.Node(g), positions.Node(g))
}

package graph

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// operandsOf lists the operands of a node, one that is used twice twice.
func operandsOf(n *Node) gorgonia.Nodes {
	if c, ok := n.Op().(*call); ok {
		return c.inputs
	}
	var operands gorgonia.Nodes
	for it := n.Graph().From(n.ID()); it != nil && it.Next(); {
		operands = append(operands, it.Node().(*Node))
	}
	return operands
}

// dims is a node's shape; one number, which Gorgonia may also say by nil, is ().
func dims(n *Node) tensor.Shape {
	if n.Shape() == nil {
		return tensor.ScalarShape()
	}
	return n.Shape()
}

// isFloat says whether a node's value is of floats; a statement of Gorgonia's, such as Read, has no value.
func isFloat(n *Node) bool {
	return n.Type() != nil && (n.Dtype() == tensor.Float32 || n.Dtype() == tensor.Float64)
}

// symDiff is the gradient of an operation that is not a kernel, by its own SymDiff.
func (b *backward) symDiff(n *Node, operands gorgonia.Nodes, grad *Node, wanted []bool) (g gorgonia.Nodes, err error) {
	op := n.Op().(gorgonia.SDOp)
	defer func() {
		if r := recover(); r != nil {
			if e, ok := r.(*Error); ok {
				panic(e)
			}
			g, err = nil, fmt.Errorf("its SymDiff fails: %v", r)
		}
	}()
	grads, err := op.SymDiff(operands, n, grad)
	if err != nil {
		return nil, fmt.Errorf("its SymDiff fails: %w", err)
	}
	if len(grads) != len(operands) {
		return nil, fmt.Errorf("its SymDiff gives %d gradients for %d operands", len(grads), len(operands))
	}
	grads = slices.Clone(grads)
	for i, operand := range operands {
		if !wanted[i] {
			continue
		}
		switch {
		case grads[i] == nil:
			return nil, fmt.Errorf("its SymDiff gives no gradient for operand %d", i)
		case grads[i].Dtype() != tensor.Float32:
			return nil, fmt.Errorf("its SymDiff gives a gradient of %v for operand %d, want float32", grads[i].Dtype(), i)
		case dims(grads[i]).Eq(dims(operand)):
		case slices.Equal(squeezed(grads[i]), squeezed(operand)):
			grads[i] = b.shaped(grads[i], operand)
		default:
			return nil, fmt.Errorf("its SymDiff gives a gradient of shape %v for operand %d of shape %v",
				grads[i].Shape(), i, operand.Shape())
		}
	}
	return grads, nil
}

// squeezed is a node's shape without its dimensions of 1, of which Gorgonia's operations drop some.
func squeezed(n *Node) []int {
	return slices.DeleteFunc(slices.Clone([]int(dims(n))), func(d int) bool { return d == 1 })
}

// mustPass fails for an operation that is not a kernel and whose gradient is missing or not to be trusted.
func mustPass(n *Node, operands gorgonia.Nodes, wanted []bool) {
	if why := distrust(n); why != "" {
		refuse(n, why)
	}
	op, ok := n.Op().(gorgonia.SDOp)
	if !ok {
		refuse(n, "it is no gorgonia.SDOp: write it as a graph.Kernel with a Backward")
	}
	differentiable := op.DiffWRT(len(operands))
	for i, w := range wanted {
		if w && (i >= len(differentiable) || !differentiable[i]) {
			refuse(n, fmt.Sprintf("by its DiffWRT operand %d has no gradient: put graph.Detach before it if none shall flow", i))
		}
		if w && operands[i].Dtype() != tensor.Float32 {
			refuse(n, fmt.Sprintf("operand %d is of %v, want float32", i, operands[i].Dtype()))
		}
	}
}

func refuse(n *Node, why string) {
	Fail("graph: the operation %v (%T) is between a parameter that can be trained and the loss, and %s",
		n.Op(), n.Op(), why)
}

// differentiable lists the operations of Gorgonia v0.9.18 whose gradients agree with central differences, by type and,
// where a type has several, by name: TestGorgoniaGradients. All others of Gorgonia's are refused.
var differentiable = map[string][]string{
	"gorgonia.elemUnaryOp": {"abs", "sin", "cos", "exp", "ln", "neg", "square", "sqrt", "inv", "cube", "tanh", "sigmoid",
		"log1p", "expm1", "softplus"},
	"gorgonia.elemBinOp":   {"+ false", "- false", "⊙ false", "÷ false", "^ false"},
	"gorgonia.linAlgBinOp": {"×", "⋅"},
	"gorgonia.sumOp":       nil, "gorgonia.repeatOp": nil,
	"gorgonia.reshapeOp": nil, "gorgonia.transposeOp": nil, "gorgonia.sliceOp": nil, "gorgonia.concatOp": nil,
}

const noSlope = "its derivative is zero wherever there is one: put graph.Detach before it if no gradient shall flow, " +
	"or use graph.Round"

// wrong tells what to use in the place of operations of Gorgonia's which have no gradient or a wrong one, by a part of
// their type and name.
var wrong = []struct{ op, why string }{
	{"elemUnaryOp log2", "its gradient is wrong by the factor (log 2)²: use graph.Log"},
	{"elemUnaryOp invSqrt", "its gradient is wrong: take gorgonia.Inverse of gorgonia.Sqrt"},
	{"⊗", "its gradient is wrong: use graph.MatMul of a column and a row"},
	{"elemUnaryOp sign", noSlope}, {"elemUnaryOp ceil", noSlope}, {"elemUnaryOp floor", noSlope},
	{"sparsemax", "its gradient is not tested: use graph.Softmax"},
	{"maxOp", "its gradient counts each of several equal maxima in full: use graph.Softmax or write a graph.Kernel"},
	{"dropout", "its mask does not follow from a seed: use graph.Dropout"},
	{"Dropout", "its mask does not follow from a seed: use graph.Dropout"},
	{"im2col", "its gradient is not tested: use graph.GatedConv or graph.CausalConv"},
	{"maxPool", "its gradient is not tested: write a graph.Kernel with a Backward"},
	{"atchNorm", "its gradient is not tested: use graph.LayerNorm or graph.RMSNorm"},
}

// distrust says why a gradient through an operation of Gorgonia's own is refused; it is empty if it is right, and for
// operations of others.
func distrust(n *Node) string {
	t := reflect.TypeOf(n.Op())
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !strings.HasPrefix(t.PkgPath(), "gorgonia.org/") {
		return ""
	}
	if why := wrongValue(n); why != "" {
		return why
	}
	name := strings.TrimSpace(n.Op().String())
	if names, ok := differentiable[t.String()]; ok && (names == nil || slices.ContainsFunc(names, func(s string) bool {
		return name == s || t.Name() == "linAlgBinOp" && strings.Contains(name, s)
	})) {
		return ""
	}
	for _, w := range wrong {
		if strings.Contains(t.Name()+" "+name, w.op) {
			return w.why
		}
	}
	return "its gradient is not tested: use an operation of package graph, or write a graph.Kernel with a Backward"
}

// wrongValue says why the value of an operation of Gorgonia's own would be wrong, empty if it is not known to be.
func wrongValue(n *Node) string {
	most, longest := 0, 0
	for _, operand := range operandsOf(n) {
		most = max(most, len(dims(operand)))
		for _, d := range dims(operand) {
			longest = max(longest, d)
		}
	}
	switch t := strings.TrimPrefix(fmt.Sprintf("%T", n.Op()), "*"); {
	case (t == "gorgonia.sumOp" || t == "gorgonia.maxOp") && most > 3:
		return fmt.Sprintf("Gorgonia reduces tensors of %d dimensions wrongly: Reshape to at most 3", most)
	case t == "gorgonia.softmaxOp":
		return "Gorgonia's Log turns the SoftMax that it reads into a LogSoftMax, for every reader: use graph.Softmax"
	case (t == "gorgonia.sliceOp" || t == "gorgonia.concatOp") && longest > 255:
		return fmt.Sprintf("Gorgonia cannot tell slices beyond 255 apart, and a dimension is %d: "+
			"use graph.SliceRows or graph.ConcatRows", longest)
	}
	return ""
}

// readsShape says of an operation that it reads its operand's shape and not its values.
func readsShape(n *Node) bool { return fmt.Sprintf("%T", n.Op()) == "gorgonia.sizeOp" }

// compares says of an operation of Gorgonia's that its result is a truth value, 0 or 1, whose derivative is zero
// wherever there is one: the mask x ≥ 0 of gorgonia.Rectify.
func compares(n *Node) bool {
	return fmt.Sprintf("%T", n.Op()) == "gorgonia.elemBinOp" && strings.ContainsAny(n.Op().String(), "<>=")
}

// rowMajor is a value's data, one element after the other in the order of its indices. Gorgonia's operations may return
// views: a transposed tensor whose memory is still in the old order, columns cut out of wider rows.
func rowMajor(v gorgonia.Value) any {
	d, ok := v.(*tensor.Dense)
	if !ok || !d.RequiresIterator() && !d.DataOrder().IsColMajor() {
		return v.Data()
	}
	switch data := d.Data().(type) {
	case []float32:
		return gathered(data, d)
	case []int32:
		return gathered(data, d)
	}
	return v.Data()
}

// gathered is a copy of a view's elements in the order of their indices.
func gathered[T any](data []T, d *tensor.Dense) any {
	var all []T
	for it := d.Iterator(); ; {
		i, err := it.Next()
		if err != nil { // the end
			return all
		}
		all = append(all, data[i])
	}
}

// floatsOf is the float32 value of a node after a run, row-major.
func floatsOf(n *Node) []float32 {
	if f, ok := rowMajor(n.Value()).(float32); ok {
		return []float32{f}
	}
	return rowMajor(n.Value()).([]float32)
}

// hold is a node that runs last and does nothing but read what Gorgonia's own operations work on. Without it they would
// write results over their operands as soon as Gorgonia's register allocation sees no further use, and it does not see
// that a node is kept, that a value is a view of another's memory, or that a kernel's memory is planned.
type hold struct{ operation }

// holdForeign adds a hold for the operations among the ancestors of roots that are not kernels, if there are any.
func (g *Graph) holdForeign(roots gorgonia.Nodes) (gorgonia.Nodes, error) {
	var held gorgonia.Nodes
	seen := map[*Node]bool{}
	add := func(n *Node) {
		if !seen[n] {
			seen[n] = true
			held = append(held, n)
		}
	}
	for _, n := range g.expr.ExactSubgraphRoots(roots...).AllNodes() {
		if n.Op() == nil || planned(n) {
			continue
		}
		if why := wrongValue(n); why != "" {
			return nil, fmt.Errorf("graph: %v: %s", n.Op(), why)
		}
		for _, operand := range operandsOf(n) {
			add(operand)
		}
		add(n)
	}
	if len(held) == 0 {
		return roots, nil
	}
	n, err := g.apply(&hold{operation{name: "hold", inputs: held}}, never)
	if err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	return append(slices.Clone(roots), n), nil
}

// ReturnsPtr says that the value is no memory of an operand's.
func (h *hold) ReturnsPtr() bool { return false }

// Do does nothing.
func (h *hold) Do(...gorgonia.Value) (gorgonia.Value, error) { return gorgonia.NewF32(0), nil }

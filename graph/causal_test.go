package graph

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// refCausal is refAttention, one query at a time over the keys that it sees.
func refCausal(in []ref, heads int) []float64 {
	q, k, v := in[0], in[1], in[2]
	queries, keys, d := q.dim(1), k.dim(1), q.dim(2)
	var y []float64
	for b := range q.dim(0) {
		for i := range queries {
			n := keys - queries + i + 1
			part := func(x ref, at, rows int) ref { return ref{shape: []int{1, rows, d}, f: x.f[at*d : (at+rows)*d]} }
			y = append(y, refAttention([]ref{part(q, b*queries+i, 1), part(k, b*keys, n), part(v, b*keys, n)}, heads)...)
		}
	}
	return y
}

func causalCase(b, queries, keys, heads, d int) kernelCase {
	return kernelCase{
		name:      fmt.Sprintf("%d queries %d keys %d heads", queries, keys, heads),
		operands:  []operand{floats(b, queries, d), floats(b, keys, d), floats(b, keys, d)},
		apply:     func(g *Graph, n []*Node) *Node { return CausalAttention(g, n[0], n[1], n[2], heads) },
		reference: func(in []ref) []float64 { return refCausal(in, heads) },
	}
}

func TestCausalAttention(t *testing.T) {
	checkKernels(t, []kernelCase{
		causalCase(2, 7, 7, 2, 6),
		causalCase(2, 1, 9, 3, 6), // the last token
		causalCase(1, 3, 8, 1, 4),
		causalCase(1, rowTile+3, rowTile+3, 1, 2), // two blocks of queries
		causalCase(1, rowTile+2, 2*rowTile+9, 2, 4),
		causalCase(1, 1, 1, 1, 1),
		causalCase(1, rowTile+3, rowTile+3, 1, 32), // by panels
		causalCase(2, 17, 40, 2, 64),
	})
	expectBuildError(t, "4 queries and 3 keys", func(g *Graph) {
		CausalAttention(g, g.Input("q", 1, 4, 2), g.Input("k", 1, 3, 2), g.Input("v", 1, 3, 2), 1)
	})
}

func refRMSNorm(in []ref) []float64 {
	x, s, d := in[0].f, in[1].f, in[0].dim(-1)
	y := make([]float64, len(x))
	for r := 0; r < len(x); r += d {
		var mean float64
		for _, v := range x[r : r+d] {
			mean += v * v / float64(d)
		}
		for i := range d {
			y[r+i] = x[r+i] / math.Sqrt(mean+1e-6) * s[i]
		}
	}
	return y
}

func TestRMSNorm(t *testing.T) {
	of := func(d int, rows ...int) kernelCase {
		return kernelCase{
			name:      fmt.Sprint(append(rows, d)),
			operands:  []operand{floats(append(rows, d)...), floats(d)},
			apply:     func(g *Graph, n []*Node) *Node { return RMSNorm(g, n[0], n[1]) },
			reference: refRMSNorm,
		}
	}
	tiny := of(6, 5)
	tiny.name, tiny.operands[0].fill = "values at which ε counts", uniform(-2e-3, 2e-3)
	checkKernels(t, []kernelCase{of(8, 2, 3), of(33, 1), of(5, 2*rowTile+3), tiny})
}

func TestProduct(t *testing.T) {
	of := func(shape ...int) kernelCase {
		return kernelCase{
			name:     fmt.Sprint(shape),
			operands: []operand{floats(shape...), floats(shape...)},
			apply:    func(g *Graph, n []*Node) *Node { return Product(g, n[0], n[1]) },
			reference: func(in []ref) (y []float64) {
				for i, a := range in[0].f {
					y = append(y, a*in[1].f[i])
				}
				return y
			},
		}
	}
	square := of(3, 4)
	square.name, square.operands = "of a node with itself", square.operands[:1]
	square.apply = func(g *Graph, n []*Node) *Node { return Product(g, n[0], n[0]) }
	square.reference = func(in []ref) (y []float64) {
		for _, a := range in[0].f {
			y = append(y, a*a)
		}
		return y
	}
	checkKernels(t, []kernelCase{of(2, 3, 4), of(2, elementTile/2+7), square})
}

// expectBuildError wants the construction of a graph to fail with an error that contains a text.
func expectBuildError(t *testing.T, want string, f func(g *Graph)) {
	t.Helper()
	if _, err := Build(f); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one that contains %q", err, want)
	}
}

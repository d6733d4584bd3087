package graph

import "testing"

func TestDrift(t *testing.T) {
	checkKernels(t, []kernelCase{{
		name:     "two tensors of unequal size, each counting alike",
		operands: []operand{floats(5), floats(2, 3), floats(5), floats(2, 3)},
		apply: func(g *Graph, n []*Node) *Node {
			return Drift(g, 0.25, n[:2], n[2:])
		},
		reference: func(in []ref) []float64 {
			var sum float64
			for i := range 2 {
				var square float64
				for j, x := range in[i].f {
					square += (x - in[2+i].f[j]) * (x - in[2+i].f[j])
				}
				sum += square / float64(len(in[i].f))
			}
			return []float64{0.25 * sum / 2}
		},
	}})
}

func TestDriftRefusesUnpairedTensors(t *testing.T) {
	for name, f := range map[string]func(g *Graph){
		"nothing":        func(g *Graph) { Drift(g, 1, nil, nil) },
		"no reference":   func(g *Graph) { Drift(g, 1, []*Node{g.Input("x", 2)}, nil) },
		"another length": func(g *Graph) { Drift(g, 1, []*Node{g.Input("x", 2)}, []*Node{g.Input("r", 3)}) },
	} {
		if _, err := Build(f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAddColumns(t *testing.T) {
	at := []int{3, 0}
	checkKernels(t, []kernelCase{{
		name:     "two of five columns",
		operands: []operand{floats(4, 5), floats(4, 2)},
		apply:    func(g *Graph, n []*Node) *Node { return AddColumns(g, n[0], n[1], at) },
		reference: func(in []ref) []float64 {
			y := append([]float64(nil), in[0].f...)
			for r := range 4 {
				for k, a := range at {
					y[r*5+a] += in[1].f[r*2+k]
				}
			}
			return y
		},
	}})
}

func TestAddColumnsRefusesColumnsThatAreNotThere(t *testing.T) {
	for _, at := range [][]int{{5, 0}, {-1, 0}, {1, 1}, {0}} {
		if _, err := Build(func(g *Graph) { AddColumns(g, g.Input("w", 4, 5), g.Input("c", 4, 2), at) }); err == nil {
			t.Errorf("columns %v: no error", at)
		}
	}
}

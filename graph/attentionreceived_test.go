package graph

import (
	"math"
	"testing"
)

// refReceived makes whole [Q, K] scores.
func refReceived(q, k ref, heads int) []float64 {
	queries, keys, d := q.dim(1), k.dim(1), q.dim(2)
	e := d / heads
	y := make([]float64, q.dim(0)*keys)
	for b := range q.dim(0) {
		for h := range heads {
			for i := range queries {
				p, sum := make([]float64, keys), 0.0
				for j := range keys {
					for x := range e {
						p[j] += q.f[(b*queries+i)*d+h*e+x] * k.f[(b*keys+j)*d+h*e+x] / math.Sqrt(float64(e))
					}
					p[j] = math.Exp(p[j])
					sum += p[j]
				}
				for j := range keys {
					y[b*keys+j] += p[j] / sum / float64(heads)
				}
			}
		}
	}
	return y
}

func TestAttentionReceived(t *testing.T) {
	for _, c := range []struct{ b, queries, keys, heads, d int }{{2, 7, 5, 2, 6}, {1, 1, 9, 1, 3}, {3, 600, 40, 3, 6},
		{1, 4, 1, 2, 2}} {
		var q, k, y *Node
		g, err := Build(func(g *Graph) {
			q, k = g.Input("q", c.b, c.queries, c.d), g.Input("k", c.b, c.keys, c.d)
			fillNormal(random(1), g.Floats(q))
			fillNormal(random(2), g.Floats(k))
			y = AttentionReceived(g, q, k, c.heads)
			g.Keep(y)
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		of := func(n *Node) ref {
			r := ref{shape: Shape(n)}
			for _, v := range g.Floats(n) {
				r.f = append(r.f, float64(v))
			}
			return r
		}
		var sum float64
		want := refReceived(of(q), of(k), c.heads)
		for i, v := range p.Value(y) {
			sum += float64(v)
			if !near(float64(v), want[i], 1) {
				t.Fatalf("%+v: received[%d] = %g, want %g", c, i, v, want[i])
			}
		}
		if math.Abs(sum-float64(c.b*c.queries)) > 1e-3*sum {
			t.Errorf("%+v: in all %g is received from %d queries", c, sum, c.b*c.queries)
		}
	}
	expectBuildError(t, "3 heads for width 4", func(g *Graph) {
		AttentionReceived(g, g.Input("q", 1, 2, 4), g.Input("k", 1, 2, 4), 3)
	})
}

package policy

import "slices"

// baee keeps what the retention classifier scores highest: a small network that was trained on what later chunks
// attended to (SynapNet-Edge, contribution 2; SPEC section 5). The reference never runs its classifier in an
// experiment, so there is no paper rule of this name; baee_salience is the one published.
var baee = Policy{
	Name:   "baee",
	Doc:    "the highest scores of the trained retention classifier",
	Source: "SynapNet-Edge, Budget-Aware Episodic Eviction",
	Needs:  Needs{Retention: true},
	Score: func(ctx *Context, _ []Entry) []float64 {
		scores := ctx.Retention()
		ctx.scores = slices.Grow(ctx.scores[:0], len(scores))[:len(scores)]
		for i, s := range scores {
			ctx.scores[i] = float64(s)
		}
		return ctx.scores
	},
	Keep: func(ctx *Context, entries []Entry, budget int) []int {
		scores := ctx.Retention()
		for i, to := 0, ctx.work.resize(len(scores)); i < len(to); i++ {
			to[i] = orderable(float64(scores[i]))
		}
		return ctx.work.top(budget, func(i int) int64 { return entries[i].Position })
	},
}

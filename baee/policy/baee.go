package policy

// baee keeps what the retention classifier scores highest: a small network that was trained on what later chunks attended
// to (SynapNet-Edge, contribution 2; SPEC section 5). The reference never runs its classifier in an experiment, so there
// is no paper rule of this name; baee_salience is the one published.
var baee = Policy{
	Name:   "baee",
	Doc:    "the highest scores of the trained retention classifier",
	Source: "SynapNet-Edge, Budget-Aware Episodic Eviction",
	Needs:  Needs{Retention: true},
	Score: func(ctx *Context, _ []Entry) []float64 {
		scores := ctx.Retention()
		wide := make([]float64, len(scores))
		for i, s := range scores {
			wide[i] = float64(s)
		}
		return wide
	},
	Keep: func(ctx *Context, entries []Entry, budget int) []int {
		scores := ctx.Retention()
		return topBy(len(entries), budget, func(i int) (float64, int64) { return float64(scores[i]), entries[i].Position })
	},
}

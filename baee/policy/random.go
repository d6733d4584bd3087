package policy

// random keeps a uniformly random set, drawn anew at each decision from the stream's seeded generator.
var random = Policy{
	Name:   "random",
	Doc:    "a random set, seeded",
	Source: "baseline",
	Keep:   keepRandom,
	Paper:  keepRandom,
}

func keepRandom(ctx *Context, entries []Entry, budget int) []int {
	return ctx.Rand.Perm(len(entries))[:budget]
}

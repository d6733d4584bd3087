package policy

// pyramidKV is snapkv with a pyramid of budgets: an arithmetic sequence that gives the lowest layer most, the highest a
// twentieth of the mean, and all together what any other policy has (Cai et al., "PyramidKV: Dynamic KV Cache
// Compression based on Pyramidal Information Funneling", 2024; β = 20).
//
// The paper rule cuts the budget by up to half towards the highest layer, without giving it to others, and takes
// salience + 0.3 accumulated attention.
var pyramidKV = Policy{
	Name:   "pyramidkv",
	Doc:    "as snapkv, with more budget for lower layers",
	Source: "Cai et al. 2024, PyramidKV",
	Keep:   keepObserved,
	Share:  pyramid,
	Paper: func(ctx *Context, entries []Entry, budget int) []int {
		factor := 1 - 0.5*(float64(ctx.Layer)/float64(max(1, ctx.Layers-1)))
		budget = max(1, int(float64(budget)*factor))
		return bestBy(len(entries), budget, func(i int) (float64, int64) {
			return float64(entries[i].Salience) + float64(0.3*entries[i].Attention), 0
		})
	},
}

// pyramidSteepness is the mean budget over that of the highest layer.
const pyramidSteepness = 20

func pyramid(layers, total, least int) []int {
	if layers == 1 {
		return []int{total}
	}
	// Beyond `least` for each, what is left is divided: from high to low in equal steps.
	left := float64(total - layers*least)
	mean := left / float64(layers)
	low := mean / pyramidSteepness
	high := 2*mean - low
	step := (high - low) / float64(layers-1)
	parts := make([]int, layers)
	sum, given := 0.0, 0
	for i := range parts {
		sum += high - float64(i)*step
		upTo := int(sum + 1e-6)
		if i == layers-1 {
			upTo = total - layers*least
		}
		parts[i] = least + upTo - given
		given = upTo
	}
	return parts
}

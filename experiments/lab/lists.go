package lab

import (
	"slices"
)

// AppendNew is all with x, once.
func AppendNew[T comparable](all []T, x T) []T {
	if slices.Contains(all, x) {
		return all
	}
	return append(all, x)
}

// Union are the values of both lists, each once: in the order of wanted if it has all that are held, and else those
// held and then the others.
func Union[T comparable](held, wanted []T) []T {
	if !slices.ContainsFunc(held, func(x T) bool { return !slices.Contains(wanted, x) }) {
		return wanted
	}
	all := slices.Clone(held)
	for _, x := range wanted {
		all = AppendNew(all, x)
	}
	return all
}

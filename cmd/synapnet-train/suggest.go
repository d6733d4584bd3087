package main

import (
	"strings"

	"github.com/synapnet/synapnet-train/internal/spelling"
)

// nearest returns the candidate that word is most likely a misspelling of:
// the one with the fewest edited letters, if these are at most a third of the
// word, or else the only one that word is the beginning of. The first of equals
// wins, so candidates should be in a fixed order.
func nearest(word string, candidates []string) (string, bool) {
	word = strings.ToLower(word)
	best, distance := "", max(1, (len(word)+1)/3)+1
	beginning := ""
	for _, candidate := range candidates {
		lower := strings.ToLower(candidate)
		if d := spelling.Distance(word, candidate); d < distance {
			best, distance = candidate, d
		}
		if beginning == "" && len(word) >= 2 && strings.HasPrefix(lower, word) {
			beginning = candidate
		}
	}
	if best == "" || len(word) < 2 {
		best = beginning
	}
	return best, best != ""
}

// didYouMean is " (did you mean X?)", or "" if nothing is near. write gives X the form in which a user writes it.
func didYouMean(word string, candidates []string, write func(string) string) string {
	found, ok := nearest(word, candidates)
	if !ok {
		return ""
	}
	return " (did you mean " + write(found) + "?)"
}

// asIs is the form of words that are written as they are.
func asIs(s string) string { return s }

// Package spelling finds the name that a misspelt one was probably meant to be, for error messages.
package spelling

import (
	"strings"

	"github.com/xrash/smetrics"
)

// longest is the length to which names are compared: the distance takes quadratic time, and no name is longer.
const longest = 256

// Distance is the number of letters to insert, delete or replace to make b of a, upper case or lower.
func Distance(a, b string) int {
	short := func(s string) string { return strings.ToLower(s[:min(len(s), longest)]) }
	return smetrics.WagnerFischer(short(a), short(b), 1, 1, 1)
}

// Nearest is the known name with the least distance, the first of equals; "" if none is known. The part of a known name
// after its last slash counts too, so that "snia" is near "needlebench/snia".
func Nearest[S ~string](name S, known []S) S {
	var best S
	least := -1
	for _, k := range known {
		d := Distance(string(name), string(k))
		if i := strings.LastIndexByte(string(k), '/'); i >= 0 {
			d = min(d, 1+Distance(string(name), string(k[i+1:])))
		}
		if least < 0 || d < least {
			best, least = k, d
		}
	}
	return best
}

// Suggest is the candidate that word is most likely a misspelling of: the one with the fewest edited letters, if these
// are at most a third of the word, or else the only one that word is the beginning of. The first of equals wins, so
// candidates should be in a fixed order. There may be none.
func Suggest(word string, candidates []string) (string, bool) {
	word = strings.ToLower(word)
	best, distance := "", max(1, (len(word)+1)/3)+1
	beginning := ""
	for _, candidate := range candidates {
		lower := strings.ToLower(candidate)
		if d := Distance(word, candidate); d < distance {
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

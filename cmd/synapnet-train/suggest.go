package main

import "github.com/synapnet/synapnet-train/internal/spelling"

// didYouMean is " (did you mean X?)", or "" if nothing is near. write gives X the form in which a user writes it.
func didYouMean(word string, candidates []string, write func(string) string) string {
	found, ok := spelling.Suggest(word, candidates)
	if !ok {
		return ""
	}
	return " (did you mean " + write(found) + "?)"
}

// asIs is the form of words that are written as they are.
func asIs(s string) string { return s }

package main

import (
	"flag"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// isWhole says whether a flag takes whole numbers.
func isWhole(f cli.Flag) bool {
	switch f.(type) {
	case *cli.IntFlag, *cli.Int64Flag, *cli.UintFlag, *cli.Uint64Flag,
		*cli.IntSliceFlag, *cli.Int64SliceFlag, *cli.UintSliceFlag, *cli.Uint64SliceFlag:
		return true
	}
	return false
}

// value checks a value of f, given as the flag `name`, and rewrites it if f takes whole numbers. The flag package reads
// these as Go does, 064 as octal 52; people and scripts (seq -w) mean 64. So numbers are decimal, without leading zeros
// from here on, and other notations are refused rather than read in two ways.
func (s *scanner) value(f cli.Flag, name, value string) (string, error) {
	wrong, example := describe(f)
	refused := func(word string) error {
		return &usageError{command: s.command,
			message: fmt.Sprintf("%s %s: %s; give e.g. %s %s", name, printable(word), wrong, name, example)}
	}
	if isWhole(f) {
		words := []string{value}
		if isList(f) {
			words = strings.Split(value, ",")
		}
		for i, word := range words {
			parts := wholeNumber.FindStringSubmatch(strings.TrimSpace(word))
			if parts == nil {
				if n, err := strconv.ParseInt(word, 0, 64); err == nil { // as the flag package would read it
					wrong, example = "numbers are decimal, digits alone", strconv.FormatInt(n, 10)
				}
				return "", refused(word)
			}
			words[i] = parts[1] + parts[2]
		}
		value = strings.Join(words, ",")
	}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	if _, collects := f.(*cli.GenericFlag); collects { // it would keep the value
		return value, nil
	}
	err := f.Apply(set)
	if err == nil {
		err = set.Set(f.Names()[0], value)
	}
	if err != nil {
		if strings.Contains(err.Error(), "out of range") {
			wrong = "out of range"
		}
		return "", refused(value)
	}
	return value, nil
}

// wholeNumber is a number with its sign, but for a plus, and without its leading zeros.
var wholeNumber = regexp.MustCompile(`^(?:\+|(-?))0*([0-9]+)$`)

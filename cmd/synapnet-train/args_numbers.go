package main

import (
	"fmt"
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

// decimal rewrites a value of f, given as the flag `name`, if f takes whole
// numbers. The flag package reads these as Go does, 064 as octal 52; people and
// scripts (seq -w) mean 64. So numbers are decimal, without leading zeros from
// here on, and other notations are refused rather than read in two ways.
func (s *scanner) decimal(f cli.Flag, name, value string) (string, error) {
	if !isWhole(f) {
		return value, nil
	}
	if !isList(f) {
		return s.wholeNumber(f, name, value)
	}
	words := strings.Split(value, ",")
	for i, word := range words {
		n, err := s.wholeNumber(f, name, strings.TrimSpace(word))
		if err != nil {
			return "", err
		}
		words[i] = n
	}
	return strings.Join(words, ","), nil
}

// wholeNumber is a number without its leading zeros and its plus.
func (s *scanner) wholeNumber(f cli.Flag, name, word string) (string, error) {
	digits := strings.TrimPrefix(word, "+")
	sign := ""
	if digits == word {
		if rest, negative := strings.CutPrefix(word, "-"); negative {
			sign, digits = "-", rest
		}
	}
	if digits != "" && strings.Trim(digits, "0123456789") == "" {
		return sign + strings.TrimLeft(digits[:len(digits)-1], "0") + digits[len(digits)-1:], nil
	}
	wrong, example := describe(f)
	if n, err := strconv.ParseInt(word, 0, 64); err == nil { // as the flag package would read it
		wrong, example = "numbers are decimal, digits alone", strconv.FormatInt(n, 10)
	}
	message := fmt.Sprintf("%s %s: %s; give e.g. %s %s", name, printable(word), wrong, name, example)
	return "", &usageError{message: message, command: s.command}
}

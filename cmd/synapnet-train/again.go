package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// again is words with those flags of c's command line that were given, of the named ones: for a command that continues
// it, or begins it anew.
func again(c *cli.Context, words []string, flags ...string) []string {
	for _, name := range flags {
		if !c.IsSet(name) {
			continue
		}
		switch value := c.Value(name).(type) {
		case bool:
			words = append(words, fmt.Sprintf("--%s=%v", name, value))
		case *settingWords:
			for _, word := range *value {
				words = append(words, "--"+name, word)
			}
		case cli.IntSlice:
			words = appendList(words, name, value.Value())
		case cli.Uint64Slice:
			words = appendList(words, name, value.Value())
		case cli.Float64Slice:
			words = appendList(words, name, value.Value())
		case cli.StringSlice:
			words = appendList(words, name, value.Value())
		default:
			words = append(words, "--"+name, fmt.Sprint(value))
		}
	}
	return words
}

// appendList appends a flag with a list of values.
func appendList[T any](words []string, name string, values []T) []string {
	words = append(words, "--"+name)
	for _, v := range values {
		words = append(words, fmt.Sprint(v))
	}
	return words
}

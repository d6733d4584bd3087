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
			words = append(words, "--"+name)
			for _, n := range value.Value() {
				words = append(words, fmt.Sprint(n))
			}
		default:
			words = append(words, "--"+name, fmt.Sprint(value))
		}
	}
	return words
}

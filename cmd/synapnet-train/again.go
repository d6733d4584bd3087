package main

import (
	"fmt"
	"reflect"

	"github.com/urfave/cli/v2"
)

// again is words with those flags of c's command line that were given, of the named ones: for a command that continues
// it, or begins it anew.
func again(c *cli.Context, words []string, flags ...string) []string {
	for _, name := range flags {
		if !c.IsSet(name) {
			continue
		}
		switch value := flagValue(c, name).(type) {
		case bool:
			words = append(words, fmt.Sprintf("--%s=%v", name, value))
		case *settingWords:
			for _, word := range *value {
				words = append(words, "--"+name, word)
			}
		default:
			words = append(words, "--"+name)
			if list := reflect.ValueOf(value); list.Kind() == reflect.Slice {
				for _, v := range list.Seq2() {
					words = append(words, fmt.Sprint(v))
				}
			} else {
				words = append(words, fmt.Sprint(value))
			}
		}
	}
	return words
}

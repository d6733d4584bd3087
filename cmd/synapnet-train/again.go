package main

import (
	"fmt"
	"reflect"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/internal/shell"
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

// wholeCommand is the command line with all flags that the user gave.
func wholeCommand(c *cli.Context) string {
	var flags []string
	for _, f := range c.Command.Flags {
		flags = append(flags, f.Names()[0])
	}
	return shell.CommandLine(again(c, []string{c.Command.Name}, flags...)...)
}

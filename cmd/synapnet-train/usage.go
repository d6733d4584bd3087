package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/shell"
)

// usageError is a mistake in the command line; the exit status is 2.
type usageError struct {
	message string
	command string // whose help explains it; "" for the program's own
}

// Error is one line that ends in where to look.
func (e *usageError) Error() string {
	words := []string{"--help"}
	if e.command != "" {
		words = append(strings.Fields(e.command), "--help")
	}
	return fmt.Sprintf("%s; see '%s'", e.message, shell.CommandLine(words...))
}

// usagef makes the error for a value of the command line that c's command
// cannot work with.
func usagef(c *cli.Context, format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...), command: commandName(c)}
}

// commandName is the name of c's command, "" for the program itself.
func commandName(c *cli.Context) string {
	if c.Command == nil || c.Command.Name == c.App.Name {
		return ""
	}
	return c.Command.Name
}

// aliasProblem is the error that normalise leaves to urfave/cli: that for a flag next to its alias.
var aliasProblem = regexp.MustCompile(`^Cannot use two forms of the same flag: (\S+) (\S+)$`)

// translate is an OnUsageError function: it turns urfave/cli's error into ours.
func translate(c *cli.Context, err error, _ bool) error {
	names := aliasProblem.FindStringSubmatch(err.Error())
	if names == nil {
		return usagef(c, "%v", err)
	}
	slices.SortFunc(names[1:], func(a, b string) int { return len(b) - len(a) })
	return usagef(c, "%s and %s are the same flag, use one of them", dashed(names[1]), dashed(names[2]))
}

// describe says what a value that f refused is not, and gives one it takes: the
// default where there is one.
func describe(f cli.Flag) (wrong, example string) {
	switch f.(type) {
	case *cli.IntFlag, *cli.Int64Flag:
		wrong, example = "not a whole number", "4"
	case *cli.UintFlag, *cli.Uint64Flag:
		wrong, example = "not a whole number, 0 or more", "4"
	case *cli.UintSliceFlag, *cli.Uint64SliceFlag:
		wrong, example = "not a whole number, 0 or more", "1 2"
	case *cli.IntSliceFlag, *cli.Int64SliceFlag:
		wrong, example = "not a whole number", "1 2"
	case *cli.Float64Flag:
		wrong, example = "not a number", "0.1"
	case *cli.Float64SliceFlag:
		wrong, example = "not a number", "0.1 0.2"
	case *cli.BoolFlag:
		return "not true or false", "true"
	case *cli.DurationFlag:
		wrong, example = "not a duration", "1m30s"
	case *cli.StringSliceFlag:
		wrong, example = "not valid", "a b"
	default:
		wrong, example = "not valid", "VALUE"
	}
	if documented, ok := f.(cli.DocGenerationFlag); ok {
		if value := documented.GetValue(); value != "" && value != "0" && value != "0s" {
			example = strings.ReplaceAll(value, ", ", " ")
		}
	}
	return wrong, example
}

// dashed writes a flag's name as a user types it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// printable is a word of the command line as messages show it: cut, and quoted if it could be misread.
func printable(word string) string { return foreign.Word(word) }

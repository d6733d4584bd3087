package main

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/benchmarks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/layers"
)

// completionScripts are what shells read, by their names. They ask the program itself what there is.
//
//go:embed completion/*
var completionScripts embed.FS

// completionFlag at the end of a command line asks for what may stand there, a line each, and for nothing else. It is
// the one of urfave/cli, whose own answers know neither actions nor a command line that was not in os.Args.
const completionFlag = "--generate-bash-completion"

var completionFiles = map[string]string{"bash": "bash.sh", "zsh": "zsh.sh", "fish": "fish.fish"}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:        "completion",
		Usage:       "print what makes a shell complete commands, flags and names of files: bash, zsh or fish",
		ArgsUsage:   "bash|zsh|fish",
		Description: helpText("completion"),
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef(c, "name a shell: bash, zsh or fish")
			}
			shell := c.Args().First()
			file, ok := completionFiles[shell]
			if !ok || c.Args().Len() > 1 {
				return usagef(c, "name one shell, bash, zsh or fish, not %q", strings.Join(c.Args().Slice(), " "))
			}
			text, err := completionScripts.ReadFile("completion/" + file)
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(text)
			return err
		},
	}
}

func manCommand() *cli.Command {
	return &cli.Command{
		Name:  "man",
		Usage: "print the manual page: man > synapnet-train.1, then man ./synapnet-train.1",
		Action: func(c *cli.Context) error {
			manual := newApp(c.App.Writer, c.App.ErrWriter)
			for _, command := range manual.Commands {
				command.UsageText = command.Description
				command.Hidden = command.Hidden && !strings.Contains(command.Name, " ") // actions are shown
			}
			text, err := manual.ToManWithSection(1)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.App.Writer, text)
			return err
		},
	}
}

// completions are the words that may follow words, the last of which is begun if it is a flag. None are where a value
// or a file stands, so that the shell offers files, but for names of benchmarks.
func completions(app *cli.App, words []string) (all []string) {
	begun := "" // a flag
	if n := len(words); n > 0 && isFlag(words[n-1]) || n > 0 && words[n-1] == "-" {
		begun, words = words[n-1], words[:n-1]
	}
	words = slices.DeleteFunc(slices.Clone(words), func(word string) bool { return word == "help" })
	var command *cli.Command
	if i := slices.IndexFunc(words, func(word string) bool { return !isFlag(word) }); i >= 0 {
		words = joinAction(app, words[i:])
		if command = app.Command(words[0]); command == nil {
			return nil
		}
	}
	if begun != "" {
		return flagsBegun(app, command, begun)
	}
	switch {
	case command != nil && len(words) > 1:
		return nil
	case command != nil && command.Name == "completion":
		return slices.Sorted(maps.Keys(completionFiles))
	}
	for _, other := range app.Commands {
		name, action, isAction := strings.Cut(other.Name, " ")
		switch {
		case command == nil && !other.Hidden:
			all = append(all, name)
		case command != nil && isAction && command.Name == name:
			all = append(all, action)
		}
	}
	return all
}

// flagValues are the values of a command's flag that has names for them.
func flagValues(command, flag string) []string {
	if strings.HasPrefix(command, "experiments") && flag == "--profile" {
		return namesOf(lab.Profiles())
	}
	switch command + " " + flag {
	case "eval --benchmark":
		return benchmarks.Names()
	case "pretrain --recipe", "info --recipe":
		return namesOf(curriculum.Recipes())
	case "pretrain --init":
		return namesOf(layers.Initialisations())
	}
	return nil
}

// flagsBegun are the flags that may be meant, of a command or of the program. Of one that is complete they are its
// values, if it has names for them, and the longer flags that begin like it: the shell alone knows which are meant.
func flagsBegun(app *cli.App, command *cli.Command, begun string) (all []string) {
	flags, values := app.Flags, []string(nil)
	if command != nil {
		flags, values = command.Flags, flagValues(command.Name, begun)
	}
	for name := range flagsByName(flags) {
		if len(name) > 1 && strings.HasPrefix(name, strings.TrimLeft(begun, "-")) &&
			(len(values) == 0 || dashed(name) != begun) {
			all = append(all, dashed(name))
		}
	}
	slices.Sort(all)
	return append(values, all...)
}

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// normalise rewrites a command line so that urfave/cli, which sits on the flag
// package, reads it the way it was meant. Guided by the flags the command
// defines, it
//
//   - repeats a slice flag for each word of a space-separated list:
//     `--curriculum 512 1024` becomes `--curriculum 512 --curriculum 1024`. A
//     list ends at the next flag or at `--`; `--curriculum=512,1024` is complete
//     in itself, so arguments may follow it;
//   - reads whole numbers as decimal, `--seed 042` as 42 (see value);
//   - moves flags in front of the arguments, where alone the flag package sees
//     them: `info model.safetensors --json`;
//   - reports unknown commands and flags, with the nearest name, and flags
//     without a value, as a *usageError.
//
// args[0] is the program's name. app.Setup must have run. Normalising twice
// changes nothing more.
func normalise(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 {
		return args, nil
	}
	global := scanner{flags: flagsByName(app.Flags)}
	rest, err := global.scan(args[1:], true)
	if err != nil {
		return nil, err
	}
	out := append([]string{args[0]}, global.options...)
	if len(rest) == 0 {
		return out, nil
	}
	rest = joinAction(app, rest)
	command := app.Command(rest[0])
	if command == nil {
		return nil, unknownCommand(app, rest[0])
	}
	out = append(out, rest[0])
	if command.Name == "help" {
		return helpArguments(app, out, rest[1:])
	}
	local := scanner{command: command.Name, flags: flagsByName(command.Flags)}
	if _, err := local.scan(rest[1:], false); err != nil {
		return nil, err
	}
	return append(out, local.words()...), nil
}

// joinAction makes one word of a command and its action, which are a command of that name: "experiments run". Flags may
// stand between the two. Other command lines stay as they are.
func joinAction(app *cli.App, words []string) []string {
	between := scanner{flags: flagsByName(nil)}
	for _, command := range app.Commands {
		if strings.HasPrefix(command.Name, words[0]+" ") {
			maps.Copy(between.flags, flagsByName(command.Flags))
		}
	}
	rest, err := between.scan(words[1:], true)
	if err != nil || len(rest) == 0 || app.Command(words[0]+" "+rest[0]) == nil {
		return words // what is wrong with them, if anything, is told of the command
	}
	return slices.Concat([]string{words[0] + " " + rest[0]}, between.options, rest[1:])
}

// helpArguments keeps the one word that `help` reads, the name of a command with its action.
func helpArguments(app *cli.App, out, words []string) ([]string, error) {
	topic := slices.IndexFunc(words, func(word string) bool { return !isFlag(word) })
	if topic < 0 {
		return out, nil
	}
	name := joinAction(app, words[topic:])[0]
	if app.Command(name) == nil {
		return nil, unknownCommand(app, name)
	}
	return append(out, name), nil
}

func unknownCommand(app *cli.App, name string) error {
	var names []string
	for _, command := range app.Commands {
		names = append(names, command.Names()...)
	}
	return &usageError{message: fmt.Sprintf("unknown command %s%s", printable(name), didYouMean(name, names, asIs))}
}

// flagsByName indexes flags by every name and alias, with --help, which
// urfave/cli adds to each command only when it runs it.
func flagsByName(flags []cli.Flag) map[string]cli.Flag {
	index := map[string]cli.Flag{}
	for _, f := range append(slices.Clone(flags), cli.HelpFlag) {
		for _, name := range f.Names() {
			index[name] = f
		}
	}
	return index
}

// scanner reads the words of one command (or those before the command).
type scanner struct {
	command string
	flags   map[string]cli.Flag

	options   []string // flags and their values, as urfave/cli wants them
	arguments []string // all other words, in order
	terminate bool     // arguments could be taken for something else without `--`
	help      bool     // the command's help is asked for
}

// scan reads words. With stopAtArgument it returns those from the first
// argument on; otherwise it returns none.
func (s *scanner) scan(words []string, stopAtArgument bool) ([]string, error) {
	for len(words) > 0 {
		word := words[0]
		if word == "--" {
			s.terminate = true
			if stopAtArgument {
				return words[1:], nil
			}
			s.arguments = append(s.arguments, words[1:]...)
			return nil, nil
		}
		if !isFlag(word) {
			if stopAtArgument {
				return words, nil
			}
			s.arguments = append(s.arguments, word)
			s.terminate = s.terminate || len(word) > 1 && word[0] == '-'
			words = words[1:]
			continue
		}
		used, err := s.option(words)
		if err != nil {
			return nil, err
		}
		words = words[used:]
	}
	return nil, nil
}

// option reads the flag words starts with and says how many words it took.
func (s *scanner) option(words []string) (int, error) {
	word := words[0]
	name, value, hasValue := strings.Cut(word, "=")
	f, ok := s.flags[strings.TrimPrefix(name[1:], "-")]
	if !ok {
		return 0, s.unknownFlag(name)
	}
	s.help = s.help || f == cli.HelpFlag
	s.terminate = s.terminate || isList(f)
	switch {
	case hasValue:
		value, err := s.value(f, name, value)
		s.options = append(s.options, name+"="+value)
		return 1, err
	case isList(f):
		return s.list(words, f)
	case !takesValue(f):
		s.options = append(s.options, word)
		return 1, nil
	case len(words) == 1 || isFlag(words[1]):
		return 0, s.missingValue(word, f)
	}
	value, err := s.value(f, name, words[1])
	s.options = append(s.options, word, value)
	return 2, err
}

// list repeats the flag words[0] for each value that follows it.
func (s *scanner) list(words []string, f cli.Flag) (int, error) {
	used := 1
	for used < len(words) && !isFlag(words[used]) {
		value, err := s.value(f, words[0], words[used])
		if err != nil {
			return 0, err
		}
		s.options = append(s.options, words[0], value)
		used++
	}
	if used == 1 {
		return 0, s.missingValue(words[0], f)
	}
	return used, nil
}

// words is the command's part of the new command line. Arguments besides --help
// go: urfave/cli would look for help on a topic of that name.
func (s *scanner) words() []string {
	out := s.options
	if s.help {
		return out
	}
	if s.terminate && len(s.arguments) > 0 {
		out = append(out, "--")
	}
	return append(out, s.arguments...)
}

func (s *scanner) unknownFlag(name string) error {
	hint := didYouMean(strings.TrimLeft(name, "-"), slices.Sorted(maps.Keys(s.flags)), dashed)
	return &usageError{message: fmt.Sprintf("unknown flag %s%s", printable(name), hint), command: s.command}
}

func (s *scanner) missingValue(word string, f cli.Flag) error {
	_, example := describe(f)
	return &usageError{message: fmt.Sprintf("%s needs a value; give e.g. %s %s", word, word, example), command: s.command}
}

// isFlag says whether a word is a flag or `--`, so not a value of the flag before
// it: it starts with a dash, and is neither "-" alone (by custom, standard input)
// nor a negative number.
func isFlag(word string) bool {
	if len(word) < 2 || word[0] != '-' {
		return false
	}
	return word[1] != '.' && (word[1] < '0' || word[1] > '9')
}

func isList(f cli.Flag) bool {
	list, ok := f.(cli.DocGenerationSliceFlag)
	return ok && list.IsSliceFlag()
}

func takesValue(f cli.Flag) bool {
	documented, ok := f.(cli.DocGenerationFlag)
	return ok && documented.TakesValue()
}

package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// commands is the table of commands, in the order of the help text. Each is a
// function in a file of its own, cmd_NAME.go. The actions of one, as `experiments run`, are commands behind it whose
// names have both words. A command whose ArgsUsage is empty takes no arguments besides flags. Do not use the Required
// field of a flag: a value may also come from the configuration file, so the Action checks it.
func commands() []*cli.Command {
	return append([]*cli.Command{
		pretrainCommand(),
		cajqCommand(),
		threePhaseCommand(),
		baeeTrainCommand(),
		baeeGridCommand(),
		experimentsCommand(),
		streamCommand(),
		exportCommand(),
		inspectCommand(),
		evalCommand(),
		infoCommand(),
		runsCommand(),
		plotCommand(),
		benchCommand(),
		conformCommand(),
		doctorCommand(),
		completionCommand(),
		manCommand(),
		probeCommand(),
	}, experimentActions()...)
}

// prepare gives a command what all have in common: errors in one form, no "help" subcommand that would take a file of
// that name, no stray arguments, no output that destroys something, and --threads.
func prepare(command *cli.Command) {
	command.OnUsageError = translate
	command.HideHelpCommand = true
	for _, f := range command.Flags {
		if b, ok := f.(*cli.BoolFlag); ok && !b.Value {
			b.DisableDefaultText = true // what is not given is not the case
		}
	}
	work := command.Action
	command.Action = func(c *cli.Context) error {
		if err := cmp.Or(checkEmpty(c), checkFiles(c)); err != nil {
			return err
		}
		if err := useThreads(c); err != nil {
			return err
		}
		return work(c)
	}
	if strings.TrimSpace(command.ArgsUsage) != "" {
		return
	}
	command.ArgsUsage = " " // urfave/cli would show "[arguments...]"
	action := command.Action
	command.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return usagef(c, "unexpected argument %s", printable(c.Args().First()))
		}
		return action(c)
	}
}

// checkEmpty refuses flags and arguments without a value, as of a shell's variable that is not set: they would be taken
// for what was not given.
func checkEmpty(c *cli.Context) error {
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		empty := false
		switch f.(type) {
		case *cli.StringFlag:
			empty = c.String(name) == ""
		case *cli.StringSliceFlag:
			empty = slices.Contains(c.StringSlice(name), "")
		}
		if empty && c.IsSet(name) {
			return usagef(c, `--%s "": it is empty: give a value, or leave the flag out`, name)
		}
	}
	if slices.Contains(c.Args().Slice(), "") {
		return usagef(c, `"": an argument is empty: name a file, or leave it out`)
	}
	return nil
}

// Command synapnet-train trains, evaluates, checks and measures SynapNet-Edge
// models. `synapnet-train --help` lists its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/internal/shell"
)

// program is the name in help texts and in front of messages; commands to be pasted are experiments.CommandLine's.
const program = "synapnet-train"

// Exit statuses.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells report it
	exitUnread      = 141 // 128 + SIGPIPE: nobody reads the standard output any more
)

// messageLimit is how many bytes of a message fit on a line behind the program's name.
const messageLimit = foreign.LineLimit - len(program+": warning: ")

// debugVariable, when it is 1, adds the stack of an internal error.
const debugVariable = "SYNAPNET_DEBUG"

func main() { os.Exit(process(os.Args)) }

// process is the whole life of the program: run, with the signals and the standard streams of a process of its own.
func process(args []string) int {
	surviveClosedOutput()
	shell.CalledAs(args[0])
	ctx, stop := withInterrupt(context.Background(), os.Exit)
	defer stop()
	return run(ctx, args, os.Stdout, os.Stderr)
}

// run executes one command line (args[0] is the program's name) and returns
// the exit status. Errors are one line on stderr; that stderr itself cannot be
// written to has nowhere to be told.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runApp(ctx, newApp(stdout, stderr), args)
}

func runApp(ctx context.Context, app *cli.App, args []string) (code int) {
	defer func() {
		if problem := recover(); problem != nil {
			code = reportPanic(app.ErrWriter, problem, debug.Stack())
		}
		flushGuards(app)
	}()
	if problem := vec.EnvProblem(); problem != "" {
		_, _ = fmt.Fprintf(app.ErrWriter, "%s: warning: %s\n", program, foreign.Line(problem, messageLimit))
	}
	host.BoundGarbage()
	app.Setup()
	if last := len(args) - 1; last > 0 && args[last] == completionFlag {
		var err error
		for _, word := range completions(app, args[1:last]) {
			_, err = fmt.Fprintln(app.Writer, word)
		}
		return reportError(ctx, app.ErrWriter, err)
	}
	normal, err := normalise(app, args)
	if err == nil {
		err = app.RunContext(ctx, normal)
	}
	return reportError(ctx, app.ErrWriter, err)
}

// newApp builds the command line from the table in commands.go. What it and its commands write passes a guard that
// keeps names from files and paths from working the terminal.
func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:           program,
		HelpName:       program,
		Usage:          "train, evaluate and measure SynapNet-Edge models",
		Version:        readBuild().String(),
		Commands:       commands(),
		Writer:         foreign.NewWriter(stdout, 0), // JSON comes whole
		ErrWriter:      foreign.NewWriter(stderr, foreign.LineLimit),
		OnUsageError:   translate,
		ExitErrHandler: func(*cli.Context, error) {}, // runApp reports, once
	}
	for _, command := range app.Commands {
		prepare(command)
	}
	return app
}

// reportError prints err as one line and chooses the exit status.
func reportError(ctx context.Context, stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if closedOutput(err) { // whoever closed it knows
		return exitUnread
	}
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		text = interruptedText(err)
	}
	_, _ = fmt.Fprintf(stderr, "%s: %s\n", program, foreign.Line(text, messageLimit))
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		if by := (interruption{}); errors.As(context.Cause(ctx), &by) {
			return signalStatus(by.signal)
		}
		return exitInterrupted
	}
	return exitFailure
}

// reportPanic prints what a user can do about an error in the program itself.
func reportPanic(stderr io.Writer, problem any, stack []byte) int {
	text := strings.Join(strings.Fields(fmt.Sprint(problem)), " ")
	_, _ = fmt.Fprintf(stderr, "%s: internal error: %s; this is a bug, please report it with the command line and the "+
		"output of %s=1\n", program, text, debugVariable)
	reportStack(stderr, stack)
	return exitFailure
}

// reportStack prints where an internal error happened, for those who ask for it.
func reportStack(stderr io.Writer, stack []byte) {
	if os.Getenv(debugVariable) == "1" {
		_, _ = fmt.Fprintf(stderr, "%s\n", stack)
	}
}

package main

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/synapnet/synapnet-train/internal/foreign"
)

// terminalOf is the terminal that w writes to, also through the guard; nil if it is none. Only what draws (a bar,
// a line that is written anew) and shows nothing of a file may write to it past the guard.
func terminalOf(w io.Writer) *os.File {
	if guard, guarded := w.(*foreign.Writer); guarded {
		w = guard.Unwrap()
	}
	if file, isFile := w.(*os.File); isFile && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

func isTerminal(w io.Writer) bool { return terminalOf(w) != nil }

// columns is the width of a terminal, 80 if it does not tell.
func columns(terminal *os.File) int {
	width, _, err := term.GetSize(int(terminal.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// flushGuards writes what the guards of the output still hold: the begin of a letter that never came whole. That
// an output cannot be written to has nowhere to be told.
func flushGuards(app *cli.App) {
	for _, w := range []io.Writer{app.Writer, app.ErrWriter} {
		if guard, guarded := w.(*foreign.Writer); guarded {
			_ = guard.Flush()
		}
	}
}

package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/internal/shell"
)

// tried is how many random ids a command that is suggested streams.
const tried = "10000"

// next says which command comes next, as a line that can be pasted. It stands on stderr: it is no part of a result.
func next(c *cli.Context, words ...string) {
	newProgress(c.App.ErrWriter).Line("next: %s", shell.CommandLine(words...))
}

// nextForm suggests what gives the packed form of a model that has none yet, or what looks at the one that it has.
func nextForm(c *cli.Context, model string, packed bool) {
	if packed {
		next(c, "stream", model, "--random-tokens", tried)
		return
	}
	if _, err := os.Stat(packedName(model)); err == nil {
		next(c, "inspect", packedName(model))
		return
	}
	next(c, "export", model)
}

package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/runs"
	"github.com/synapnet/synapnet-train/internal/table"
)

// runsFolder is where runs are looked for if no folder is named.
const runsFolder = "runs"

func runsCommand() *cli.Command {
	return &cli.Command{
		Name:        "runs",
		Usage:       "list trainings: state, steps, accuracy, and the settings in which they differ",
		ArgsUsage:   "[FOLDER...]",
		Description: helpText("runs"),
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action:      listRuns,
	}
}

func listRuns(c *cli.Context) error {
	folders := c.Args().Slice()
	if len(folders) == 0 {
		folders = []string{runsFolder}
	}
	all := []runs.Run{}
	for _, folder := range folders {
		found, err := runs.Find(folder)
		if err != nil {
			return fmt.Errorf("%w; name folders that hold runs", err)
		}
		all = append(all, found...)
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(c.App.Writer, "no runs: no folder holds a checkpoint, a model or a training's result")
		return err
	}
	rows := [][]string{{"RUN", "STATE", "STEPS", "ACCURACY", "SETTINGS THAT DIFFER"}}
	differing := runs.Differing(all)
	for i, r := range all {
		rows = append(rows, append(runRow(r), differing[i]))
	}
	return table.Write(c.App.Writer, len(rows[0]), rows...)
}

// runRow is a run's line, but for its settings.
func runRow(r runs.Run) []string {
	steps, accuracy := "", ""
	switch {
	case r.Total > 0:
		steps = fmt.Sprintf("%d/%d", r.Done, r.Total)
	case r.Done > 0:
		steps = fmt.Sprint(r.Done)
	}
	if r.Accuracy != nil {
		accuracy = accuracyText(*r.Accuracy)
	}
	state := string(r.State)
	if r.Problem != "" {
		state += ": " + r.Problem
	}
	return []string{r.Dir, state, steps, accuracy}
}

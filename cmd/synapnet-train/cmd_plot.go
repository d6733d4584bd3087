package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/curves"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

func plotCommand() *cli.Command {
	return &cli.Command{
		Name:        "plot",
		Usage:       "draw the loss, learning rate and accuracy of trainings, also of running ones, to compare them",
		ArgsUsage:   "RUN...",
		Description: helpText("plot"),
		Flags: []cli.Flag{&cli.StringFlag{Name: "output", Value: "plot.svg",
			Usage: "`FILE` to write, a picture or a page by its ending: " + strings.Join(curves.Formats, ", ")}},
		Action: plotRuns,
	}
}

func plotRuns(c *cli.Context) error {
	path := c.String("output")
	if !slices.Contains(curves.Formats, strings.ToLower(filepath.Ext(path))) {
		return usagef(c, "--output %s: its name must end with one of %s", printable(path), strings.Join(curves.Formats, ", "))
	}
	if !c.Args().Present() {
		return usagef(c, "no runs given: name the folders of trainings; 'runs' lists them")
	}
	var all []curves.Run
	for _, dir := range c.Args().Slice() {
		r, err := curves.Read(dir)
		if err != nil {
			return err
		}
		r.Name = foreign.Path(r.Name)
		all = append(all, r)
	}
	figure, err := curves.Compare(all...)
	if err != nil {
		return err
	}
	var picture bytes.Buffer
	if err := figure.Write(&picture, path, all...); err != nil {
		return err
	}
	if err := files.Write(path, picture.Bytes()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: %s of %s\n", foreign.Path(path), plural(len(figure), "panel"),
		plural(len(all), "run"))
	return err
}

// figures are the pictures and pages that plot writes.
var figures = kind{"figure of a training", func(path string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for _, begin := range []string{"\x89PNG\r\n", "<?xml"} {
		if bytes.HasPrefix(text, []byte(begin)) {
			return true
		}
	}
	return bytes.Contains(text, []byte(curves.Generator))
}}

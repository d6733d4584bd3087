package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/conform"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/table"
)

func conformCommand() *cli.Command {
	return &cli.Command{
		Name:        "conform",
		Usage:       "hold our numbers against golden tensors of the reference implementation",
		ArgsUsage:   "FILE...",
		Description: helpText("conform", "{relative}", fmt.Sprint(conform.Relative)),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quiet", Usage: "print only the tensors outside tolerance and one line a file"},
		},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef(c, "no file given: name one or more files of golden tensors")
			}
			failed := 0
			for _, path := range c.Args().Slice() {
				r, err := conform.File(path)
				if err != nil {
					return err
				}
				if err := printReport(c, path, r); err != nil {
					return err
				}
				if !r.OK() {
					failed++
				}
			}
			if failed > 0 {
				return errors.New(plural(failed, "file") + " outside tolerance")
			}
			return nil
		},
	}
}

func printReport(c *cli.Context, path string, r *conform.Comparison) error {
	bad := 0
	var text strings.Builder
	var rows [][]string
	for _, t := range r.Results {
		if !t.OK {
			bad++
		}
		if t.OK && c.Bool("quiet") {
			continue
		}
		rows = append(rows, []string{
			verdict(t.OK), foreign.Text(t.Name), fmt.Sprintf("largest error %.3g", t.Worst),
			fmt.Sprintf("of %.3g at %d: got %.6g, want %.6g", t.Limit, t.At, t.Got, t.Want), t.Note,
		})
	}
	err := table.Write(&text, 5, rows...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s%s  %s: %s: %d of %d tensors within tolerance\n", text.String(),
		verdict(bad == 0), foreign.Path(path), foreign.Text(r.Case), len(r.Results)-bad, len(r.Results))
	return err
}

func verdict(ok bool) string {
	if ok {
		return "ok  "
	}
	return "FAIL"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

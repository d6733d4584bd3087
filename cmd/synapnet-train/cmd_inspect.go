package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/internal/shell"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:        "inspect",
		Usage:       "show a packed model, or one with quantisers as packed: bits, bytes and error of each tensor",
		ArgsUsage:   "[FILE.safetensors]",
		Description: helpText("inspect"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "against", Usage: "the `FILE` in floating point (or with quantisers) that was exported"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		},
		Action: inspect,
	}
}

func inspect(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return usagef(c, "%d files given: name one packed model", c.Args().Len())
	}
	path, err := packedArgument(c)
	if err != nil {
		return err
	}
	r, err := inspectFile(path, c.String("against"))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, r)
	} else if err = table.Write(c.App.Writer, 3, inspectionRows(r, c.IsSet("against"))...); err == nil {
		_, err = fmt.Fprint(c.App.Writer, "\n"+totals(r))
	}
	if err == nil {
		next(c, "stream", path, "--random-tokens", tried)
	}
	return err
}

// packedArgument is the packed model that the argument names, or the one that export makes of the default model.
func packedArgument(c *cli.Context) (string, error) {
	if c.Args().Present() {
		return c.Args().First(), nil
	}
	model, err := modelArgument(c)
	if err != nil {
		return "", err
	}
	packed := packedName(model)
	if _, err := os.Stat(packed); err != nil {
		return "", usagef(c, "no file named, and there is no %s: make it with '%s', or name a packed model", packed,
			shell.CommandLine("export", model))
	}
	return packed, nil
}

// inspectFile reads and describes the packed file at path, against the file of that name unless it is empty.
func inspectFile(path, against string) (*qat.Inspection, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	if qat.HasQuantisers(f) { // packed here as export would, and not written
		q, err := qat.FromFile(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if f, err = q.PackedFile(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	size, err := safetensors.EncodedSize(f)
	if err != nil {
		return nil, err
	}
	var reference *qat.Reference
	if against != "" {
		r, err := safetensors.Read(against)
		if err != nil {
			return nil, fmt.Errorf("--against %w", err)
		}
		if reference, err = qat.NewReference(r); err != nil {
			return nil, fmt.Errorf("--against %s: %w", against, err)
		}
	}
	r, err := qat.Inspect(f, size, reference)
	switch {
	case errors.Is(err, qat.ErrNotPacked):
		return nil, fmt.Errorf("%s: %w: %s", path, err, shell.CommandLine("export", path))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func inspectionRows(r *qat.Inspection, errors bool) [][]string {
	header := []string{"tensor", "kind", "shape", "bits/weight", "bytes"}
	if errors {
		header = append(header, "rms error", "largest", "relative")
	}
	rows := [][]string{header}
	for _, t := range r.Tensors {
		row := []string{t.Name, t.Kind, fmt.Sprint(t.Shape), strconv.FormatFloat(t.Bits, 'f', 3, 64), strconv.Itoa(t.Bytes)}
		if t.Error != nil {
			row = append(row, fmt.Sprintf("%.3g", t.Error.RMS), fmt.Sprintf("%.3g", t.Error.Max),
				fmt.Sprintf("%.2f%%", 100*t.Error.Relative))
		}
		rows = append(rows, row)
	}
	return rows
}

// totals are the sums of a packed file, in lines.
func totals(r *qat.Inspection) string {
	text := fmt.Sprintf("packed weights  %d in %d bytes, %.3f bits each: %.2fx smaller than FP16\n", r.PackedWeights,
		r.PackedBytes,
		8*float64(r.PackedBytes)/float64(r.PackedWeights), r.PackedCompression)
	text += fmt.Sprintf("whole model     %d parameters in a file of %d bytes: %.2fx smaller than FP16\n", r.Parameters,
		r.FileBytes, r.WholeCompression)
	if r.MemoryInt8 {
		text += "memory          entries of the episodic memory are rounded to INT8 when they are read\n"
	}
	return text
}

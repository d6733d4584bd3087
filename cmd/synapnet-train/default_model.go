package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/shell"
)

// pretrainedModel is the model of a command line that names none, where there are no runs.
const pretrainedModel = "results/pretrain/" + lab.ModelFile

// defaultModel is the model of a command line that names none: that of the pretraining under runsFolder that finished
// last, or without one the reference's. It tells which; mend is how to name another.
func defaultModel(c *cli.Context, mend string) (string, error) {
	path, err := newestModel()
	if err != nil {
		return "", err
	}
	why := "the newest finished pretraining of " + runsFolder
	if path == "" {
		path, why = pretrainedModel, "the reference model"
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no pretrained model %s, and no finished pretraining in %s: make one with '%s', or %s",
			pretrainedModel, runsFolder, shell.CommandLine("pretrain", "--curriculum", "512", "1024", "--output-dir",
				filepath.Dir(pretrainedModel)), mend)
	}
	newProgress(c.App.ErrWriter).Line("no model named: taking %s, %s", foreign.Path(path), why)
	return path, nil
}

// newestModel is the model of the pretraining under runsFolder that finished last, "" without one. A run has finished
// when its result lies beside its model.
func newestModel() (string, error) {
	found, err := filepath.Glob(filepath.Join(runsFolder, "*", lab.PretrainFile))
	if err != nil {
		return "", err
	}
	newest, at := "", time.Time{}
	for _, result := range found {
		model := filepath.Join(filepath.Dir(result), lab.ModelFile)
		if info, err := os.Stat(model); err == nil && info.ModTime().After(at) {
			newest, at = model, info.ModTime()
		}
	}
	return newest, nil
}

// modelArgument is the model that the first argument names, or the default one.
func modelArgument(c *cli.Context) (string, error) {
	if c.Args().Present() {
		return c.Args().First(), nil
	}
	path, err := defaultModel(c, "name a MODEL.safetensors")
	if err != nil {
		return "", usagef(c, "%v", err)
	}
	return path, nil
}

// pretrainedBase is --checkpoint, with a word on the mend if it is not there, or the default model. The command that
// continues an interrupted run names it: a newer one may come meanwhile.
func pretrainedBase(c *cli.Context) (string, error) {
	if base := c.String("checkpoint"); base != "" {
		if _, err := os.Stat(base); err != nil {
			return "", fmt.Errorf("--checkpoint: %w; name the model.safetensors of a pretraining run", err)
		}
		return base, nil
	}
	path, err := defaultModel(c, "name another with --checkpoint")
	if err != nil || path == pretrainedModel {
		return path, err
	}
	return path, c.Set("checkpoint", path)
}

// checkpointFlag is the flag of the pretrained model that a command begins with.
func checkpointFlag() cli.Flag {
	return &cli.StringFlag{Name: "checkpoint", Usage: "pretrained model `FILE`",
		DefaultText: "that of the newest finished run in " + runsFolder + ", or " + pretrainedModel}
}

// packedName is the packed file that export makes of a model unless told otherwise: it lies beside it.
func packedName(model string) string {
	return strings.TrimSuffix(model, ".safetensors") + ".packed.safetensors"
}

// halfName is likewise the file in half precision.
func halfName(model string) string {
	return strings.TrimSuffix(model, ".safetensors") + ".half.safetensors"
}

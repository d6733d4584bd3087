package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/shell"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

// loadArgument reads the model that the first argument names, or the default one.
func loadArgument(c *cli.Context) (path string, m *layers.Model, err error) {
	if path, err = modelArgument(c); err == nil {
		m, err = loadModel(c, path)
	}
	return path, m, err
}

// loadModel reads a model that runs: in floating point, packed, or with its quantisers, as a three-phase run and
// cajq-qat --save leave it, or a checkpoint of its training. The last compute through the simulation of their
// quantisers, which is told.
func loadModel(c *cli.Context, path string) (*layers.Model, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	if !qat.HasQuantisers(f) {
		m, err := layers.FromFile(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return m, nil
	}
	q, err := qat.FromFile(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	newProgress(c.App.ErrWriter).Line("%s computes through the simulation of its quantisers; '%s' packs it",
		foreign.Path(path), shell.CommandLine("export", path))
	return q.Model, nil
}

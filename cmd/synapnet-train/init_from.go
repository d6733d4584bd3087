package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

// initialised is the configuration of a run that begins from the model at path, or that began from it, and whose model
// is known. conf is what lies under its file and flags (underneath). [model] and flags may name what the model has, and
// nothing else.
func initialised(c *cli.Context, path string, known *layers.Config, conf curriculum.Config) (curriculum.Config, error) {
	var extra map[string]string
	if known != nil {
		conf.Model = *known
	} else {
		var err error
		if conf.Model, extra, err = readInitial(path); err != nil {
			return conf, err
		}
	}
	m := conf.Model
	if err := configure(c, &conf); err != nil {
		return conf, err
	}
	override(c, pretrainSettings(&conf)...)
	conf = unnamed(conf)
	if err := cmp.Or(overrideData(c, &conf), overStages(c, conf)); err != nil {
		return conf, err
	}
	if known == nil {
		if conf.Model.MaxLen == m.MaxLen && conf.ExtendMaxLen > m.MaxLen {
			conf.Model.MaxLen = conf.ExtendMaxLen
		}
		if err := conf.CheckBase(m, extra); err != nil {
			return conf, pretrainError(c, &conf, err)
		}
	}
	return conf, pretrainError(c, &conf, conf.ValidateUnread())
}

// readInitial reads the header of the model of --init-from.
func readInitial(path string) (m layers.Config, extra map[string]string, err error) {
	m, err = layers.ReadConfig(path, layers.QuantisedFile, layers.QuantisedRun)
	if other, ok := errors.AsType[*layers.OtherKindError](err); ok && other.Kind == layers.PackedFile {
		err = fmt.Errorf("%s: %w", path, layers.ErrPacked)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w; name the model.safetensors or checkpoint.safetensors of a training", path, files.Cause(err))
	}
	if err != nil {
		return m, nil, fmt.Errorf("--init-from: %w", err)
	}
	extra, err = layers.ReadExtra(path)
	return m, extra, err
}

// baseLine tells which model a run begins from.
func baseLine(conf curriculum.Config, quantised bool) string {
	line := fmt.Sprintf("from %s, SHA-256 %.12s…", foreign.Path(conf.InitFrom), conf.InitSHA256)
	if quantised {
		line += ", through its quantisers"
	}
	if conf.ExtendMaxLen > 0 {
		line += fmt.Sprintf(", with %d positions (%s)", conf.ExtendMaxLen, cmp.Or(conf.ExtendBy, layers.Interpolate))
	}
	return line
}

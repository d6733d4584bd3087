package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/eviction"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// modelFit replaces defaults that a model cannot take by the nearest that it can. What a flag or the file of --config
// gave stays, to be refused if it cannot work.
type modelFit struct {
	c     *cli.Context
	conf  any               // points to the settings
	flags map[string]string // by key
	file  toml.MetaData
	told  []string // what was replaced
}

func newModelFit(c *cli.Context, conf any, flags []setting) (*modelFit, error) {
	f := &modelFit{c: c, conf: conf, flags: flagNames(conf, flags)}
	path := c.String("config")
	if path == "" {
		return f, nil
	}
	text, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	f.file, err = toml.Decode(text, &map[string]any{})
	return f, err
}

// fitTo fits the settings that conf points to, some of which have flags, to the model at path, and says how in a line.
// What is wrong with the file, its reader says.
func fitTo[S any](c *cli.Context, conf *S, flags []setting, path string,
	fit func(*modelFit, *S, layers.Config)) (fitted string, err error) {
	m, err := layers.ReadConfig(path)
	if err != nil {
		return "", nil //nolint:nilerr // see above
	}
	f, err := newModelFit(c, conf, flags)
	if err != nil {
		return "", err
	}
	fit(f, conf, m)
	return f.line(m), nil
}

// given says whether the user gave the setting with that key.
func (f *modelFit) given(key string) bool {
	flag := f.flags[key]
	return flag != "" && f.c.IsSet(flag) || f.file.IsDefined(strings.Split(key, ".")...)
}

// setTo gives the setting at field, a pointer into the settings, another value than its default.
func setTo[T any](f *modelFit, field *T, value T) {
	setInPlaceOf(f, field, value, strings.Trim(fmt.Sprint(*field), "[]"))
}

// setInPlaceOf is setTo of a default that is told in the words of was.
func setInPlaceOf[T any](f *modelFit, field *T, value T, was string) {
	key := settingKey(reflect.ValueOf(f.conf).Elem(), field)
	if f.given(key) || reflect.DeepEqual(*field, value) {
		return
	}
	name := key
	if flag := f.flags[key]; flag != "" {
		name = dashed(flag)
	}
	f.told = append(f.told, fmt.Sprintf("%s %s in place of %s", name, strings.Trim(fmt.Sprint(value), "[]"), was))
	*field = value
}

// line says what was replaced, "" if nothing was.
func (f *modelFit) line(m layers.Config) string {
	if len(f.told) == 0 {
		return ""
	}
	return fmt.Sprintf("the model has %d positions, width %d and %d classes: %s", m.MaxLen, m.Dim, m.NumClasses,
		strings.Join(f.told, ", "))
}

// tell prints the line of fitTo, once the settings are found to work.
func tell(c *cli.Context, fitted string) {
	if fitted != "" {
		newProgress(c.App.ErrWriter).Line("%s", fitted)
	}
}

// fitCAJQ fits the comparison of quantisations to a model.
func fitCAJQ(f *modelFit, s *cajq.Settings, m layers.Config) {
	e := &s.Experiment
	setTo(f, &s.Contexts, possible(s.Contexts, m))
	setTo(f, &e.CalibrationContext, min(e.CalibrationContext, m.MaxLen))
	setTo(f, &e.Finetune.Context, min(e.Finetune.Context, m.MaxLen))
	setTo(f, &e.Options.GroupSize, min(e.Options.GroupSize, m.Dim))
}

// fitThreePhase fits a three-phase run to the model that it begins with.
func fitThreePhase(f *modelFit, s *qat.ThreePhaseConfig, m layers.Config) {
	setTo(f, &s.Context, min(s.Context, m.MaxLen))
	setTo(f, &s.Quantisation.GroupSize, min(s.Quantisation.GroupSize, m.Dim))
}

// fitClassifier fits the training of the retention classifier to a model.
func fitClassifier(f *modelFit, s *eviction.TrainConfig, m layers.Config) {
	chunk := s.Chunk
	setTo(f, &s.Chunk, min(s.Chunk, m.MaxLen))
	setTo(f, &s.Context, max(2*s.Chunk, asManyChunks(s.Context, chunk, s.Chunk)))
	setTo(f, &s.PaperContext, min(s.PaperContext, m.MaxLen))
}

// fitGrid fits the grid of policies to a model.
func fitGrid(f *modelFit, s *eviction.GridConfig, m layers.Config) {
	chunk := s.Chunk
	setTo(f, &s.Chunk, min(s.Chunk, m.MaxLen))
	contexts := make([]int, len(s.Contexts))
	for i, t := range s.Contexts {
		contexts[i] = max(s.Chunk, asManyChunks(t, chunk, s.Chunk))
	}
	setTo(f, &s.Contexts, distinct(contexts))
	setTo(f, &s.Headline, s.Headline && (s.Chunk < 1 || eviction.HeadlineContext%s.Chunk == 0))
	setInPlaceOf(f, &s.Needles, eviction.NeedlesFor(m), "the task's own number")
}

// asManyChunks is a stream of as many whole chunks as tokens have of the old size, in tokens: a memory of a model with
// fewer positions meets as many chunks, and streams that take no longer.
func asManyChunks(tokens, old, chunk int) int {
	if old < 1 {
		return tokens // such a chunk is refused
	}
	return tokens / old * chunk
}

// checkModel refuses settings of a model that contradict the one at path, which a flag named: both values are told.
func checkModel(c *cli.Context, set, m layers.Config, flag, path string) error {
	if set.Equal(m) {
		return nil
	}
	return usagef(c, "--%s %s: the model has %s as flags or --config say: leave those settings out, or name another model",
		flag, printable(path), m.Difference(set))
}

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

// recipeSetting is the setting of the recipe that a run begins from.
func recipeSetting(conf *curriculum.Config) setting {
	return setting{"recipe", "`NAME` of the configuration to begin from, in place of whose settings --config and flags " +
		"give others: " + strings.Join(namesOf(curriculum.Recipes()), ", ") + " (default: " +
		string(curriculum.Reference) + ")", &conf.Recipe}
}

// namesOf are names as words.
func namesOf[S ~string](names []S) []string {
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = string(name)
	}
	return words
}

// recipeOf is the recipe of --recipe, or else the given one.
func recipeOf(c *cli.Context, otherwise curriculum.Recipe) (curriculum.Recipe, error) {
	conf := curriculum.Config{Recipe: otherwise}
	override(c, recipeSetting(&conf))
	err := bounds.Known("recipe", curriculum.Recipes(), conf.RecipeName())
	if bad, ok := errors.AsType[*bounds.Error](err); ok {
		err = usagef(c, "--recipe %s: %s", printable(string(conf.Recipe)), bad.Problem)
	}
	return conf.RecipeName(), err
}

// unnamed is a configuration without the names of defaults: "" means them, in the headers of runs of before, too.
func unnamed(conf curriculum.Config) curriculum.Config {
	if conf.Recipe == curriculum.Reference {
		conf.Recipe = ""
	}
	if conf.Init == layers.Published && conf.InitFrom == "" { // beside which it is refused
		conf.Init = ""
	}
	return conf
}

// recipeLine says which recipe a run has, and whether as it is; "" of the user's own configuration: the reference
// recipe with other settings is none.
func recipeLine(conf curriculum.Config) string {
	switch {
	case conf.IsRecipe():
		return "recipe " + string(conf.RecipeName())
	case conf.Recipe == "":
		return ""
	}
	return fmt.Sprintf("recipe %s with other settings", conf.Recipe)
}

// withoutStages is a recipe's configuration without what its stages decide: what a file gives of that is then seen.
func withoutStages(conf curriculum.Config) curriculum.Config {
	conf.Curriculum, conf.Stage, conf.Mixture = nil, nil, nil
	conf.SamplesPerStage, conf.EpochsPerStage, conf.BatchSize = 0, 0, 0
	return conf
}

// underneath is a recipe's configuration without what a file and flags give in its place: stages and curriculum are one
// thing, and of a list nothing stays. file is what the file of --config gives over withoutStages.
func underneath(c *cli.Context, conf, file curriculum.Config) curriculum.Config {
	if len(file.Stage) > 0 || file.Curriculum != nil || c.IsSet("curriculum") {
		conf.Stage = nil
	}
	if len(file.Stage) > 0 {
		conf.Curriculum = nil
	}
	if len(file.Mixture) > 0 {
		conf.Mixture = nil
	}
	return conf
}

// forData is a recipe's configuration for a run on data: what they decide is open.
func forData(conf curriculum.Config) curriculum.Config {
	conf.Model.VocabSize, conf.Model.NumClasses, conf.SamplesPerStage = 0, 0, 0
	conf.Curriculum, conf.Mixture = nil, nil
	return conf
}

// stageSetting is a setting of a run that stages may have of their own.
type stageSetting struct {
	flag, key string
	given     func(c curriculum.Config) bool // in a file over withoutStages
	has       func(s curriculum.Stage) bool
	// any says that it is without effect where one stage has its own; otherwise where all have.
	any bool
}

// stageSettings are all of them.
func stageSettings() []stageSetting {
	return []stageSetting{
		{"samples-per-stage", "samples_per_stage", func(c curriculum.Config) bool { return c.SamplesPerStage != 0 },
			func(s curriculum.Stage) bool { return max(s.Samples, s.Tokens) > 0 }, false},
		{"epochs-per-stage", "epochs_per_stage", func(c curriculum.Config) bool { return c.EpochsPerStage != 0 },
			func(s curriculum.Stage) bool { return s.Epochs > 0 }, false},
		{"batch-size", "batch_size", func(c curriculum.Config) bool { return c.BatchSize != 0 },
			func(s curriculum.Stage) bool { return s.BatchSize > 0 }, false},
		{"chunks", "chunks", func(c curriculum.Config) bool { return c.Chunks != 0 },
			func(s curriculum.Stage) bool { return s.Chunks > 0 }, false},
		{"tasks", "mixture", func(c curriculum.Config) bool { return len(c.Mixture) > 0 },
			func(s curriculum.Stage) bool { return len(s.Mixture) > 0 }, true},
	}
}

// own says whether so many of the stages have the setting of their own that the run's has no effect.
func (s stageSetting) own(stages []curriculum.Stage) bool {
	if s.any {
		return slices.ContainsFunc(stages, s.has)
	}
	return len(stages) > 0 && !slices.ContainsFunc(stages, func(x curriculum.Stage) bool { return !s.has(x) })
}

// besideStages refuses flags and keys of a file that do not go with the stages of the recipe, if those stay.
func besideStages(c *cli.Context, conf, file curriculum.Config) error {
	if len(conf.Stage) == 0 {
		return nil
	}
	const mend = "give --curriculum or [[stage]] in a --config FILE, too, in place of the recipe's stages"
	path := c.String("config")
	switch {
	case c.IsSet("data"):
		return usagef(c, "--data: the stages of recipe %s are of tasks: %s", conf.Recipe, mend)
	case file.Data != nil:
		return usagef(c, "%v", ofFile(path, "data", fmt.Errorf("data: the stages of recipe %s are of tasks: %s", conf.Recipe,
			mend)))
	}
	for _, s := range stageSettings() {
		if !s.own(conf.Stage) {
			continue
		}
		problem := fmt.Errorf("%s: the stages of recipe %s have their own: %s", s.key, conf.Recipe, mend)
		if c.IsSet(s.flag) {
			return usagef(c, "--%s%s", s.flag, strings.TrimPrefix(problem.Error(), s.key))
		}
		if s.given(file) {
			return usagef(c, "%v", ofFile(path, s.key, problem))
		}
	}
	return nil
}

// overStages refuses flags of the run that have no effect, because every stage of the file has a setting of its own.
func overStages(c *cli.Context, conf curriculum.Config) error {
	path := foreign.Path(c.String("config"))
	for _, s := range stageSettings() {
		switch {
		case !c.IsSet(s.flag) || !s.own(conf.Stage):
		case s.flag == "tasks":
			return usagef(c, "--tasks: there are [[stage.mixture]] in %s, which stay: change them there", path)
		default:
			return usagef(c, "--%s %d: every [[stage]] of %s has its own: change it there", s.flag, c.Int(s.flag), path)
		}
	}
	return nil
}

// fromRecipe says whether neither a flag nor the file gave the setting that an error is of, but the recipe.
func fromRecipe(c *cli.Context, conf *curriculum.Config, flags []setting, err error) bool {
	bad, ok := errors.AsType[*bounds.Error](err)
	if !ok || conf.RecipeName() == curriculum.Reference {
		return false
	}
	if flag := flagNames(conf, flags)[bad.Setting]; flag != "" && c.IsSet(flag) {
		return false
	}
	path := c.String("config")
	if path == "" {
		return true
	}
	text, err := readConfig(path)
	return err == nil && lineIn(text, bad.Setting) == 0
}

package curriculum

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/BurntSushi/toml"

	"github.com/synapnet/synapnet-train/configs"
)

// Recipe names a configuration that is part of the program, and that a run begins from.
type Recipe string

// The recipes.
const (
	// Reference is the published recipe, Default. A configuration that names none is made from it.
	Reference Recipe = "reference"
	// Strong is configs/strong.toml: the published model, trained so that it answers.
	Strong Recipe = "strong"
)

// Recipes lists them, the default first.
func Recipes() []Recipe { return []Recipe{Reference, Strong} }

// Config is the configuration of a recipe that there is. A text that is wrong panics: it is part of the program.
func (r Recipe) Config() Config {
	c := Default()
	if r != Strong {
		return c
	}
	c.Recipe, c.Curriculum = r, nil // it has stages
	meta, err := toml.Decode(configs.Strong, &c)
	if unknown := meta.Undecoded(); err == nil && len(unknown) > 0 {
		err = fmt.Errorf("unknown keys %v", unknown)
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		panic(fmt.Sprintf("recipe %s: %v", r, err))
	}
	return c
}

// RecipeName is the recipe that the configuration was made from.
func (c Config) RecipeName() Recipe { return cmp.Or(c.Recipe, Reference) }

// IsRecipe says whether the configuration is that of its recipe, whatever its seed and the keys of its samples.
func (c Config) IsRecipe() bool {
	want := c.RecipeName().Config()
	want.Seed, want.SampleKeys = c.Seed, c.SampleKeys
	a, errA := json.Marshal(c)
	b, errB := json.Marshal(want)
	return errA == nil && errB == nil && string(a) == string(b)
}

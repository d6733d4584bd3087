package curriculum

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers"
)

// Every recipe is valid and of the published size: 8.7 million parameters within 5%. It is known as what it is, with
// any seed, also from the header of a run, and as another with other settings.
func TestRecipes(t *testing.T) {
	for _, r := range Recipes() {
		c := r.Config()
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", r, err)
		}
		if n := layers.Total(c.Model.Costs(layers.MinContext)).Parameters; math.Abs(float64(n)/8.7e6-1) > 0.05 {
			t.Errorf("%s has %d parameters", r, n)
		}
		c.Seed = 7
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var held Config
		if err := json.Unmarshal(text, &held); err != nil || held.RecipeName() != r || !held.IsRecipe() {
			t.Errorf("%s, from a header: recipe %s, as it is: %v (%v)", r, held.RecipeName(), held.IsRecipe(), err)
		}
		if c.LR /= 2; c.IsRecipe() {
			t.Errorf("%s with another rate is taken for it", r)
		}
		if named := strings.Contains(string(text), `"recipe"`); named != (r != Reference) {
			t.Errorf("%s: %s", r, text) // headers of runs of the default are as they were
		}
	}
	if !slices.Equal(Recipes()[:1], []Recipe{Reference}) || Default().RecipeName() != Reference {
		t.Error("the default is not the reference")
	}
	c := Default()
	c.Recipe = "strog"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `did you mean "strong"?`) {
		t.Errorf("%v", err)
	}
}

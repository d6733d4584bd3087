package bounds

import (
	"errors"
	"math"
	"testing"
)

func TestWhatIsOutOfBoundsIsNamed(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{Check("depth", 0, 1, 4096), "depth is 0: it must be from 1 to 4096"},
		{Check("depth", 4097, 1, 4096), "depth is 4097: it must be from 1 to 4096"},
		{Check("clip", -0.5, 0, math.MaxFloat64), "clip is -0.5: it must be at least 0 and finite"},
		{Check("lr", math.NaN(), 0, 10), "lr is NaN: it must be from 0 to 10"},
		{Share("k_frac", 0), "k_frac is 0: it must be above 0 and at most 1"},
		{Share("k_frac", 1.5), "k_frac is 1.5: it must be above 0 and at most 1"},
		{Share("k_frac", math.NaN()), "k_frac is NaN: it must be above 0 and at most 1"},
		{Decay("beta1", 1), "beta1 is 1: it must be at least 0 and below 1"},
		{AtLeast("samples", 1, 3, 0), "samples is 0: it must be at least 1"},
		{List[int]("seeds"), "seeds is []: give at least one value"},
		{List("seeds", 1, 2, 1), "seeds is [1 2 1]: 1 is given twice, give each once"},
		{Names("kinds", []string{"a", "bee"}, "be"), `kinds is "be": it must be one of a, bee; did you mean "bee"?`},
		{Known("kind", []string{"a"}, "b"), `kind is "b": it must be a`},
		{Wrong("heads", 5, "it must divide `dim`"), "heads is 5: it must divide dim"},
		{In("paper", In("model", Check("heads", 0, 1, 2))), "paper.model.heads is 0: it must be from 1 to 2"},
		{In("paper", errors.New("no model")), "paper: no model"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%v, want %s", c.err, c.want)
		}
	}
	for _, err := range []error{Check("depth", 1, 1, 4096), Check("depth", 4096, 1, 4096), Check("lr", 10.0, 0, 10),
		Share("k_frac", 1), Decay("beta1", 0), List("seeds", 1, 2), Names("kinds", []string{"a"}, "a"), In("paper", nil)} {
		if err != nil {
			t.Error(err)
		}
	}
}

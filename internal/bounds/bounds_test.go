package bounds

import (
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
		{Check("clip", -0.5, 0, math.MaxFloat64), "clip is -0.5: it must be from 0 to 1.7976931348623157e+308"},
		{Check("lr", math.NaN(), 0, 10), "lr is NaN: it must be from 0 to 10"},
		{Share("k_frac", 0), "k_frac is 0: it must be above 0 and at most 1"},
		{Share("k_frac", 1.5), "k_frac is 1.5: it must be above 0 and at most 1"},
		{Share("k_frac", math.NaN()), "k_frac is NaN: it must be above 0 and at most 1"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%v, want %s", c.err, c.want)
		}
	}
	for _, err := range []error{Check("depth", 1, 1, 4096), Check("depth", 4096, 1, 4096), Check("lr", 10.0, 0, 10),
		Share("k_frac", 1)} {
		if err != nil {
			t.Error(err)
		}
	}
}

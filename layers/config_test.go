package layers

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
)

// The sizes that the paper states (SPEC section 1).
func TestParameterCounts(t *testing.T) {
	large := Reference()
	large.Dim, large.Depth, large.Heads, large.MaxLen = 640, 10, 10, 2048
	for _, c := range []struct {
		name   string
		config Config
		want   int
	}{{"reference", Reference(), 8_714_950}, {"large", large, 120_928_074}} {
		if got := c.config.Parameters(); got != c.want {
			t.Errorf("%s: %d parameters, want %d", c.name, got, c.want)
		}
	}
	if got := newModel(t, Reference()).Params.Count(); got != 8_714_950 {
		t.Errorf("the reference model has %d parameters, want 8,714,950", got)
	}
}

// Parameters is the count of the model that NewModel makes, for any configuration.
func TestParametersCountsTheModel(t *testing.T) {
	property := func(dim, depth, vocab, extra, classes, slots, ratio uint8, bridge bool) bool {
		c := tiny()
		c.Dim, c.Heads, c.Depth = 2+int(dim%30), 1, 1+int(depth%4)
		c.VocabSize, c.MaxLen, c.NumClasses = 1+int(vocab), 8+int(extra), int(classes%5)
		c.EpisodicSlots, c.MLPRatio, c.UseScaleBridge = 1+int(slots), 0.5+float64(ratio)/64, bridge
		m, err := NewModel(c, 1)
		return err == nil && m.Params.Count() == c.Parameters()
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 50}); err != nil {
		t.Error(err)
	}
}

// The first setting that cannot work is named with its value and what is allowed.
func TestConfigValidate(t *testing.T) {
	if err := Reference().Validate(); err != nil {
		t.Errorf("reference: %v", err)
	}
	lm := Reference()
	lm.NumClasses = 0
	if err := lm.Validate(); err != nil || !lm.LanguageModel() {
		t.Errorf("a language model: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"dim is 1: it must be from 2 to 65536":                                 func(c *Config) { c.Dim = 1 },
		"dim is -192: it must be from 2 to 65536":                              func(c *Config) { c.Dim = -192 },
		"dim is 1000000: it must be from 2 to 65536":                           func(c *Config) { c.Dim = 1_000_000 },
		"depth is 0: it must be from 1 to 4096":                                func(c *Config) { c.Depth = 0 },
		"heads is 0: it must be from 1 to 65536":                               func(c *Config) { c.Heads = 0 },
		"heads is 5: it must divide dim (192); the nearest that does is 4":     func(c *Config) { c.Heads = 5 },
		"heads is 7: it must divide dim (192); the nearest that does is 6":     func(c *Config) { c.Heads = 7 },
		"heads is 500: it must divide dim (192); the nearest that does is 192": func(c *Config) { c.Heads = 500 },
		"vocab_size is 0: it must be from 1 to 16777216":                       func(c *Config) { c.VocabSize = 0 },
		"max_len is 7: it must be from 8 to 16777216":                          func(c *Config) { c.MaxLen = 7 },
		"num_classes is -1: it must be from 0 to 16777216":                     func(c *Config) { c.NumClasses = -1 },
		"episodic_slots is 0: it must be from 1 to 1048576":                    func(c *Config) { c.EpisodicSlots = 0 },
		"sparse_threshold is -1: it must be from 0 to 2147483647":              func(c *Config) { c.SparseThreshold = -1 },
		"k_frac is 0: it must be above 0 and at most 1":                        func(c *Config) { c.KFrac = 0 },
		"k_frac is NaN: it must be above 0 and at most 1":                      func(c *Config) { c.KFrac = math.NaN() },
		"k_frac is 1.5: it must be above 0 and at most 1":                      func(c *Config) { c.KFrac = 1.5 },
		"episodic_write_frac is -0.5: it must be above 0 and at most 1": func(c *Config) {
			c.EpisodicWriteFrac = -0.5
		},
		"mlp_ratio is 0: it must be above 0, at most 1024, and give a feed-forward width": func(c *Config) { c.MLPRatio = 0 },
		"mlp_ratio is 0.001: it must be above 0, at most 1024, and give a feed-forward width": func(c *Config) {
			c.MLPRatio = 0.001
		},
		"mlp_ratio is +Inf: it must be above 0, at most 1024": func(c *Config) {
			c.MLPRatio = math.Inf(1)
		},
		"mlp_ratio is NaN: it must be above 0, at most 1024": func(c *Config) { c.MLPRatio = math.NaN() },
		"the model would have ":                              func(c *Config) { c.Dim, c.Heads = 1<<16, 1 },
	} {
		c := Reference()
		change(&c)
		err := c.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
		if _, err := NewModel(c, 0); err == nil {
			t.Errorf("NewModel makes a model where %s", want)
		}
	}
}

// The suggested number of heads always divides the width.
func TestNearestDivisor(t *testing.T) {
	property := func(n, near uint8) bool {
		width := int(n) + 1
		d := nearestDivisor(width, int(near))
		for other := 1; other <= width; other++ {
			if width%other == 0 && abs(other-int(near)) < abs(d-int(near)) {
				return false
			}
		}
		return width%d == 0
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

// The number of parameters is that of all blocks, in every architecture and at any depth, negative ones left to
// Validate.
func TestParametersOfEveryDepth(t *testing.T) {
	for _, name := range Architectures() {
		c := Reference()
		c.Dim, c.Heads = 24, 2
		if err := c.Architecture.UnmarshalText([]byte(name)); err != nil {
			t.Fatal(err)
		}
		for c.Depth = range 8 {
			if got, want := c.Parameters(), Total(c.Costs(MinContext)).Parameters; got != want {
				t.Errorf("%s, depth %d: %d, want %d", name, c.Depth, got, want)
			}
		}
	}
}

// A configuration differs from another in each setting alone, and is told by its name; lists and tables without
// anything are none.
func TestDifferences(t *testing.T) {
	c := Reference()
	empty := c
	empty.BlockLayers, empty.Options = []string{}, map[string]float64{}
	if !c.Equal(empty) {
		t.Error("nothing differs from an empty list")
	}
	settings := reflect.TypeFor[Config]()
	for i := range settings.NumField() {
		other := reflect.New(settings).Elem()
		other.Set(reflect.ValueOf(c))
		switch f := other.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("llama")
		case reflect.Int:
			f.SetInt(7)
		case reflect.Float64:
			f.SetFloat(0.7)
		case reflect.Bool:
			f.SetBool(!f.Bool())
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"swiglu"}))
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string]float64{"x": 1}))
		default:
			t.Fatalf("a setting of kind %s", f.Kind())
		}
		key, _, _ := strings.Cut(settings.Field(i).Tag.Get("json"), ",")
		if got := c.Difference(other.Interface().(Config)); !strings.HasPrefix(got, key+" ") || strings.Contains(got, ";") {
			t.Errorf("another %s: %q", key, got)
		}
	}
	c.Dim, empty.Architecture = 16, Llama
	if got := c.Difference(empty); got != "architecture synapnet, not llama; dim 16, not 192" {
		t.Error(got)
	}
}

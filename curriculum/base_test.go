package curriculum

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
)

// fromModel is a run of five steps that begins from a saved model, whose file is at the configuration's InitFrom.
func fromModel(t testing.TB) (Config, *layers.Model) {
	t.Helper()
	c := tiny()
	m, err := layers.NewModel(c.Model, 9)
	if err != nil {
		t.Fatal(err)
	}
	c.InitFrom = filepath.Join(t.TempDir(), "model.safetensors")
	if err := m.Save(c.InitFrom); err != nil {
		t.Fatal(err)
	}
	c.Curriculum, c.EpochsPerStage = []int{24}, 1
	return c, m
}

// A run begins from the weights of a model and not from those of its seed, and goes on without the model's file to the
// bytes of one that was not interrupted.
func TestInitFrom(t *testing.T) {
	c, m := fromModel(t)
	c.ExtendMaxLen, c.ExtendBy, c.Model.MaxLen = 60, layers.Fresh, 60
	whole := begin(t, c)
	rows := len(m.Embedding.Positions.Param.Data())
	got := whole.Model.Embedding.Positions.Param.Data()
	if !slices.Equal(got[:rows], m.Embedding.Positions.Param.Data()) || whole.Model.Config.MaxLen != 60 ||
		!slices.Equal(whole.Model.Head.Out.W.Param.Data(), m.Head.Out.W.Param.Data()) {
		t.Error("the run begins from other weights")
	}
	if len(whole.Config.InitSHA256) != 64 {
		t.Errorf("the run notes the hash %q", whole.Config.InitSHA256)
	}
	want := finished(t, whole)
	cut := begin(t, c)
	stopped(t, cut, 2)
	if err := os.Remove(c.InitFrom); err != nil {
		t.Fatal(err)
	}
	if finished(t, resumed(t, cut.CheckpointPath)) != want {
		t.Error("an interrupted run ends in other bytes")
	}
}

// What does not go with the model is refused by its setting.
func TestInitFromRefuses(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"the model has dim 16, not 32 as the settings say: leave those out, or name another model": func(c *Config) {
			c.Model.Dim = 32
		},
		"or name another model; extend_max_len gives it more positions": func(c *Config) { c.Model.MaxLen = 41 },
		"extend_max_len is 30: the model has 40 positions: it must be more": func(c *Config) {
			c.Model.MaxLen, c.ExtendMaxLen, c.Curriculum = 30, 30, []int{24}
		},
		"extend_max_len is 80: model.max_len says 40: leave that out": func(c *Config) { c.ExtendMaxLen = 80 },
		`init_sha256 is "00": that of `:                               func(c *Config) { c.InitSHA256 = "00" },
		"no such file or directory":                                   func(c *Config) { c.InitFrom = "absent" },
		`extend_by is "mirror": it must be one of interpolate, fresh`: func(c *Config) {
			c.Model.MaxLen, c.ExtendMaxLen, c.ExtendBy = 80, 80, "mirror"
		},
	} {
		c, _ := fromModel(t)
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A run that diverged goes on from its last checkpoint with a lower rate, which the checkpoint notes: killed or
// interrupted after that, it ends in the same bytes. The steps before keep their rates.
func TestLowerRate(t *testing.T) {
	diverged := func() *Trainer {
		r := begin(t, tiny())
		r.Hooks.Step = func(s Step) {
			if s.Step == 8 {
				r.Model.Head.Out.B.Data()[0] = float32(math.NaN())
			}
		}
		if err := r.Run(t.Context()); !errors.Is(err, train.ErrDiverged) {
			t.Fatal(err)
		}
		return resumed(t, r.CheckpointPath)
	}
	whole := diverged()
	for _, lr := range []float64{1, 3e-3, 0} {
		want := "the run diverged with 0.003: give less, above 0"
		if err := whole.LowerRate(lr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("rate %g: %v", lr, err)
		}
	}
	if err := whole.LowerRate(1e-3); err != nil {
		t.Fatal(err)
	}
	if err := whole.LowerRate(5e-4); err == nil || !strings.Contains(err.Error(), "did not stop because it diverged") {
		t.Errorf("lowered already: %v", err)
	}
	want := finished(t, whole)
	if s := whole.History.Steps; len(s) != tinyTotal || s[5].LR != tiny().schedule(tinyTotal).At(5) ||
		s[6].LR != train.WarmupCosine(1e-3, 4, tinyTotal).At(6) ||
		!slices.Equal(whole.Config.Rates, []Rate{{Step: 7, LR: 1e-3}}) {
		t.Errorf("%+v %v", s, whole.Config.Rates)
	}
	cut := diverged()
	if err := cut.LowerRate(1e-3); err != nil {
		t.Fatal(err)
	}
	cut = resumed(t, cut.CheckpointPath) // killed before its first step
	stopped(t, cut, 11)
	if finished(t, resumed(t, cut.CheckpointPath)) != want {
		t.Error("an interrupted run ends in other bytes")
	}
}

// A run that diverges again before it saves takes another rate in place of the one that did not hold.
func TestLowerRateAgain(t *testing.T) {
	r := begin(t, tiny())
	if err := r.Save(); err != nil {
		t.Fatal(err)
	}
	for _, lr := range []float64{1e-3, 1e-4} {
		r.Model.Head.Out.B.Data()[0] = float32(math.NaN())
		if err := r.Run(t.Context()); !errors.Is(err, train.ErrDiverged) {
			t.Fatal(err)
		}
		r = resumed(t, r.CheckpointPath)
		if err := r.LowerRate(lr); err != nil || !slices.Equal(r.Config.Rates, []Rate{{Step: 1, LR: lr}}) {
			t.Errorf("%v %v", r.Config.Rates, err)
		}
	}
	c, err := ReadConfig(r.CheckpointPath)
	if err != nil || c.PeakLR() != 1e-4 || c.LR != 3e-3 {
		t.Errorf("the checkpoint has %+v %v", c, err)
	}
	c.Rates = append(c.Rates, Rate{Step: 1, LR: 1e-5})
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "rates is ") {
		t.Errorf("two rates at a step: %v", err)
	}
	if ended, err := metrics.EndsDiverged(filepath.Join(t.TempDir(), "absent")); ended || err != nil {
		t.Errorf("without a history: %v %v", ended, err)
	}
}

package layers

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/synapnet/synapnet-train/internal/bounds"
)

// Config is the shape of a model. The names in files (TOML configurations, checkpoint and golden headers) are those of
// the reference.
type Config struct {
	// of the blocks; empty or "synapnet": SynapNet
	Architecture Architecture `json:"architecture,omitempty" toml:"architecture"`
	Dim          int          `json:"dim" toml:"dim"`                 // width D
	Depth        int          `json:"depth" toml:"depth"`             // blocks L
	Heads        int          `json:"heads" toml:"heads"`             // attention heads H
	VocabSize    int          `json:"vocab_size" toml:"vocab_size"`   // token ids V
	MaxLen       int          `json:"max_len" toml:"max_len"`         // positions
	NumClasses   int          `json:"num_classes" toml:"num_classes"` // 0: language-model head
	// share of tokens above the salience threshold
	KFrac             float64 `json:"k_frac" toml:"k_frac"`
	EpisodicSlots     int     `json:"episodic_slots" toml:"episodic_slots"`           // memory slots S
	EpisodicWriteFrac float64 `json:"episodic_write_frac" toml:"episodic_write_frac"` // share of tokens written to memory
	MLPRatio          float64 `json:"mlp_ratio" toml:"mlp_ratio"`                     // feed-forward width over D
	UseScaleBridge    bool    `json:"use_scale_bridge" toml:"use_scale_bridge"`
	SparseThreshold   int     `json:"sparse_threshold" toml:"sparse_threshold"` // dense attention up to this many tokens

	// BlockLayers are registered layers behind the feed-forward of every block of SynapNet, in their order.
	BlockLayers []string `json:"block_layers,omitempty" toml:"block_layers"`
	// Options are settings that the architecture, or a layer in its blocks, has of its own; see Config.Option.
	Options map[string]float64 `json:"options,omitempty" toml:"options"`
}

// Reference is the 8,714,950-parameter model of the paper (SPEC section 1).
func Reference() Config {
	return Config{
		Dim: 192, Depth: 6, Heads: 6, VocabSize: 4096, MaxLen: 8192, NumClasses: 64,
		KFrac: 0.25, EpisodicSlots: 32, EpisodicWriteFrac: 0.05, MLPRatio: 4, UseScaleBridge: true,
		SparseThreshold: SparseThreshold,
	}
}

// LanguageModel says whether the head predicts tokens rather than classes.
func (c Config) LanguageModel() bool { return c.NumClasses == 0 }

// MinContext is the smallest number of tokens a sample may have.
const MinContext = 8

// MaxParameters is the largest model that Validate lets through: far above what a CPU can train, so that a slip of the
// keyboard ends in an error and not in exhausted memory.
const MaxParameters = 1 << 31

// Validate names the first setting that cannot work, its value and what is allowed.
func (c Config) Validate() error {
	if err := c.Architecture.validate(); err != nil {
		return err
	}
	if err := cmp.Or(c.checkLayers(), bounds.Check("dim", c.Dim, 2, 1<<16), bounds.Check("depth", c.Depth, 1, 1<<12),
		bounds.Check("heads", c.Heads, 1, 1<<16), bounds.Check("vocab_size", c.VocabSize, 1, 1<<24),
		bounds.Check("max_len", c.MaxLen, MinContext, 1<<24), bounds.Check("num_classes", c.NumClasses, 0, 1<<24),
		bounds.Check("episodic_slots", c.EpisodicSlots, 1, 1<<20),
		bounds.Check("sparse_threshold", c.SparseThreshold, 0, math.MaxInt32)); err != nil {
		return err
	}
	if c.Dim%c.Heads != 0 {
		return bounds.Wrong("heads", c.Heads, "it must divide `dim` (%d); the nearest that does is %d", c.Dim,
			nearestDivisor(c.Dim, c.Heads))
	}
	if err := cmp.Or(bounds.Share("k_frac", c.KFrac),
		bounds.Share("episodic_write_frac", c.EpisodicWriteFrac)); err != nil {
		return err
	}
	if !(c.MLPRatio > 0 && c.MLPRatio <= maxMLPRatio) || c.Hidden() < 1 {
		return bounds.Wrong("mlp_ratio", c.MLPRatio,
			"it must be above 0, at most %d, and give a feed-forward width of at least 1", maxMLPRatio)
	}
	if err := c.checkOptions(); err != nil {
		return err
	}
	if n := c.Parameters(); n > MaxParameters {
		return fmt.Errorf("the model would have %d parameters, more than %d: lower dim (%d), depth (%d), vocab_size (%d) "+
			"or max_len (%d)",
			n, MaxParameters, c.Dim, c.Depth, c.VocabSize, c.MaxLen)
	}
	return nil
}

const maxMLPRatio = 1024

// Hidden is the width of the feed-forward layer.
func (c Config) Hidden() int { return int(float64(c.Dim) * c.MLPRatio) }

// CheckContexts is an error, which names the setting, of the first number of tokens that no sample for the model has.
func (c Config) CheckContexts(setting string, lengths ...int) error {
	for _, t := range lengths {
		if t < MinContext || t > c.MaxLen {
			return bounds.Wrong(setting, t, "it must be from %d to the model's max_len %d", MinContext, c.MaxLen)
		}
	}
	return nil
}

// BankRows is the number of rows of a fresh bank that so many tokens fill; those behind them are zero padding.
func (c Config) BankRows(tokens int) int {
	return min(fraction(c.EpisodicWriteFrac, tokens), c.EpisodicSlots)
}

// CheckCausal refuses to train a language model whose tokens see those that they are to predict: its loss would fall
// for the wrong reason, and it would not be able to generate.
func (c Config) CheckCausal() error {
	if !c.LanguageModel() || c.Architecture.Causal() {
		return nil
	}
	var causal []string
	for _, name := range Architectures() {
		if Architecture(name).Causal() {
			causal = append(causal, name)
		}
	}
	return bounds.Wrong("num_classes", 0, "a language model, and architecture %s is not causal: through %s its tokens "+
		"see the later ones that they are to predict (causal are %s); it can be trained with at least 2 classes",
		c.Architecture, c.Architecture.find().SeesLater, strings.Join(causal, ", "))
}

// Parameters is the number of elements of all parameters of the model, found by walking through an outline of it.
// Blocks repeat after the architecture's period: a few are counted, however deep the model is.
func (c Config) Parameters() int {
	period := max(1, c.Architecture.find().Period)
	times, rest := c.Depth/period, c.Depth%period
	of := func(depth int) int {
		c.Depth = depth
		return outline(c, nil).Params.Count()
	}
	outside := of(0)
	return of(rest) + times*(of(period)-outside)
}

// Equal says whether two configurations are of the same model.
func (c Config) Equal(other Config) bool { return c.Difference(other) == "" }

// Difference lists the settings in which c is not other, with both values: "dim 16, not 192". "": they are of the same
// model.
func (c Config) Difference(other Config) string {
	var all []string
	a, b := reflect.ValueOf(c), reflect.ValueOf(other)
	for i := range a.NumField() {
		ours, others := fmt.Sprint(a.Field(i)), fmt.Sprint(b.Field(i)) // alike for no list and an empty one
		if ours != others {
			all = append(all, fmt.Sprintf("%s %s, not %s", a.Type().Field(i).Tag.Get("toml"), ours, others))
		}
	}
	return strings.Join(all, "; ")
}

func nearestDivisor(n, near int) int {
	best := 1
	for d := 1; d <= n; d++ {
		if n%d == 0 && abs(d-near) < abs(best-near) {
			best = d
		}
	}
	return best
}

func abs(x int) int { return max(x, -x) }

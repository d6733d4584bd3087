package qat

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
)

// Target is a component of the model that can be quantised.
type Target string

// The targets. SSM and Attention are the published CAJQ (SPEC section 4), Memory its third component, which no
// published evaluation has active; the rest are extensions.
const (
	SSM        Target = "ssm"        // convolution and gate weights, 2 bits
	Attention  Target = "attention"  // Q, K, V and output projection, smoothed, INT4 groups, salient columns
	Memory     Target = "memory"     // entries of the episodic memory, INT8 with an FP16 scale each
	FF         Target = "ff"         // both feed-forward weights, INT4 groups
	Bridge     Target = "bridge"     // fusing weight of the ScaleBridge, INT4 groups
	MemProj    Target = "memproj"    // projections of the episodic memory, INT4 groups
	Gates      Target = "gates"      // alpha and beta gates, INT4 groups
	Embeddings Target = "embeddings" // token and position tables, INT4 groups or INT8 rows
	Head       Target = "head"       // output weight, INT8 rows or INT4 groups

	// Layers are the weights of the layers of Config.BlockLayers; in another architecture than SynapNet, those of its
	// blocks. INT4 groups.
	Layers Target = "layers"
)

// AllTargets lists every target of a SynapNet without further layers.
func AllTargets() []Target {
	return []Target{SSM, Attention, Memory, FF, Bridge, MemProj, Gates, Embeddings, Head}
}

// TargetsOf lists every target that a model of configuration c has.
func TargetsOf(c layers.Config) []Target {
	if c.Architecture != layers.SynapNet {
		return []Target{Layers, Embeddings, Head}
	}
	all := slices.DeleteFunc(AllTargets(), func(t Target) bool { return t == Bridge && !c.UseScaleBridge })
	if len(c.BlockLayers) > 0 {
		all = append(all, Layers)
	}
	return all
}

// Quantisers of the SSM weights: what the setting calls scheme.SEQ2 and scheme.Paper7.
const (
	SEQ2Bit = "seq2bit"
	Paper7  = "paper7"
)

// Initial step sizes of the SSM quantiser.
const (
	InitMax = "max" // max|w| / 1.5 of the channel (SPEC section 4): no weight is clipped
	InitMSE = "mse" // the least squared error of the channel's weights
)

// Modes of INT4 training.
const (
	Int4Train  = "train"  // all weights train, straight through the quantiser (our extension)
	Int4Frozen = "frozen" // integers, scales and zeros stay; salient columns train (the reference)
)

// Precisions of the INT4 groups' scales and zeros: what the setting calls scheme.Int4Float32 and scheme.Int4.
const (
	MetadataFloat32 = "float32"
	MetadataCompact = "compact"
)

// Options are the settings of Prepare.
type Options struct {
	Targets      []Target `json:"targets" toml:"targets"`
	SSMQuantiser string   `json:"ssm_quantiser" toml:"ssm_quantiser"` // seq2bit or paper7
	StepInit     string   `json:"step_init" toml:"step_init"`         // max or mse
	GroupSize    int      `json:"group_size" toml:"group_size"`       // inputs that share an INT4 scale
	// of attention's inputs; at least one channel
	SalientFraction float64 `json:"salient_fraction" toml:"salient_fraction"`
	SmoothAlpha     float64 `json:"smooth_alpha" toml:"smooth_alpha"`     // SmoothQuant's exponent
	Int4Mode        string  `json:"int4_mode" toml:"int4_mode"`           // train or frozen
	Metadata        string  `json:"metadata" toml:"metadata"`             // float32 or compact
	EmbeddingBits   int     `json:"embedding_bits" toml:"embedding_bits"` // 4 or 8, of target embeddings
	HeadBits        int     `json:"head_bits" toml:"head_bits"`           // 4 or 8, of target head

	// Schemes names the scheme (package scheme) of the weights of a target, in place of the one that the settings above
	// say. Groups, salient columns, step_init and int4_mode hold for it as far as it has them.
	Schemes map[Target]string `json:"schemes,omitempty" toml:"schemes,omitempty"`
}

// DefaultOptions are those of the multi-seed experiment (SPEC section 4).
func DefaultOptions() Options {
	return Options{
		Targets: []Target{SSM, Attention}, SSMQuantiser: SEQ2Bit, StepInit: InitMax, GroupSize: 64, SalientFraction: 0.01,
		SmoothAlpha: 0.5, Int4Mode: Int4Train, Metadata: MetadataFloat32, EmbeddingBits: 4, HeadBits: 8,
	}
}

// Has says whether t is a target.
func (o Options) Has(t Target) bool { return slices.Contains(o.Targets, t) }

// Validate names the first setting that cannot work for a model of configuration c, its value and what is allowed.
func (o Options) Validate(c layers.Config) error {
	if err := cmp.Or(bounds.Names("targets", append(AllTargets(), Layers), o.Targets...), o.checkTargets(c),
		bounds.Known("ssm_quantiser", []string{SEQ2Bit, Paper7}, o.SSMQuantiser),
		bounds.Known("step_init", []string{InitMax, InitMSE}, o.StepInit),
		bounds.Known("int4_mode", []string{Int4Train, Int4Frozen}, o.Int4Mode),
		bounds.Known("metadata", []string{MetadataFloat32, MetadataCompact}, o.Metadata)); err != nil {
		return err
	}
	if err := o.checkSchemes(); err != nil {
		return bounds.Wrong("schemes", o.Schemes, "%v", err)
	}
	if !(o.SalientFraction >= 0 && o.SalientFraction < 1) {
		return bounds.Wrong("salient_fraction", o.SalientFraction, "it must be at least 0 and below 1")
	}
	bits := func(setting string, n int) error {
		if n == 4 || n == 8 {
			return nil
		}
		return bounds.Wrong(setting, n, "it must be 4 or 8")
	}
	return cmp.Or(o.checkGroup(c.Dim), bounds.Check("smooth_alpha", o.SmoothAlpha, 0, 1),
		bits("embedding_bits", o.EmbeddingBits), bits("head_bits", o.HeadBits))
}

// checkTargets refuses targets that the model does not have.
func (o Options) checkTargets(c layers.Config) error {
	for _, t := range o.Targets {
		if slices.Contains(TargetsOf(c), t) {
			continue
		}
		without := ""
		if c.Architecture == layers.SynapNet {
			without = map[Target]string{Bridge: " without ScaleBridge (use_scale_bridge)", Layers: " without block_layers"}[t]
		}
		return bounds.Wrong("targets", t, "a model of architecture %s%s does not have it: it has %s", c.Architecture, without,
			join(TargetsOf(c)))
	}
	return nil
}

// minGroup is the smallest group: below it the scale and zero take more room than the integers.
const minGroup = 2

// checkGroup refuses groups that no row of dim inputs fills. A last group that is shorter than the others is allowed.
func (o Options) checkGroup(dim int) error {
	multiple, even := 1, ""
	if o.Metadata == MetadataCompact {
		multiple, even = 2, " and even, which compact metadata wants"
	}
	if o.GroupSize >= minGroup && o.GroupSize <= dim && o.GroupSize%multiple == 0 {
		return nil
	}
	var fits []string
	for g := minGroup; g <= dim; g++ {
		if dim%g == 0 && g%multiple == 0 {
			fits = append(fits, fmt.Sprint(g))
		}
	}
	return bounds.Wrong("group_size", o.GroupSize,
		"it must be from %d to the %d inputs of the narrowest quantised weight%s; "+
			"without a shorter last group: %s", minGroup, dim, even, strings.Join(fits, ", "))
}

// salient is the number of salient columns of n inputs.
func (o Options) salient(n int) int {
	if o.SalientFraction == 0 {
		return 0
	}
	return max(1, int(math.Floor(o.SalientFraction*float64(n))))
}

func join[S ~string](names []S) string {
	text := make([]string, len(names))
	for i, n := range names {
		text[i] = string(n)
	}
	return strings.Join(text, ", ")
}

package layers

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/registry"
)

// Architecture names what a model's blocks are. The zero value is SynapNet, and "synapnet" its name in files and flags.
type Architecture string

// The architectures: the hybrid of this project and the baselines that it is compared with (SPEC section 7, Baselines).
const (
	SynapNet Architecture = ""
	Llama    Architecture = "llama"
	GRUSSM   Architecture = "gru_ssm"
	Mamba2   Architecture = "mamba2"
	FalconH1 Architecture = "falcon_h1"
	EMLLM    Architecture = "em_llm"
)

// synapNetName is the name of the zero value.
const synapNetName = "synapnet"

// ArchitectureSpec is what the models of one architecture have in common. Embedding and head are those of every model:
// a learned position embedding on the token embedding, and a normalisation with a Linear.
type ArchitectureSpec struct {
	Name   string // in files, flags and settings
	Doc    string // one line
	Source string // paper or document that it follows

	// Block makes block i of a model, with parameters under name ("blocks.0").
	Block func(ps *Params, name string, i int, c Config) Block
	// Uses say what the parameters of a block are counted as in Config.Costs. Those that none fits are counted as
	// OtherComponent, with products of every row.
	Uses []Use
	// Products, if set, adds the products of block i in which no weight that is a Matrix takes part, to those of a
	// component, one of Components.
	Products func(c Config, i int, n RowCounts, of func(component string) *Cost)
	// Period is after how many blocks the kinds of blocks repeat. 0: all are alike.
	Period int

	// Either Causal, no token depends on a later one, or SeesLater says by what one does: "its attention".
	Causal    bool
	SeesLater string

	RMSNorm     bool // norm_out is an RMSNorm, in place of a LayerNorm
	UnbiasedOut bool // head has no bias

	// What MatchedConfig sets besides the width and the depth.
	MLPRatio      float64 // feed-forward width over D; 0: the reference's
	WriteFraction float64 // share of tokens written to memory; 0: the blocks have no memory
	Deeper        int     // blocks for each block of a transformer; 0: one

	// Options are the settings of its own that Config.Options can hold, with the values that they have unset.
	Options map[string]float64
	// Check, if set, says what is wrong with the settings of a model of which nothing else is wrong.
	Check func(c Config) error
}

// Block is a block of an architecture.
type Block interface {
	// Forward maps x [B, T, D] to [B, T, D]; with last, to the last row of that, [B, 1, D], at the cost of what it needs.
	Forward(g *graph.Graph, x *graph.Node, last bool) *graph.Node
}

// baselineSource is that of the baselines which the reference has.
const baselineSource = "SynapNet-Edge, baselines of the reference"

// architectures holds all: those of this package, SynapNet first, and behind them what RegisterArchitecture added.
var architectures = registry.Words("architecture", ArchitectureSpec.complete).
	With(func(a ArchitectureSpec) string { return a.Name },
		synapNet, llama, gruSSM, mamba2, falconH1, emLLM,
	)

// RegisterArchitecture adds an architecture, for an init function of the package that has it. From then on it can be
// chosen by its name, and files of its models can be read.
func RegisterArchitecture(a ArchitectureSpec) error { return architectures.Add(a.Name, a) }

func (a ArchitectureSpec) complete() error {
	switch {
	case a.Doc == "":
		return errors.New("its Doc is empty: say in a line what its blocks are")
	case a.Block == nil:
		return errors.New("its Block is nil: give it a constructor of blocks")
	case a.Causal == (a.SeesLater != ""):
		return errors.New("either Causal is true, or SeesLater says by what a token sees later ones")
	case !optionNames(a.Options):
		return errOptionNames
	case a.Period < 0 || a.Deeper < 0:
		return fmt.Errorf("its Period is %d and Deeper is %d: neither can be negative", a.Period, a.Deeper)
	}
	return checkUses(a.Uses)
}

// Architectures lists the names of all architectures, "synapnet" first.
func Architectures() []string { return architectures.Names() }

var builtinArchitectures = architectures.Names()

// BuiltinArchitectures lists those that this package has, without what was registered.
func BuiltinArchitectures() []string { return slices.Clone(builtinArchitectures) }

// String is the name in files and flags.
func (a Architecture) String() string {
	if a == SynapNet {
		return synapNetName
	}
	return string(a)
}

// About describes the architecture in one line; empty for an unknown one.
func (a Architecture) About() string { return a.find().Doc }

// Causal says whether no token's representation depends on a later token, as a language model needs.
func (a Architecture) Causal() bool { return a.find().Causal }

// HasMemory says whether the blocks have an episodic memory.
func (a Architecture) HasMemory() bool { return a.find().WriteFraction > 0 }

// UnmarshalText reads a name as String writes it. Unknown names are left to Config.Validate.
func (a *Architecture) UnmarshalText(text []byte) error {
	if *a = Architecture(text); *a == synapNetName {
		*a = SynapNet
	}
	return nil
}

// MarshalText is String.
func (a Architecture) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// ParseArchitecture finds an architecture by its name in files and flags.
func ParseArchitecture(name string) (Architecture, error) {
	var a Architecture
	if err := a.UnmarshalText([]byte(name)); err != nil {
		return a, err
	}
	if name == "" {
		return a, bounds.Known("architecture", Architectures(), name)
	}
	return a, a.validate()
}

func (a Architecture) validate() error {
	return bounds.Known("architecture", Architectures(), a.String())
}

// find is what was registered; the zero value if nothing was, which Validate rules out.
func (a Architecture) find() ArchitectureSpec {
	found, _ := architectures.Find(a.String())
	return found
}

// MatchTolerance is how far the parameters of a matched baseline may be from the reference's, as a share of them.
const MatchTolerance = 0.05

// MatchedConfig is the model of architecture a that has the vocabulary, the positions, the classes and the heads of the
// reference and a number of parameters within 5% of its: the depth is the reference's, double for Mamba-2 (whose block
// is half of a transformer's), and the width the multiple of the heads that comes nearest; if none is near enough, the
// next depth at which one is. A reference of architecture a is returned as it is; one of another with layers or options
// of its own is refused.
func MatchedConfig(a Architecture, reference Config) (Config, error) {
	if err := a.validate(); err != nil {
		return Config{}, err
	}
	if err := reference.Validate(); err != nil {
		return Config{}, err
	}
	if reference.Architecture == a {
		return reference, nil
	}
	if len(reference.BlockLayers)+len(reference.Options) > 0 {
		return Config{}, fmt.Errorf("architecture %s cannot take over block_layers %q and options %q of architecture %s: "+
			"leave them out", a, reference.BlockLayers, slices.Sorted(maps.Keys(reference.Options)), reference.Architecture)
	}
	kind := a.find()
	c := reference
	c.Architecture, c.UseScaleBridge = a, a == SynapNet
	if kind.MLPRatio > 0 {
		c.MLPRatio = kind.MLPRatio
	}
	if kind.WriteFraction > 0 {
		c.EpisodicWriteFrac = kind.WriteFraction
	}
	want := reference.Parameters()
	depth := max(1, reference.Depth*max(1, kind.Deeper)/max(1, reference.Architecture.find().Deeper))
	for away := range depth {
		for _, c.Depth = range []int{depth + away, depth - away} {
			c.Dim = nearestWidth(c, want)
			if n := c.Parameters(); abs(n-want) <= int(MatchTolerance*float64(want)) && c.Validate() == nil {
				return c, nil
			}
		}
	}
	return Config{},
		fmt.Errorf("there is no model of architecture %s with %d heads and a number of parameters within %g%% of %d: "+
			"use fewer heads", a, c.Heads, 100*MatchTolerance, want)
}

// nearestWidth is the multiple of the heads at which the model has the number of parameters nearest to want.
func nearestWidth(c Config, want int) int {
	best, least := c.Heads, -1
	for c.Dim = c.Heads; ; c.Dim += c.Heads {
		n := c.Parameters()
		if away := abs(n - want); least < 0 || away < least {
			best, least = c.Dim, away
		}
		if n >= want {
			return best
		}
	}
}

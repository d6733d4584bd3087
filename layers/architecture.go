package layers

import (
	"fmt"
	"slices"
	"strings"
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

// architecture is what the models of one architecture have in common.
type architecture struct {
	name  Architecture
	about string // one line

	block func(ps *Params, i int, c Config) BaselineBlock
	uses  []use // what the layers of a block are counted as, in Costs
	// products adds those of block i that no weight takes part in.
	products func(c Config, i int, n rowCounts, of func(component string) *Cost)

	causal       bool   // no token depends on a later one
	seesLater    string // by what one does, if it is not causal
	rmsNorm      bool   // norm_out is an RMSNorm
	headBiasless bool

	// What MatchedConfig sets besides the width.
	mlpRatio  float64
	writeFrac float64 // share of tokens written to memory; 0: there is no memory
	deeper    int     // blocks for each block of a transformer
}

// architectures is the table of all, SynapNet first.
func architectures() []architecture {
	return []architecture{
		{name: SynapNet, about: "gated convolution, salience-steered sparse attention and episodic memory", mlpRatio: 4, writeFrac: 0.05, deeper: 1,
			seesLater: "its convolution, attention and memory", uses: synapUses, products: synapProducts},
		llamaArchitecture, gruSSMArchitecture, mamba2Architecture, falconH1Architecture, emLLMArchitecture,
	}
}

// Architectures lists the names of all architectures, "synapnet" first.
func Architectures() []string {
	var names []string
	for _, a := range architectures() {
		names = append(names, a.name.String())
	}
	return names
}

// String is the name in files and flags.
func (a Architecture) String() string {
	if a == SynapNet {
		return synapNetName
	}
	return string(a)
}

// About describes the architecture in one line; empty for an unknown one.
func (a Architecture) About() string { return a.find().about }

// Causal says whether no token's representation depends on a later token, as a language model needs.
func (a Architecture) Causal() bool { return a.find().causal }

// HasMemory says whether the blocks have an episodic memory.
func (a Architecture) HasMemory() bool { return a.find().writeFrac > 0 }

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
		return a, fmt.Errorf("architecture is empty: it must be one of %s", strings.Join(Architectures(), ", "))
	}
	return a, a.validate()
}

func (a Architecture) validate() error {
	if slices.Contains(Architectures(), a.String()) {
		return nil
	}
	return fmt.Errorf("architecture is %q: it must be one of %s", string(a), strings.Join(Architectures(), ", "))
}

// find is the table's entry; the zero entry if there is none, which Validate rules out.
func (a Architecture) find() architecture {
	all := architectures()
	if i := slices.IndexFunc(all, func(x architecture) bool { return x.name == a }); i >= 0 {
		return all[i]
	}
	return architecture{}
}

// MatchTolerance is how far the parameters of a matched baseline may be from the reference's, as a share of them.
const MatchTolerance = 0.05

// MatchedConfig is the model of architecture a that has the vocabulary, the positions, the classes and the heads of the
// reference and a number of parameters within 5% of its: the depth is the reference's, double for Mamba-2 (whose block is
// half of a transformer's), and the width the multiple of the heads that comes nearest; if none is near enough, the next
// depth at which one is. A reference of architecture a is returned as it is.
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
	kind := a.find()
	c := reference
	c.Architecture, c.MLPRatio, c.UseScaleBridge = a, kind.mlpRatio, a == SynapNet
	if kind.writeFrac > 0 {
		c.EpisodicWriteFrac = kind.writeFrac
	}
	want := reference.Parameters()
	depth := max(1, reference.Depth*kind.deeper/reference.Architecture.find().deeper)
	for away := range depth {
		for _, c.Depth = range []int{depth + away, depth - away} {
			c.Dim = nearestWidth(c, want)
			if n := c.Parameters(); abs(n-want) <= int(MatchTolerance*float64(want)) && c.Validate() == nil {
				return c, nil
			}
		}
	}
	return Config{}, fmt.Errorf("there is no model of architecture %s with %d heads and a number of parameters within %g%% of %d: use fewer heads",
		a, c.Heads, 100*MatchTolerance, want)
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

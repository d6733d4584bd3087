package layers

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/registry"
	"github.com/synapnet/synapnet-train/internal/spelling"
)

// LayerSpec is a layer that Config.BlockLayers can put into every block of SynapNet, behind the feed-forward, with a
// normalisation of its own and a residual: x ← x + layer(LayerNorm(x)).
type LayerSpec struct {
	Name   string // in settings, and part of the names of its parameters
	Doc    string // one line
	Source string // paper or document that it follows

	// New makes the layer of a block, with parameters under name. What it registers as a Weight, or as that of a Linear,
	// can be quantised.
	New func(ps *Params, name string, c Config) Layer
	// Rows are those that the layer's Linears, and other weights that are a Matrix, are multiplied with. nil: WantedRows,
	// which are all unless RowWise.
	Rows func(n RowCounts) int
	// Products, if set, adds the products in which no weight that is a Matrix takes part.
	Products func(c Config, n RowCounts, k *Cost)
	// RowWise says that each row of the result depends on no other row of x. Then the last block of a classifier computes
	// the last row alone; otherwise it computes all.
	RowWise bool

	// Options are the settings of its own that Config.Options can hold, with the values that they have unset. No two
	// layers have one of the same name.
	Options map[string]float64
	// Check, if set, says what is wrong with the settings of a model of which nothing else is wrong.
	Check func(c Config) error
}

// Layer is a layer within a block.
type Layer interface {
	// Forward maps x [B, T, D] to [B, T, D].
	Forward(g *graph.Graph, x *graph.Node) *graph.Node
}

// layerSpecs holds all: those of this package, and behind them what RegisterLayer added.
var layerSpecs = registry.Words("layer", LayerSpec.complete).
	With(func(l LayerSpec) string { return l.Name },
		swiGLU,
	)

// RegisterLayer adds a layer, for an init function of the package that has it. From then on Config.BlockLayers can name
// it, and files of models with it can be read.
func RegisterLayer(l LayerSpec) error {
	for _, name := range Layers() {
		other, _ := layerSpecs.Find(name)
		for option := range l.Options {
			if _, taken := other.Options[option]; taken && name != l.Name {
				return fmt.Errorf("register layer %q: its option %s is one of layer %s, too: give it another name", l.Name, option,
					name)
			}
		}
	}
	return layerSpecs.Add(l.Name, l)
}

func (l LayerSpec) complete() error {
	switch {
	case l.Doc == "":
		return errors.New("its Doc is empty: say in a line what it computes")
	case l.New == nil:
		return errors.New("its New is nil: give it a constructor")
	case !optionNames(l.Options):
		return errOptionNames
	}
	return nil
}

var errOptionNames = errors.New("the names of its Options are to have lower-case letters, digits and _, and their " +
	"values are to be finite")

// optionNames says whether options can stand in configuration files and headers.
func optionNames(options map[string]float64) bool {
	for name, v := range options {
		if name == "" || strings.Trim(name, registry.Word) != "" || math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// Layers lists the names that Config.BlockLayers can have.
func Layers() []string { return layerSpecs.Names() }

// maxBlockLayers bounds Config.BlockLayers: a layer may have no parameters that would bound it.
const maxBlockLayers = 64

// blockLayers are the layers behind the feed-forward; those that are not registered, which Validate rules out, are left
// out.
func (c Config) blockLayers() []LayerSpec {
	var all []LayerSpec
	for _, name := range c.BlockLayers {
		if l, ok := layerSpecs.Find(name); ok {
			all = append(all, l)
		}
	}
	return all
}

// mixesRows says whether a layer behind the feed-forward reads more than the row that it writes.
func (c Config) mixesRows() bool {
	return slices.ContainsFunc(c.blockLayers(), func(l LayerSpec) bool { return !l.RowWise })
}

// layerUses are those of the layers behind the feed-forward.
func (c Config) layerUses() []Use {
	var uses []Use
	for i, l := range c.blockLayers() {
		u := Use{Prefix: l.under(i), Component: LayersComponent, Rows: l.Rows}
		if u.Rows == nil {
			u.Rows = WantedRows
		}
		uses = append(uses, u)
	}
	return uses
}

// under is what the names of the parameters of a block's layer i begin with, in the block.
func (l LayerSpec) under(i int) string { return fmt.Sprintf("layers.%d.%s", i, l.Name) }

// CheckRegistered is an error for the configuration in a file that names an architecture or a layer which this program
// does not have.
func (c Config) CheckRegistered() error {
	if _, ok := architectures.Find(c.Architecture.String()); !ok {
		return fmt.Errorf("the model is of architecture %q, which is not registered in this program: it takes the program "+
			"that made the file, which registers it (layers.RegisterArchitecture)", string(c.Architecture))
	}
	for _, name := range c.BlockLayers {
		if _, ok := layerSpecs.Find(name); !ok {
			return fmt.Errorf("the model has the layer %q in its blocks, which is not registered in this program: it takes the "+
				"program that made the file, which registers it (layers.RegisterLayer)", name)
		}
	}
	return nil
}

// Option is the value of a setting that the architecture, or a layer in its blocks, has of its own.
func (c Config) Option(name string) float64 {
	if v, ok := c.Options[name]; ok {
		return v
	}
	return c.knownOptions()[name]
}

// knownOptions are the settings that Options can hold, with the values that they have unset.
func (c Config) knownOptions() map[string]float64 {
	known := maps.Clone(c.Architecture.find().Options)
	if known == nil {
		known = map[string]float64{}
	}
	for _, l := range c.blockLayers() {
		maps.Copy(known, l.Options)
	}
	return known
}

// checkLayers checks BlockLayers.
func (c Config) checkLayers() error {
	if len(c.BlockLayers) == 0 {
		return nil
	}
	if c.Architecture != SynapNet {
		return bounds.Wrong("block_layers", c.BlockLayers,
			"architecture %s has no place for further layers: leave it out, or use architecture %s", c.Architecture, SynapNet)
	}
	if n := len(c.BlockLayers); n > maxBlockLayers {
		return bounds.Wrong("block_layers", n, "it can have at most %d names", maxBlockLayers)
	}
	return bounds.Known("block_layers", Layers(), c.BlockLayers...)
}

// checkOptions checks Options by what the architecture and the layers have, and asks those for what else is wrong.
func (c Config) checkOptions() error {
	known := slices.Sorted(maps.Keys(c.knownOptions()))
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		switch v := c.Options[name]; {
		case len(known) == 0:
			return bounds.Wrong("options."+name, v, "architecture %s has no options of its own, nor have layers in its blocks; "+
				"leave it out", c.Architecture)
		case !slices.Contains(known, name):
			return bounds.Wrong("options."+name, v, "did you mean %q? There are %s", spelling.Nearest(name, known),
				strings.Join(known, ", "))
		case math.IsNaN(v) || math.IsInf(v, 0):
			return bounds.Wrong("options."+name, v, "it must be a finite number")
		}
	}
	if check := c.Architecture.find().Check; check != nil {
		if err := check(c); err != nil {
			return fmt.Errorf("architecture %s: %w", c.Architecture, err)
		}
	}
	for _, l := range c.blockLayers() {
		if l.Check == nil {
			continue
		}
		if err := l.Check(c); err != nil {
			return fmt.Errorf("layer %s: %w", l.Name, err)
		}
	}
	return nil
}

// checkShape ends the construction of a graph in which a block or a layer gave another shape than the model needs.
func checkShape(what string, y *graph.Node, want []int) {
	if got := graph.Shape(y); !slices.Equal(got, want) {
		graph.Fail("model: %s gave the shape %v, want %v", what, got, want)
	}
}

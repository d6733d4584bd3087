package qat

import (
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/layers"
)

// slot is a weight of the model that a target covers.
type slot struct {
	*layers.Weight
	target Target
	block  int // from 0, or layers.Outside
}

// covers tells the target of a weight by the beginning of its name, within its block if it is in one. A layer that
// takes the place of one of ours, or stands under its name, belongs to its target.
var covers = []struct {
	prefix string
	target Target
}{
	{"ssm.", SSM}, {"attn.to_", Attention}, {"epmem.", MemProj}, {"scale_bridge.", Bridge}, {"alpha_gate.", Gates},
	{"beta_gate.", Gates}, {"ff.", FF}, {"layers.", Layers},
	{"head.", Head}, {"token_embed.", Embeddings}, {"pos_embed", Embeddings},
}

// slots walks through the model's weights and gives those that some target covers.
func slots(m *layers.Model) []slot {
	var all []slot
	for _, w := range m.Params.Weights() {
		block, name := layers.InBlock(w.Name)
		if block != layers.Outside && m.Config.Architecture != layers.SynapNet {
			all = append(all, slot{w, Layers, block})
			continue
		}
		for _, c := range covers {
			outer := c.target == Head || c.target == Embeddings
			if outer == (block == layers.Outside) && strings.HasPrefix(name, c.prefix) {
				all = append(all, slot{w, c.target, block})
			}
		}
	}
	return all
}

// norm is the activation norm of the inputs of an attention weight.
func (s slot) norm(b BlockStats) []float32 {
	if strings.HasSuffix(s.Name, ".to_out.weight") {
		return b.OutNorm
	}
	return b.InputNorm
}

// stepNames makes the names of log steps those of the reference, which has its own for the SSM's.
var stepNames = strings.NewReplacer(".ssm.dwconv.weight", ".ssm.step_conv", ".ssm.gate.weight", ".ssm.step_gate")

// stepName is what the names of the weight's log steps begin with.
func (s slot) stepName() string { return strings.TrimSuffix(stepNames.Replace(s.Name), ".weight") }

// prepared says whether the model has quantisers.
func prepared(m *layers.Model) bool {
	if m.Packed() || m.MemoryInt8() {
		return true
	}
	for _, w := range m.Params.Weights() {
		if w.Fake != nil {
			return true
		}
	}
	return slices.ContainsFunc(m.Blocks, func(b *layers.SynapBlock) bool { return b.Attention.Smooth != nil })
}

package qat

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
)

// slot is a place for a fake-quant node: a weight of the model and the hook through which its layer uses it.
type slot struct {
	target Target
	param  *graph.Param
	hook   *layers.FakeQuant
	step   string                       // name of the log steps, of an SSM weight
	norm   func(s BlockStats) []float32 // activation norm of the inputs, of an attention weight
	block  int
}

// slots lists every weight that some target covers, in the order of the model's parameters but for the embeddings, which
// are last.
func slots(m *layers.Model) []slot {
	var all []slot
	inputs := func(s BlockStats) []float32 { return s.InputNorm }
	outputs := func(s BlockStats) []float32 { return s.OutNorm }
	for i, b := range m.Blocks {
		name := fmt.Sprintf("blocks.%d.ssm.", i)
		all = append(all,
			slot{target: SSM, param: b.SSM.Conv, hook: &b.SSM.ConvQuant, step: name + "step_conv" + logStepSuffix},
			slot{target: SSM, param: b.SSM.Gate.W, hook: &b.SSM.Gate.FakeQuant, step: name + "step_gate" + logStepSuffix})
		for _, l := range []*layers.Linear{b.Attention.Q, b.Attention.K, b.Attention.V} {
			all = append(all, slot{target: Attention, param: l.W, hook: &l.FakeQuant, norm: inputs, block: i})
		}
		all = append(all, slot{target: Attention, param: b.Attention.Out.W, hook: &b.Attention.Out.FakeQuant, norm: outputs, block: i})
		add := func(t Target, linears ...*layers.Linear) {
			for _, l := range linears {
				all = append(all, slot{target: t, param: l.W, hook: &l.FakeQuant})
			}
		}
		add(MemProj, b.Memory.Key, b.Memory.Val, b.Memory.Query, b.Memory.Out)
		if b.Bridge != nil {
			add(Bridge, b.Bridge.Fuse)
		}
		add(Gates, b.Alpha, b.Beta)
		add(FF, b.FF1, b.FF2)
	}
	return append(all,
		slot{target: Head, param: m.Head.Out.W, hook: &m.Head.Out.FakeQuant},
		slot{target: Embeddings, param: m.Embedding.Tokens, hook: &m.Embedding.TokensQuant},
		slot{target: Embeddings, param: m.Embedding.Positions, hook: &m.Embedding.PositionsQuant})
}

// prepared says whether the model has quantisers.
func prepared(m *layers.Model) bool {
	if len(m.Params.Packed()) > 0 {
		return true
	}
	for _, s := range slots(m) {
		if *s.hook != nil {
			return true
		}
	}
	for _, b := range m.Blocks {
		if b.Attention.Smooth != nil || b.Memory.EntryQuant != nil {
			return true
		}
	}
	return false
}

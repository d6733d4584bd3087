package layers

import (
	"fmt"

	"github.com/synapnet/synapnet-train/graph"
)

// MemoryBlock is a Block whose memory can last from one chunk of a stream to the next. Models whose blocks all are one
// can be streamed.
type MemoryBlock interface {
	Block
	// ForwardMemory is Forward with memory from earlier chunks; external is nil without.
	ForwardMemory(g *graph.Graph, x *graph.Node, external *External, last bool) BlockOutput
}

// BlockOutput is what a block gives to the next one and to the memory manager.
type BlockOutput struct {
	X        *graph.Node // [B, T, D], or of the last row alone [B, 1, D]
	Salience Salience
	Bank     *graph.Node // the fresh memory bank [B, S, D]
	Read     Read        // of the episodic memory
}

// CheckMemory is an error for a model whose blocks have no memory that lasts from one chunk of a stream to the next.
func (m *Model) CheckMemory() error {
	for _, b := range m.all {
		if _, ok := b.(MemoryBlock); !ok {
			return fmt.Errorf("the model is of architecture %s, whose blocks have no memory from chunk to chunk, which this "+
				"needs: "+
				"give a model of architecture %s", m.Config.Architecture, SynapNet)
		}
	}
	return nil
}

// CheckSynapNet is an error for an architecture that has not the blocks of SynapNet and their pathways.
func (a Architecture) CheckSynapNet() error {
	if a == SynapNet {
		return nil
	}
	return fmt.Errorf("the model is of architecture %s, and this needs the blocks of SynapNet: give a model of "+
		"architecture %s", a, SynapNet)
}

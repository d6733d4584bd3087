package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// unique makes a node, with one salt after the other until its hash is that of no other node of the graph. Gorgonia
// takes nodes with equal 32-bit hashes for one, in AddNode hardly and in Compile not at all looking at what they are;
// some hundred blocks of nodes are enough for two of them to collide by chance. same says of a known node that it is
// indeed the one to be made.
func (g *Graph) unique(make func(salt int) (*Node, error), same func(known *Node) bool) (*Node, error) {
	for salt := 0; ; salt++ {
		n, err := make(salt)
		if err != nil {
			return nil, err
		}
		known, taken := g.hashes[n.Hashcode()]
		switch {
		case !taken:
			g.hashes[n.Hashcode()] = n
			return n, nil
		case same(known):
			return known, nil
		}
	}
}

// ownOp is an Op of this package.
type ownOp interface {
	gorgonia.Op
	common() *operation
}

// apply makes the node of an operation.
func (g *Graph) apply(op ownOp, same func(known *Node) bool) (*Node, error) {
	return g.unique(func(salt int) (*Node, error) {
		op.common().salt = salt
		return gorgonia.ApplyOp(op, op.common().inputs...)
	}, same)
}

// never is unique's `same` for nodes that are always new.
func never(*Node) bool { return false }

func salted(s string, salt int) string {
	if salt == 0 {
		return s
	}
	return fmt.Sprintf("%s#%d", s, salt)
}

// distinctHashes guards against what unique cannot see, operations of Gorgonia's own: its Compile runs only one of
// several nodes with equal hashes.
func distinctHashes(nodes gorgonia.Nodes) error {
	seen := make(map[uint32]*Node, len(nodes))
	for _, n := range nodes {
		if other, ok := seen[n.Hashcode()]; ok {
			return fmt.Errorf("graph: Gorgonia cannot tell %v from %v, their hashes are equal: rename an input of one", n, other)
		}
		seen[n.Hashcode()] = n
	}
	return nil
}

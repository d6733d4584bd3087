package layers

import (
	"cmp"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/bounds"
)

// PositionMode names how the tokens of a sequence are given positions.
type PositionMode string

// The modes, for token i of T and a model that was trained at up to N tokens. Rows of the table of positions from N on
// are as training began with them; squeezed and wrapped positions use none of them.
const (
	PlainPositions   PositionMode = "plain"   // i
	SqueezePositions PositionMode = "squeeze" // floor(i N / T) where T > N, else i: neighbours share a position
	WrapPositions    PositionMode = "wrap"    // i mod N
)

// PositionModes lists the modes.
func PositionModes() []PositionMode {
	return []PositionMode{PlainPositions, SqueezePositions, WrapPositions}
}

// Positions are those that a model gives the tokens of a sequence. The zero value is plain.
type Positions struct {
	Mode PositionMode `json:"mode"`
	// Trained is N, the tokens of the longest context that the model was trained at; plain positions need none.
	Trained int `json:"trained_context,omitempty"`
}

// Check is a bounds.Error of positions that a model of configuration c cannot have.
func (p Positions) Check(c Config) error {
	if p.plain() {
		return nil
	}
	return cmp.Or(bounds.Known("positions", PositionModes(), p.Mode),
		bounds.Check("trained_context", p.Trained, MinContext, c.MaxLen))
}

func (p Positions) plain() bool { return p.Mode == PlainPositions || p.Mode == "" }

// Of are the positions of T tokens, [T].
func (p Positions) Of(tokens int) []int32 {
	at := make([]int32, tokens)
	for i := range at {
		switch {
		case !p.moves(tokens):
			at[i] = int32(i)
		case p.Mode == SqueezePositions:
			at[i] = int32(i * p.Trained / tokens)
		default:
			at[i] = int32(i % p.Trained)
		}
	}
	return at
}

// moves says whether any of T tokens has a position other than its plain one.
func (p Positions) moves(tokens int) bool {
	return !p.plain() && tokens > p.Trained
}

// positions are those of ids, int32 [B, T], as an input of g, filled already; nil: plain ones.
func (m *Model) positions(g *graph.Graph, ids *graph.Node) *graph.Node {
	if err := m.Positions.Check(m.Config); err != nil {
		graph.Fail("model: %v", err)
	}
	batch, tokens := graph.Shape(ids)[0], graph.Shape(ids)[1]
	if !m.Positions.moves(tokens) {
		return nil
	}
	at := g.InputInts("positions", batch, tokens)
	row, all := m.Positions.Of(tokens), g.Ints(at)
	for len(all) > 0 { // an outline has no values
		all = all[copy(all, row):]
	}
	return at
}

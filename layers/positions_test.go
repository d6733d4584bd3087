package layers

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers/scheme"
)

func TestPositions(t *testing.T) {
	plain := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	for _, x := range []struct {
		p      Positions
		tokens int
		want   []int32
	}{
		{Positions{}, 10, plain},
		{Positions{Mode: PlainPositions}, 10, plain},
		{Positions{SqueezePositions, 4}, 10, []int32{0, 0, 0, 1, 1, 2, 2, 2, 3, 3}},
		{Positions{SqueezePositions, 5}, 10, []int32{0, 0, 1, 1, 2, 2, 3, 3, 4, 4}},
		{Positions{SqueezePositions, 10}, 10, plain},
		{Positions{SqueezePositions, 11}, 10, plain}, // nothing is stretched
		{Positions{WrapPositions, 4}, 10, []int32{0, 1, 2, 3, 0, 1, 2, 3, 0, 1}},
		{Positions{WrapPositions, 10}, 10, plain},
		{Positions{WrapPositions, 12}, 10, plain},
	} {
		if got := x.p.Of(x.tokens); !slices.Equal(got, x.want) {
			t.Errorf("%+v of %d tokens: %v, want %v", x.p, x.tokens, got, x.want)
		}
	}
}

// logitsOf are those of three samples of the given number of tokens.
func logitsOf(t *testing.T, m *Model, tokens int) []float32 {
	t.Helper()
	const batch = 3
	inf, err := m.Infer(batch, tokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer inf.Program.Close()
	ids := make([]int32, batch*tokens)
	for i := range ids {
		ids[i] = int32(i * 7 % m.Config.VocabSize)
	}
	logits, err := inf.Run(ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(logits)
}

// table sets row i of m's table of positions to the row that of's has at[i], and all others to NaN.
func table(m, of *Model, at []int32) {
	d, to, from := m.Config.Dim, m.Embedding.Positions.Param.Data(), of.Embedding.Positions.Param.Data()
	for i := range to {
		to[i] = float32(math.NaN())
	}
	for i, p := range at {
		copy(to[i*d:(i+1)*d], from[int(p)*d:(int(p)+1)*d])
	}
}

// A model whose positions are squeezed or wrapped answers as one with plain positions whose table has those rows in
// their places, to the bit, and reads no row beyond the context that it was trained at.
func TestPositionsBeyondTraining(t *testing.T) {
	const trained, tokens = 20, 50
	m := scrambled(t, tiny())
	plain := logitsOf(t, m, tokens)
	for _, mode := range []PositionMode{SqueezePositions, WrapPositions} {
		p := Positions{mode, trained}
		rearranged := scrambled(t, tiny())
		table(rearranged, m, p.Of(tokens))
		want := logitsOf(t, rearranged, tokens)
		short := scrambled(t, tiny())
		table(short, m, Positions{}.Of(trained))
		short.Positions = p
		if got := logitsOf(t, short, tokens); !slices.Equal(got, want) || slices.Equal(got, plain) {
			t.Errorf("%s: %v, want %v, plain %v", mode, got, want, plain)
		}
		if got := logitsOf(t, short, trained); !slices.Equal(got, logitsOf(t, m, trained)) {
			t.Errorf("%s: other logits at the context of training", mode)
		}
	}
}

func TestPositionsThatNoModelHasAreRefused(t *testing.T) {
	for want, p := range map[string]Positions{
		`positions is "folded": it must be one of plain, squeeze, wrap`: {Mode: "folded", Trained: 20},
		"trained_context is 0: it must be from 8 to 64":                 {Mode: WrapPositions},
		"trained_context is 65: it must be from 8 to 64":                {SqueezePositions, 65},
	} {
		m := newModel(t, tiny())
		m.Positions = p
		if _, err := m.Infer(1, 32, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got error %v, want %q", p, err, want)
		}
	}
}

// Packed tables give what their quantisers, in a model in floating point, do.
func TestPositionsOfPackedModels(t *testing.T) {
	m := scrambled(t, tiny())
	tables := map[string]*scheme.Packed{}
	for _, w := range []*Weight{m.Embedding.Tokens, m.Embedding.Positions} {
		p, err := scheme.Pack(scheme.Spec{Scheme: scheme.Int8.Name, Shape: w.Shape}, w.Param.Data(), nil)
		if err != nil {
			t.Fatal(err)
		}
		tables[w.Name] = p
	}
	f, err := m.PackedFile(tables)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packed.Params.All() { // the file has them in half precision
		if own, ok := m.Params.ByName(p.Name); ok {
			copy(own.Data(), p.Data())
		}
	}
	for _, w := range []*Weight{m.Embedding.Tokens, m.Embedding.Positions} {
		w.Fake = &FakeQuant{Scheme: scheme.Int8}
	}
	for _, mode := range PositionModes() {
		m.Positions, packed.Positions = Positions{mode, 20}, Positions{mode, 20}
		near(t, string(mode), logitsOf(t, packed, 50), logitsOf(t, m, 50), 1e-4)
	}
}

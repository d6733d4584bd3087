package layers

import (
	"slices"
	"testing"
)

// A table that is stretched keeps its ends, has its rows where they fall on whole places, and lies linearly between
// them elsewhere.
func TestStretch(t *testing.T) {
	from := []float32{0, 8, 3, 5, 6, -4} // three rows of two
	for rows, want := range map[int][]float32{
		3: from,
		5: {0, 8, 1.5, 6.5, 3, 5, 4.5, 0.5, 6, -4},
		4: {0, 8, 2, 6, 4, 2, 6, -4}, // at 0, 2/3, 4/3 and 2
	} {
		got := make([]float32, 2*rows)
		stretch(got, from, 2)
		near(t, "rows", got, want, 1e-6)
	}
}

// A model with more positions has every other weight of the one that it is made of, and shares no memory with it. With
// fresh rows it computes the same at the lengths that there were, to the bit.
func TestExtended(t *testing.T) {
	m := scrambled(t, tiny())
	m.Extra = map[string]string{"labels": "{}"}
	const n = 100
	for _, by := range Extensions() {
		e, err := m.Extended(n, by, 5)
		if err != nil {
			t.Fatal(err)
		}
		want := tiny()
		want.MaxLen = n
		if !e.Config.Equal(want) || e.Extra["labels"] != "{}" || m.Config.MaxLen != 64 {
			t.Errorf("%s: %+v %v", by, e.Config, e.Extra)
		}
		from := m.Params.All()
		for i, p := range e.Params.All() {
			if p.Name != "pos_embed" && !slices.Equal(p.Data(), from[i].Data()) {
				t.Errorf("%s: %s is another", by, p.Name)
			}
		}
		old, rows, d := m.Embedding.Positions.Param.Data(), e.Embedding.Positions.Param.Data(), want.Dim
		switch by {
		case Fresh:
			drawn, err := NewModel(want, 5)
			if err != nil {
				t.Fatal(err)
			}
			if fresh := drawn.Embedding.Positions.Param.Data(); !slices.Equal(rows[:64*d], old) ||
				!slices.Equal(rows[64*d:], fresh[64*d:]) {
				t.Error("fresh rows are not those of a new model behind the old ones")
			}
			if !slices.Equal(someLogits(t, e, 64), someLogits(t, m, 64)) {
				t.Error("with fresh rows the model computes something else at the lengths that there were")
			}
		case Interpolate:
			if !slices.Equal(rows[:d], old[:d]) || !slices.Equal(rows[99*d:], old[63*d:]) || // 99 is 11 times 9, 63 is 7 times 9
				!slices.Equal(rows[11*d:12*d], old[7*d:8*d]) {
				t.Error("rows at whole places are not the old ones")
			}
		}
		rows[0]++
		if old[0] == rows[0] {
			t.Errorf("%s: the table is shared", by)
		}
	}
	if _, err := m.Extended(64, Fresh, 5); err == nil || err.Error() !=
		"model: 64 positions in place of 64: they must be more" {
		t.Errorf("as many positions: %v", err)
	}
}

func someLogits(t *testing.T, m *Model, tokens int) []float32 {
	t.Helper()
	f, err := m.Infer(1, tokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Program.Close()
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32(i*7) % 40
	}
	logits, err := f.Run(ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(logits)
}

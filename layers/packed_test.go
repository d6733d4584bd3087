package layers

import (
	"bytes"
	"testing"

	"github.com/synapnet/synapnet-train/layers/scheme"
)

// A packed model keeps nothing of the file that it came from: else all of a file stays in memory for the sake of the
// part that is packed.
func TestPackedModelKeepsNoFile(t *testing.T) {
	c := Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots = 8, 1, 2, 32, 16, 4, 2
	m, err := NewModel(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	w := m.Head.Out.W
	p, err := scheme.Pack(scheme.Spec{Scheme: scheme.Int8.Name, Shape: w.Shape}, w.Param.Data(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.PackedFile(map[string]*scheme.Packed{w.Name: p})
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(p.Bytes())
	packed, err := FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Tensors {
		clear(f.Tensors[i].Data)
	}
	if got := packed.Head.Out.W.Packed.Bytes(); !bytes.Equal(got, want) {
		t.Error("the packed weight is a part of the file's memory")
	}
}

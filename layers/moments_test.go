package layers

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// optimised is an optimiser of two parameters whose moments and update counts are all different.
func optimised() (*graph.AdamW, []*graph.Param) {
	params := []*graph.Param{graph.NewParam("a", 2, 3), graph.NewParam("b", 4)}
	a := graph.NewAdamW(0.9, 0.999, 1, &graph.Group{Params: params})
	next := float32(1)
	for i, p := range params {
		s := a.State(p)
		s.Step = i + 5
		for _, x := range [][]float32{s.M, s.V} {
			for j := range x {
				x[j], next = next, next+1
			}
		}
	}
	return a, params
}

func TestMomentsSurviveTheirFile(t *testing.T) {
	a, params := optimised()
	f := &safetensors.File{}
	updates, err := AddMoments(f, a, params)
	if err != nil {
		t.Fatal(err)
	}
	names := f.Names()
	slices.Sort(names)
	if want := []string{"optim.m.a", "optim.m.b", "optim.v.a", "optim.v.b"}; !slices.Equal(names, want) {
		t.Errorf("tensors %v, want %v", names, want)
	}
	b := graph.NewAdamW(0.9, 0.999, 1, &graph.Group{Params: params})
	if err := SetMoments(f, b, params, updates); err != nil {
		t.Fatal(err)
	}
	for _, p := range params {
		got, want := b.State(p), a.State(p)
		if !slices.Equal(got.M, want.M) || !slices.Equal(got.V, want.V) || got.Step != want.Step {
			t.Errorf("%s: %+v, want %+v", p.Name, got, want)
		}
	}
	f.Tensors = f.Tensors[:3]
	if err := SetMoments(f, b, params, updates); err == nil ||
		!strings.Contains(err.Error(), "tensor optim.v.b is missing") {
		t.Errorf("without a moment: got %v", err)
	}
	a.State(params[1]).V[2] = float32(math.NaN())
	if _, err := AddMoments(f, a, params); err == nil ||
		!strings.Contains(err.Error(), "tensor optim.v.b has the value NaN at index 2") {
		t.Errorf("a moment that is no number: got %v", err)
	}
}

// Parameters are set all or not at all.
func TestParamsAreSetTogether(t *testing.T) {
	_, params := optimised()
	f := &safetensors.File{}
	for i := range params {
		params[i].Data()[0] = 7
	}
	if err := AddParams(f, "x.", params); err != nil {
		t.Fatal(err)
	}
	other := []*graph.Param{graph.NewParam("a", 2, 3), graph.NewParam("b", 5)}
	if err := SetParams(f, "x.", other); err == nil ||
		!strings.Contains(err.Error(), "tensor x.b has shape [4], the model needs [5]") {
		t.Errorf("another shape: got %v", err)
	}
	if other[0].Data()[0] != 0 {
		t.Error("a parameter was set before the error")
	}
	other[1] = graph.NewParam("b", 4)
	if err := SetParams(f, "x.", other); err != nil || !slices.Equal(other[0].Data(), params[0].Data()) ||
		!slices.Equal(other[1].Data(), params[1].Data()) {
		t.Errorf("got %v and %v (%v)", other[0].Data(), other[1].Data(), err)
	}
}

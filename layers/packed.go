package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// ErrPacked is what a packed model gives where floating-point weights are needed.
var ErrPacked = errors.New("the model is packed: it runs, but can be neither trained nor changed; give the " +
	"checkpoint that it was exported from")

// NewPackedModel makes a model whose weights named in packed (state-dict names) stay in packed form: they have no
// parameter and are never unpacked as a whole. All other parameters are to be set. A name that the model does not
// have, or another shape than the model's, is an error.
func NewPackedModel(c Config, packed map[string]*scheme.Packed) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	ps := NewParams(0)
	ps.packed = packed
	m := assemble(c, ps)
	if ps.err != nil {
		return nil, ps.err
	}
	known := map[string]bool{}
	for _, w := range ps.Weights() {
		known[w.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(packed)) {
		if !known[name] {
			return nil, fmt.Errorf("packed weight %s: the model has no such weight that could be packed", name)
		}
	}
	if (m.Embedding.Tokens.Packed == nil) != (m.Embedding.Positions.Packed == nil) {
		return nil, fmt.Errorf("of token_embed.weight and pos_embed only one is packed: pack both or neither")
	}
	return m, nil
}

// Packed says whether weights of the model are in packed form.
func (m *Model) Packed() bool { return len(m.Params.packed) > 0 }

// Parameters is the number of the model's parameters, packed ones too; Params.Count is without those.
func (m *Model) Parameters() int {
	n := m.Params.Count()
	for _, w := range m.Params.packed {
		n += w.Size()
	}
	return n
}

// WeightBytes is the memory that the model's weights take: 4 bytes for each parameter, and the packed bytes.
func (m *Model) WeightBytes() int {
	n := 4 * m.Params.Count()
	for _, w := range m.Params.packed {
		n += len(w.Bytes())
	}
	return n
}

// PackedVersion is the version of the packed layout that this program writes and reads.
const PackedVersion = 1

// packedKey is the metadata entry of packed models; its value is a packedHeader in JSON.
const packedKey = "packed"

// packedHeader tells what of a file is packed, and how.
type packedHeader struct {
	Version    int                    `json:"version"`
	MemoryInt8 bool                   `json:"memory_int8,omitempty"` // entries of the episodic memory are held in INT8
	Weights    map[string]scheme.Spec `json:"weights"`               // by state-dict name
}

// smoothName is the name of block i's SmoothQuant factors in files.
func smoothName(i int) string { return fmt.Sprintf("blocks.%d.attn.smooth_scale", i) }

// MemoryInt8 says whether entries of the episodic memory are rounded to INT8 when they are read.
func (m *Model) MemoryInt8() bool { return len(m.Blocks) > 0 && m.Blocks[0].Memory.EntryQuant != nil }

// PackedFile is the floating-point model as a packed file (scheme/FORMAT.md) in which the given weights, by
// state-dict name, take the place of the model's. All else is rounded to half precision, but for what that does not
// hold (scheme.HoldsHalf). The model is not changed.
func (m *Model) PackedFile(packed map[string]*scheme.Packed) (*safetensors.File, error) {
	f, err := m.File()
	if err != nil {
		return nil, err
	}
	h := packedHeader{Version: PackedVersion, MemoryInt8: m.MemoryInt8(), Weights: map[string]scheme.Spec{}}
	var tensors []safetensors.Tensor
	for _, p := range m.Params.All() {
		w, ok := packed[p.Name]
		if !ok {
			tensors = append(tensors, InHalf(p, scheme.HoldsHalf))
			continue
		}
		s := w.Spec()
		if !slices.Equal(s.Shape, p.Shape()) {
			return nil, fmt.Errorf("packed weight %s has shape %v, the model needs %v", p.Name, s.Shape, p.Shape())
		}
		h.Weights[p.Name] = s
		tensors = append(tensors, safetensors.FromUint8(p.Name+"."+s.Scheme, []int{len(w.Bytes())}, w.Bytes()))
	}
	if len(h.Weights) != len(packed) {
		return nil, fmt.Errorf("%d weights to be packed, of which the model has %d", len(packed), len(h.Weights))
	}
	for _, b := range m.Blocks {
		if b.Attention.Smooth != nil {
			tensors = append(tensors, InHalf(b.Attention.Smooth, scheme.HoldsEachHalf))
		}
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	f.Tensors, f.Metadata[packedKey] = tensors, string(text)
	return f, nil
}

// InHalf is a parameter as a tensor of its name: F16 if half precision holds its values, else F32.
func InHalf(p *graph.Param, holds func([]float32) bool) safetensors.Tensor {
	data := p.Data()
	if !holds(data) {
		return safetensors.FromFloat32(p.Name, p.Shape(), data)
	}
	halves := make([]byte, 0, 2*len(data))
	for _, v := range data {
		h := float16.Fromfloat32(v)
		halves = append(halves, byte(h), byte(h>>8))
	}
	return safetensors.Tensor{Name: p.Name, DType: safetensors.F16, Shape: slices.Clone(p.Shape()), Data: halves}
}

// fromPackedFile makes the model of a packed file. It keeps nothing of the file's memory: what is not packed would
// stay in memory twice.
func fromPackedFile(c Config, f *safetensors.File) (*Model, error) {
	h, err := readPackedHeader(f.Metadata[packedKey])
	if err != nil {
		return nil, err
	}
	packed := make(map[string]*scheme.Packed, len(h.Weights))
	for _, name := range slices.Sorted(maps.Keys(h.Weights)) {
		if packed[name], err = packedTensor(f, name, h.Weights[name]); err != nil {
			return nil, err
		}
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := checkTensors(c, f, packed); err != nil {
		return nil, err
	}
	m, err := NewPackedModel(c, packed)
	if err != nil {
		return nil, err
	}
	if err := m.SetWeights(f, ""); err != nil {
		return nil, err
	}
	m.Extra = extra(f)
	smooth := map[string]bool{}
	for i, b := range m.Blocks {
		if h.MemoryInt8 {
			b.Memory.EntryQuant = scheme.FakeInt8
		}
		if _, ok := f.Lookup(smoothName(i)); !ok {
			continue
		}
		p := graph.NewParam(smoothName(i), c.Dim)
		p.Frozen = true
		v, err := TensorFor(f, "", p)
		if err != nil {
			return nil, err
		}
		copy(p.Data(), v)
		b.Attention.Smooth = p
		smooth[p.Name] = true
	}
	for _, name := range f.Names() {
		base := strings.TrimSuffix(name, "."+name[strings.LastIndexByte(name, '.')+1:])
		_, isParam := m.Params.ByName(name)
		w, isPacked := packed[base]
		isPacked = isPacked && name == base+"."+w.Spec().Scheme
		if !isParam && !smooth[name] && !isPacked {
			return nil, fmt.Errorf("tensor %s is not of the model that the header describes: the file was put together wrongly",
				name)
		}
	}
	return m, nil
}

// readPackedHeader reads the version first: what else there is depends on it.
func readPackedHeader(text string) (packedHeader, error) {
	var h packedHeader
	var v struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return h, fmt.Errorf("the packed layout in the header (key %q) is not valid: %w", packedKey, foreign.JSON(err))
	}
	if v.Version == nil || *v.Version != PackedVersion {
		got := "none"
		if v.Version != nil {
			got = fmt.Sprint(*v.Version)
		}
		return h,
			fmt.Errorf("packed layout version %s: this program reads version %d; export the model again with this program, or "+
				"use the one that wrote it", got, PackedVersion)
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return h, fmt.Errorf("the packed layout in the header (key %q) is not valid: %w", packedKey, foreign.JSON(err))
	}
	if len(h.Weights) == 0 {
		return h, fmt.Errorf("the packed layout in the header (key %q) names no weights", packedKey)
	}
	return h, nil
}

// packedTensor reads one packed weight.
func packedTensor(f *safetensors.File, name string, s scheme.Spec) (*scheme.Packed, error) {
	t, ok := f.Lookup(name + "." + s.Scheme)
	if !ok {
		return nil, fmt.Errorf("tensor %s.%s is missing, which the header says is packed", name, s.Scheme)
	}
	if t.DType != safetensors.U8 || len(t.Shape) != 1 {
		return nil, fmt.Errorf("tensor %s has dtype %v and shape %v, want the bytes of a packed weight (U8, one dimension)",
			t.Name, t.DType, t.Shape)
	}
	w, err := scheme.Parse(s, slices.Clone(t.Data)) // t.Data is a part of the whole file's bytes
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
	}
	return w, nil
}

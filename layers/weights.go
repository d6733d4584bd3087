package layers

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// configKey is the metadata entry that holds a checkpoint's model configuration as JSON.
const configKey = "config"

// File is the model as a safetensors file: every parameter under its state-dict name, the configuration in the header.
func (m *Model) File() (*safetensors.File, error) {
	config, err := json.Marshal(m.Config)
	if err != nil {
		return nil, err
	}
	f := &safetensors.File{Metadata: map[string]string{configKey: string(config)}}
	for _, p := range m.Params.All() {
		f.Tensors = append(f.Tensors, safetensors.FromFloat32(p.Name, p.Shape(), p.Data()))
	}
	return f, nil
}

// Save writes the model to path.
func (m *Model) Save(path string) error {
	f, err := m.File()
	if err != nil {
		return err
	}
	return safetensors.Write(path, f)
}

// Load reads a model that Save wrote, or that scripts/pt2safetensors.py made of a checkpoint of the reference.
func Load(path string) (*Model, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	m, err := FromFile(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// FromFile makes the model that a file describes.
func FromFile(f *safetensors.File) (*Model, error) {
	text, ok := f.Metadata[configKey]
	if !ok {
		return nil, fmt.Errorf("no model configuration in the header (key %q): convert the checkpoint with scripts/pt2safetensors.py", configKey)
	}
	c := Reference()
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("the model configuration in the header is not valid: %w", err)
	}
	m, err := NewModel(c, 0)
	if err != nil {
		return nil, err
	}
	return m, m.SetWeights(f, "")
}

// SetWeights sets every parameter from the tensor prefix+name of f. All must be there, in the right shape; if one is
// not, nothing is changed.
func (m *Model) SetWeights(f *safetensors.File, prefix string) error {
	values := make([][]float32, 0, len(m.Params.All()))
	for _, p := range m.Params.All() {
		v, err := TensorFor(f, prefix, p)
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	for i, p := range m.Params.All() {
		copy(p.Data(), values[i])
	}
	return nil
}

// TensorFor reads the tensor prefix+name of parameter p from f, in the shape of p.
func TensorFor(f *safetensors.File, prefix string, p *graph.Param) ([]float32, error) {
	t, ok := f.Lookup(prefix + p.Name)
	if !ok {
		return nil, fmt.Errorf("tensor %s is missing: the file is not of this model (other depth, or ScaleBridge on or off?)", prefix+p.Name)
	}
	if !slices.Equal(t.Shape, p.Shape()) {
		return nil, fmt.Errorf("tensor %s has shape %v, the model needs %v", prefix+p.Name, t.Shape, p.Shape())
	}
	return t.Float32s()
}

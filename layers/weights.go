package layers

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// OptimiserPrefix starts the names of tensors that a checkpoint holds besides the model's.
const OptimiserPrefix = "optim."

// configKey is the metadata entry that holds a checkpoint's model configuration as JSON.
const configKey = "config"

// File is the model as a safetensors file: every parameter under its state-dict name, the configuration in the header.
// Its tensors share the parameters' memory where the machine allows. Weights that are not finite are an error: no
// reader would take them.
func (m *Model) File() (*safetensors.File, error) {
	if m.Packed() {
		return nil, ErrPacked
	}
	config, err := json.Marshal(m.Config)
	if err != nil {
		return nil, err
	}
	f := &safetensors.File{Metadata: map[string]string{configKey: string(config)}}
	m.addExtra(f)
	return f, AddParams(f, "", m.Params.All())
}

// HalfFile is the model as File gives it, rounded to half precision, but for the tensors that this does not hold
// (scheme.HoldsHalf). It is a model in floating point like any other.
func (m *Model) HalfFile() (*safetensors.File, error) {
	f, err := m.File()
	if err != nil {
		return nil, err
	}
	for i, p := range m.Params.All() {
		f.Tensors[i] = InHalf(p, scheme.HoldsHalf)
	}
	return f, nil
}

// Save writes the model to path.
func (m *Model) Save(path string) error {
	f, err := m.File()
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return safetensors.Write(path, f)
}

// Load reads a model that Save wrote, that was exported in packed form, or that scripts/pt2safetensors.py made of a
// checkpoint of the reference.
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

// ReadConfig is the configuration of the floating-point model at path, of which it reads no more than the header: it
// tells what Load will take before anything is taken. Its errors are those of Load, but for what is wrong with tensors;
// a packed model, or one with quantisers unless its kind is among `also`, is an *OtherKindError.
func ReadConfig(path string, also ...FileKind) (Config, error) {
	metadata, err := safetensors.ReadMetadata(path)
	if err != nil {
		return Config{}, err
	}
	c, err := configOf(&safetensors.File{Metadata: metadata}, "a model in floating point",
		append(also, ModelFile)...)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// configOf is the configuration in the header of a file of one of the kinds, called by what it is to be.
func configOf(f *safetensors.File, called string, want ...FileKind) (Config, error) {
	if err := WantKind(f, called, want...); err != nil {
		return Config{}, err
	}
	text, ok := f.Metadata[configKey]
	if !ok {
		return Config{},
			fmt.Errorf("no model configuration in the header (key %q): convert the checkpoint with scripts/pt2safetensors.py",
				configKey)
	}
	c := Reference()
	c.NumClasses = 0 // unset, or null, is a language model
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return Config{}, fmt.Errorf("the model configuration in the header is not valid: %w", foreign.JSON(err))
	}
	return c, c.CheckRegistered()
}

// FromFile makes the model that a file describes; a packed file's weights stay packed (NewPackedModel). The file holds
// nothing but the model and, in a checkpoint, the optimiser's state.
func FromFile(f *safetensors.File) (*Model, error) {
	called := "a model that runs"
	if k := KindOf(f); k == QuantisedFile || k == QuantisedRun {
		called = "a model without them"
	}
	c, err := configOf(f, called, ModelFile, PackedFile)
	if err != nil {
		return nil, err
	}
	if _, ok := f.Metadata[packedKey]; ok {
		return fromPackedFile(c, f)
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := checkTensors(c, f, nil); err != nil {
		return nil, err
	}
	m, err := modelFor(c, 0, "free memory or raise that limit")
	if err != nil {
		return nil, err
	}
	if err := m.SetWeights(f, ""); err != nil {
		return nil, err
	}
	m.Extra = extra(f)
	return m, nil
}

// SetWeights sets every parameter from the tensor prefix+name of f. All must be there, in the right shape; if one is
// not, nothing is changed.
func (m *Model) SetWeights(f *safetensors.File, prefix string) error {
	return SetParams(f, prefix, m.Params.All())
}

// AddParams adds the parameters to f as tensors prefix+name. Values that are not finite are an error.
func AddParams(f *safetensors.File, prefix string, params []*graph.Param) error {
	for _, p := range params {
		if err := addTensor(f, prefix, p, p.Data()); err != nil {
			return err
		}
	}
	return nil
}

// addTensor adds values in the shape of parameter p as the tensor prefix+name.
func addTensor(f *safetensors.File, prefix string, p *graph.Param, values []float32) error {
	name := prefix + p.Name
	if err := CheckFinite(name, values); err != nil {
		return err
	}
	f.Tensors = append(f.Tensors, safetensors.FromFloat32(name, p.Shape(), values))
	return nil
}

// SetParams sets the parameters from the tensors prefix+name of f. All must be there, in the right shape and finite; if
// one is not, nothing is changed.
func SetParams(f *safetensors.File, prefix string, params []*graph.Param) error {
	values := make([][]float32, len(params))
	for i, p := range params {
		var err error
		if values[i], err = TensorFor(f, prefix, p); err != nil {
			return err
		}
	}
	for i, p := range params {
		copy(p.Data(), values[i])
	}
	return nil
}

// WeightsSHA256 identifies the model's weights: the SHA-256, in hexadecimal, of the name, the shape and the values of
// every parameter in floating point. Packed weights, which are none, do not count.
func (m *Model) WeightsSHA256() string {
	h := sha256.New()
	for _, p := range m.Params.All() {
		_, _ = fmt.Fprintf(h, "%s %v\n", p.Name, p.Shape())
		values := make([]byte, 0, 4*p.Size())
		for _, x := range p.Data() {
			values = binary.LittleEndian.AppendUint32(values, math.Float32bits(x))
		}
		_, _ = h.Write(values)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// FindTensor is the tensor prefix+name of parameter p in f, in the shape of p. p may be an outline: nothing is read.
func FindTensor(f *safetensors.File, prefix string, p *graph.Param) (safetensors.Tensor, error) {
	t, ok := f.Lookup(prefix + p.Name)
	if !ok {
		return t, fmt.Errorf("tensor %s is missing: the file is not of this model (other depth, or ScaleBridge on or off?)",
			prefix+p.Name)
	}
	if !slices.Equal(t.Shape, p.Shape()) {
		return t, fmt.Errorf("tensor %s has shape %v, the model needs %v", prefix+p.Name, t.Shape, p.Shape())
	}
	return t, nil
}

// TensorFor reads the tensor prefix+name of parameter p from f, in the shape of p, all values finite.
func TensorFor(f *safetensors.File, prefix string, p *graph.Param) ([]float32, error) {
	t, err := FindTensor(f, prefix, p)
	if err != nil {
		return nil, err
	}
	v, err := t.Float32s()
	if err != nil {
		return nil, err
	}
	return v, CheckFinite(t.Name, v)
}

// ErrNotFinite is wrapped by the errors of values that are NaN or infinite.
var ErrNotFinite = errors.New("not a finite number")

// CheckFinite names the first value of a tensor that is not a finite number; its error wraps ErrNotFinite.
func CheckFinite(name string, v []float32) error {
	for i, x := range v {
		if x-x != 0 { // NaN for an infinity too
			return fmt.Errorf("tensor %s has the value %v at index %d: %w", name, x, i, ErrNotFinite)
		}
	}
	return nil
}

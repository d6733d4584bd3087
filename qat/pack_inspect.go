package qat

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Inspection describes a packed file.
type Inspection struct {
	Config     layers.Config      `json:"config"`
	MemoryInt8 bool               `json:"memory_int8"`
	Parameters int                `json:"parameters"` // of the model, whatever they are stored as
	FileBytes  int64              `json:"file_bytes"`
	Tensors    []TensorInspection `json:"tensors"`

	// Packed weights against the same weights in FP16, and the file against every parameter in FP16.
	PackedWeights     int     `json:"packed_weights"`
	PackedBytes       int     `json:"packed_bytes"`
	PackedCompression float64 `json:"packed_compression"`
	WholeCompression  float64 `json:"whole_compression"`
}

// TensorInspection describes one tensor of a packed file.
type TensorInspection struct {
	Name  string  `json:"name"` // state-dict name
	Kind  string  `json:"kind"` // a scheme of package scheme, or f16, f32
	Shape []int   `json:"shape"`
	Bytes int     `json:"bytes"`
	Bits  float64 `json:"bits_per_weight"` // all of Bytes, metadata and salient columns included

	// Against the floating-point model, if one was given.
	Error *TensorError `json:"error,omitempty"`
}

// TensorError is the distance of a tensor's values from the floating-point model's.
type TensorError struct {
	RMS      float64 `json:"rms"`
	Max      float64 `json:"max"`
	Relative float64 `json:"rms_relative"` // RMS over the root mean square of the floating-point values
}

// Inspect describes a packed file of the given size in bytes; against is the model it was made from, nil for none.
// Smoothing is undone on both sides: weights of Q, K and V are compared as they act on inputs that are not smoothed.
func Inspect(f *safetensors.File, size int64, against *Reference) (*Inspection, error) {
	m, err := layers.FromFile(f)
	if err != nil {
		return nil, err
	}
	if !m.Packed() {
		return nil, ErrNotPacked
	}
	r := &Inspection{Config: m.Config, Parameters: m.Config.Parameters(), FileBytes: size, MemoryInt8: m.MemoryInt8()}
	if against != nil && !against.config.Equal(m.Config) {
		return nil, fmt.Errorf("its model is another than the one to compare with: it has %s",
			m.Config.Difference(against.config))
	}
	smooth := smoothingOf(m)
	packed := map[string]*scheme.Packed{} // by the names of their tensors
	names := map[*scheme.Packed]string{}
	for _, w := range m.Params.Weights() {
		if w.Packed != nil {
			packed[w.Name+"."+w.Packed.Spec().Scheme], names[w.Packed] = w.Packed, w.Name
		}
	}
	for _, t := range f.Tensors {
		i := TensorInspection{Name: t.Name, Kind: strings.ToLower(t.DType.String()), Shape: t.Shape, Bytes: len(t.Data)}
		var values []float32
		if w := packed[t.Name]; w != nil {
			i.Name, i.Kind, i.Shape = names[w], w.Spec().Scheme, w.Spec().Shape
			r.PackedWeights += w.Size()
			r.PackedBytes += i.Bytes
			values = w.Floats()
			unsmooth(values, smooth[i.Name])
		} else if values, err = t.Float32s(); err != nil {
			return nil, err
		}
		i.Bits = 8 * float64(i.Bytes) / float64(len(values))
		if against != nil && !strings.HasSuffix(t.Name, smoothSuffix) {
			want, ok := against.weights[i.Name]
			if !ok {
				return nil, fmt.Errorf("tensor %s has no counterpart to compare with", i.Name)
			}
			e := distance(values, want)
			i.Error = &e
		}
		r.Tensors = append(r.Tensors, i)
	}
	slices.SortFunc(r.Tensors, func(a, b TensorInspection) int { return strings.Compare(a.Name, b.Name) })
	r.PackedCompression = 2 * float64(r.PackedWeights) / float64(r.PackedBytes)
	r.WholeCompression = 2 * float64(r.Parameters) / float64(size)
	return r, nil
}

// smoothingOf gives, by weight, the factors that its inputs are multiplied with.
func smoothingOf(m *layers.Model) map[string][]float32 {
	factors := map[string][]float32{}
	for _, b := range m.Blocks {
		if b.Attention.Smooth == nil {
			continue
		}
		for _, l := range []*layers.Linear{b.Attention.Q, b.Attention.K, b.Attention.V} {
			factors[l.W.Name] = b.Attention.Smooth.Data()
		}
	}
	return factors
}

// unsmooth multiplies the columns of a weight with its inputs' factors, if it has any.
func unsmooth(w, factors []float32) {
	for i := range w {
		if factors == nil {
			return
		}
		w[i] *= factors[i%len(factors)]
	}
}

// Reference holds the floating-point weights that a packed file is compared with, by name, smoothing undone.
type Reference struct {
	config  layers.Config
	weights map[string][]float32
}

// NewReference takes the weights from a model in floating point or from one with quantisers.
func NewReference(f *safetensors.File) (*Reference, error) {
	var m *layers.Model
	var err error
	if HasQuantisers(f) {
		q, err := FromFile(f)
		if err != nil {
			return nil, err
		}
		m = q.Model
	} else if m, err = layers.FromFile(f); err != nil {
		return nil, err
	}
	if m.Packed() {
		return nil, layers.ErrPacked
	}
	r := &Reference{config: m.Config, weights: map[string][]float32{}}
	for _, p := range m.Params.All() {
		r.weights[p.Name] = p.Data()
	}
	smooth := smoothingOf(m)
	for _, w := range m.Params.Weights() {
		merged := w.Merged()
		unsmooth(merged, smooth[w.Name])
		r.weights[w.Name] = merged
	}
	return r, nil
}

func distance(got, want []float32) TensorError {
	var e TensorError
	var square, size float64
	for i, w := range want {
		d := math.Abs(float64(got[i]) - float64(w))
		e.Max = max(e.Max, d)
		square += d * d
		size += float64(w) * float64(w)
	}
	e.RMS = math.Sqrt(square / float64(len(want)))
	if size > 0 {
		e.Relative = math.Sqrt(square / size)
	}
	return e
}

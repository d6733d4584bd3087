package layers

import (
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// Average is an exponential moving average of parameters over the steps of a training (Polyak & Juditsky 1992).
type Average struct {
	Decay   float64
	Updates int

	params []*graph.Param
	values [][]float32
}

// averaged starts the names of an average in a checkpoint, before the name of the parameter.
const averaged = OptimiserPrefix + "average."

// NewAverage begins with the parameters as they are.
func NewAverage(decay float64, params []*graph.Param) *Average {
	a := &Average{Decay: decay, params: params}
	for _, p := range params {
		a.values = append(a.values, append([]float32(nil), p.Data()...))
	}
	return a
}

// Update takes the parameters of another step in: a ← d a + (1-d) p. Over the first steps d is no more than
// (1+n)/(10+n), so that the initial values are soon forgotten.
func (a *Average) Update() {
	n := float64(a.Updates)
	d := float32(min(a.Decay, (1+n)/(10+n)))
	a.Updates++
	for i, p := range a.params {
		vec.Scale(a.values[i], d, a.values[i])
		vec.Axpy(a.values[i], 1-d, p.Data())
	}
}

// Swap exchanges the average and the parameters: called before an evaluation and after it.
func (a *Average) Swap() {
	for i, p := range a.params {
		for k, v := range p.Data() {
			p.Data()[k], a.values[i][k] = a.values[i][k], v
		}
	}
}

// AddTo adds the average to a checkpoint, as optim.average.NAME. Values that are not finite are an error.
func (a *Average) AddTo(f *safetensors.File) error {
	for i, p := range a.params {
		if err := addTensor(f, averaged, p, a.values[i]); err != nil {
			return err
		}
	}
	return nil
}

// Restore reads back what AddTo added, after so many updates.
func (a *Average) Restore(f *safetensors.File, updates int) error {
	for i, p := range a.params {
		values, err := TensorFor(f, averaged, p)
		if err != nil {
			return err
		}
		copy(a.values[i], values)
	}
	a.Updates = updates
	return nil
}

package measure

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/synapnet/synapnet-train/layers"
)

// LoadBase reads a model in floating point: packed weights can neither be cloned nor told apart by WeightsSHA256.
func LoadBase(path string) (*layers.Model, error) {
	m, err := layers.Load(path)
	var other *layers.OtherKindError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case errors.As(err, &other):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w; name a model.safetensors that pretrain made", err)
	case m.Packed():
		return nil, fmt.Errorf("%s: %w", path, layers.ErrPacked)
	}
	return m, nil
}

package layers

import (
	"maps"
	"strings"

	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// extraPrefix begins the metadata entries that go with a model and that its layers do not read.
const extraPrefix = "data."

// extra are those of a file, without the prefix; nil without any.
func extra(f *safetensors.File) map[string]string {
	var all map[string]string
	for key, text := range f.Metadata {
		if name, ok := strings.CutPrefix(key, extraPrefix); ok {
			if all == nil {
				all = map[string]string{}
			}
			all[name] = text
		}
	}
	return all
}

// addExtra writes the model's into a file.
func (m *Model) addExtra(f *safetensors.File) {
	for name, text := range m.Extra {
		f.Metadata[extraPrefix+name] = text
	}
}

// ReadExtra reads the entries that go with the model at path, of which it reads no more than the header.
func ReadExtra(path string) (map[string]string, error) {
	metadata, err := safetensors.ReadMetadata(path)
	if err != nil {
		return nil, err
	}
	return maps.Clone(extra(&safetensors.File{Metadata: metadata})), nil
}

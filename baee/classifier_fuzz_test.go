package baee

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// FuzzClassifier: whatever the header and the values, reading a classifier ends with an error or with one that can be
// saved and read again. The file is put together anew for each input, so that no checksum keeps a change out.
func FuzzClassifier(f *testing.F) {
	for _, history := range []int{HistoryFeatures, 0} {
		c, err := newClassifier(3, history, 2, 1)
		if err != nil {
			f.Fatal(err)
		}
		shape, err := json.Marshal(c.shape())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(shape), uint8(history), uint8(2), []byte{0, 0, 128, 63})
	}
	f.Add(`{"dim":65536,"history":4,"hidden":65536}`, uint8(4), uint8(2), []byte{1})
	f.Add(`{"dim":-1,"hidden":9223372036854775807}`, uint8(4), uint8(2), []byte{})
	path := filepath.Join(f.TempDir(), "c.safetensors")
	f.Fuzz(func(t *testing.T, shape string, history, hidden uint8, values []byte) {
		c, err := newClassifier(3, HistoryFeatures*int(history&1), 1+int(hidden&7), 1)
		if err != nil {
			t.Fatal(err)
		}
		file := &safetensors.File{Tensors: c.tensors(""), Metadata: map[string]string{classifierKey: shape}}
		copy(file.Tensors[0].Data, values)
		var s classifierShape
		if json.Unmarshal([]byte(shape), &s) != nil {
			return
		}
		read, err := classifierFrom(file, s, "")
		if err != nil {
			return
		}
		if err := read.Save(path); err != nil {
			t.Fatalf("what was read cannot be saved: %v", err)
		}
		again, err := LoadClassifier(path)
		if err != nil {
			t.Fatalf("what was saved is refused: %v", err)
		}
		if !bytes.Equal(again.tensors("")[0].Data, read.tensors("")[0].Data) {
			t.Fatal("other weights")
		}
		_ = os.Remove(path)
	})
}

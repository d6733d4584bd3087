package baee

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// A snapshot names the kernels of its tokens; a stream that goes on with others says so and keeps a record of both.
func TestSnapshotsNameTheirKernels(t *testing.T) {
	now := graph.CurrentKernels()
	m := model(t, 3, 0.3, 3)
	path := filepath.Join(t.TempDir(), "s.safetensors")
	s := stream(t, m, forModel(m, "fifo", 9), 10)
	push(t, s, tokens(2, 47))
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	restore := func() *Stream {
		t.Helper()
		back, err := RestoreStream(m, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(back.Close)
		return back
	}
	if back := restore(); back.Warning != "" ||
		!reflect.DeepEqual(back.Kernels(), graph.KernelHistory{{From: 0, Kernels: now}}) {
		t.Errorf("%q, %+v", back.Warning, back.Kernels())
	}
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var h streamHeader
	if err := json.Unmarshal([]byte(f.Metadata[streamKey]), &h); err != nil {
		t.Fatal(err)
	}
	h.Kernels[0].SIMD = "other"
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	f.Metadata[streamKey] = string(text)
	if err := safetensors.Write(path, f); err != nil {
		t.Fatal(err)
	}
	back := restore()
	if want := "it goes on with other kernels: from SIMD other to SIMD " + now.SIMD +
		"; "; !strings.HasPrefix(back.Warning, want) {
		t.Errorf("%q, want %q", back.Warning, want)
	}
	// Tokens that wait for their chunk are run on the new ones.
	if want := (graph.KernelHistory{h.Kernels[0], {From: 40, Kernels: now}}); !reflect.DeepEqual(back.Kernels(), want) {
		t.Errorf("%+v, want %+v", back.Kernels(), want)
	}
}

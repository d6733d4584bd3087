package layers

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers/safetensors"
)

func snapshot(m *Model) []uint32 {
	var bits []uint32
	for _, p := range m.Params.All() {
		for _, x := range p.Data() {
			bits = append(bits, math.Float32bits(x))
		}
	}
	return bits
}

// What is loaded is what was saved, to the last bit, and saves to the same bytes again.
func TestSaveAndLoad(t *testing.T) {
	for _, classes := range []int{7, 0} {
		c := tiny()
		c.NumClasses, c.UseScaleBridge = classes, classes == 0
		m := scrambled(t, c)
		m.Head.Out.B.Data()[0] = float32(math.Copysign(0, -1)) // its sign is a bit too
		path, again := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Config.Equal(c) || !slices.Equal(snapshot(got), snapshot(m)) {
			t.Errorf("loaded %+v, want %+v; equal weights: %v", got.Config, c, slices.Equal(snapshot(got), snapshot(m)))
		}
		if err := got.Save(again); err != nil {
			t.Fatal(err)
		}
		a, errA := os.ReadFile(path)
		b, errB := os.ReadFile(again)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("the second file differs from the first: %v %v", errA, errB)
		}
	}
}

// change finds a tensor of a file, to damage it.
func change(t *testing.T, f *safetensors.File, name string) *safetensors.Tensor {
	t.Helper()
	for i := range f.Tensors {
		if f.Tensors[i].Name == name {
			return &f.Tensors[i]
		}
	}
	t.Fatalf("no tensor %s", name)
	return nil
}

// A file that is not whole, or not of the model its header describes, is refused with the file, the tensor and why; a
// model under way keeps the weights it has.
func TestLoadRefuses(t *testing.T) {
	cases := map[string]struct {
		damage func(f *safetensors.File)
		want   string
	}{
		"a missing tensor": {func(f *safetensors.File) {
			f.Tensors = slices.DeleteFunc(f.Tensors,
				func(x safetensors.Tensor) bool { return x.Name == "blocks.1.ssm.gate.weight" })
		}, "tensor blocks.1.ssm.gate.weight is missing"},
		"another depth in the header": {func(f *safetensors.File) {
			f.Metadata["config"] = strings.Replace(f.Metadata["config"], `"depth":2`, `"depth":3`, 1)
		}, "tensor blocks.2.norm_in.weight is missing"},
		"a lower depth in the header": {func(f *safetensors.File) {
			f.Metadata["config"] = strings.Replace(f.Metadata["config"], `"depth":2`, `"depth":1`, 1)
		}, "tensor blocks.1."},
		"a bridge that the header denies": {func(f *safetensors.File) {
			f.Metadata["config"] = strings.Replace(f.Metadata["config"], `"use_scale_bridge":true`, `"use_scale_bridge":false`,
				1)
		}, "scale_bridge"},
		"an extra tensor": {func(f *safetensors.File) {
			f.Tensors = append(f.Tensors, safetensors.FromFloat32("blocks.0.lora", []int{1}, []float32{1}))
		}, "tensor blocks.0.lora is not of the model"},
		"another shape": {func(f *safetensors.File) {
			change(t, f, "head.weight").Shape = []int{18, 7}
		}, "tensor head.weight has shape [18 7], the model needs [7 18]"},
		"not a number": {func(f *safetensors.File) {
			*change(t, f, "head.bias") = safetensors.FromFloat32("head.bias", []int{7},
				[]float32{0, 1, 2, float32(math.NaN()), 4, 5, 6})
		}, "tensor head.bias has the value NaN at index 3: not a finite number"},
		"an infinity": {func(f *safetensors.File) {
			*change(t, f, "head.bias") = safetensors.FromFloat32("head.bias", []int{7},
				[]float32{float32(math.Inf(-1)), 1, 2, 3, 4, 5, 6})
		}, "tensor head.bias has the value -Inf at index 0"},
		"integers": {func(f *safetensors.File) {
			*change(t, f, "head.bias") = safetensors.FromInt64("head.bias", []int{7}, make([]int64, 7))
		}, "head.bias"},
		"no configuration": {func(f *safetensors.File) {
			delete(f.Metadata, "config")
		}, `no model configuration in the header (key "config"): convert the checkpoint with scripts/pt2safetensors.py`},
		"a configuration that is not JSON": {func(f *safetensors.File) {
			f.Metadata["config"] = "{dim"
		}, "the model configuration in the header is not valid"},
		"a configuration that cannot work": {func(f *safetensors.File) {
			f.Metadata["config"] = strings.Replace(f.Metadata["config"], `"heads":3`, `"heads":4`, 1)
		}, "heads is 4: it must divide dim (18)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, err := scrambled(t, tiny()).File()
			if err != nil {
				t.Fatal(err)
			}
			c.damage(f)
			path := filepath.Join(t.TempDir(), "model.safetensors")
			if err := safetensors.Write(path, f); err != nil {
				t.Fatal(err)
			}
			m, err := Load(path)
			if m != nil || err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v\nwant %s: …%s", err, path, c.want)
			}
		})
	}
}

// A checkpoint holds the optimiser's state beside the model: it loads as the model.
func TestLoadOfACheckpoint(t *testing.T) {
	m := scrambled(t, tiny())
	f, err := m.File()
	if err != nil {
		t.Fatal(err)
	}
	f.Tensors = append(f.Tensors, safetensors.FromFloat32(OptimiserPrefix+"m.head.bias", []int{7}, make([]float32, 7)))
	got, err := FromFile(f)
	if err != nil || !slices.Equal(snapshot(got), snapshot(m)) {
		t.Errorf("%v", err)
	}
}

// Damage of any kind to the bytes of a file is noticed.
func TestLoadOfDamagedBytes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	if err := scrambled(t, tiny()).Save(path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{"empty": {}, "cut in the length": whole[:5], "cut in the header": whole[:100],
		"cut in the data": whole[:len(whole)-1], "half": whole[:len(whole)/2]}
	for _, at := range []int{0, 3, 9, 200, len(whole) / 2, len(whole) - 1} {
		flipped := slices.Clone(whole)
		flipped[at] ^= 1 << (at % 8)
		damaged["flipped bit in byte "+string(rune('0'+at%10))+" of many"] = flipped
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("flipped bit in byte %d of %d: %v", at, len(whole), err)
		}
	}
	for what, text := range damaged {
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Load(filepath.Join(dir, "absent")); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("no such file: %v", err)
	}
}

// SetWeights is all or nothing.
func TestSetWeightsChangesNothingOnError(t *testing.T) {
	f, err := scrambled(t, tiny()).File()
	if err != nil {
		t.Fatal(err)
	}
	// the last one read
	f.Tensors = slices.DeleteFunc(f.Tensors, func(x safetensors.Tensor) bool { return x.Name == "head.bias" })
	m := newModel(t, tiny())
	before := snapshot(m)
	if err := m.SetWeights(f, ""); err == nil || !slices.Equal(snapshot(m), before) {
		t.Errorf("error %v, weights unchanged: %v", err, slices.Equal(snapshot(m), before))
	}
}

// Weights that are not finite are not written: no reader would take them.
func TestSaveRefusesWhatIsNotFinite(t *testing.T) {
	m := newModel(t, tiny())
	path := filepath.Join(t.TempDir(), "model.safetensors")
	m.Head.Out.W.Param.Data()[5] = float32(math.Inf(1))
	err := m.Save(path)
	if err == nil || err.Error() != "cannot write "+path+
		": tensor head.weight has the value +Inf at index 5: not a finite number" {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was written")
	}
}

// Results hold the hashes of the models that they were got with, so a hash never changes; and no change of the weights,
// not even of the sign of a zero, leaves it as it was.
func TestWeightsSHA256TellsWeightsApart(t *testing.T) {
	m := newModel(t, tiny())
	for _, p := range m.Params.All() {
		for i := range p.Data() {
			p.Data()[i] = float32(i%8) - 4
		}
	}
	const want = "1d20da911baf423dee7d536d6f5fa3263c92a113f4063af2d1b1f9645429ade3"
	if got := m.WeightsSHA256(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	first, last := &m.Params.All()[0].Data()[4], &m.Head.Out.B.Data()[0]
	for _, change := range []func(){
		func() { *first = float32(math.Copysign(0, -1)) },
		func() { *first, *last = 0, math.Nextafter32(*last, 0) },
	} {
		change()
		if m.WeightsSHA256() == want {
			t.Error("other weights have the same hash")
		}
	}
}

// A file in half precision is a model in floating point whose every value is the nearest one there is; a tensor that is
// too small for half precision stays as it was.
func TestHalfFile(t *testing.T) {
	m := scrambled(t, tiny())
	small := m.Head.Out.B.Data()
	for i := range small {
		small[i] = 1e-6
	}
	f, err := m.HalfFile()
	if err != nil {
		t.Fatal(err)
	}
	if k := KindOf(f); k != ModelFile {
		t.Errorf("its kind is %v", k)
	}
	half, err := FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range m.Params.All() {
		kept := p == m.Head.Out.B
		if d := f.Tensors[i].DType; (d == safetensors.F32) != kept || d != safetensors.F16 && !kept {
			t.Errorf("%s is %s", p.Name, d)
		}
		for k, x := range p.Data() {
			h := half.Params.All()[i].Data()[k]
			if e := math.Abs(float64(h - x)); e > max(math.Abs(float64(x))*0x1p-11, 0x1p-25) || kept && e > 0 {
				t.Fatalf("%s: %g is %g", p.Name, x, h)
			}
		}
	}
}

package qat

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/rounding"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// prepareModel makes a model whose weights are large enough for its logits to differ, and quantises it.
func prepareModel(t testing.TB, c layers.Config, o Options, tokens int) *Quantised {
	t.Helper()
	m := newModel(t, c)
	for _, p := range m.Params.All() {
		if strings.HasSuffix(p.Name, ".weight") && len(p.Shape()) == 2 || p.Name == "pos_embed" {
			for i := range p.Data() {
				p.Data()[i] *= 3
			}
		}
	}
	var calibration *Calibration
	if o.Has(Attention) {
		data := Batches{Size: 1, Tokens: tokens, IDs: [][]int32{randomIDs(3, tokens, c.VocabSize)}}
		var err error
		if calibration, err = Calibrate(m, data); err != nil {
			t.Fatal(err)
		}
	}
	q, err := Prepare(m, calibration, o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func writePacked(t testing.TB, q *Quantised) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "packed.safetensors")
	if err := safetensors.Write(path, packedFile(t, q)); err != nil {
		t.Fatal(err)
	}
	return path
}

func loadPacked(t testing.TB, path string) *layers.Model {
	t.Helper()
	m, err := layers.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Packed() {
		t.Fatalf("%s: its weights are in floating point", path)
	}
	return m
}

// outputs runs a model once, with external memory if entries > 0.
func outputs(t testing.TB, m *layers.Model, batch, tokens, entries int) []float32 {
	t.Helper()
	inf, err := m.Infer(batch, tokens, entries)
	if err != nil {
		t.Fatal(err)
	}
	defer inf.Program.Close()
	var external [][]float32
	for range m.Blocks {
		if entries > 0 {
			bank := make([]float32, batch*entries*m.Config.Dim)
			for i := range bank {
				bank[i] = float32(math.Sin(float64(i)))
			}
			external = append(external, bank)
		}
	}
	logits, err := inf.Run(randomIDs(11, batch*tokens, m.Config.VocabSize), external)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(logits)
}

// sameLogits holds a packed model's logits against those of its fake-quant graph. Both are float32 sums of the same
// products in other orders, so they may differ by what rounding makes of them (package rounding), measured by
// perturbing what the packed model has in floating point: norms, biases and smoothing stand before or behind every
// product. It is the largest of the runs that counts: with the memory in INT8, some of its thousands of codes are
// rounded the other way in each.
func sameLogits(t *testing.T, packed, simulated *layers.Model, batch, tokens, entries int) {
	t.Helper()
	got, want := outputs(t, packed, batch, tokens, entries), outputs(t, simulated, batch, tokens, entries)
	terms := max(tokens, int(packed.Config.MLPRatio*float64(packed.Config.Dim)), 3*packed.Config.Dim)
	var distances []float64
	for draw := range 3 {
		restore := perturb(packed, terms, draw)
		distances = append(distances, rounding.Distance(outputs(t, packed, batch, tokens, entries), got))
		restore()
	}
	var square float64
	for _, v := range want {
		square += float64(v) * float64(v) / float64(len(want))
	}
	size := math.Sqrt(square)
	limit := rounding.Margin * (rounding.Of(terms)*size + slices.Max(distances))
	if limit > 5e-3*size {
		t.Fatalf("logits of size %.2g may differ by %.2g: that would show nothing", size, limit)
	}
	if d := rounding.Distance(got, want); !(d <= limit) {
		t.Fatalf("packed and simulated logits of size %.2g differ by %.2g, more than %.2g", size, d, limit)
	}
}

// perturb makes the floating-point parameters of a model off by as much as rounding makes a sum of n terms.
func perturb(m *layers.Model, n, draw int) (restore func()) {
	var before, weights [][]float32
	for _, p := range m.Params.All() {
		before, weights = append(before, slices.Clone(p.Data())), append(weights, p.Data())
	}
	rounding.Perturb(n, draw, weights...)
	return func() {
		for i, w := range weights {
			copy(w, before[i])
		}
	}
}

// A packed model, read back from its file, computes what the fake-quant graph computes: every target, both ways of
// training INT4, dense and sparse attention, with and without external memory, as a classifier and as a language model.
func TestPackedModelEqualsTheFakeQuantGraph(t *testing.T) {
	sparse, language, plain, odd := tiny(), tiny(), tiny(), tiny()
	sparse.SparseThreshold = 16
	language.NumClasses = 0
	plain.UseScaleBridge = false
	odd.Dim, odd.Heads = 30, 3
	for _, c := range []struct {
		name   string
		config layers.Config
		change func(o *Options)
	}{
		{"published targets", tiny(), func(*Options) {}},
		{"frozen integers", tiny(), func(o *Options) { o.Int4Mode = Int4Frozen }},
		{"all targets", tiny(), func(o *Options) { o.Targets = AllTargets() }},
		{"INT8 tables, INT4 head", tiny(), func(o *Options) { o.Targets, o.EmbeddingBits, o.HeadBits = AllTargets(), 8, 4 }},
		{"sparse attention", sparse, func(o *Options) { o.Targets = AllTargets() }},
		{"language model", language, func(o *Options) { o.Targets = AllTargets() }},
		{"without bridge", plain, func(o *Options) { o.Targets = TargetsOf(plain) }},
		{"groups that do not fit", odd, func(o *Options) {
			o.Targets, o.GroupSize, o.SalientFraction = AllTargets(), 7,
				0.2
		}},
		{"no salient columns", tiny(), func(o *Options) { o.SalientFraction = 0 }},
		{"only ff", tiny(), func(o *Options) { o.Targets = []Target{FF} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := tinyOptions()
			c.change(&o)
			q := prepareModel(t, c.config, o, 48)
			m := loadPacked(t, writePacked(t, q))
			convert(t, q)
			for _, entries := range []int{0, 5} {
				sameLogits(t, m, q.Model, 2, 40, entries)
			}
		})
	}
}

// The same at the reference shapes, dense and sparse.
func TestPackedReferenceModelEqualsTheFakeQuantGraph(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the reference model")
	}
	weights := slices.DeleteFunc(AllTargets(), func(t Target) bool { return t == Memory })
	for _, c := range []struct {
		targets []Target
		tokens  []int
	}{{weights, []int{512, 1088}}, {AllTargets(), []int{512}}} {
		o := DefaultOptions()
		o.Targets = c.targets
		q := prepareModel(t, layers.Reference(), o, 128)
		m := loadPacked(t, writePacked(t, q))
		convert(t, q)
		for _, tokens := range c.tokens {
			sameLogits(t, m, q.Model, 1, tokens, 0)
		}
	}
}

// Weights are in the file and in memory in packed form only.
func TestPackedWeightsHaveNoFloatCopy(t *testing.T) {
	o := tinyOptions(AllTargets()...)
	q := prepareModel(t, tiny(), o, 48)
	path := writePacked(t, q)
	m := loadPacked(t, path)
	for _, w := range q.Weights {
		if _, ok := m.Params.ByName(w.Param.Name); ok {
			t.Errorf("%s has a floating-point copy", w.Param.Name)
		}
		if packedWeights(m)[w.Param.Name] == nil {
			t.Errorf("%s is not packed", w.Param.Name)
		}
	}
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range f.Tensors {
		if s.DType == safetensors.F32 {
			t.Errorf("%s is stored in float32", s.Name)
		}
	}
}

// Packing changes nothing in the model, and gives the bytes that it gives when the model was converted beforehand,
// once or twice.
func TestPackingLeavesTheModelAsItIs(t *testing.T) {
	for _, mode := range []string{Int4Train, Int4Frozen} {
		o := tinyOptions(AllTargets()...)
		o.Int4Mode = mode
		q := prepareModel(t, tiny(), o, 48)
		state := func() []byte {
			f, err := q.File()
			if err != nil {
				t.Fatal(err)
			}
			return encoded(t, f)
		}
		before, first := state(), encoded(t, packedFile(t, q))
		if !slices.Equal(state(), before) {
			t.Errorf("%s mode: packing changed the model", mode)
		}
		for range 2 {
			convert(t, q)
			if !slices.Equal(encoded(t, packedFile(t, q)), first) {
				t.Errorf("%s mode: the converted model is packed into other bytes", mode)
			}
		}
		if slices.Equal(state(), before) {
			t.Errorf("%s mode: converting changed nothing", mode)
		}
	}
}

func convert(t testing.TB, q *Quantised) {
	t.Helper()
	if err := q.Convert(); err != nil {
		t.Fatal(err)
	}
}

func packedFile(t testing.TB, q *Quantised) *safetensors.File {
	t.Helper()
	f, err := q.PackedFile()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// encoded are the bytes of a file.
func encoded(t testing.TB, f *safetensors.File) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := safetensors.Write(path, f); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fileSizeInHalf is that of a file of F16 tensors with the elements of the given parameters.
func fileSizeInHalf(t *testing.T, params []*graph.Param) int64 {
	t.Helper()
	f := &safetensors.File{}
	for _, p := range params {
		f.Tensors = append(f.Tensors, safetensors.Tensor{Name: p.Name, DType: safetensors.F16, Shape: p.Shape(),
			Data: make([]byte, 2*p.Size())})
	}
	return written(t, f)
}

func written(t *testing.T, f *safetensors.File) int64 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := safetensors.Write(path, f); err != nil {
		t.Fatal(err)
	}
	return sizeOf(t, path)
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// The targeted SSM and attention weights of the reference model take at most a quarter of their size in FP16: real
// files on both sides, that of the packed weights with its header, its description of the layout and the smoothing
// factors.
func TestTargetedCompressionOfTheReferenceModel(t *testing.T) {
	q := prepareModel(t, layers.Reference(), DefaultOptions(), 16)
	f, err := q.PackedFile()
	if err != nil {
		t.Fatal(err)
	}
	var params []*graph.Param
	targeted := map[string]bool{}
	for _, w := range q.Weights {
		params = append(params, w.Param)
		for _, kind := range []string{scheme.Int4.Name, scheme.SEQ2.Name} {
			targeted[w.Param.Name+"."+kind] = true
		}
	}
	f.Tensors = slices.DeleteFunc(f.Tensors, func(x safetensors.Tensor) bool {
		return !targeted[x.Name] && !strings.HasSuffix(x.Name, smoothSuffix)
	})
	if len(f.Tensors) != 6*(6+1) {
		t.Fatalf("%d tensors, want 6 weights and the smoothing factors of 6 blocks", len(f.Tensors))
	}
	half, packed := fileSizeInHalf(t, params), written(t, f)
	ratio := float64(half) / float64(packed)
	t.Logf("FP16 %d bytes, packed %d bytes: %.3fx", half, packed, ratio)
	if ratio < 4 {
		t.Errorf("compression %.3fx, want at least 4.0x", ratio)
	}
}

// With all targets the file takes less than 1/3.5 of every parameter in FP16, at 2 bytes each without any header.
func TestWholeCompressionOfTheReferenceModel(t *testing.T) {
	o := DefaultOptions()
	o.Targets = AllTargets()
	q := prepareModel(t, layers.Reference(), o, 16)
	size := sizeOf(t, writePacked(t, q))
	if n := q.Model.Params.Count(); n != 8_714_950 {
		t.Fatalf("%d parameters", n)
	}
	ratio := 2 * 8_714_950 / float64(size)
	t.Logf("FP16 %d bytes, packed %d bytes: %.3fx", 2*8_714_950, size, ratio)
	if ratio < 3.5 {
		t.Errorf("compression %.3fx, want at least 3.5x", ratio)
	}
}

// A packed model runs and nothing else: whatever needs floating-point weights says so.
func TestPackedModelRefusesTraining(t *testing.T) {
	m := loadPacked(t, writePacked(t, prepareModel(t, tiny(), tinyOptions(), 48)))
	for name, err := range map[string]error{
		"train": func() error { _, err := m.Train(1, 16); return err }(),
		"clone": func() error { _, err := m.Clone(); return err }(),
		"save":  m.Save(filepath.Join(t.TempDir(), "x")),
	} {
		if !errors.Is(err, layers.ErrPacked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Prepare(m, nil, tinyOptions(FF)); err == nil || !strings.Contains(err.Error(), "quantised already") {
		t.Errorf("prepare: %v", err)
	}
	if _, err := Calibrate(m, Batches{}); err == nil || !strings.Contains(err.Error(), "quantised already") {
		t.Errorf("calibrate: %v", err)
	}
}

func TestPackRefusesWhatHasNoPackedForm(t *testing.T) {
	paper := tinyOptions()
	paper.SSMQuantiser = Paper7
	nan := prepareModel(t, tiny(), tinyOptions(), 48)
	nan.Weights[3].Param.Data()[5] = float32(math.NaN())
	for want, q := range map[string]*Quantised{
		"7 levels":               prepareModel(t, tiny(), paper, 48),
		"quantise no weights":    prepareModel(t, tiny(), tinyOptions(Memory), 48),
		"has the value NaN at 5": nan,
	} {
		if _, err := q.PackedFile(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Every damage to a packed file is an error that names what is wrong.
func TestDamagedPackedFilesAreRefused(t *testing.T) {
	q := prepareModel(t, tiny(), tinyOptions(), 48)
	path := writePacked(t, q)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bytesError := func(data []byte) error {
		p := filepath.Join(t.TempDir(), "x.safetensors")
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := layers.Load(p)
		return err
	}
	changed := func(change func(f *safetensors.File)) error {
		f, err := safetensors.Parse(slices.Clone(good))
		if err != nil {
			t.Fatal(err)
		}
		change(f)
		p := filepath.Join(t.TempDir(), "x.safetensors")
		if err := safetensors.Write(p, f); err != nil {
			t.Fatal(err)
		}
		_, err = layers.Load(p)
		return err
	}
	replace := func(old, new string) error {
		return changed(func(f *safetensors.File) {
			if !strings.Contains(f.Metadata["packed"], old) {
				t.Fatalf("no %s in %s", old, f.Metadata["packed"])
			}
			f.Metadata["packed"] = strings.Replace(f.Metadata["packed"], old, new, 1)
		})
	}
	at := func(f *safetensors.File, name string) *safetensors.Tensor {
		return &f.Tensors[slices.Index(f.Names(), name)]
	}
	const gate, conv = "blocks.0.ssm.gate.weight", `"blocks.0.ssm.dwconv.weight":{"kind":"seq2","shape":`
	flipped := slices.Clone(good)
	flipped[len(flipped)-100] ^= 4
	cases := map[string]error{
		"the file was damaged": bytesError(flipped),
		"reach beyond":         bytesError(good[:len(good)-7]),
		"layout version 2: this program reads version 1": replace(`"version":1`, `"version":2`),
		"layout version none":                            replace(`"version":1,`, ``),
		"(key \"packed\") is not valid":                  replace(`{`, `[`),
		`unknown field "grup"`:                           replace(`"group"`, `"grup"`),
		"has shape [1 32 9], the model needs [32 1 9]":   replace(conv+`[32,1,9]`, conv+`[1,32,9]`),
		"tensor " + gate + ".int8 is missing":            replace(`"`+gate+`":{"kind":"seq2"`, `"`+gate+`":{"kind":"int8"`),
		"tensor " + gate + " is missing": changed(func(f *safetensors.File) {
			f.Metadata["packed"] = strings.Replace(f.Metadata["packed"], gate, "blocks.0.ssm.gete.weight", 1)
			at(f, gate+".seq2").Name = "blocks.0.ssm.gete.weight.seq2"
		}),
		"bytes, want": changed(func(f *safetensors.File) {
			s := at(f, gate+".seq2")
			s.Data, s.Shape = s.Data[1:], []int{len(s.Data) - 1}
		}),
		"want the bytes of a packed weight": changed(func(f *safetensors.File) {
			s := at(f, gate+".seq2")
			s.Data, s.Shape, s.DType = s.Data[:len(s.Data)/2*2], []int{len(s.Data) / 2}, safetensors.F16
		}),
		"tensor extra is not of the model": changed(func(f *safetensors.File) {
			f.Tensors = append(f.Tensors, safetensors.FromUint8("extra", []int{1}, []uint8{1}))
		}),
		"tensor norm_out.weight is missing": changed(func(f *safetensors.File) {
			i := slices.Index(f.Names(), "norm_out.weight")
			f.Tensors = slices.Delete(f.Tensors, i, i+1)
		}),
		"not a finite number": changed(func(f *safetensors.File) {
			s := at(f, "norm_out.weight")
			s.Data = slices.Clone(s.Data)
			s.Data[1] = 0x7c
		}),
	}
	for want, err := range cases {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

// FuzzPackedFile: whatever a file says of its packed weights, reading it gives a model that runs, or an error.
func FuzzPackedFile(f *testing.F) {
	c := tiny()
	c.Depth = 1
	q := prepareModel(f, c, tinyOptions(), 48)
	good, err := q.PackedFile()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Metadata["packed"], "", []byte{})
	f.Add(good.Metadata["packed"], "blocks.0.ssm.gate.weight.seq2", make([]byte, 320))
	f.Add(`{"version":1,"weights":{"pos_embed":{"kind":"int8","shape":[1,64,32]}}}`, "pos_embed.int8", make([]byte, 64*34))
	f.Add(`{"version":1,"weights":{"norm_out.weight":{"kind":"seq2","shape":[1,32]}}}`, "norm_out.weight.seq2",
		[]byte{0, 60, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, header, name string, data []byte) {
		file := &safetensors.File{Metadata: map[string]string{"config": good.Metadata["config"], "packed": header}}
		for _, s := range good.Tensors {
			if s.Name == name {
				s.Data, s.Shape = data, []int{len(data)}
			}
			file.Tensors = append(file.Tensors, s)
		}
		m, err := layers.FromFile(file)
		if err != nil {
			return
		}
		inf, err := m.Infer(1, 16, 0)
		if err != nil {
			t.Fatalf("the model is accepted and does not run: %v", err)
		}
		defer inf.Program.Close()
		if _, err := inf.Run(make([]int32, 16), nil); err != nil {
			t.Fatalf("the model is accepted and does not run: %v", err)
		}
	})
}

// Inspection counts what is in the file, and measures its error with smoothing undone.
func TestInspect(t *testing.T) {
	base := newModel(t, tiny())
	before, err := base.Clone() // quantising changes the weights
	if err != nil {
		t.Fatal(err)
	}
	plain, err := before.File()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Calibrate(base, calibrationData(t, base.Config, 2))
	if err != nil {
		t.Fatal(err)
	}
	q, err := Prepare(base, c, tinyOptions())
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := q.File()
	if err != nil {
		t.Fatal(err)
	}
	path := writePacked(t, q)
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, against := range map[string]*safetensors.File{"floating point": plain, "quantised checkpoint": checkpoint} {
		t.Run(name, func(t *testing.T) {
			reference, err := NewReference(against)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Inspect(f, sizeOf(t, path), reference)
			if err != nil {
				t.Fatal(err)
			}
			total := 0
			for _, x := range r.Tensors {
				total += x.Bytes
				limit := 0.0
				switch x.Kind {
				case "seq2":
					limit = 0.6 // uniform weights, 4 levels: a quarter; Gaussian ones more
				case "int4":
					limit = 0.1
				case "f16":
					limit = 1e-3
				}
				if strings.HasSuffix(x.Name, smoothSuffix) {
					if x.Error != nil {
						t.Errorf("%s has an error", x.Name)
					}
					continue
				}
				if x.Error.Relative > limit || limit > 0.01 && x.Error.Relative < limit/20 {
					t.Errorf("%s (%s): relative error %.4f, want at most %.4f and not next to nothing", x.Name, x.Kind,
						x.Error.Relative, limit)
				}
			}
			if int64(total) >= r.FileBytes || r.FileBytes-int64(total) > 20_000 {
				t.Errorf("%d bytes of tensors in a file of %d", total, r.FileBytes)
			}
			if r.PackedWeights != 2*(9*32+5*32*32) || r.Parameters != base.Params.Count() {
				t.Errorf("%d packed weights, %d parameters", r.PackedWeights, r.Parameters)
			}
			gate := r.Tensors[slices.IndexFunc(r.Tensors,
				func(x TensorInspection) bool { return x.Name == "blocks.0.ssm.gate.weight" })]
			if want := 32*32/4 + 2*32; gate.Bytes != want || gate.Bits != 8*float64(want)/1024 {
				t.Errorf("gate: %d bytes, %g bits a weight, want %d bytes", gate.Bytes, gate.Bits, want)
			}
		})
	}
	if _, err := Inspect(plain, 1, nil); !errors.Is(err, ErrNotPacked) {
		t.Errorf("a floating-point file: %v", err)
	}
	other := tiny()
	other.Dim = 16
	wrong, err := newModel(t, other).File()
	if err != nil {
		t.Fatal(err)
	}
	reference, err := NewReference(wrong)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewReference(f); !errors.Is(err, layers.ErrPacked) {
		t.Errorf("a packed file to compare with: %v", err)
	}
	if _, err := Inspect(f, 1, reference); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("another model: %v", err)
	}
}

// BenchmarkPackedInference runs the packed reference model and the floating-point one in turns, batch 1, so that what
// else the machine does meets both; the median of each is reported.
func BenchmarkPackedInference(b *testing.B) {
	o := DefaultOptions()
	o.Targets = AllTargets()
	packed := loadPacked(b, writePacked(b, prepareModel(b, layers.Reference(), o, 64)))
	models := []*layers.Model{newModel(b, layers.Reference()), packed}
	for _, tokens := range []int{256, 1024, 4096} {
		b.Run(fmt.Sprintf("T%d", tokens), func(b *testing.B) {
			var inference [2]*layers.Inference
			for i, m := range models {
				var err error
				if inference[i], err = m.Infer(1, tokens, 0); err != nil {
					b.Fatal(err)
				}
				defer inference[i].Program.Close()
			}
			ids := randomIDs(1, tokens, packed.Config.VocabSize)
			var took [2][]float64
			for b.Loop() {
				for i, inf := range inference {
					start := time.Now()
					if _, err := inf.Run(ids, nil); err != nil {
						b.Fatal(err)
					}
					took[i] = append(took[i], 1e3*time.Since(start).Seconds())
				}
			}
			for i, name := range []string{"float-ms", "packed-ms"} {
				slices.Sort(took[i])
				took[i][0] = took[i][len(took[i])/2]
				b.ReportMetric(took[i][0], name)
			}
			b.ReportMetric(took[1][0]/took[0][0], "packed/float")
		})
	}
}

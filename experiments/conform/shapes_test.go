package conform

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// shapes are models unlike those of the golden files in every dimension.
func shapes() map[string]layers.Config {
	wide := layers.Config{
		Dim: 48, Depth: 1, Heads: 3, VocabSize: 50, MaxLen: 31, NumClasses: 5, KFrac: 0.5, EpisodicSlots: 9,
		EpisodicWriteFrac: 0.4, MLPRatio: 1.5, UseScaleBridge: true, SparseThreshold: layers.SparseThreshold,
	}
	sparse, plain := wide, wide
	sparse.SparseThreshold, sparse.Depth = 10, 3
	plain.UseScaleBridge, plain.Heads = false, 8
	return map[string]layers.Config{"wide": wide, "sparse": sparse, "plain": plain}
}

// goldenLike is a file in the form of the golden ones, made by our own model: it shows that the header decides what is
// run, not that the numbers are right.
func goldenLike(t *testing.T, c layers.Config, batch, tokens int) *safetensors.File {
	t.Helper()
	return goldenOf(t, scattered(t, c), batch, tokens, nil)
}

// scattered is a model with all of its parameters, biases and norms included, away from their initial values.
func scattered(t *testing.T, c layers.Config) *layers.Model {
	t.Helper()
	m, err := layers.NewModel(c, 3)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, p := range m.Params.All() {
		for i := range p.Data() {
			p.Data()[i] += float32(0.1 * rng.NormFloat64())
		}
	}
	return m
}

// goldenOf is the file of a model, whose features are in order o if that is not nil; the file has them in ours.
func goldenOf(t *testing.T, m *layers.Model, batch, tokens int, o order) *safetensors.File {
	t.Helper()
	c := m.Config
	rng := rand.New(rand.NewPCG(1, 2))
	ids, labels := randomInts(rng, batch*tokens, c.VocabSize), randomInts(rng, batch, c.NumClasses)
	train, errA := m.Gradients(batch, tokens)
	infer, errB := m.Infer(batch, tokens, 0)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	loss, errA := train.Run(ids, labels)
	_, errB = infer.Run(ids, nil)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	header, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	f := &safetensors.File{Metadata: map[string]string{"case": string(header)}}
	floats := func(name string, v []float32, shape ...int) {
		f.Tensors = append(f.Tensors, safetensors.FromFloat32(name, shape, slices.Clone(v)))
	}
	features := func(prefix, name string, v []float32, shape ...int) {
		if o != nil {
			v = o.apply(name, shape, v, true)
		}
		floats(prefix+name, v, shape...)
	}
	f.Tensors = append(f.Tensors, wide("in.ids", ids, batch, tokens), wide("in.labels", labels, batch))
	floats("out.logits", train.Logits(), batch, c.NumClasses)
	floats("out.loss", []float32{loss}, 1)
	for i := range m.Blocks {
		floats(fmt.Sprintf("out.salience.%d", i), infer.Salience(i), batch, tokens)
		features("out.", fmt.Sprintf("membank.%d", i), infer.Bank(i), batch, c.EpisodicSlots, c.Dim)
		top := infer.Top(i)
		f.Tensors = append(f.Tensors, wide(fmt.Sprintf("out.topk.%d", i), top, batch, len(top)/batch))
	}
	for _, p := range m.Params.All() {
		features("w.", p.Name, p.Data(), p.Shape()...)
		if g := train.Program.Grad(p); g != nil {
			features("g.", p.Name, g, p.Shape()...)
		}
	}
	return f
}

func stored(t *testing.T, f *safetensors.File) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "golden.safetensors")
	if err := safetensors.Write(path, f); err != nil {
		t.Fatal(err)
	}
	return path
}

// Files of any width, depth, heads, vocabulary and threshold are run as their header says.
func TestFilesOfOtherShapes(t *testing.T) {
	for name, c := range shapes() {
		t.Run(name, func(t *testing.T) {
			r, err := File(stored(t, goldenLike(t, c, 2, 17)))
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range r.Results {
				if !x.OK || x.Worst > 1e-6 {
					t.Errorf("%s: largest error %.3g", x.Name, x.Worst)
				}
			}
			if len(r.Results) < 30 {
				t.Errorf("%d tensors compared", len(r.Results))
			}
		})
	}
}

// A header that says something else gives other numbers: nothing in it is ignored.
func TestHeaderDecides(t *testing.T) {
	for what, change := range map[string]func(*layers.Config){
		"heads":               func(c *layers.Config) { c.Heads = 4 },
		"k_frac":              func(c *layers.Config) { c.KFrac = 0.2 },
		"episodic_write_frac": func(c *layers.Config) { c.EpisodicWriteFrac = 0.1 },
		"sparse_threshold":    func(c *layers.Config) { c.SparseThreshold = 16 },
	} {
		c := shapes()["wide"]
		f := goldenLike(t, c, 2, 17)
		change(&c)
		header, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		f.Metadata["case"] = string(header)
		// Another number of writes changes how many positions are compared, which is an error of its own.
		if r, err := File(stored(t, f)); err == nil && r.OK() {
			t.Errorf("%s of another value gives the same numbers", what)
		}
	}
}

// What a file lacks, or says wrongly, is told by tensor or key; nothing panics.
func TestMalformedFiles(t *testing.T) {
	drop := func(name string) func(*safetensors.File) {
		return func(f *safetensors.File) {
			f.Tensors = slices.DeleteFunc(f.Tensors, func(x safetensors.Tensor) bool { return x.Name == name })
		}
	}
	swap := func(x safetensors.Tensor) func(*safetensors.File) {
		return func(f *safetensors.File) {
			drop(x.Name)(f)
			f.Tensors = append(f.Tensors, x)
		}
	}
	many := make([]int64, 34)
	many[20] = 50 // the vocabulary's size
	for name, c := range map[string]struct {
		damage func(*safetensors.File)
		want   string
	}{
		"no header": {func(f *safetensors.File) { f.Metadata = nil },
			`no configuration in the header (key "case")`},
		"a header that is no JSON": {func(f *safetensors.File) { f.Metadata["case"] = "{" },
			`the header's "case" is not valid`},
		"a width of another type": {func(f *safetensors.File) {
			f.Metadata["case"] = strings.Replace(f.Metadata["case"], `"dim":48`, `"dim":"wide"`, 1)
		}, `the header's "case" is not valid`},
		"heads that do not divide": {func(f *safetensors.File) {
			f.Metadata["case"] = strings.Replace(f.Metadata["case"], `"heads":3`, `"heads":7`, 1)
		}, "heads is 7"},
		"no ids":       {drop("in.ids"), "tensor in.ids is missing"},
		"no labels":    {drop("in.labels"), "tensor in.labels is missing"},
		"no weight":    {drop("w.head.weight"), "tensor w.head.weight is missing"},
		"no logits":    {drop("out.logits"), "tensor out.logits is missing"},
		"no positions": {drop("out.topk.0"), "tensor out.topk.0 is missing"},
		"ids in a row": {swap(safetensors.FromInt64("in.ids", []int{34}, make([]int64, 34))),
			"tensor in.ids has shape [34], want [B, T]"},
		"no ids at all": {swap(safetensors.FromInt64("in.ids", []int{0, 17}, nil)), "at least 1"},
		"an id beyond the vocabulary": {swap(safetensors.FromInt64("in.ids", []int{2, 17}, many)),
			"token id 50 at row 1, position 3"},
		"an id beyond int32": {swap(safetensors.FromInt64("in.labels", []int{2}, []int64{0, 1 << 40})), "in.labels"},
		"a label that is no class": {swap(safetensors.FromInt64("in.labels", []int{2}, []int64{0, 5})),
			"label 5 of row 1 is outside 0..4"},
		"too few labels": {swap(safetensors.FromInt64("in.labels", []int{1}, []int64{0})),
			"got 34 ids and 1 labels"},
		"a context beyond max_len": {swap(safetensors.FromInt64("in.ids", []int{1, 34}, make([]int64, 34))), "position"},
		"logits of another size": {swap(safetensors.FromFloat32("out.logits", []int{2, 4}, make([]float32, 8))),
			"tensor out.logits has 8 elements, ours has 10"},
	} {
		t.Run(name, func(t *testing.T) {
			f := goldenLike(t, shapes()["wide"], 2, 17)
			c.damage(f)
			path := stored(t, f)
			r, err := File(path)
			if r != nil || err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant …%s", err, c.want)
			}
		})
	}
}

// A value that is no number never passes.
func TestNaNIsNotWithinTolerance(t *testing.T) {
	f := goldenLike(t, shapes()["wide"], 2, 17)
	for i, x := range f.Tensors {
		if x.Name == "out.loss" {
			f.Tensors[i].Data = []byte{0, 0, 0xc0, 0x7f}
		}
	}
	if r, err := File(stored(t, f)); err != nil || r.OK() {
		t.Errorf("a NaN in the golden file: %v", err)
	}
}

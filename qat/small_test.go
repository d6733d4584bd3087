package qat

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// A model of any size of weights is packed within the bounds of what it is packed as, or refused by the weight's name:
// everything is compared, also what only rounds to half precision.
func TestPackedFilesHoldSmallAndLargeWeights(t *testing.T) {
	refused := map[string]int{}
	for _, target := range []Target{SSM, FF, Embeddings, Head} {
		for _, bits := range []int{4, 8} {
			for exponent := -10; exponent <= 4; exponent++ {
				c := fmt.Sprintf("%s in %d bits, 1e%d", target, bits, exponent)
				o := tinyOptions(target)
				o.Metadata, o.EmbeddingBits, o.HeadBits = MetadataCompact, bits, bits
				m := newModel(t, tiny())
				for _, p := range m.Params.All() {
					scaleTo(p, math.Pow(10, float64(exponent)))
				}
				original, err := m.Clone()
				if err != nil {
					t.Fatal(err)
				}
				back, err := packAndRead(m, o)
				if err != nil {
					if !strings.Contains(err.Error(), "weight ") {
						t.Errorf("%s: refused without the name of a weight: %v", c, err)
					}
					refused[fmt.Sprint(target, bits)]++
					continue
				}
				compareWeights(t, c, back, original)
			}
		}
	}
	for of, most := range map[string]int{"ssm4": 7, "ff4": 0, "embeddings4": 0, "head4": 0, "embeddings8": 5, "head8": 5} {
		if refused[of] > most {
			t.Errorf("%s: %d magnitudes of 15 refused, want at most %d", of, refused[of], most)
		}
	}
}

// scaleTo makes the largest value of p a given one.
func scaleTo(p *graph.Param, largest float64) {
	var most float64
	for _, v := range p.Data() {
		most = max(most, math.Abs(float64(v)))
	}
	for i := range p.Data() {
		if most > 0 {
			p.Data()[i] *= float32(largest / most)
		}
	}
}

func packAndRead(m *layers.Model, o Options) (*layers.Model, error) {
	q, err := Prepare(m, nil, o)
	if err != nil {
		return nil, err
	}
	f, err := q.PackedFile()
	if err != nil {
		return nil, err
	}
	return layers.FromFile(f)
}

// compareWeights holds what was packed within the bound of its form, all else within half precision, each relative to
// the largest value of the tensor.
func compareWeights(t *testing.T, name string, got, want *layers.Model) {
	t.Helper()
	bounds := map[string]float64{scheme.Int4.Name: 2.0 / 15, scheme.Int8.Name: 1.1 / 127, scheme.SEQ2.Name: 0.37}
	for _, p := range want.Params.All() {
		bound := 0x1p-9
		var values []float32
		if w, ok := packedWeights(got)[p.Name]; ok {
			bound = bounds[w.Spec().Scheme]
			values = w.Floats()
		} else {
			g, _ := got.Params.ByName(p.Name)
			values = g.Data()
		}
		var most, worst float64
		for i, v := range p.Data() {
			most, worst = max(most, math.Abs(float64(v))), max(worst, math.Abs(float64(v-values[i])))
		}
		if !(worst <= bound*most) {
			t.Errorf("%s: %s with values up to %g is off by %g", name, p.Name, most, worst)
		}
	}
}

// The variants that only round keep small weights too: each within its bound of the tensor's largest value.
func TestRoundedVariantsHoldSmallWeights(t *testing.T) {
	for name, bound := range map[string]float64{FP16: 0x1p-9, "int8_uniform": 0.51 / 127, "int4_uniform": 1.01 / 15} {
		for exponent := -10; exponent <= 4; exponent++ {
			m := newModel(t, tiny())
			for _, p := range m.Params.All() {
				scaleTo(p, math.Pow(10, float64(exponent)))
			}
			v, err := LookupVariants(name)
			if err != nil {
				t.Fatal(err)
			}
			b, err := v[0].Build(context.Background(), m, DefaultExperiment(), tasks.Seeded(1), Session{})
			if err != nil {
				if name != "int4_uniform" || exponent > -5 {
					t.Errorf("%s, 1e%d: %v", name, exponent, err)
				}
				continue
			}
			for _, p := range m.Params.All() {
				rounded, _ := b.Model.Params.ByName(p.Name)
				for i, x := range p.Data() {
					if e := math.Abs(float64(rounded.Data()[i] - x)); e > bound*math.Pow(10, float64(exponent)) {
						t.Errorf("%s, 1e%d: %s: %g became %g", name, exponent, p.Name, x, rounded.Data()[i])
						break
					}
				}
			}
		}
	}
}

// Smoothing factors multiply whole channels: one that half precision loses keeps all of them in float32.
func TestSmoothingFactorsKeepTheirChannels(t *testing.T) {
	q := prepareTiny(t, tinyOptions())
	small := q.smooth[0].Data()
	small[3] = 3e-8
	if err := q.Convert(); err != nil {
		t.Fatal(err)
	}
	if small[3] != 3e-8 {
		t.Errorf("the factor 3e-8 became %g", small[3])
	}
	for _, v := range q.smooth[1].Data() {
		if !scheme.HoldsEachHalf([]float32{v}) {
			t.Errorf("the factor %g was not rounded", v)
		}
	}
}

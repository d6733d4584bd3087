package hardware

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/layers/scheme"
	"github.com/synapnet/synapnet-train/qat"
)

// The variants of the deployment profile.
const (
	variantFP16     = "fp16"
	variantInt8     = "int8_uniform"
	variantInt4     = "int4_uniform"
	variantCAJQ     = "cajq"
	variantCAJQFull = "cajq_full"
)

func deploymentVariants() []string {
	return []string{variantFP16, variantInt8, variantInt4, variantCAJQ, variantCAJQFull}
}

// uniformGroup is the number of inputs that share a scale in int4_uniform.
const uniformGroup = 64

// writeVariant writes a variant of the model, which is not changed, to path and tells the size of the file.
func writeVariant(ctx context.Context, path string, m *layers.Model, variant string, s calibrationSettings,
	keys tasks.Keys) (bytes int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var f *safetensors.File
	switch variant {
	case variantFP16:
		f, err = m.HalfFile()
	case variantInt8, variantInt4:
		f, err = uniformFile(ctx, m, variant)
	case variantCAJQ:
		f, err = cajqFile(ctx, m, []qat.Target{qat.SSM, qat.Attention}, s, keys)
	case variantCAJQFull:
		f, err = cajqFile(ctx, m, qat.TargetsOf(m.Config), s, keys)
	default:
		err = fmt.Errorf("unknown variant %q: there are %s", variant, strings.Join(deploymentVariants(), ", "))
	}
	if err != nil {
		return 0, err
	}
	if err := safetensors.Write(path, f); err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// halved is a copy of the model whose parameters are rounded to half precision.
func halved(ctx context.Context, m *layers.Model) (*layers.Model, error) {
	v, err := qat.LookupVariants(qat.FP16)
	if err != nil {
		return nil, err
	}
	b, err := v[0].Build(ctx, m, qat.DefaultExperiment(), tasks.Seeded(0), qat.Session{}) // it draws none
	if err != nil {
		return nil, err
	}
	return b.Model, nil
}

// uniformFile is the model with every Linear packed to one number of bits and all else in half precision.
func uniformFile(ctx context.Context, m *layers.Model, variant string) (*safetensors.File, error) {
	packed := map[string]*scheme.Packed{}
	for _, w := range m.Params.Weights() {
		if w.Role != layers.Matrix {
			continue
		}
		spec := scheme.Spec{Scheme: scheme.Int8.Name, Shape: w.Shape}
		if variant == variantInt4 {
			spec.Scheme, spec.Group = scheme.Int4.Name, uniformGroup
		}
		var err error
		if packed[w.Name], err = scheme.Pack(spec, w.Param.Data(), nil); err != nil {
			return nil, fmt.Errorf("weight %s: %w", w.Name, err)
		}
	}
	h, err := halved(ctx, m)
	if err != nil {
		return nil, err
	}
	return h.PackedFile(packed)
}

// cajqFile is the model quantised without training.
func cajqFile(ctx context.Context, m *layers.Model, targets []qat.Target, s calibrationSettings, keys tasks.Keys) (
	*safetensors.File, error) {
	c, err := m.Clone()
	if err != nil {
		return nil, err
	}
	calibration, err := qat.CalibrateOnMixture(ctx, c, s.Batches, s.Batch, min(s.Context, m.Config.MaxLen),
		tasks.Draw{Keys: keys, Seed: s.Seed}.For(tasks.Deployment, 0))
	if err != nil {
		return nil, err
	}
	o := qat.DefaultOptions()
	o.Targets, o.Metadata, o.GroupSize = targets, qat.MetadataCompact, min(o.GroupSize, m.Config.Dim)
	q, err := qat.Prepare(c, calibration, o)
	if err != nil {
		return nil, err
	}
	return q.PackedFile()
}

// ruleSize is what the paper counts of a variant.
type ruleSize struct {
	bytes int
	bits  float64 // a weight
}

// publishedRule is the size of a variant by the published rule, which counts Linears, convolutions and the token
// embedding: 2 bytes a weight and bias in half precision; INT8 a byte a weight and 4 for the tensor; INT4 half a byte
// a weight, 8 a group and 2 a salient weight; 2 bits a quarter of a byte a weight and 4 a channel; biases of
// quantised layers none. Its bits are the mean of the nominal ones over weights of Linears and convolutions. There is
// none for variants of our own.
func publishedRule(variant string, m *layers.Model) (r ruleSize, ok bool) {
	if !slices.Contains(deploymentVariants()[:4], variant) {
		return r, false
	}
	weights, bits := 0, 0
	count := func(scheme string, rows, cols, bias int) {
		n := rows * cols
		b := 16
		switch scheme {
		case variantFP16:
			r.bytes += 2 * (n + bias)
		case variantInt8:
			b = 8
			r.bytes += n + 4
		case variantInt4:
			b = 4
			r.bytes += n/2 + 8*rows*((cols+uniformGroup-1)/uniformGroup)
			if variant == variantCAJQ {
				r.bytes += 2 * rows * max(1, int(math.Floor(qat.DefaultOptions().SalientFraction*float64(cols))))
			}
		case schemeTwoBit:
			b = 2
			r.bytes += n/4 + 4*rows
		}
		weights, bits = weights+n, bits+b*n
	}
	for _, w := range m.Params.Weights() {
		bias := 0
		if b, ok := m.Params.ByName(strings.TrimSuffix(w.Name, "weight") + "bias"); ok {
			bias = b.Size()
		}
		if w.Role != layers.Table {
			count(ruleScheme(variant, w), w.Shape[0], w.Size()/w.Shape[0], bias)
		}
	}
	r.bytes += 2 * m.Embedding.Tokens.Size()
	r.bits = float64(bits) / float64(weights)
	return r, true
}

// schemeTwoBit is that of CAJQ's SSM.
const schemeTwoBit = "2 bits"

// ruleScheme is how a variant stores a weight of a Linear or a convolution; uniform variants leave convolutions as
// they are.
func ruleScheme(variant string, w *layers.Weight) string {
	switch cajq := variant == variantCAJQ; {
	case cajq && strings.Contains(w.Name, ".ssm."):
		return schemeTwoBit
	case cajq && strings.Contains(w.Name, ".attn.to_"):
		return variantInt4
	case cajq || w.Role == layers.Convolution:
		return variantFP16
	}
	return variant
}

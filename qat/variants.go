package qat

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/x448/float16"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Variant is a way to quantise a pretrained model, or a control, in the multi-seed experiment (SPEC section 4).
type Variant struct {
	Name  string
	About string // one line
	// Trains says that the variant is trained: FinetuneConfig.Steps more steps than the pretrained model.
	Trains bool
	// Paper says that the published experiment has it.
	Paper bool

	round   func(m *layers.Model) error       // changes the weights themselves
	options func(o *Options, m layers.Config) // nil: no quantisers
}

// Names of the variants that others refer to.
const (
	FP16          = "fp16"
	FP16Finetuned = "fp16_finetuned"
	CAJQPTQ       = "cajq_ptq"
	CAJQQAT       = "cajq_qat"
	CAJQFull      = "cajq_full"
)

// Variants is the table of all, in the order in which they are reported.
func Variants() []Variant {
	only := func(t ...Target) func(*Options, layers.Config) {
		return func(o *Options, _ layers.Config) { o.Targets = t }
	}
	published := only(SSM, Attention)
	return []Variant{
		{Name: FP16, About: "every parameter rounded to IEEE half, computed in float32", Paper: true, round: roundHalf},
		{Name: "int8_uniform", About: "every Linear, head included: INT8, one scale a tensor", Paper: true, round: roundInt8},
		{Name: "int4_uniform", About: "every Linear, head included: INT4 in groups of 64, nearest rounding", Paper: true,
			round: roundInt4},
		{Name: CAJQPTQ, About: "CAJQ without training: 2-bit SSM, INT4 attention", Paper: true, options: published},
		{Name: CAJQQAT, About: "CAJQ, trained through its quantisers", Paper: true, Trains: true, options: published},
		{Name: FP16Finetuned,
			About:  "control: the same training steps on the same data without quantisers, rounded to IEEE half at the end",
			Trains: true},
		{Name: "cajq_qat_frozen", About: "CAJQ as in the reference: INT4 integers frozen, only their salient columns train",
			Trains: true, options: func(o *Options, m layers.Config) {
				published(o, m)
				o.Int4Mode = Int4Frozen
			}},
		{Name: "cajq_qat_paper",
			About: "the reference's method in full: 7-level SSM quantiser (not 2 bits), INT4 integers frozen", Trains: true,
			options: func(o *Options, m layers.Config) {
				published(o, m)
				o.Int4Mode, o.SSMQuantiser = Int4Frozen, Paper7
			}},
		{Name: "cajq_ssm_only", About: "ablation: only the SSM in 2 bits, trained", Trains: true, options: only(SSM)},
		{Name: "cajq_attention_only", About: "ablation: only attention in INT4, trained", Trains: true,
			options: only(Attention)},
		{Name: "cajq_memory_only", About: "ablation: only memory entries in INT8, trained", Trains: true,
			options: only(Memory)},
		{Name: CAJQFull, About: "every target, whole-model compression, trained", Trains: true,
			options: func(o *Options, m layers.Config) { o.Targets = TargetsOf(m) }},
	}
}

// Packs says whether some of its weights are held in packed bytes: those that its quantisers simulate.
func (v Variant) Packs() bool {
	var o Options
	if v.options != nil {
		v.options(&o, layers.Reference())
	}
	return slices.ContainsFunc(o.Targets, func(t Target) bool { return t != Memory })
}

// VariantNames lists the names of Variants.
func VariantNames() []string {
	var names []string
	for _, v := range Variants() {
		names = append(names, v.Name)
	}
	return names
}

// LookupVariants finds variants by name. A name that is unknown or given twice is an error.
func LookupVariants(names ...string) ([]Variant, error) {
	if err := bounds.Names("variants", VariantNames(), names...); err != nil {
		return nil, err
	}
	all := Variants()
	var found []Variant
	for _, n := range names {
		found = append(found, all[slices.IndexFunc(all, func(v Variant) bool { return v.Name == n })])
	}
	return found, nil
}

// Experiment is what all variants share.
type Experiment struct {
	Options            Options        `json:"options" toml:"options"` // Targets and the rest as the variant has them
	Finetune           FinetuneConfig `json:"finetune" toml:"finetune"`
	CalibrationBatches int            `json:"calibration_batches" toml:"calibration_batches"`
	CalibrationBatch   int            `json:"calibration_batch" toml:"calibration_batch"`     // samples
	CalibrationContext int            `json:"calibration_context" toml:"calibration_context"` // tokens
}

// DefaultExperiment is the multi-seed experiment's (SPEC section 4).
func DefaultExperiment() Experiment {
	return Experiment{
		Options: DefaultOptions(), Finetune: DefaultFinetune(), CalibrationBatches: 8, CalibrationBatch: 4,
		CalibrationContext: 512,
	}
}

// Check says whether the variant can be made of a model of configuration m with these settings: it names the first that
// cannot work, its value and what is allowed. Targets of one's own are refused: nothing would read them.
func (v Variant) Check(e Experiment, m layers.Config) error {
	if given := e.Options.Targets; !slices.Equal(given, DefaultOptions().Targets) {
		return bounds.Wrong("options.targets", given, "every variant has targets of its own: leave it out")
	}
	v.apply(&e, m)
	return v.validate(e, m)
}

// apply sets the variant's own options.
func (v Variant) apply(e *Experiment, m layers.Config) {
	if v.options != nil {
		v.options(&e.Options, m)
	}
}

// validate checks the settings that the variant reads.
func (v Variant) validate(e Experiment, m layers.Config) error {
	if v.options != nil {
		if err := m.Architecture.CheckSynapNet(); err != nil {
			return err
		}
	}
	if v.Trains {
		if err := bounds.In("finetune", e.Finetune.Validate(m)); err != nil {
			return err
		}
	}
	if v.options == nil {
		return nil
	}
	if err := cmp.Or(
		bounds.Check("calibration_batches", e.CalibrationBatches, 1, 1<<20),
		bounds.Check("calibration_batch", e.CalibrationBatch, 1, 1<<16),
		checkMixture("calibration_context", e.CalibrationContext, m, nil),
	); err != nil {
		return err
	}
	return bounds.In("options", e.Options.Validate(m))
}

// Built is a variant made from a pretrained model.
type Built struct {
	Model       *layers.Model // ready to be evaluated
	Quantised   *Quantised    // nil for variants without quantisers
	Calibration *Calibration  // nil for variants that need none
	Training    Training      // zero for variants that are not trained
}

// Build makes the variant from a copy of the pretrained model, which is not changed, with calibration
// and training data of the draw's seed. The session is that of the training. When ctx ends it returns an error that
// wraps train.ErrInterrupted.
func (v Variant) Build(ctx context.Context, base *layers.Model, e Experiment, draw tasks.Draw,
	s Session) (*Built, error) {
	built, err := v.build(ctx, base, e, draw, s)
	if err != nil {
		return built, fmt.Errorf("variant %s: %w", v.Name, err)
	}
	return built, nil
}

func (v Variant) build(ctx context.Context, base *layers.Model, e Experiment, draw tasks.Draw,
	s Session) (*Built, error) {
	if prepared(base) {
		return nil, fmt.Errorf("the base model is quantised already: give a floating-point checkpoint")
	}
	v.apply(&e, base.Config)
	if err := v.validate(e, base.Config); err != nil {
		return nil, err
	}
	if err := finite(base); err != nil {
		return nil, err
	}
	m, err := base.Clone()
	if err != nil {
		return nil, err
	}
	b := &Built{Model: m}
	if v.options != nil {
		if err := b.quantise(ctx, e, draw); err != nil {
			return nil, err
		}
	}
	if v.Trains {
		if b.Training, err = Finetune(ctx, m, b.Quantised, e.Finetune, draw, s); err != nil {
			return b, err
		}
	}
	switch {
	case v.round != nil:
		return b, v.round(m)
	case b.Quantised == nil:
		return b, roundHalf(m)
	}
	return b, nil
}

// quantise calibrates and prepares the model.
func (b *Built) quantise(ctx context.Context, e Experiment, draw tasks.Draw) error {
	var err error
	if b.Calibration, err = CalibrateOnMixture(ctx, b.Model, e.CalibrationBatches, e.CalibrationBatch,
		e.CalibrationContext, draw.For(tasks.Calibration, 0)); err != nil {
		return err
	}
	b.Quantised, err = Prepare(b.Model, b.Calibration, e.Options)
	return err
}

// roundHalf rounds every parameter to IEEE half precision. A tensor all of whose values are too small for it
// (scheme.HoldsHalf) stays in float32; a value beyond half precision is an error.
func roundHalf(m *layers.Model) error {
	for _, p := range m.Params.All() {
		for i, x := range p.Data() {
			if float16.Fromfloat32(x).IsInf(0) {
				return fmt.Errorf("weight %s has the value %v at %d: it must be at most 65504 to be held in half precision", p.Name,
					x, i)
			}
		}
		halve(p.Data(), scheme.HoldsHalf)
	}
	return nil
}

// roundInt8 rounds the weight of every Linear to INT8 with scale = max|w|/127 of the whole tensor, in float32. The
// reference's least scale, 1e-8, is left out: under it smaller weights would vanish.
func roundInt8(m *layers.Model) error {
	for _, l := range linears(m) {
		w := l.Param.Data()
		var largest float32
		for _, x := range w {
			largest = max(largest, x, -x)
		}
		scale := largest / 127
		if scale == 0 { // zeros, or next to it
			clear(w)
			continue
		}
		for i, x := range w {
			q := min(max(math.RoundToEven(float64(x/scale)), -127), 127)
			w[i] = float32(q) * scale
		}
	}
	return nil
}

// uniformGroup is the group size of int4_uniform.
const uniformGroup = 64

// roundInt4 rounds the weight of every Linear to INT4 in groups of 64 inputs. A row that is shorter is one group.
func roundInt4(m *layers.Model) error { return roundLinears(linears(m), uniformGroup) }

// baselineGroup is the group size of RoundBaseline.
const baselineGroup = 128

// RoundBaseline rounds a baseline as the reference quantises its own (SPEC section 7, Baselines): the weight of every
// Linear to INT4 in groups of 128 inputs, nearest rounding, without calibration; that of the head too, but for Llama.
// Recurrent weights, embeddings, normalisations and biases stay as they are. The reference calls this uniform INT4 for
// its Mamba-2 proxy and AWQ INT4 for its Llama proxy, and does it for these two only.
func RoundBaseline(m *layers.Model) error {
	if m.Config.Architecture == layers.SynapNet {
		return fmt.Errorf("the model is of architecture %s: the baselines' INT4 is for the others; quantise it with a "+
			"variant", layers.SynapNet)
	}
	if m.Packed() {
		return layers.ErrPacked
	}
	rounded := linears(m)
	if m.Config.Architecture == layers.Llama {
		rounded = slices.DeleteFunc(rounded, func(w *layers.Weight) bool { return w == m.Head.Out.W })
	}
	return roundLinears(rounded, baselineGroup)
}

// linears lists the weights of all Linear layers.
func linears(m *layers.Model) []*layers.Weight {
	other := func(w *layers.Weight) bool { return w.Role != layers.Matrix }
	return slices.DeleteFunc(slices.Clone(m.Params.Weights()), other)
}

// roundLinears rounds weights to INT4 in groups of inputs.
func roundLinears(weights []*layers.Weight, group int) error {
	for _, w := range weights {
		if err := reaches(w, scheme.Int4Float32, "leave it in floating point"); err != nil {
			return err
		}
		q, err := scheme.QuantizeInt4(w.Param.Data(), w.Shape[1], group)
		if err != nil {
			return fmt.Errorf("weight %s: %w", w.Name, err)
		}
		copy(w.Param.Data(), q.Dequantize())
	}
	return nil
}

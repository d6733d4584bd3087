package cajq

import (
	"slices"
	"time"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/qat"
)

// QATExperiment compares CAJQ with uniform quantisation over seeds.
func QATExperiment() lab.Experiment {
	return experimentOf(lab.Experiment{
		Name: "cajq-qat", Title: "CAJQ against uniform quantisation, over seeds",
		Source: "Section 3.2, exp_cajq_qat_multiseed.json",
		Covers: []string{"Quickstart: train with CAJQ", "Component-Aware Joint Quantization: accuracy (NIAH-single, 3 seeds)",
			"Ablations: quantization strategy"},
		Estimate: lab.Durations{lab.Quick: 40 * time.Second, lab.Full: 65 * time.Minute},
		Says: "The published comparison gives only CAJQ-QAT 200 more training steps; fp16_finetuned is the control with " +
			"the same steps and no quantiser, and what it gains " +
			"is not the quantiser's merit. CAJQ has 4 levels in its 2 bits here, 7 in the reference; strict runs it from the " +
			"packed file. Three seeds share one pretrained model, so the spread over them is that of samples and of the " +
			"further training, and says little of what another pretraining would give: variants compare on the same model, " +
			"ours and the published do not. " + measure.BeyondTraining,
	}, DefaultVariants())
}

// DefaultVariants are the published ones and their control.
func DefaultVariants() []string {
	var names []string
	for _, v := range qat.Variants() {
		if v.Paper || v.Name == qat.FP16Finetuned {
			names = append(names, v.Name)
		}
	}
	return names
}

// AblationExperiment quantises one kind of component at a time.
func AblationExperiment() lab.Experiment {
	return experimentOf(lab.Experiment{
		Name: "cajq-ablation", Title: "CAJQ by component, and what it saves",
		Source: "Contribution 1 of the public README: compression, component table",
		Covers: []string{
			"Component-Aware Joint Quantization: SSM layers, 2-bit",
			"Component-Aware Joint Quantization: sparse attention, INT4",
			"Component-Aware Joint Quantization: episodic memory, INT8", "Component-Aware Joint Quantization: compression",
		},
		Estimate: lab.Durations{lab.Quick: 40 * time.Second, lab.Full: 80 * time.Minute},
		Says: "Each component alone in its own precision, then everything together. Bits and compression are of packed " +
			"files, metadata and salient columns included; " +
			"whole-model compression holds every parameter against the same in FP16. Accuracies are those before packing, " +
			"whose rounding of scales moves them a little, see cajq-qat. Memory entries are activations: quantising them " +
			"saves no weights. " +
			"All were trained for the same 200 steps, so the control that they are to be held against is fp16_finetuned in " +
			"cajq-qat.",
	}, []string{"cajq_ssm_only", "cajq_attention_only", "cajq_memory_only", qat.CAJQFull})
}

// ExperimentOf is the one whose settings these are, in a profile, or that of settings of a command line.
func ExperimentOf(s Settings) lab.Experiment {
	if e := AblationExperiment(); e.ProfileOf(s) != lab.Custom {
		return e
	}
	return QATExperiment()
}

// experimentOf registers the comparison with the given variants.
func experimentOf(e lab.Experiment, variants []string) lab.Experiment {
	e.Folder, e.Needs = "cajq", []string{"pretrain"}
	e.Convert, e.Apart = convert, "move it away or give another --output"
	// version 1 evaluated nothing from packed bytes, version 2 did not say where each variant was made
	e.Version, e.Carries = 3, 1
	for _, metric := range measure.Metrics() {
		e.Views = append(e.Views, lab.View{
			Title: "Accuracy, " + metric, Metric: metric, Rows: []string{result.VariantLabel}, Column: result.ContextLabel,
			Figure: &lab.Figure{Kind: "line", X: result.ContextLabel, Series: result.VariantLabel, LogX: true},
		})
	}
	if slices.Contains(variants, qat.FP16) {
		e.Views = append(e.Views, lab.View{Title: "Difference to another variant, seed by seed on the same samples",
			Metric: "difference",
			Rows:   []string{result.TaskLabel, result.VariantLabel, result.AgainstLabel}, Column: result.ContextLabel})
	}
	e.Views = append(e.Views, lab.View{Title: "Size of the packed file", Rows: []string{result.VariantLabel, "of"}})
	full := Settings{Default(), variants}
	quick := full
	quick.Seeds, quick.Contexts, quick.Samples = []uint64{42, 43}, []int{128, 256}, 12
	quick.Experiment.CalibrationBatches, quick.Experiment.CalibrationContext = 2, 128
	quick.Experiment.Finetune.Steps, quick.Experiment.Finetune.Context = 20, 128
	return lab.Define(e, full, quick, run)
}

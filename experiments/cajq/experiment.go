package cajq

import (
	"embed"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/qat"
)

// descriptions are the experiments' descriptions.
//
//go:embed *.toml
var descriptions embed.FS

// QATExperiment compares CAJQ with uniform quantisation over seeds.
func QATExperiment() lab.Experiment { return described("cajq-qat", DefaultVariants()) }

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
func AblationExperiment() lab.Experiment { return described("cajq-ablation", nil) }

// ExperimentOf is the one whose settings these are, in a profile, or that of settings of a command line.
func ExperimentOf(s Settings) lab.Experiment {
	if e := AblationExperiment(); e.ProfileOf(s) != lab.Custom {
		return e
	}
	return QATExperiment()
}

// described is the comparison of that name, of the given variants unless its description names others.
func described(name string, variants []string) lab.Experiment {
	e := lab.Describe(descriptions, name, Settings{Config{Experiment: qat.DefaultExperiment()}, variants}, run)
	e.Convert = convert
	return e
}

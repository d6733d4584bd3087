package hardware

import (
	"context"
	"embed"
	"fmt"
	"path/filepath"
	"runtime/debug"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
)

// descriptions are the experiments' descriptions.
//
//go:embed *.toml
var descriptions embed.FS

// deploymentSettings are those of the deployment profile.
type deploymentSettings struct {
	Contexts    []int               `json:"contexts"` // tokens; of each model those that it has positions for
	Tiers       []deploymentTier    `json:"tiers"`
	Variants    []string            `json:"variants"`
	Random      []layers.Config     `json:"random_models"` // measured with random weights beside the pretrained model
	Calibration calibrationSettings `json:"calibration"`   // of CAJQ
	Warmups     int                 `json:"warmups"`       // passes
	Seed        uint64              `json:"seed"`          // of the tokens and the random weights

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// calibrationSettings are those of the published deployment.
type calibrationSettings struct {
	Batches int    `json:"batches"`
	Batch   int    `json:"batch"`   // samples
	Context int    `json:"context"` // tokens
	Seed    uint64 `json:"seed"`
}

// deploymentTier is a way to run a model on a computer.
type deploymentTier struct {
	Name       string `json:"name"`
	MaxContext int    `json:"max_context"`
	Timed      int    `json:"timed"` // passes
}

// The tiers. Others than the first two are measured where there are any.
const (
	tierMulti  = "cpu_multi"     // all cores
	tierSingle = "cpu_single"    // deployed core: the published stand-in for a Raspberry Pi 5
	tierApple  = "apple_silicon" // the performance cores of Apple silicon
)

// threads are those of the tier on this computer; 0: it has no such tier.
func (t deploymentTier) threads() int {
	switch t.Name {
	case tierMulti:
		return measure.AllThreads()
	case tierSingle:
		return 1
	case tierApple:
		return host.ApplePerformanceCores()
	}
	return 0
}

// tierLabel is the label of the computer of a deployment profile.
const tierLabel = "tier"

// deploymentName is that of the experiment.
const deploymentName = "deployment"

// DeploymentExperiment measures the forms of a model on tiers of computers.
func DeploymentExperiment() lab.Experiment {
	return lab.Describe(descriptions, deploymentName, deploymentSettings{Variants: deploymentVariants()}, runDeployment)
}

// deploymentCell is one measurement.
type deploymentCell struct {
	Probe     measure.ProbeResult `json:"probe"`
	FileBytes int64               `json:"file_bytes"`
}

// deployment is the experiment under way.
type deployment struct {
	deploymentSettings
	models []*deployedModel
	done   *lab.Cells[deploymentCell]
	dir    string // of the files of variants
}

// deployedModel is one that is profiled.
type deployedModel struct {
	*layers.Model
	name     string
	contexts []int
}

// deploymentCase is one cell.
type deploymentCase struct {
	model   *deployedModel
	variant string
	tier    deploymentTier
	context int
}

func (k deploymentCase) name() string {
	return fmt.Sprintf("%s %s %s %d", k.model.name, k.variant, k.tier.Name, k.context)
}

// runDeployment makes one variant's file at a time and runs it in processes of its own.
func runDeployment(ctx context.Context, j *lab.Job, s deploymentSettings) (o *lab.Outcome, err error) {
	d := &deployment{deploymentSettings: s}
	if err := d.load(j.Model()); err != nil {
		return nil, err
	}
	if d.done, err = lab.NewCells[deploymentCell](j, len(d.cases())); err != nil {
		return nil, err
	}
	d.done.Outcome = d.outcome
	if d.dir, err = j.Work(); err != nil {
		return nil, err
	}
	for _, m := range d.models {
		for _, variant := range s.Variants {
			if err := d.run(ctx, j, m, variant); err != nil {
				return nil, err
			}
		}
	}
	return d.done.Finish()
}

// load reads the pretrained model and makes the random ones.
func (d *deployment) load(path string) error {
	base, err := measure.LoadBase(path)
	if err != nil {
		return err
	}
	all := []*layers.Model{base}
	for _, c := range d.Random {
		m, err := layers.NewModel(c, d.Seed)
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	for i, m := range all {
		deployed := &deployedModel{Model: m, name: modelName(m.Config)}
		if i > 0 {
			deployed.name += randomSuffix
		}
		deployed.contexts = measure.FittingContexts(d.Contexts, m.Config)
		d.models = append(d.models, deployed)
	}
	return nil
}

// modelName is its number of parameters.
func modelName(c layers.Config) string {
	if n := float64(c.Parameters()); n < 1e6 {
		return fmt.Sprintf("%.1fk", n/1e3)
	}
	return fmt.Sprintf("%.1fM", float64(c.Parameters())/1e6)
}

// randomSuffix marks a model whose weights are random.
const randomSuffix = " random"

// cases lists them in the order of reports.
func (d *deployment) cases() (all []deploymentCase) {
	for _, m := range d.models {
		for _, v := range d.Variants {
			all = append(all, d.of(m, v)...)
		}
	}
	return all
}

// of lists the cases of a variant.
func (d *deployment) of(m *deployedModel, variant string) (all []deploymentCase) {
	for _, t := range d.Tiers {
		for _, c := range m.contexts {
			if t.threads() > 0 && c <= t.MaxContext {
				all = append(all, deploymentCase{m, variant, t, c})
			}
		}
	}
	return all
}

// run measures what is missing of a variant.
func (d *deployment) run(ctx context.Context, j *lab.Job, m *deployedModel, variant string) error {
	path := filepath.Join(d.dir, "model.safetensors")
	written := false
	var size int64
	for _, k := range d.of(m, variant) {
		_, err := d.done.Do(ctx, k.name(), func() (cell deploymentCell, err error) {
			if !written {
				j.Line("%s %s: making the file", m.name, variant)
				if size, err = writeVariant(ctx, path, m.Model, variant, d.Calibration, d.SampleKeys); err != nil {
					return cell, fmt.Errorf("%s %s: %w", m.name, variant, err)
				}
				written = true
				debug.FreeOSMemory() // the measurements' processes may need it
			}
			p := measure.Probe{Model: path, Context: k.context, Threads: k.tier.threads(), Warmups: d.Warmups,
				Timed: k.tier.Timed, Seed: d.Seed}
			cell.FileBytes = size
			if cell.Probe, err = p.Start(ctx); err == nil {
				j.Line("%s: %.1f ms", k.name(), 1e3*result.Median(cell.Probe.Seconds))
			}
			return cell, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// outcome is that of the cells that are done.
func (d *deployment) outcome() (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: []uint64{d.Seed}, Unpublished: !d.models[0].Config.Equal(layers.Reference())}
	for _, m := range d.models {
		for _, v := range d.Variants {
			sized := false
			for _, k := range d.of(m, v) {
				cell, ok := d.done.Done[k.name()]
				if !ok {
					continue
				}
				if !sized {
					o.Measurements = append(o.Measurements, m.sizes(v, cell)...)
					sized = true
				}
				o.Measurements = append(o.Measurements, k.measurements(cell.Probe)...)
			}
		}
	}
	return o, nil
}

// measurements are the times and the memory of a cell.
func (k deploymentCase) measurements(p measure.ProbeResult) []result.Measurement {
	l := result.Labels{result.ModelLabel: k.model.name, result.VariantLabel: k.variant, tierLabel: k.tier.Name,
		result.ContextLabel: result.ContextOf(k.context)}
	var latency, rate []float64
	for _, s := range p.Seconds {
		latency, rate = append(latency, 1e3*s), append(rate, float64(k.context)/s)
	}
	all := []result.Measurement{result.MedianOf(l, result.Strict, "latency", "ms", latency),
		result.MedianOf(l, result.Strict, "tokens_per_second", "tokens/s", rate)}
	if p.RSS > 0 {
		all = append(all, result.ExactOf(l, result.Strict, "rss", "bytes", float64(p.RSS)))
	}
	return all
}

// sizes are those of a variant.
func (m *deployedModel) sizes(variant string, cell deploymentCell) []result.Measurement {
	l := result.Labels{result.ModelLabel: m.name, result.VariantLabel: variant}
	all := []result.Measurement{
		result.ExactOf(l, result.Strict, "storage_bytes", "bytes", float64(cell.FileBytes)),
		result.ExactOf(l, result.Strict, "weight_bytes", "bytes", float64(cell.Probe.WeightBytes)),
		result.ExactOf(l, result.Strict, "effective_bits", "bits", 8*float64(cell.FileBytes)/float64(m.Config.Parameters())),
	}
	if rule, ok := publishedRule(variant, m.Model); ok {
		all = append(all, result.ExactOf(l, result.Paper, "storage_bytes", "bytes", float64(rule.bytes)),
			result.ExactOf(l, result.Paper, "effective_bits", "bits", rule.bits))
	}
	return all
}

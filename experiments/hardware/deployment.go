package hardware

import (
	"context"
	"embed"
	"fmt"
	"os"
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
	Rest        float64             `json:"rest"`          // seconds before each pass
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
	Timed      int    `json:"timed"` // passes of each variant
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

// deploymentCell are the variants of a model on a tier at a context, which were timed in turns.
type deploymentCell map[string]deployedVariant

// deployedVariant is one of them.
type deployedVariant struct {
	Probe     measure.ProbeResult `json:"probe"`
	FileBytes int64               `json:"file_bytes"`
}

// deployment is the experiment under way.
type deployment struct {
	deploymentSettings
	models []*deployedModel
	done   *lab.Cells[deploymentCell]
	job    *lab.Job
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
	tier    deploymentTier
	context int
}

func (k deploymentCase) name() string {
	return fmt.Sprintf("%s %s %d", k.model.name, k.tier.Name, k.context)
}

// runDeployment makes the files of a model's variants and times them in turns, each in a process of its own.
func runDeployment(ctx context.Context, j *lab.Job, s deploymentSettings) (o *lab.Outcome, err error) {
	d := &deployment{deploymentSettings: s, job: j}
	if err := d.load(j.Model()); err != nil {
		return nil, err
	}
	total := 0
	for _, m := range d.models {
		total += len(d.of(m))
	}
	if d.done, err = lab.NewCells[deploymentCell](j, total); err != nil {
		return nil, err
	}
	d.done.Outcome = d.outcome
	if d.dir, err = j.Work(); err != nil {
		return nil, err
	}
	for _, m := range d.models {
		if err := d.run(ctx, m); err != nil {
			return nil, err
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

// of lists the cases of a model in the order of reports.
func (d *deployment) of(m *deployedModel) (all []deploymentCase) {
	for _, t := range d.Tiers {
		for _, c := range m.contexts {
			if t.threads() > 0 && c <= t.MaxContext {
				all = append(all, deploymentCase{m, t, c})
			}
		}
	}
	return all
}

// variantFile is a variant as it is deployed.
type variantFile struct {
	path  string
	bytes int64
}

// run measures what is missing of a model.
func (d *deployment) run(ctx context.Context, m *deployedModel) error {
	var all map[string]variantFile // made when the first cell wants them
	defer func() {
		for _, f := range all {
			_ = os.Remove(f.path) // goes with its folder at the end
		}
	}()
	for _, k := range d.of(m) {
		_, err := d.done.Do(ctx, k.name(), func() (deploymentCell, error) {
			if all == nil {
				var err error
				if all, err = d.write(ctx, m); err != nil {
					return nil, err
				}
			}
			return d.measure(ctx, k, all)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write makes the files of a model's variants.
func (d *deployment) write(ctx context.Context, m *deployedModel) (map[string]variantFile, error) {
	all := map[string]variantFile{}
	for i, v := range d.Variants {
		d.job.Line("%s %s: making the file", m.name, v)
		f := variantFile{path: filepath.Join(d.dir, fmt.Sprintf("%d.safetensors", i))}
		var err error
		if f.bytes, err = writeVariant(ctx, f.path, m.Model, v, d.Calibration, d.SampleKeys); err != nil {
			return nil, fmt.Errorf("%s %s: %w", m.name, v, err)
		}
		all[v] = f
	}
	debug.FreeOSMemory() // the measurements' processes may need it
	return all, nil
}

// measure has all variants take turns.
func (d *deployment) measure(ctx context.Context, k deploymentCase, all map[string]variantFile) (
	deploymentCell, error) {
	var sessions []*measure.Session
	defer func() {
		for _, s := range sessions {
			s.Kill()
		}
	}()
	for _, v := range d.Variants {
		p := measure.Probe{Model: all[v].path, Context: k.context, Threads: k.tier.threads(), Warmups: d.Warmups,
			Seed: d.Seed}
		s, err := p.Open(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", k.name(), v, err)
		}
		sessions = append(sessions, s)
	}
	if _, err := measure.TakeTurns(ctx, sessions, k.tier.Timed, d.Rest); err != nil {
		return nil, fmt.Errorf("%s: %w", k.name(), err)
	}
	cell := deploymentCell{}
	for i, v := range d.Variants {
		measured := deployedVariant{FileBytes: all[v].bytes}
		if err := sessions[i].End(&measured.Probe); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", k.name(), v, err)
		}
		cell[v] = measured
		d.job.Line("%s: %s: %.1f ms", k.name(), v, 1e3*result.Median(measured.Probe.Seconds))
	}
	return cell, nil
}

// outcome is that of the cells that are done.
func (d *deployment) outcome() (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: []uint64{d.Seed}, Unpublished: !d.models[0].Config.Equal(layers.Reference())}
	for _, m := range d.models {
		for _, v := range d.Variants {
			sized := false
			for _, k := range d.of(m) {
				cell, ok := d.done.Done[k.name()]
				if !ok {
					continue
				}
				if !sized {
					o.Measurements = append(o.Measurements, m.sizes(v, cell[v])...)
					sized = true
				}
				o.Measurements = append(o.Measurements, k.measurements(v, cell[v].Probe, cell[d.Variants[0]].Probe)...)
			}
		}
	}
	return o, nil
}

// measurements are the times and the memory of a variant, and its times against those of the first one.
func (k deploymentCase) measurements(variant string, p, first measure.ProbeResult) []result.Measurement {
	l := result.Labels{result.ModelLabel: k.model.name, result.VariantLabel: variant, tierLabel: k.tier.Name,
		result.ContextLabel: result.ContextOf(k.context)}
	var latency, rate, ratio []float64
	for i, s := range p.Seconds {
		latency, rate = append(latency, 1e3*s), append(rate, float64(k.context)/s)
		ratio = append(ratio, s/first.Seconds[i])
	}
	all := []result.Measurement{result.MedianOf(l, result.Strict, "latency", "ms", latency),
		result.MedianOf(l, result.Strict, "latency_ratio", "1", ratio),
		result.MedianOf(l, result.Strict, "tokens_per_second", "tokens/s", rate)}
	if p.RSS > 0 {
		all = append(all, result.ExactOf(l, result.Strict, "rss", "bytes", float64(p.RSS)))
	}
	return all
}

// sizes are those of a variant.
func (m *deployedModel) sizes(variant string, cell deployedVariant) []result.Measurement {
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

package cajq

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
	"github.com/synapnet/synapnet-train/results/published"
)

// Config is the multi-seed quantisation experiment (SPEC section 4): every variant of the base model, made and
// evaluated once for each seed.
type Config struct {
	Seeds      []uint64       `json:"seeds" toml:"seeds"`
	Contexts   []int          `json:"contexts" toml:"contexts"`
	Samples    int            `json:"samples" toml:"samples"` // of each single task; the mixture has about twice as many
	Experiment qat.Experiment `json:"experiment" toml:"experiment"`
	// SampleKeys is the version of the keys of samples' streams; 0 is 1, as of results from before there were versions.
	SampleKeys tasks.Keys `json:"sample_keys,omitempty" toml:"sample_keys"`
}

// Default is the published protocol.
func Default() Config {
	return Config{
		Seeds: []uint64{42, 43, 44}, Contexts: []int{1024, 2048, 4096}, Samples: 48, Experiment: qat.DefaultExperiment(),
		SampleKeys: tasks.CurrentKeys,
	}
}

// Run is one variant with one seed.
type Run struct {
	Variant  string                                    `json:"variant"`
	Seed     uint64                                    `json:"seed"`
	Accuracy map[string]map[string]curriculum.Accuracy `json:"accuracy"` // by context, then metric
	// Packed is the accuracy of the same run from its packed bytes, of the variants that fromBytes names.
	Packed      map[string]map[string]curriculum.Accuracy `json:"packed,omitempty"`
	Steps       []qat.Step                                `json:"steps,omitempty"` // of a long training a part
	Environment result.Environment                        `json:"environment"`
	Cost        result.Cost                               `json:"cost"`
	// Kernels are those of the training's steps, where they changed on the way.
	Kernels graph.KernelHistory `json:"kernels,omitempty"`
}

// fromBytes says whether a variant is evaluated from its packed bytes, too: those that the paper's claims are about.
func fromBytes(variant string) bool { return variant == qat.CAJQPTQ || variant == qat.CAJQQAT }

// Summary is a variant over all seeds at one context and metric.
type Summary struct {
	Variant string  `json:"variant"`
	Context int     `json:"context"`
	Metric  string  `json:"metric"`
	Seeds   int     `json:"seeds"`
	Mean    float64 `json:"mean"`
	Std     float64 `json:"std"` // over seeds, n-1; 0 with one seed
	// Pooled is the accuracy over the samples of all seeds, with its 95% Wilson interval.
	Pooled curriculum.Accuracy `json:"pooled"`
	// Published is the paper's mean, Std its standard deviation; nil where it has none.
	Published *result.MeanStd `json:"published,omitempty"`
}

// Result is what the experiment keeps as the details of its result, which it writes anew after every run of a variant.
type Result struct {
	Experiment string        `json:"experiment"`
	Config     Config        `json:"config"`
	Model      layers.Config `json:"model"`
	Base       string        `json:"base"`        // file name of the pretrained model
	BaseSHA256 string        `json:"base_sha256"` // of its weights
	Protocol   string        `json:"protocol"`
	Runs       []Run         `json:"runs"`
	Summary    []Summary     `json:"summary"`
	// Sizes are those of the packed files of the variants that have quantised weights.
	Sizes []result.Measurement `json:"sizes,omitempty"`
}

// Comparison is the experiment under way.
type Comparison struct {
	Config      Config
	Variants    []qat.Variant
	Base        *layers.Model
	Output      string // the result's file
	Environment result.Environment
	Report      Hooks
	// Note, if any, is a line for users about what an earlier call began with.
	Note string

	result   Result
	settings cajqSettings
	job      *lab.Job
	file     *lab.ResultFile
}

// cajqSettings are those of a registered experiment.
type cajqSettings struct {
	Config
	Variants []string `json:"variants"`
}

// Hooks receives news. Any function may be nil.
type Hooks struct {
	Begin    func(variant string, seed uint64, run, runs int)
	Step     func(s qat.Step, steps int)
	Accuracy func(context int, packed bool, accuracy map[string]curriculum.Accuracy) // packed: from the packed bytes
	Skipped  func(variant string, seed uint64)                                       // done by an earlier call
	Warn     func(line string)                                                       // what a run that continues does not have as it was
}

// warn tells a line, if there is one.
func (e *Comparison) warn(line string) {
	if e.Report.Warn != nil && line != "" {
		e.Report.Warn(line)
	}
}

// cajqProtocol says how the numbers were got.
const cajqProtocol = "paper: variants, seeds, data sizes and training of the published experiment, with 4 levels in CAJQ's 2 bits in place of 7 " +
	"and on evaluation data that the base model was not trained on; strict: cajq_ptq and cajq_qat from their packed bytes, and variants that the paper does not have, before packing: " +
	"fp16_finetuned, the same extra steps without quantisers, is the control for cajq_qat. Sizes are those of packed files. " +
	"Intervals are Wilson's, over the samples of all seeds"

// New prepares the experiment on the pretrained model at basePath. What the output file holds already is kept if it was
// made with the same settings, and refused otherwise.
func New(c Config, variants []qat.Variant, basePath, output string, env result.Environment) (*Comparison, error) {
	e, err := newComparison(c, variants, basePath, output, env)
	if err != nil {
		return nil, err
	}
	old, err := e.read()
	if err != nil {
		return nil, err
	}
	if len(old.Runs) > 0 { // it continues with the keys that it began with
		e.useKeys(old.Config.SampleKeys)
	}
	e.settings = union(e.settings, old)
	x := QATExperiment()
	if ablation := AblationExperiment(); ablation.ProfileOf(e.settings) != lab.Custom {
		x = ablation
	}
	if e.job, e.file, err = lab.Standalone(x, e.settings, lab.ModelInputs(basePath), output, env); err != nil {
		return nil, err
	}
	e.Note = lab.JoinNotes(e.Note, e.file.Note)
	return e, e.load()
}

func newComparison(c Config, variants []qat.Variant, basePath, output string, env result.Environment) (*Comparison, error) {
	base, err := measure.LoadBase(basePath)
	if err != nil {
		return nil, err
	}
	if err := c.validate(variants, base.Config); err != nil {
		return nil, err
	}
	e := &Comparison{Config: c, Variants: variants, Base: base, Output: output, Environment: env, settings: cajqSettings{Config: c}}
	for _, v := range variants {
		e.settings.Variants = append(e.settings.Variants, v.Name)
	}
	e.result = Result{
		Experiment: "cajq-qat", Config: c, Model: base.Config, Base: filepath.Base(basePath), BaseSHA256: base.WeightsSHA256(), Protocol: cajqProtocol,
	}
	return e, nil
}

// useKeys sets the version of the keys of samples.
func (e *Comparison) useKeys(k tasks.Keys) {
	e.Note = lab.KeysNote(e.Output, e.Config.SampleKeys, k)
	e.Config.SampleKeys, e.settings.SampleKeys, e.result.Config.SampleKeys = k, k, k
}

// read is what the output file holds of an earlier call, nothing if there is no file.
func (e *Comparison) read() (Result, error) {
	var old Result
	r, err := result.Read(e.Output)
	if errors.Is(err, fs.ErrNotExist) {
		return old, nil
	}
	if err == nil {
		if json.Unmarshal(r.Details, &old) != nil || old.BaseSHA256 == "" {
			err = fmt.Errorf("%s holds results of %s: move it away or give another --output", e.Output, r.Experiment)
		}
	}
	return old, err
}

// union are the settings of all that a file holds after a call with settings s on what is there already.
func union(s cajqSettings, old Result) cajqSettings {
	all := cajqSettings{Config: s.Config}
	all.Seeds, all.Contexts = nil, nil
	for _, r := range old.Runs {
		all.Variants = lab.AppendNew(all.Variants, r.Variant)
		all.Seeds = lab.AppendNew(all.Seeds, r.Seed)
	}
	for _, t := range append(slices.Clone(old.Config.Contexts), s.Contexts...) {
		all.Contexts = lab.AppendNew(all.Contexts, t)
	}
	for _, v := range s.Variants {
		all.Variants = lab.AppendNew(all.Variants, v)
	}
	for _, x := range s.Seeds {
		all.Seeds = lab.AppendNew(all.Seeds, x)
	}
	return all
}

// load takes over the runs of an earlier call. Seeds, contexts and variants may have been others; what a run depends on
// may not.
func (e *Comparison) load() error {
	var old Result
	found, err := e.job.Before(&old)
	if err != nil || !found {
		return err
	}
	same := func(a, b any) bool { return reflect.DeepEqual(lab.Canonical(a), lab.Canonical(b)) }
	if old.BaseSHA256 != e.result.BaseSHA256 || old.Config.Samples != e.Config.Samples || !same(old.Config.Experiment, e.Config.Experiment) {
		return fmt.Errorf("%s holds results of another base model or of other settings: move it away or give another --output", e.Output)
	}
	e.result.Runs, e.result.Sizes = old.Runs, old.Sizes
	return nil
}

// find is the run of a variant and seed, nil if there is none.
func (e *Comparison) find(variant string, seed uint64) *Run {
	for i := range e.result.Runs {
		r := &e.result.Runs[i]
		if r.Variant == variant && r.Seed == seed {
			return r
		}
	}
	return nil
}

// Run makes and evaluates what is missing, seed by seed, and returns the whole result. When ctx ends, what is finished is
// in the output file and a training run under way in its checkpoint; a later call continues from both.
func (e *Comparison) Run(ctx context.Context) (*Result, error) {
	release, err := e.file.Hold()
	if err != nil {
		return nil, err
	}
	defer release()
	total, at := len(e.Config.Seeds)*len(e.Variants), 0
	for _, seed := range e.Config.Seeds {
		for _, v := range e.Variants {
			at++
			if r := e.find(v.Name, seed); r != nil && e.complete(r) {
				if e.Report.Skipped != nil {
					e.Report.Skipped(v.Name, seed)
				}
				continue
			}
			if e.Report.Begin != nil {
				e.Report.Begin(v.Name, seed, at, total)
			}
			if err := e.one(ctx, v, seed); err != nil {
				return nil, err
			}
		}
	}
	if err := e.measureSizes(ctx); err != nil {
		return nil, err
	}
	r, err := e.write(e.finished())
	if err == nil {
		_ = os.Remove(e.work()) // succeeds when it is empty
	}
	return r, err
}

func (e *Comparison) complete(r *Run) bool { return r.has(e.Config.Contexts) }

// has says whether a run was evaluated at all these contexts.
func (r *Run) has(contexts []int) bool {
	return !slices.ContainsFunc(contexts, func(t int) bool {
		at := strconv.Itoa(t)
		return r.Accuracy[at] == nil || fromBytes(r.Variant) && r.Packed[at] == nil
	})
}

// work is the folder of the checkpoints of training runs under way.
func (e *Comparison) work() string { return lab.WorkFolder(e.Output) }

// one makes a variant, evaluates it and adds it to the result.
func (e *Comparison) one(ctx context.Context, v qat.Variant, seed uint64) error {
	watch := lab.StartWatch()
	session := qat.Session{Warn: e.warn, Report: func(s qat.Step) {
		if e.Report.Step != nil {
			e.Report.Step(s, e.Config.Experiment.Finetune.Steps)
		}
	}}
	if v.Trains {
		if err := files.MakeFolder(e.work()); err != nil {
			return fmt.Errorf("cannot make %s: %w", e.work(), files.Cause(err))
		}
		session.CheckpointPath = filepath.Join(e.work(), fmt.Sprintf("%s-%d.safetensors", v.Name, seed))
		session.CheckpointEvery = 50
	}
	built, err := v.Build(ctx, e.Base, e.Config.Experiment, e.Config.evaluation().Draw(seed), session)
	if err != nil {
		return err
	}
	run := Run{Variant: v.Name, Seed: seed, Steps: lab.Thin(built.Training.Steps), Environment: e.Environment, Kernels: built.Training.Kernels.Changes()}
	if run.Accuracy, err = e.evaluateAll(ctx, built.Model, seed, false); err != nil {
		return err
	}
	if fromBytes(v.Name) {
		file, err := built.Quantised.PackedFile()
		if err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
		packed, err := layers.FromFile(file)
		if err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
		if run.Packed, err = e.evaluateAll(ctx, packed, seed, true); err != nil {
			return err
		}
	}
	run.Cost = watch.Cost()
	e.result.Runs = slices.DeleteFunc(e.result.Runs, func(r Run) bool { return r.Variant == v.Name && r.Seed == seed })
	e.result.Runs = append(e.result.Runs, run)
	if _, err := e.write(false); err != nil {
		return err
	}
	if session.CheckpointPath == "" {
		return nil
	}
	// The trained variant has been evaluated and its result is on disk: its checkpoint has served.
	if err := lab.RemoveCheckpoint(session.CheckpointPath); err != nil {
		return err
	}
	_ = os.Remove(e.work()) // succeeds when it is empty
	return nil
}

// evaluateAll scores a model at every context.
func (e *Comparison) evaluateAll(ctx context.Context, m *layers.Model, seed uint64, packed bool) (map[string]map[string]curriculum.Accuracy, error) {
	all := map[string]map[string]curriculum.Accuracy{}
	for _, t := range e.Config.Contexts {
		accuracy, err := e.Config.evaluation().Run(ctx, m, t, seed)
		if err != nil {
			return nil, err
		}
		all[strconv.Itoa(t)] = accuracy
		if e.Report.Accuracy != nil {
			e.Report.Accuracy(t, packed, accuracy)
		}
	}
	return all, nil
}

// write puts runs and summary in order and replaces the output file.
func (e *Comparison) write(complete bool) (*Result, error) {
	order := func(r Run) int {
		return slices.IndexFunc(qat.Variants(), func(v qat.Variant) bool { return v.Name == r.Variant })
	}
	slices.SortStableFunc(e.result.Runs, func(a, b Run) int {
		if d := order(a) - order(b); d != 0 {
			return d
		}
		return cmp.Compare(a.Seed, b.Seed)
	})
	var err error
	if e.result.Summary, err = summarise(e.result.Runs); err != nil {
		return nil, err
	}
	return &e.result, e.file.Write(e.outcome(), complete)
}

// finished says whether every run is there.
func (e *Comparison) finished() bool {
	for _, seed := range e.settings.Seeds {
		for _, v := range e.settings.Variants {
			r := e.find(v, seed)
			if r == nil || !r.has(e.settings.Contexts) {
				return false
			}
		}
	}
	return true
}

// summarise pools the runs of each variant over their seeds.
func summarise(runs []Run) ([]Summary, error) {
	paper, err := publishedCAJQ()
	if err != nil {
		return nil, err
	}
	var all []Summary
	for i := 0; i < len(runs); {
		j := i
		for j < len(runs) && runs[j].Variant == runs[i].Variant {
			j++
		}
		all = append(all, summariseVariant(runs[i:j], paper)...)
		i = j
	}
	return all, nil
}

func summariseVariant(runs []Run, paper publishedTable) []Summary {
	contexts := map[int]bool{}
	for _, r := range runs {
		for t := range r.Accuracy {
			if n, err := strconv.Atoi(t); err == nil {
				contexts[n] = true
			}
		}
	}
	var all []Summary
	for _, t := range sortedKeys(contexts) {
		for _, metric := range measure.Metrics() {
			s := Summary{Variant: runs[0].Variant, Context: t, Metric: metric}
			var values []float64
			correct, n := 0, 0
			for _, r := range runs {
				if a, ok := r.Accuracy[strconv.Itoa(t)][metric]; ok {
					values = append(values, a.Mean)
					correct, n = correct+a.Correct, n+a.N
				}
			}
			s.Seeds = len(values)
			s.Mean, s.Std = result.MeanAndStd(values)
			s.Pooled = curriculum.NewAccuracy(correct, n)
			if p, ok := paper[s.Variant].PerContext[strconv.Itoa(t)][metric]; ok {
				s.Published = &p
			}
			all = append(all, s)
		}
	}
	return all
}

func sortedKeys(set map[int]bool) []int {
	var keys []int
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// publishedTable is the summary of the published experiment, by variant.
type publishedTable map[string]struct {
	PerContext map[string]map[string]result.MeanStd `json:"per_ctx"`
}

func publishedCAJQ() (publishedTable, error) {
	var file struct {
		Summary publishedTable `json:"summary"`
	}
	err := published.Decode("exp_cajq_qat_multiseed.json", &file)
	return file.Summary, err
}

func (c Config) validate(variants []qat.Variant, m layers.Config) error {
	if err := c.evaluation().Check(m); err != nil {
		return err
	}
	for _, v := range variants {
		if err := v.Check(c.Experiment, m); err != nil {
			return err
		}
	}
	return nil
}

// evaluation is how every run is scored.
func (c Config) evaluation() measure.MetricEvaluation {
	return measure.MetricEvaluation{Seeds: c.Seeds, Contexts: c.Contexts, Samples: c.Samples, SampleKeys: c.SampleKeys}
}

package cajq

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

// Config is the multi-seed quantisation experiment (SPEC section 4): every variant of the base model, made and
// evaluated once for each seed.
type Config struct {
	Seeds      []uint64       `json:"seeds" toml:"seeds"`
	Contexts   []int          `json:"contexts" toml:"contexts"`
	Samples    int            `json:"samples" toml:"samples"` // of each single task; the mixture has about twice as many
	Experiment qat.Experiment `json:"experiment" toml:"experiment"`
	// PackedOnly evaluates what has packed bytes from them, and not before packing.
	PackedOnly bool `json:"packed_only,omitempty" toml:"packed_only"`
	// SampleKeys is the version of the keys of samples' streams; 0 is 1, as of results from before there were versions.
	SampleKeys tasks.Keys `json:"sample_keys,omitempty" toml:"sample_keys"`
}

// Settings are a Config with the names of the variants that are made.
type Settings struct {
	Config
	Variants []string `json:"variants"`
}

// Join implements lab.Joint: variants, seeds and contexts may be added to a result.
func (s Settings) Join(held Settings) (whole, rest Settings) {
	whole = s
	whole.Variants = lab.Union(held.Variants, s.Variants)
	whole.Seeds = lab.Union(held.Seeds, s.Seeds)
	whole.Contexts = lab.Union(held.Contexts, s.Contexts)
	held.Variants, held.Seeds, held.Contexts = whole.Variants, whole.Seeds, whole.Contexts
	return whole, held
}

// Validate names the first setting that cannot work with a model of configuration m.
func (s Settings) Validate(m layers.Config) error {
	return cmp.Or(s.evaluation().Check(m), measure.CheckVariants("experiment", s.Experiment, m, s.Variants...))
}

// evaluation is how every variant is scored.
func (c Config) evaluation() measure.MetricEvaluation {
	return measure.MetricEvaluation{Seeds: c.Seeds, Contexts: c.Contexts, Samples: c.Samples, SampleKeys: c.SampleKeys}
}

// scores are those of a model by context, then metric.
type scores map[string]map[string]result.Score

// cell is one variant with one seed; or, under the name of sizeName, the size of a variant's packed file.
type cell struct {
	Accuracy scores `json:"accuracy,omitempty"`
	// Packed are the scores of the same weights from their packed bytes, of the variants that Config.fromBytes names.
	Packed      scores              `json:"packed,omitempty"`
	Steps       []qat.Step          `json:"steps,omitempty"` // of a long training a part
	Environment *result.Environment `json:"environment,omitempty"`
	Cost        result.Cost         `json:"cost,omitzero"`
	// Kernels are those of the training's steps, where they changed on the way.
	Kernels graph.KernelHistory `json:"kernels,omitempty"`
	Kept    map[string]string   `json:"kept,omitempty"` // SHA-256 of the files in which the variant was kept, by name
	Size    *packedSize         `json:"size,omitempty"`
}

// packedSize is that of a packed file.
type packedSize struct {
	Weights     int `json:"weights"` // that are packed
	WeightBytes int `json:"weight_bytes"`
	Parameters  int `json:"parameters"` // of the whole model
	Bytes       int `json:"bytes"`
}

// fromBytes says whether a variant is evaluated from its packed bytes: those that the paper's claims are about or, with
// PackedOnly, all that have any.
func (c Config) fromBytes(variant string) bool {
	return c.packedOnly(variant) || variant == qat.CAJQPTQ || variant == qat.CAJQQAT
}

// packedOnly says whether a variant is evaluated from its packed bytes alone.
func (c Config) packedOnly(variant string) bool {
	packs := func(v qat.Variant) bool { return v.Name == variant && v.Packs() }
	return c.PackedOnly && slices.ContainsFunc(qat.Variants(), packs)
}

func cellName(variant string, seed uint64) string { return fmt.Sprintf("%s/%d", variant, seed) }

func sizeName(variant string) string { return variant + "/size" }

// has says whether a variant was evaluated at all contexts of the settings.
func (c cell) has(variant string, s Settings) bool {
	return !slices.ContainsFunc(s.Contexts, func(t int) bool {
		at := result.ContextOf(t)
		return !s.packedOnly(variant) && c.Accuracy[at] == nil || s.fromBytes(variant) && c.Packed[at] == nil
	})
}

// comparison is the experiment under way.
type comparison struct {
	Settings
	job   *lab.Job
	base  *layers.Model
	cells *lab.Cells[cell]
}

// run makes and evaluates what is missing, seed by seed.
func run(ctx context.Context, j *lab.Job, s Settings) (*lab.Outcome, error) {
	base, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	if err := s.Validate(base.Config); err != nil {
		return nil, err
	}
	variants, err := qat.LookupVariants(s.Variants...)
	if err != nil {
		return nil, err
	}
	whole := j.Whole.(Settings)
	total := len(s.Seeds) * len(variants)
	e := &comparison{Settings: s, job: j, base: base}
	if e.cells, err = lab.NewCells[cell](j, len(whole.Variants)*(len(whole.Seeds)+1)); err != nil {
		return nil, err
	}
	e.cells.Outcome = func() (*lab.Outcome, error) { return outcome(whole, e.cells.Done) }
	at := 0
	for _, seed := range s.Seeds {
		for _, v := range variants {
			at++
			done, err := e.done(v, seed)
			if err != nil {
				return nil, err
			}
			if done {
				j.Line("%s, seed %d: done before", v.Name, seed)
				continue
			}
			j.Line("[%d/%d] %s, seed %d", at, total, v.Name, seed)
			if err := e.variant(ctx, v, seed, func(share float64) {
				j.Progress(int(1000*(float64(at-1)+share)),
					1000*total)
			}); err != nil {
				return nil, err
			}
		}
	}
	for _, v := range variants {
		if _, err := e.cells.Do(ctx, sizeName(v.Name), func() (cell, error) { return e.size(ctx, v) }); err != nil {
			return nil, err
		}
	}
	return e.cells.Finish()
}

// done says whether nothing is left to do for a variant and seed.
func (e *comparison) done(v qat.Variant, seed uint64) (bool, error) {
	c, ok := e.cells.Done[cellName(v.Name, seed)]
	if !ok || !c.has(v.Name, e.Settings) {
		return false, nil
	}
	if e.job.Keep == "" || !v.Trains {
		return true, nil
	}
	for name, sum := range c.Kept {
		path := filepath.Join(e.job.Keep, name)
		if _, err := os.Stat(path); err != nil {
			return false, nil
		}
		if got, err := files.HashFile(path); err != nil || got != sum {
			return false, err
		}
	}
	return len(c.Kept) > 0, nil
}

// variant makes a variant, evaluates it unless that was done, and adds it to the cells. progress tells the share that
// is done.
func (e *comparison) variant(ctx context.Context, v qat.Variant, seed uint64, progress func(share float64)) error {
	watch := lab.StartWatch()
	tune := e.Experiment.Finetune
	session := qat.Session{Warn: func(line string) { e.job.Line("%s", line) }, Report: func(s qat.Step) {
		progress(0.8 * float64(s.Step) / float64(tune.Steps))
		e.job.Step(s.Step, tune.Steps, s.Loss, tune.Batch*tune.Context)
	}}
	if v.Trains {
		work, err := e.job.Work()
		if err != nil {
			return err
		}
		session.CheckpointPath = filepath.Join(work, fmt.Sprintf("%s-%d.safetensors", v.Name, seed))
		session.CheckpointEvery = 50
	}
	built, err := v.Build(ctx, e.base, e.Experiment, e.evaluation().Draw(seed), session)
	if err != nil {
		return err
	}
	c, err := e.evaluate(ctx, v, seed, built)
	if err != nil {
		return err
	}
	if v.Trains && e.job.Keep != "" {
		if c.Kept, err = e.keep(v, seed, built, c.Kept); err != nil {
			return err
		}
	}
	c.Cost = c.Cost.Add(watch.Cost())
	if err := e.cells.Put(cellName(v.Name, seed), c); err != nil || session.CheckpointPath == "" {
		return err
	}
	// The trained variant has been evaluated and its result is on disk: its checkpoint has served.
	return lab.RemoveCheckpoint(session.CheckpointPath)
}

// evaluate is the cell of a variant that was made: the one that is there if it has all that is wanted, or else all
// contexts, those of before too, so that one program made all of a cell.
func (e *comparison) evaluate(ctx context.Context, v qat.Variant, seed uint64, built *qat.Built) (cell, error) {
	before := e.cells.Done[cellName(v.Name, seed)]
	if before.has(v.Name, e.Settings) {
		return before, nil
	}
	env := e.job.Environment
	c := cell{Steps: lab.Thin(built.Training.Steps), Environment: &env, Kernels: built.Training.Kernels.Changes()}
	contexts := e.Contexts
	for _, t := range e.job.Whole.(Settings).Contexts {
		if at := result.ContextOf(t); before.Accuracy[at] != nil || before.Packed[at] != nil {
			contexts = lab.AppendNew(contexts, t)
		}
	}
	var err error
	if !e.packedOnly(v.Name) {
		c.Accuracy, err = e.score(ctx, built.Model, seed, contexts, "")
	}
	if err != nil || !e.fromBytes(v.Name) {
		return c, err
	}
	packed, err := built.Quantised.PackedModel()
	if err != nil {
		return c, fmt.Errorf("variant %s: %w", v.Name, err)
	}
	c.Packed, err = e.score(ctx, packed, seed, contexts, ", from the packed bytes")
	return c, err
}

// score evaluates a model at every context.
func (e *comparison) score(ctx context.Context, m *layers.Model, seed uint64, contexts []int,
	note string) (scores, error) {
	all := scores{}
	for _, t := range contexts {
		of, err := e.evaluation().Run(ctx, m, t, seed)
		if err != nil {
			return nil, err
		}
		all[result.ContextOf(t)] = of
		var line strings.Builder
		_, _ = fmt.Fprintf(&line, "  ctx %d%s", t, note)
		for _, metric := range measure.Metrics() {
			a := of[metric]
			_, _ = fmt.Fprintf(&line, "  %s %.3f [%.3f, %.3f]", metric, a.Mean, a.Low, a.High)
		}
		e.job.Detail("%s", line.String())
	}
	return all, nil
}

// size is the cell of a variant's packed file, untrained, for training changes no size; empty for a variant whose
// weights stay in floating point.
func (e *comparison) size(ctx context.Context, v qat.Variant) (cell, error) {
	v.Trains = false
	built, err := v.Build(ctx, e.base, e.Experiment, e.evaluation().Draw(e.Seeds[0]), qat.Session{})
	if err != nil || built.Quantised == nil || len(built.Quantised.Weights) == 0 {
		return cell{}, err
	}
	f, err := built.Quantised.PackedFile()
	if err != nil {
		return cell{}, err
	}
	size, err := safetensors.EncodedSize(f)
	if err != nil {
		return cell{}, err
	}
	i, err := qat.Inspect(f, size, nil)
	if err != nil {
		return cell{}, err
	}
	return cell{Size: &packedSize{i.PackedWeights, i.PackedBytes, i.Parameters, int(size)}}, nil
}

// KeptFiles are the names of the files in which a trained variant is kept: the trained model, with its quantisers if it
// has any, which export packs; and, if any of its weights are quantised, its packed bytes, which eval, stream and
// inspect take.
func KeptFiles(variant string, seed uint64) (model, packed string) {
	name := fmt.Sprintf("%s-%d", variant, seed)
	return name + ".safetensors", name + ".packed.safetensors"
}

// keep writes the files of a trained variant into the folder that keeps them, and gives their SHA-256. A file there
// that is none of before, which this result kept, is of another one: it is moved aside and told.
func (e *comparison) keep(v qat.Variant, seed uint64, built *qat.Built, before map[string]string) (map[string]string,
	error) {
	dir := e.job.Keep
	if err := files.MakeFolder(dir); err != nil {
		return nil, fmt.Errorf("cannot make %s: %w", dir, files.Cause(err))
	}
	model, packed := KeptFiles(v.Name, seed)
	paths := map[string]string{model: filepath.Join(dir, model)}
	if q := built.Quantised; q != nil && len(q.Weights) > 0 {
		paths[packed] = filepath.Join(dir, packed)
	}
	for name, path := range paths {
		if err := lab.SetOthersAside(path, before[name], e.job.Line); err != nil {
			return nil, err
		}
	}
	save := built.Model.Save
	if q := built.Quantised; q != nil {
		save = q.Save
		if len(q.Weights) > 0 {
			f, err := q.PackedFile()
			if err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			if err := safetensors.Write(paths[packed], f); err != nil {
				return nil, err
			}
		}
	}
	if err := save(paths[model]); err != nil {
		return nil, err
	}
	return lab.HashFiles(paths)
}

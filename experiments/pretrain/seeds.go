package pretrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/metrics"
	"github.com/synapnet/synapnet-train/layers"
)

const seedLabel = "seed"

// Settings are those of the experiment: a training, whose model the others begin from, and the further seeds that it is
// repeated with.
type Settings struct {
	curriculum.Config
	// FurtherSeeds are trained behind the configuration's own, each into a file of its own (SeedFile).
	FurtherSeeds []uint64 `json:"further_seeds,omitempty"`
	// ReferenceSteps is how many steps of each stage of the reference recipe are timed before the first of several seeds,
	// to hold their time against its; 0: none.
	ReferenceSteps int `json:"reference_steps,omitempty"`
}

// Validate names the first setting that cannot work.
func (s Settings) Validate() error {
	if err := s.Config.Validate(); err != nil {
		return err
	}
	if err := bounds.Once("further_seeds", s.seeds()...); err != nil {
		return bounds.Wrong("further_seeds", s.FurtherSeeds, "with `seed`, %d, one is given twice: give each once", s.Seed)
	}
	if s.ReferenceSteps != 0 && len(s.FurtherSeeds) == 0 {
		return bounds.Wrong("reference_steps", s.ReferenceSteps, "one seed alone is not held against it: leave it out, or "+
			"give `further_seeds`")
	}
	return nil
}

// Pretrained is the configuration of the model that other experiments begin from (lab.Validate).
func (s Settings) Pretrained() layers.Config { return s.Model }

// seeds are all that are trained, the one of the model for others first.
func (s Settings) seeds() []uint64 { return append([]uint64{s.Seed}, s.FurtherSeeds...) }

// SeedFile is the file of the model of a further seed.
func SeedFile(seed uint64) string { return fmt.Sprintf("model-%d.safetensors", seed) }

// runSeeds trains each seed in a folder of its own among the working files, where a finished one stays until all are,
// and puts the models, and the curves of the first, beside the result.
func runSeeds(ctx context.Context, j *lab.Job, s Settings) (*lab.Outcome, error) {
	work, err := j.Work()
	if err != nil {
		return nil, err
	}
	var reference *recipeTime
	if s.ReferenceSteps > 0 {
		if reference, err = timedReference(ctx, j, filepath.Join(work, "reference.json"), s.ReferenceSteps); err != nil {
			return nil, err
		}
	}
	var all []*Result
	for i, seed := range s.seeds() {
		c := s.Config
		c.Seed = seed
		dir := filepath.Join(work, fmt.Sprint("seed-", seed))
		r, err := trainSeed(ctx, j, c, dir, func(done, total int) { j.Progress(i*total+done, len(s.seeds())*total) })
		if err != nil {
			return nil, err
		}
		all = append(all, r)
		left := map[string]string{lab.ModelFile: SeedFile(seed)}
		if i == 0 {
			left = map[string]string{lab.ModelFile: lab.ModelFile, lab.CurvesSVG: lab.CurvesSVG, lab.CurvesPNG: lab.CurvesPNG,
				metrics.Name: metrics.Name}
		}
		for from, to := range left {
			if err := copyFile(filepath.Join(dir, from), filepath.Join(j.Dir, to)); err != nil {
				return nil, err
			}
		}
	}
	return seedsOutcome(all, reference), nil
}

// mostCopied is the most that a file of a training may have, in bytes.
const mostCopied = 1 << 32

// copyFile copies a file of a training.
func copyFile(from, to string) error {
	text, err := files.Read(from, mostCopied)
	if err != nil {
		return err
	}
	return files.Write(to, text)
}

// trainSeed is the result of the training in dir, which is begun or continued where it is not finished.
func trainSeed(ctx context.Context, j *lab.Job, c curriculum.Config, dir string,
	progress func(done, total int)) (*Result, error) {
	finished := filepath.Join(dir, lab.PretrainFile)
	r, err := readResult(finished)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	var p *Training
	if _, err := os.Stat(filepath.Join(dir, lab.CheckpointFile)); err == nil {
		p, err = Resume(ctx, dir, j.Environment, nil)
		if err != nil {
			return nil, err
		}
		j.Line("seed %d continues at step %d", c.Seed, p.Trainer.Done())
	} else if p, err = New(ctx, c, dir, j.Environment, nil); err != nil {
		return nil, err
	}
	if err := p.tell(j, fmt.Sprintf("seed %d ", c.Seed), progress); err != nil {
		return nil, err
	}
	if _, err := p.Run(ctx); err != nil {
		return nil, err
	}
	return readResult(finished)
}

// readResult reads the details of the result of a training.
func readResult(path string) (*Result, error) {
	file, err := result.Read(path)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(file.Details, &r); err != nil {
		return nil, &result.Invalid{Path: path, Problem: "details: " + err.Error()}
	}
	return &r, nil
}

// seedsOutcome is that of trainings with several seeds: what the first one's is, but for the accuracies after the last
// epoch, which are those of each seed and of all, and for their times, beside that of the reference where it was timed.
func seedsOutcome(all []*Result, reference *recipeTime) *lab.Outcome {
	o := all[0].outcome()
	details := *all[0].kept()
	last := map[string][]curriculum.Accuracy{}
	var bySeed []result.Measurement
	for i, r := range all {
		if i > 0 {
			o.Seeds = append(o.Seeds, r.Config.Seed)
			cost := o.Cost.Add(r.Cost)
			o.Cost = &cost
			details.Further = append(details.Further, r.kept())
		}
		e := r.History.Evaluations[len(r.History.Evaluations)-1]
		for _, task := range append([]string{curriculum.Overall}, e.Tasks()...) {
			a := e.Overall
			if task != curriculum.Overall {
				a = e.PerTask[task]
			}
			last[task] = append(last[task], a)
			l := result.Labels{result.TaskLabel: task, seedLabel: strconv.FormatUint(r.Config.Seed, 10)}
			bySeed = append(bySeed, result.Share(l, result.Paper, "accuracy", a))
		}
	}
	for i := range o.Measurements {
		m := &o.Measurements[i]
		if _, earlier := m.Labels[stepLabel]; !earlier {
			*m = result.ShareOverSeeds(m.Labels, m.Protocol, m.Metric, last[m.Labels[result.TaskLabel]])
		}
	}
	o.Measurements = append(append(o.Measurements, bySeed...), times(all, reference)...)
	details.Reference = reference
	o.Details = &details
	o.Notes = append(o.Notes, fmt.Sprintf("Losses and the accuracies after each epoch are those of seed %d, whose model "+
		"the other experiments begin from; after the last epoch they are means over seeds", o.Seeds[0]))
	return o
}

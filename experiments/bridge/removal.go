package bridge

import (
	"context"
	"embed"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// descriptions are the experiments' descriptions.
//
//go:embed *.toml
var descriptions embed.FS

// The variants of the ScaleBridge experiments.
const (
	withBridge    = "with_bridge"
	noBridge      = "no_bridge"
	matchedBridge = "no_bridge_matched" // with a wider feed-forward in place of the bridge's parameters
)

// removalSettings are those of the removal of a trained bridge.
type removalSettings struct {
	Seeds    []uint64           `json:"seeds"` // of the evaluation's samples
	Contexts []int              `json:"contexts"`
	Samples  int                `json:"samples"`
	Recovery qat.FinetuneConfig `json:"recovery"` // strict: more training of both variants, with the first seed

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// RemovalExperiment measures what the pretrained model loses without its bridge.
func RemovalExperiment() lab.Experiment {
	base := removalSettings{Recovery: qat.DefaultFinetune()}
	e := lab.Describe(descriptions, "scale-bridge-removal", base, runScaleBridgeRemoval)
	e.Recompute = func(r *result.Result, model func() (layers.Config, error)) (*lab.Outcome, error) {
		s, cells, err := lab.Kept[removalSettings, removalCell](r)
		if err != nil {
			return nil, err
		}
		m, err := model()
		if err != nil {
			return nil, err
		}
		return (&removal{removalSettings: s, done: &lab.Cells[removalCell]{Done: cells}}).outcome(m)
	}
	return e
}

// removalCell is a variant at a context length and seed: accuracy by metric.
type removalCell map[string]result.Score

type removal struct {
	removalSettings
	job  *lab.Job
	done *lab.Cells[removalCell]
}

func runScaleBridgeRemoval(ctx context.Context, j *lab.Job, s removalSettings) (*lab.Outcome, error) {
	base, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	if !base.Config.UseScaleBridge {
		return nil, fmt.Errorf("%s has no ScaleBridge that could be removed: pretrain a model with use_scale_bridge",
			j.Model())
	}
	if err := s.Validate(base.Config); err != nil {
		return nil, err
	}
	evaluation := s.evaluation()
	r := &removal{removalSettings: s, job: j}
	if r.done, err = lab.NewCells[removalCell](j, 4*len(s.Seeds)*len(s.Contexts)); err != nil {
		return nil, err
	}
	r.done.Outcome = func() (*lab.Outcome, error) { return r.outcome(base.Config) }
	work, err := j.Work()
	if err != nil {
		return nil, err
	}
	session := func(variant string) qat.Session {
		return qat.Session{
			CheckpointPath: filepath.Join(work, variant+".safetensors"), CheckpointEvery: 50,
			Warn: func(line string) { j.Line("%s: %s", variant, line) },
			Report: func(q qat.Step) {
				if q.Step%20 == 0 {
					j.Line("%s: step %d of %d, loss %.3f", variant, q.Step, s.Recovery.Steps, q.Loss)
				}
			},
		}
	}
	for _, variant := range []string{withBridge, noBridge} {
		m, err := base.Clone()
		if variant == noBridge {
			m, err = withoutBridge(base)
		}
		if err != nil {
			return nil, err
		}
		if err := r.evaluate(ctx, m, result.Paper, variant); err != nil {
			return nil, err
		}
		if !r.missing(result.Strict, variant) {
			continue
		}
		if _, err := qat.Finetune(ctx, m, nil, s.Recovery, evaluation.Draw(s.Seeds[0]), session(variant)); err != nil {
			return nil, err
		}
		if err := r.evaluate(ctx, m, result.Strict, variant); err != nil {
			return nil, err
		}
	}
	return r.done.Finish()
}

// withoutBridge is the model with the identity in place of every ScaleBridge: all other weights are kept.
func withoutBridge(m *layers.Model) (*layers.Model, error) {
	c := m.Config
	c.UseScaleBridge = false
	bare, err := layers.NewModel(c, 0)
	if err != nil {
		return nil, err
	}
	for _, p := range bare.Params.All() {
		from, ok := m.Params.ByName(p.Name)
		if !ok {
			return nil, fmt.Errorf("the model has no parameter %s", p.Name)
		}
		copy(p.Data(), from.Data())
	}
	return bare, nil
}

func (r *removal) name(protocol, variant string, seed uint64, t int) string {
	return fmt.Sprintf("%s/%s/%d/%d", protocol, variant, seed, t)
}

// missing says whether a variant is still to be evaluated at some seed or context.
func (r *removal) missing(protocol, variant string) bool {
	for _, seed := range r.Seeds {
		for _, t := range r.Contexts {
			if _, ok := r.done.Done[r.name(protocol, variant, seed, t)]; !ok {
				return true
			}
		}
	}
	return false
}

// evaluate scores a model on the samples of the CAJQ experiment's evaluation.
func (r *removal) evaluate(ctx context.Context, m *layers.Model, protocol, variant string) error {
	e := measure.MetricEvaluation{Samples: r.Samples, SampleKeys: r.SampleKeys}
	for _, t := range r.Contexts {
		for _, seed := range r.Seeds {
			cell, err := r.done.Do(ctx, r.name(protocol, variant, seed, t),
				func() (removalCell, error) { return e.Run(ctx, m, t, seed) })
			if err != nil {
				return err
			}
			r.job.Line("%s, %s, seed %d, %d tokens: niah_single %.3f", protocol, variant, seed, t,
				cell[measure.MetricSingle].Mean)
		}
	}
	return nil
}

func (r *removal) outcome(c layers.Config) (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: r.Seeds}
	for _, protocol := range []string{result.Paper, result.Strict} {
		for _, t := range r.Contexts {
			for _, metric := range measure.Metrics() {
				found, n := r.accuracies(protocol, t, metric)
				if n == 0 {
					continue
				}
				p, err := measure.Chance(c, metric, t)
				if err != nil {
					return nil, err
				}
				l := result.Labels{result.TaskLabel: metric, result.ContextLabel: result.ContextOf(t)}
				o.Measurements = append(append(o.Measurements, found...), result.GuessingOf(l, protocol, n, p))
				m, ok, err := r.difference(protocol, t, metric)
				if err != nil {
					return nil, err
				}
				if ok {
					o.Measurements, o.Notes = append(o.Measurements, m), []string{result.PairedNote}
				}
			}
		}
	}
	o.Measurements = append(o.Measurements, regained(o.Measurements)...)
	return o, nil
}

// regained are the shares that further training without the bridge wins back of a gap: from the accuracy just after the
// bridge was taken out to that with the bridge after the same training. Where the intervals of these two meet there is
// no gap that could be told from none.
func regained(all []result.Measurement) (shares []result.Measurement) {
	accuracy := func(protocol string, l result.Labels) (m result.Measurement, ok bool) {
		i := slices.IndexFunc(all, func(m result.Measurement) bool {
			return m.Metric == "accuracy" && m.Protocol == protocol && maps.Equal(m.Labels, l)
		})
		if i < 0 {
			return m, false
		}
		return all[i], true
	}
	for _, after := range all {
		if after.Metric != "accuracy" || after.Protocol != result.Strict || after.Labels[result.VariantLabel] != noBridge {
			continue
		}
		before, ok := accuracy(result.Paper, after.Labels)
		with, also := accuracy(result.Strict, result.With(after.Labels, result.VariantLabel, withBridge))
		if !ok || !also || with.Interval.Low <= before.Interval.High {
			continue
		}
		shares = append(shares, result.Measurement{Labels: after.Labels, Protocol: result.Strict, Metric: "regained",
			Unit: "1", N: after.N, Mean: (after.Mean - before.Mean) / (with.Mean - before.Mean)})
	}
	return shares
}

// difference is what the model without its bridge answers more often than the one with it, on the same samples of the
// seeds that are done; not ok where outcomes were not kept.
func (r *removal) difference(protocol string, t int, metric string) (m result.Measurement, ok bool, err error) {
	var bare, bridged []result.Score
	for _, seed := range r.Seeds {
		without, first := r.done.Done[r.name(protocol, noBridge, seed, t)]
		with, second := r.done.Done[r.name(protocol, withBridge, seed, t)]
		if first && second {
			bare, bridged = append(bare, without[metric]), append(bridged, with[metric])
		}
	}
	return result.DifferenceOverSeeds(result.Labels{result.TaskLabel: metric, result.ContextLabel: result.ContextOf(t),
		result.VariantLabel: noBridge, result.AgainstLabel: withBridge}, protocol, bare, bridged)
}

// accuracies are those of both variants in the cells that are done, and the number of samples in them.
func (r *removal) accuracies(protocol string, t int, metric string) (all []result.Measurement, n int) {
	l := result.Labels{result.TaskLabel: metric, result.ContextLabel: result.ContextOf(t)}
	for _, variant := range []string{withBridge, noBridge} {
		var seeds []curriculum.Accuracy
		for _, seed := range r.Seeds {
			if cell, ok := r.done.Done[r.name(protocol, variant, seed, t)]; ok {
				seeds, n = append(seeds, cell[metric].Accuracy), n+cell[metric].N
			}
		}
		if len(seeds) == 0 {
			continue
		}
		l := result.With(l, result.VariantLabel, variant)
		all = append(all, result.ShareOverSeeds(l, protocol, "accuracy", seeds))
	}
	return all, n
}

package baselines

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/internal/bounds"
)

// seeds are those that an architecture is trained with.
func (p baselinePart) seeds() []uint64 {
	if len(p.Seeds) == 0 {
		return []uint64{p.Training.Seed}
	}
	return p.Seeds
}

// compared are the rates of which one is chosen; none where there is nothing to choose.
func (p baselinePart) compared() []float64 {
	if len(p.Rates) < 2 {
		return nil
	}
	return p.Rates
}

// checkTrainings names the first setting of the trainings that cannot be.
func (p baselinePart) checkTrainings() error {
	if err := cmp.Or(bounds.Share("rates", p.Rates...), bounds.Once("rates", p.Rates...),
		bounds.Once("seeds", p.Seeds...)); err != nil || len(p.compared()) == 0 {
		return err
	}
	return bounds.AtLeast("validation_samples", 1, p.Validation)
}

// with is a training of the architecture.
func (m baselineModel) with(p baselinePart, rate float64, seed uint64) baselineModel {
	m.config.LR, m.config.Seed = rate, seed
	if len(p.Rates) > 0 || len(p.Seeds) > 0 {
		m.training = fmt.Sprintf("-lr%g-seed%d", rate, seed)
	}
	return m
}

// validated is the cell of the architecture at a rate.
func (m baselineModel) validated(rate float64) string { return fmt.Sprintf("%s/lr %g", m.key(), rate) }

// tested is the cell of the architecture with a seed, at its rate.
func (m baselineModel) tested(p baselinePart, seed uint64) string {
	if len(p.Seeds) == 0 {
		return m.key()
	}
	return fmt.Sprintf("%s/seed %d", m.key(), seed)
}

// trainings trains an architecture at each rate with the first seed, and at the best of them with every seed, which is
// tested.
func (r *baselines) trainings(ctx context.Context, m baselineModel) error {
	p := r.part(m.protocol)
	first := p.seeds()[0]
	for _, rate := range p.compared() {
		of := m.with(p, rate, first)
		if _, err := r.done.Do(ctx, m.validated(rate), func() (baselineCell, error) {
			t, cell, err := r.trained(ctx, of)
			if err != nil {
				return cell, err
			}
			cell.Validation, err = r.evaluate(ctx, of, t.Model, tasks.BaselineRates, p.Validation)
			return cell, err
		}); err != nil {
			return err
		}
	}
	rate, _ := r.rate(m)
	for _, seed := range p.seeds() {
		of := m.with(p, rate, seed)
		if _, err := r.done.Do(ctx, m.tested(p, seed), func() (baselineCell, error) {
			return r.trainAndEvaluate(ctx, of)
		}); err != nil {
			return err
		}
	}
	// They have served: the checkpoints of all would take much room.
	var err error
	for _, rate := range append(slices.Clone(p.compared()), rate) {
		for _, seed := range p.seeds() {
			of := m.with(p, rate, seed)
			err = errors.Join(err, os.RemoveAll(r.checkpoint(of)), os.RemoveAll(r.clock(of)))
		}
	}
	return err
}

// rate is the learning rate of an architecture: of those that are compared, the first that no other is right more often
// than. It is not known before all are validated.
func (r *baselines) rate(m baselineModel) (rate float64, known bool) {
	p := r.part(m.protocol)
	if len(p.Rates) == 1 {
		return p.Rates[0], true
	}
	if len(p.Rates) == 0 {
		return p.Training.LR, true
	}
	best := -1
	for _, x := range p.Rates {
		cell, ok := r.done.Done[m.validated(x)]
		if !ok {
			return 0, false
		}
		if a := cell.Validation.total(); a.Correct > best {
			rate, best = x, a.Correct
		}
	}
	return rate, true
}

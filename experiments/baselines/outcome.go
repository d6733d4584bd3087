package baselines

import (
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// rateLabel names a learning rate.
const rateLabel = "learning rate"

// total is the accuracy over all contexts and tasks.
func (s scores) total() curriculum.Accuracy {
	correct, n := 0, 0
	for _, of := range s {
		for _, a := range of {
			correct, n = correct+a.Correct, n+a.N
		}
	}
	return curriculum.NewAccuracy(correct, n)
}

// cells are the tested trainings of an architecture that are done, one a seed.
func (r *baselines) cells(m baselineModel) (all []baselineCell) {
	p := r.part(m.protocol)
	for _, seed := range p.seeds() {
		if cell, ok := r.done.Done[m.tested(p, seed)]; ok {
			all = append(all, cell)
		}
	}
	return all
}

func (r *baselines) outcome(models []baselineModel) (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: r.Strict.seeds()}
	guessed := map[string]bool{}
	for _, m := range models {
		o.Measurements = append(o.Measurements, r.validation(m)...)
		cells := r.cells(m)
		if len(cells) == 0 {
			continue
		}
		var seconds []float64
		for _, c := range cells {
			seconds = append(seconds, c.Seconds)
		}
		for _, form := range formsOf(m) {
			more, err := r.accuracies(m, form, cells, guessed)
			if err != nil {
				return nil, err
			}
			o.Measurements = append(o.Measurements, more...)
		}
		l := result.Labels{result.ModelLabel: m.name}
		o.Measurements = append(o.Measurements,
			result.ExactOf(l, m.protocol, "parameters", "1", float64(cells[0].Parameters)),
			result.MeanOf(l, m.protocol, "training_time", "s", seconds))
		for _, length := range m.lengths(r.Speed) {
			if timed, ok := r.done.Done[m.timing(length)]; ok {
				o.Measurements = append(o.Measurements, costs(m, length, timed.Passes)...)
			}
		}
	}
	return o, r.compare(models, o)
}

// validation are the accuracies of an architecture on validation samples by its rate; none where none is chosen.
func (r *baselines) validation(m baselineModel) (all []result.Measurement) {
	chosen, known := r.rate(m)
	for _, rate := range r.part(m.protocol).compared() {
		cell, ok := r.done.Done[m.validated(rate)]
		if !ok {
			continue
		}
		l := result.Labels{result.ModelLabel: m.name, rateLabel: strconv.FormatFloat(rate, 'g', -1, 64)}
		a := result.Share(l, m.protocol, "validation_accuracy", cell.Validation.total())
		if known && rate == chosen {
			a.Note = "chosen"
		}
		all = append(all, a)
	}
	return all
}

// seedScores are those of a form of trainings at a context, of a task.
func seedScores(cells []baselineCell, form, at, task string) (all []result.Score) {
	for _, c := range cells {
		all = append(all, c.Accuracy[form][at][task])
	}
	return all
}

// accuracies are those of a form of a model, and the share that guessing would get where guessed does not have it yet.
func (r *baselines) accuracies(m baselineModel, form string, cells []baselineCell, guessed map[string]bool) (
	all []result.Measurement, err error) {
	for _, at := range sortedContexts(cells[0].Accuracy[form]) {
		for _, task := range r.part(m.protocol).Tasks {
			l := labels(m.name, form, task, at)
			a := result.ShareOverSeeds(l, m.protocol, "accuracy", result.Accuracies(seedScores(cells, form, at, task)))
			all = append(all, a)
			key := m.protocol + task + at
			if guessed[key] {
				continue
			}
			guessed[key] = true
			length, _ := strconv.Atoi(at) // we wrote it
			p, err := tasks.Chance(task, measure.TaskParams(cells[0].Config, length))
			if err != nil {
				return nil, err
			}
			all = append(all, result.GuessingOf(result.With(l, result.ModelLabel, "-"), m.protocol, a.N, p))
		}
	}
	return all, nil
}

// labels are those of an accuracy.
func labels(model, form, task, at string) result.Labels {
	return result.Labels{result.ModelLabel: model, result.VariantLabel: form,
		result.TaskLabel: task[strings.LastIndexByte(task, '/')+1:], result.ContextLabel: at}
}

// compare adds what each architecture answers more often than SynapNet on the same samples, in floating point, over the
// seeds that both have, where outcomes are there.
func (r *baselines) compare(models []baselineModel, o *lab.Outcome) error {
	synapnet := map[string]baselineModel{} // by protocol
	for _, m := range models {
		if m.config.Model.Architecture == layers.SynapNet {
			synapnet[m.protocol] = m
		}
	}
	for _, m := range models {
		other, ok := synapnet[m.protocol]
		if !ok || m.name == other.name {
			continue
		}
		theirs, ours := r.cells(m), r.cells(other)
		n := min(len(theirs), len(ours))
		if n == 0 {
			continue
		}
		for _, at := range sortedContexts(theirs[0].Accuracy[result.Trained]) {
			for _, task := range r.part(m.protocol).Tasks {
				l := result.With(labels(m.name, result.Trained, task, at), result.AgainstLabel, other.name)
				d, ok, err := result.DifferenceOverSeeds(l, m.protocol, seedScores(theirs[:n], result.Trained, at, task),
					seedScores(ours[:n], result.Trained, at, task))
				if err != nil {
					return err
				}
				if ok {
					o.Measurements, o.Notes = append(o.Measurements, d), []string{result.PairedNote}
				}
			}
		}
	}
	return nil
}

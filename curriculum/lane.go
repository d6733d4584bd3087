package curriculum

import (
	"cmp"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/layers"
)

// lane is what steps of one stage are made with: its training graph and the samples that it learns from.
type lane struct {
	stage  Stage
	source tasks.Source
	data   train.Dataset[tasks.Sample]
	order  train.Order

	spec  layers.TrainSpec
	graph *layers.Trainer
	reads *reading // of a classifier that learns along; nil: none does
}

// backward computes the gradients of a batch in a step of the run of a model of configuration m. What reads along
// learns from it, unless it has diverged.
func (l *lane) backward(samples []tasks.Sample, step int, m layers.Config) (float64, []gorgonia.ValueGrad, error) {
	b, chunks := collate(samples, l.spec), max(1, l.spec.Chunks)
	tokens := l.spec.Tokens / chunks
	if l.spec.Positions { // a sample's chunks are next to each other
		b.Positions = l.source.Positions(step, l.spec.Batch*chunks, tokens, m.MaxLen)
	}
	if chunks > 1 {
		b.Kept = l.source.Kept(step, l.spec.Batch, l.spec.Written(m), l.stage.KeepFrac)
	}
	loss, gradients, err := backward(l.graph, b)
	if err != nil || l.reads == nil || math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, gradients, err
	}
	return loss, gradients, l.reads.learn(step, len(samples), l.source)
}

// lanes are those of a stage: its own, and those of the stages before it that it replays. Which one a step is of is a
// function of the step.
type lanes struct {
	all     []*lane // the stage's own first
	replay  float64
	weights []float64 // of the others
}

// laneBits is where the lane stands in the number of a sample.
const laneBits = 40

// lanes makes the graphs of a stage.
func (t *Trainer) lanes(stage int, own *lane) (*lanes, error) {
	all := &lanes{all: []*lane{own}, replay: own.stage.Replay}
	specs := t.Config.Specs()
	own.spec = specs[stage]
	for i, s := range t.stages[:stage] {
		if all.replay == 0 {
			break
		}
		l := &lane{stage: s, spec: specs[i], source: t.Config.draw().For(tasks.Replay, stage*len(t.stages)+i)}
		l.stage.Fresh = true // none of the samples that the stage itself learnt from
		var err error
		if l.data, l.order, err = l.stage.training(t.Config.params(s.Context), l.source); err != nil {
			return nil, err
		}
		all.all, all.weights = append(all.all, l), append(all.weights, cmp.Or(s.ReplayWeight, 1))
	}
	for _, l := range all.all {
		var err error
		if l.graph, err = t.Model.TrainOn(l.spec); err == nil && l.spec.Reads {
			l.reads, err = t.learner.begin(l.graph, l.spec, t.Config.Model)
		}
		if err != nil {
			all.close()
			return nil, err
		}
	}
	return all, nil
}

// number is the lane of a step of the stage.
func (l *lanes) number(step int) int {
	if l.replay == 0 {
		return 0
	}
	return l.all[0].source.Replayed(step, l.replay, l.weights)
}

func (l *lanes) at(step int) *lane { return l.all[l.number(step)] }

// order numbers the samples of a step, with the lane in the upper bits.
func (l *lanes) order(step int) []int {
	n := l.number(step)
	rows := l.all[n].order(step)
	if n == 0 {
		return rows
	}
	all := make([]int, len(rows))
	for i, r := range rows {
		all[i] = r | n<<laneBits
	}
	return all
}

// Len is that of the stage's own samples, or train.Endless.
func (l *lanes) Len() int {
	if len(l.all) == 1 {
		return l.all[0].data.Len()
	}
	return train.Endless
}

// Sample is the one of a number that order gave.
func (l *lanes) Sample(i int) (tasks.Sample, error) {
	return l.all[i>>laneBits].data.Sample(i & (1<<laneBits - 1))
}

func (l *lanes) close() {
	for _, x := range l.all {
		if x.graph != nil {
			x.graph.Program.Close()
		}
		x.reads.close()
	}
}

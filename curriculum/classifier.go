package curriculum

import (
	"fmt"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// learner trains a retention classifier along with the model, on what later chunks read: an example is an entry as an
// eviction would have seen it after a chunk, its label whether it is among the 30% of the entries there that received
// most attention in the chunks after it (baee.Watcher). The classifier has an optimiser of its own, at the run's rate,
// and no part in the model's gradients: the model is the same with it and without.
type learner struct {
	classifier *baee.Classifier
	optimiser  *train.Optimiser
}

// classifierBatch is the number of examples of a step (SPEC section 5, Classifier).
const classifierBatch = 64

// classifierPrefix starts the names of the classifier's parameters in a checkpoint.
const classifierPrefix = layers.OptimiserPrefix + "classifier."

func newLearner(c Config, rate train.Schedule) (*learner, error) {
	network, err := baee.NewClassifier(c.Model.Dim, baee.DefaultHidden, c.Seed)
	if err != nil {
		return nil, err
	}
	return &learner{network, train.NewOptimiser(train.Recipe{Beta1: c.Beta1, Beta2: c.Beta2, Clip: c.Clip},
		train.Group{Name: "classifier lr", Rate: rate, WeightDecay: c.WeightDecay, Params: network.Params()})}, nil
}

// save adds the classifier and its optimiser to a checkpoint.
func (l *learner) save(f *safetensors.File) error {
	for _, p := range l.classifier.Params() {
		f.Tensors = append(f.Tensors, safetensors.FromFloat32(classifierPrefix+p.Name, p.Shape(), p.Data()))
	}
	_, err := layers.AddMoments(f, l.optimiser.AdamW, l.classifier.Params())
	return err
}

// steps is the number of steps that it has learnt in.
func (l *learner) steps() int { return l.optimiser.State(l.classifier.Params()[0]).Step }

// restore reads back what save added after so many of the run's steps.
func (l *learner) restore(f *safetensors.File, steps, done int) error {
	if err := l.classifier.SetWeights(f, classifierPrefix); err != nil {
		return err
	}
	updates := map[string]int{}
	for _, p := range l.classifier.Params() {
		updates[p.Name] = steps
	}
	return l.optimiser.Restore(f, updates, done)
}

// reading is the learner at work on one training graph.
type reading struct {
	*learner
	from     *layers.Trainer
	spec     layers.TrainSpec
	model    layers.Config
	memory   *baee.Manager
	program  *graph.Program
	features []float32
	labels   []float32
	loss     *graph.Node
	value    float64 // of the last step
}

// begin compiles what learns from the reads of a graph.
func (l *learner) begin(from *layers.Trainer, spec layers.TrainSpec, m layers.Config) (*reading, error) {
	r := &reading{learner: l, from: from, spec: spec, model: m}
	var err error
	r.memory, err = baee.New(baee.Config{Dim: m.Dim, Layers: m.Depth, Slots: m.EpisodicSlots, Policy: "fifo",
		Protocol: baee.Strict, EntriesPerLayer: spec.Chunks * m.EpisodicSlots, Window: 1})
	if err != nil {
		return nil, err
	}
	g, err := graph.Build(func(g *graph.Graph) {
		features := g.Input("features", classifierBatch, l.classifier.Width())
		labels := g.Input("labels", classifierBatch, 1)
		r.loss = l.classifier.Loss(g, features, labels)
		r.features, r.labels = g.Floats(features), g.Floats(labels)
		g.Keep(r.loss)
		g.Backward(r.loss)
	})
	if err != nil {
		return nil, err
	}
	if r.program, err = g.Compile(); err != nil {
		return nil, err
	}
	return r, nil
}

// last is the loss of the last step, 0 where there is no classifier.
func (r *reading) last() float64 {
	if r == nil {
		return 0
	}
	return r.value
}

// close frees the classifier's graph.
func (r *reading) close() {
	if r != nil {
		r.program.Close()
	}
}

// learn takes a step on the last run of the training graph, whose first rows are samples.
func (r *reading) learn(done, samples int, source tasks.Source) error {
	all := baee.Examples{Width: r.classifier.Width()}
	for sample := range samples {
		if err := r.watch(&all, sample); err != nil {
			return err
		}
	}
	for i, k := range source.Chosen(done, classifierBatch, all.Len()) {
		copy(r.features[i*all.Width:], all.Features[k*all.Width:(k+1)*all.Width])
		r.labels[i] = all.Labels[k]
	}
	if err := r.program.Run(); err != nil {
		return err
	}
	r.value = float64(r.program.Value(r.loss)[0])
	if _, err := r.optimiser.Update(done, r.program.Gradients()); err != nil {
		return fmt.Errorf("the retention classifier: %w", err)
	}
	return nil
}

// watch adds the examples of a sample.
func (r *reading) watch(all *baee.Examples, sample int) error {
	w := baee.Watcher{Dim: r.model.Dim, Slots: r.model.EpisodicSlots}
	r.memory.Reset()
	r.memory.Observe = w.Observe
	for c := range r.spec.Chunks {
		for block := range r.model.Depth {
			read := r.from.ChunkRead(sample, c, block)
			if err := r.memory.TakeChunk(block, read, int64(c*read.Tokens)); err != nil {
				return err
			}
		}
		r.memory.EndChunk()
	}
	for _, d := range w.Decisions() {
		if d.Attended != nil {
			all.Features, all.Labels = append(all.Features, d.Features...), append(all.Labels, d.Attended...)
		}
	}
	return nil
}

// checkClassifier refuses a classifier that would not learn.
func (c Config) checkClassifier() error {
	if !c.Classifier {
		return nil
	}
	for _, s := range c.Stages() {
		if s.Chunks > 1 {
			return nil
		}
	}
	return bounds.Wrong("classifier", true, "it learns from what later chunks read, and no stage is read in chunks: give "+
		"`chunks`, too, or leave it out")
}

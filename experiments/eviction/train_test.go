package eviction

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
)

func smallTraining() TrainConfig {
	c := TrainExperiment().Settings(lab.Full).(TrainConfig)
	c.Seeds, c.LearningRates, c.PublishedRates, c.Noise, c.Hidden = []uint64{42, 43}, []float64{5e-3, 1e-2},
		[]float64{5e-4}, []float64{0, 0.1}, 4
	c.PaperSequences, c.PaperContext, c.PaperSteps, c.Steps = 20, 64, 20, 20
	c.Tasks, c.Sequences, c.Context, c.Chunk, c.PerDecision = []string{"fa", pressureTask}, 20, 64, 16, 5
	return c
}

// An example is positive if its entry is among the 30% of the layer's that received most attention AFTER the chunk
// looked at; after the last chunk that is not known. The other label is that its token carries the answer.
func TestLabelsAreOfLaterAttention(t *testing.T) {
	w := baee.Watcher{Dim: 1, Slots: 10}
	see := func(layer, entries int, received func(j int) float32) {
		o := baee.Observation{Layer: layer, Entries: make([]policy.Entry, entries),
			Content: func(dst []float32, i int) { dst[0] = float32(i) }}
		for j := range entries {
			o.Entries[j].Position = int64(j)
			o.Received = append(o.Received, received(j))
			o.Entries[j].Age = (entries-1)/10 - j/10
		}
		w.Observe(o)
	}
	// Layer 0: the first ten entries are attended to from the front in their own chunk, from the back later.
	see(0, 10, func(j int) float32 { return float32(100 - j) })
	see(1, 10, func(j int) float32 { return 1 })
	see(0, 20, func(j int) float32 { return float32(j % 10) })
	see(1, 20, func(j int) float32 { return float32(20 - j) })
	see(0, 30, func(j int) float32 { return float32(j % 10) })
	see(1, 30, func(j int) float32 { return float32(30 - j) })
	all := &collection{Examples: baee.Examples{Width: 5}}
	all.addDecisions(w.Decisions(), 7, []int{3, 15}, 100, rand.New(rand.NewPCG(1, 1)))
	if all.Len() != 120 || !slices.Equal(all.sequence, slices.Repeat([]int{7}, 120)) {
		t.Fatalf("%d examples of sequences %v", all.Len(), all.sequence)
	}
	for i, yes := range all.needle {
		if entry := int(all.Features[i*5]); (yes == 1) != (entry == 3 || entry == 15) {
			t.Errorf("entry %d is labelled %v as a needle", entry, yes)
		}
		if all.later[i] != (i < 60) {
			t.Errorf("example %d has later chunks: %t", i, all.later[i])
		}
	}
	positive := [4][]int{}
	at := 0
	for d, n := range []int{10, 10, 20, 20} { // layers 0 and 1 after the first chunk, then after the second
		fresh := 0
		for range n {
			if all.Labels[at] == 1 {
				positive[d] = append(positive[d], int(all.Features[at*5]))
			}
			if all.fresh[at] {
				fresh++
			}
			at++
		}
		slices.Sort(positive[d])
		if fresh != 10 {
			t.Errorf("decision %d: %d entries are fresh, want 10", d, fresh)
		}
	}
	want := [4][]int{{7, 8, 9}, {0, 1, 2}, {7, 8, 9, 17, 18, 19}, {0, 1, 2, 3, 4, 5}}
	if !reflect.DeepEqual(positive, want) {
		t.Errorf("positive are %v, want %v", positive, want)
	}
}

func TestDistinctiveness(t *testing.T) {
	got := distinctiveness([]float32{0, 0, 4, 0, 0, 0, 0, 0}, 2) // the mean is (1, 0)
	for i, want := range []float64{1. / 3, 1, 1. / 3, 1. / 3} {
		if math.Abs(got[i]-want) > 1e-5 {
			t.Errorf("got %v", got)
		}
	}
}

// The strict protocol holds out whole sequences and leaves their labels alone; the paper's splits entries and flips
// both.
func TestSplits(t *testing.T) {
	const n, sequences = 2000, 20
	c := &collection{Examples: baee.Examples{Width: 5}}
	for i := range n {
		c.Features = append(c.Features, float32(i), 0, 0, 0, 0)
		c.add(0, 1, i%sequences, i%2 == 0, i < 1800)
	}
	e := &training{}
	ids := func(x baee.Examples) (all []int) {
		for i := range x.Labels {
			all = append(all, int(x.Features[i*x.Width]))
		}
		return all
	}
	flipped := func(x baee.Examples) (n int) {
		for _, l := range x.Labels {
			n += int(l)
		}
		return n
	}
	train, held := e.split(c, TrainKey{Protocol: baee.Strict, Network: RetentionNetwork, Noise: 0.2, Seed: 1})
	if train.Len() != 1440 || held.Len() != 360 || flipped(held) != 0 || math.Abs(float64(flipped(train))-288) > 80 {
		t.Errorf("strict: %d and %d, flipped %d and %d", train.Len(), held.Len(), flipped(train), flipped(held))
	}
	trained := map[int]bool{}
	for _, i := range ids(train) {
		trained[i%sequences] = true
	}
	if slices.ContainsFunc(ids(held), func(i int) bool { return trained[i%sequences] }) {
		t.Error("strict: a sequence is on both sides")
	}
	train, held = e.split(c, TrainKey{Protocol: baee.Strict, Network: NeedleNetwork, Noise: 0.2, Seed: 1})
	if train.Len() != 1600 || held.Len() != 400 || flipped(held) != 400 || math.Abs(float64(flipped(train))-1280) > 80 {
		t.Errorf("needles: %d and %d, positive %d and %d", train.Len(), held.Len(), flipped(train), flipped(held))
	}
	c.later = slices.Repeat([]bool{true}, n)
	train, held = e.split(c, TrainKey{Protocol: baee.Paper, Network: RetentionNetwork, Noise: 0.2, Seed: 1})
	if train.Len() != 1600 || held.Len() != 400 || math.Abs(float64(flipped(held))-80) > 40 {
		t.Errorf("paper: %d and %d, flipped %d", train.Len(), held.Len(), flipped(held))
	}
	both := append(ids(train), ids(held)...)
	slices.Sort(both)
	if len(slices.Compact(both)) != n {
		t.Error("paper: an entry is on both sides")
	}
	train, _ = e.split(c, TrainKey{Protocol: baee.Strict, Network: HeadNetwork, Seed: 1})
	if train.Width != 1 || slices.ContainsFunc(ids(train), func(i int) bool { return i%2 == 1 }) {
		t.Errorf("the head learns from %d features, %v", train.Width, ids(train)[:5])
	}
}

// startTraining is a run by a command of its own in dir.
func startTraining(t *testing.T, model, dir string) *lab.Job {
	t.Helper()
	j, _, err := lab.Standalone(TrainExperiment(), smallTraining(), lab.ModelInputs(model), filepath.Join(dir, TrainFile),
		result.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// trainCells are those in a result.
func trainCells(t *testing.T, r *result.Result) map[string]TrainCell {
	t.Helper()
	var details lab.Cells[TrainCell]
	if err := json.Unmarshal(r.Details, &details); err != nil {
		t.Fatal(err)
	}
	return details.Done
}

// The experiment trains every network, continues after a cut with the same results, and leaves the selected weights.
func TestBAEETraining(t *testing.T) {
	_, path := labtest.StreamModel(t)
	dir := t.TempDir()
	whole, err := startTraining(t, path, dir).Run(t.Context(), TrainExperiment())
	if err != nil {
		t.Fatal(err)
	}
	cells := trainCells(t, whole)
	if len(cells) != (1+4*2)*2*2 || len(whole.Measurements) != (1+4*2)*2+2*(1+3*2)*2 {
		t.Fatalf("%d cells, %d measurements", len(cells), len(whole.Measurements))
	}
	for network, rate := range map[string]string{PublishedNetwork: "0.0005", RetentionNetwork: "0.005"} {
		m := labtest.Find(t, &lab.Outcome{Measurements: whole.Measurements}, "paper", "auc",
			result.Labels{networkLabel: network, rateLabel: rate, noiseLabel: "0"})
		if m.N != 2 || m.Published == nil || math.Abs(m.Published.Mean-0.9066) > 1e-4 {
			t.Errorf("%+v", m)
		}
	}
	for _, c := range cells {
		if c.Network != HeadNetwork && (c.SalienceAUC == 0 || c.HeldOut == 0 || c.Positives == 0 || len(c.Losses) != 20) {
			t.Errorf("%+v", c)
		}
	}
	base, err := measure.LoadBase(path)
	if err != nil {
		t.Fatal(err)
	}
	e := &training{TrainConfig: smallTraining(), job: startTraining(t, path, t.TempDir()), base: base,
		data: map[baee.Protocol]*collection{}}
	data, err := e.examples(t.Context(), baee.Strict)
	if err != nil {
		t.Fatal(err)
	}
	selected := e.selected(cells)
	for network, file := range map[string]string{NeedleNetwork: "classifier.safetensors",
		RetentionNetwork: "classifier-attention.safetensors", HeadNetwork: "head.safetensors"} {
		written, err := baee.LoadClassifier(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		k := selected[network]
		train, held := e.split(data, k)
		// Weights trained to predict the share of positives have their logits moved to the published prior.
		fresh, err := e.fit(t.Context(), k, train, func(int, float32) {})
		if err != nil {
			t.Fatal(err)
		}
		odds := func(p float32) float64 { return float64(p) / float64(1-p) }
		moved := odds(baee.ScorePrior) / odds(float32(train.Share()))
		for i, s := range fresh.Scores(held.Features[:20*held.Width]) {
			if got, want := odds(written.Scores(held.Features[:20*held.Width])[i]), moved*odds(s); math.Abs(got/want-1) > 1e-3 {
				t.Errorf("%s: the file has odds %v, want %v", network, got, want)
			}
		}
		// Two scores that differ by little can be moved to equal ones: a pair of them is worth this much.
		cell := cells[k.name()]
		pair := 1 / float64(cell.Positives*(cell.HeldOut-cell.Positives))
		if auc, _ := baee.AUC(written.Scores(held.Features), held.Labels); math.Abs(auc-cell.AUC) > pair || k.Noise != 0 ||
			k.Seed != 42 {
			t.Errorf("%s: the file has AUC %v, its cell %+v", network, auc, cell)
		}
	}

	// Other selected trainings than those that an earlier run wrote are told.
	var told []string
	e.job.Line = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	earlier := maps.Clone(selected)
	needle := selected[NeedleNetwork]
	needle.LR = 0.3
	earlier[NeedleNetwork] = needle
	if err := e.writeNetworks(t.Context(), selected, earlier); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], lab.ClassifierFile+": the training at learning rate ") ||
		!strings.Contains(told[0], "takes the place of that at 0.3 ") {
		t.Errorf("told %q", told)
	}

	// It is cut when two networks are already selected. What an earlier run of another model left in their files is not
	// theirs.
	const first = 32
	// A run does not begin among such files.
	cut := t.TempDir()
	if err := os.Link(filepath.Join(dir, lab.HeadFile), filepath.Join(cut, lab.ClassifierFile)); err != nil {
		t.Fatal(err)
	}
	if err := CheckFolder(cut); err == nil || !strings.Contains(err.Error(), "holds a "+lab.ClassifierFile+" but no "+
		TrainFile) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	j := startTraining(t, path, cut)
	j.Detail = func(format string, args ...any) {
		if strings.HasPrefix(fmt.Sprintf(format, args...), fmt.Sprintf("[%d/", first)) {
			cancel()
		}
	}
	if _, err := j.Run(ctx, TrainExperiment()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	j, before := startTraining(t, path, cut), 0
	j.Detail = func(format string, args ...any) {
		if strings.HasSuffix(fmt.Sprintf(format, args...), "done before") {
			before++
		}
	}
	continued, err := j.Run(t.Context(), TrainExperiment())
	if err != nil {
		t.Fatal(err)
	}
	if before != first || !reflect.DeepEqual(cells, trainCells(t, continued)) ||
		!reflect.DeepEqual(whole.Measurements, continued.Measurements) {
		t.Errorf("%d cells were done before; the continued run is not the whole one", before)
	}
	for _, file := range selectedFiles {
		want, errWant := os.ReadFile(filepath.Join(dir, file))
		got, errGot := os.ReadFile(filepath.Join(cut, file))
		if errWant != nil || errGot != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of the continued run is not that of the whole one (%v, %v)", file, errWant, errGot)
		}
	}
	// A run that was killed between its last training and the writing of the networks writes them.
	lost := filepath.Join(cut, lab.ClassifierFile)
	want, err := os.ReadFile(lost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	if _, err := startTraining(t, path, cut).Run(t.Context(), TrainExperiment()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(lost); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the lost network was not trained again to the same bytes: %v", err)
	}
	j = startTraining(t, path, cut)
	j.Line = func(string, ...any) { t.Error("a finished experiment collects again") }
	again, err := j.Run(t.Context(), TrainExperiment())
	if err != nil {
		t.Fatal(err)
	}
	if lost, err := startTraining(t, path, cut).Run(t.Context(), TrainExperiment()); err != nil ||
		lost.Cost != again.Cost {
		t.Errorf("a run with nothing to do counts as work: %+v, %+v (%v)", lost.Cost, again.Cost, err)
	}
	c := smallTraining()
	c.Steps++
	if _, _, err := lab.Standalone(TrainExperiment(), c, lab.ModelInputs(path), filepath.Join(cut, TrainFile),
		result.Environment{}); err == nil || !strings.Contains(err.Error(), "other settings (steps 20, not 21): move") {
		t.Errorf("got %v", err)
	}
}

// What was chosen is scored on the sequences of other data seeds, as if a new run had collected them; a result without
// such scores gets them without a training being done again.
func TestFreshSequences(t *testing.T) {
	m, path := labtest.StreamModel(t)
	dir := t.TempDir()
	c := smallTraining()
	c.Seeds, c.Noise, c.LearningRates, c.Tasks = []uint64{42}, []float64{0}, []float64{1e-2}, []string{"fa", pressureTask}
	run := func(c TrainConfig) (map[string]TrainCell, *result.Result) {
		j, _, err := lab.Standalone(TrainExperiment(), c, lab.ModelInputs(path), filepath.Join(dir, TrainFile),
			result.Environment{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := j.Run(t.Context(), TrainExperiment())
		if err != nil {
			t.Fatal(err)
		}
		return trainCells(t, r), r
	}
	before, _ := run(c)
	c.FreshSeeds, c.FreshSequences = []uint64{8001, 8002}, 12
	cells, r := run(c)
	if len(before) != 5 || len(cells) != 5+5*2 || !r.Complete {
		t.Fatalf("%d trainings, and %d cells with those of other data", len(before), len(cells))
	}
	o := &lab.Outcome{Measurements: r.Measurements}
	for _, k := range c.chosen(cells) {
		other := c
		other.DataSeed, other.Sequences = 8002, 12
		e := &training{TrainConfig: c, base: m, job: startTraining(t, path, t.TempDir()),
			data: map[baee.Protocol]*collection{}}
		_, network, err := e.train(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		examples, err := other.collect(t.Context(), m, k.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		width, labels, wanted := examples.of(k.Network)
		all := examples.subset(width, labels, wanted)
		want, _ := baee.AUC(network.Scores(all.Features), all.Labels)
		k.Fresh = "8002"
		if got := cells[k.name()]; got.AUC != want || got.HeldOut != all.Len() || got.Trained != 0 {
			t.Errorf("%s: %+v, want an AUC of %v on %d examples", k.name(), got, want, all.Len())
		}
		found := labtest.Find(t, o, string(k.Protocol), "fresh_auc",
			result.Labels{networkLabel: k.Network, rateLabel: number(k.LR)})
		if found.N != 2 {
			t.Errorf("%s: %+v, want the mean of two data seeds", k.name(), found)
		}
	}
}

// Two learning rates are compared over the seeds that both have: an easy seed alone makes none the best.
func TestRatesAreComparedOnCommonSeeds(t *testing.T) {
	for want, auc := range map[TrainKey]map[uint64][2]float64{ // by seed, of either rate; 0: there is none
		{LR: 1, Seed: 1}: {1: {0.9, 0.8}, 2: {0.5, 0}},
		{LR: 2, Seed: 1}: {1: {0.9, 0.95}, 2: {1, 0}},
		{LR: 1, Seed: 2}: {1: {0, 0.9}, 2: {0.8, 0}}, // none in common
		{LR: 2, Seed: 2}: {1: {0.9, 0}, 2: {0.7, 0.8}},
		{LR: 2, Seed: 3}: {3: {0, 0.5}},
	} {
		c, cells := TrainConfig{LearningRates: []float64{1, 2}, Noise: []float64{0.1}, Seeds: []uint64{1, 2, 3}},
			map[string]TrainCell{}
		want.Protocol, want.Network, want.Noise = baee.Strict, HeadNetwork, 0.1
		for seed, of := range auc {
			for i, a := range of {
				k := want
				if k.LR, k.Seed = float64(i+1), seed; a > 0 {
					cells[k.name()] = TrainCell{TrainKey: k, AUC: a}
				}
			}
		}
		if got := c.selected(cells); !reflect.DeepEqual(got, map[string]TrainKey{HeadNetwork: want}) {
			t.Errorf("of %v\ngot  %v\nwant %v", auc, got, want)
		}
	}
}

// What cannot be told apart for want of examples names what gives more.
func TestTooFewExamples(t *testing.T) {
	e := training{TrainConfig: smallTraining()}
	for p, want := range map[baee.Protocol]string{
		baee.Paper: "0 of 0 held-out examples are positive: there must be some of both kinds: collect from more than 20 " +
			"samples (--paper-sequences, ",
		baee.Strict: "collect from more than 20 streams, or of other tasks (--sequences and --tasks, ",
	} {
		network, err := baee.NewHead(4, 4, 1)
		if err != nil {
			t.Fatal(err)
		}
		cell := TrainCell{TrainKey: TrainKey{Protocol: p}}
		if err := e.evaluate(&cell, network, baee.Examples{Width: 4}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestTrainingMistakes(t *testing.T) {
	m, path := labtest.StreamModel(t)
	for want, change := range map[string]func(c *TrainConfig){
		"noise is []: give at least one":        func(c *TrainConfig) { c.Noise = nil },
		"seeds is [1 1]: 1 is given twice":      func(c *TrainConfig) { c.Seeds = []uint64{1, 1} },
		"learning_rates is 0: it must be above": func(c *TrainConfig) { c.LearningRates = []float64{0} },
		"noise is 0.5: it must be at least 0":   func(c *TrainConfig) { c.Noise = []float64{0.5} },
		"steps is 0: it must be at least 1":     func(c *TrainConfig) { c.Steps = 0 },
		"two or more whole chunks":              func(c *TrainConfig) { c.Context = 24 },
		"paper_context is 65: it must be from":  func(c *TrainConfig) { c.PaperContext = 65 },
		`tasks is "fa2": did you mean "fa"?`:    func(c *TrainConfig) { c.Tasks = []string{"fa2"} },
		"fresh_seeds is 7000: it is data_seed:": func(c *TrainConfig) { c.FreshSeeds = []uint64{7001, 7000} },
		"fresh_sequences is 0: it must be":      func(c *TrainConfig) { c.FreshSeeds = []uint64{7001} },
	} {
		c := smallTraining()
		change(&c)
		if err := c.Validate(m.Config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, TrainFile), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := lab.Standalone(TrainExperiment(), smallTraining(), lab.ModelInputs(path),
		filepath.Join(dir, TrainFile), result.Environment{}); err == nil ||
		!strings.Contains(err.Error(), "not a valid result") {
		t.Errorf("got %v", err)
	}
}

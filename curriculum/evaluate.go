package curriculum

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
)

// Accuracy is a share of right answers with its 95% Wilson score interval.
type Accuracy struct {
	N       int     `json:"n"`
	Correct int     `json:"correct"`
	Mean    float64 `json:"mean"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
}

// NewAccuracy is the accuracy of `correct` right answers of n > 0 (Wilson 1927).
func NewAccuracy(correct, n int) Accuracy {
	const z = 1.959963984540054 // 97.5% quantile of the normal distribution
	p, m := float64(correct)/float64(n), float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return Accuracy{N: n, Correct: correct, Mean: p, Low: max(0, centre-half), High: min(1, centre+half)}
}

// Evaluation is the result on one set of samples.
type Evaluation struct {
	Overall Accuracy            `json:"overall"`
	PerTask map[string]Accuracy `json:"per_task"`
}

// Scored is an evaluation with the outcomes of its samples, which histories of a training do not keep.
type Scored struct {
	Evaluation
	Outcomes []bool // of each sample, in their order: whether the answer was right
}

// Answer is what a model says of a sample.
type Answer struct {
	Label       int32   // the sample's class
	Class       int32   // the answer
	Probability float64 // that the model gives its answer
}

// EvaluateContext classifies samples of one length in batches and scores them by task. Logits that are not finite are
// an error, not a wrong answer. When ctx ends, it gives up between two batches, with ctx's error.
func EvaluateContext(ctx context.Context, m *layers.Model, samples []tasks.Sample, batch int) (Scored, error) {
	return EvaluateChunks(ctx, m, samples, 1, batch)
}

// EvaluateChunks is EvaluateContext of samples that are read in chunks, of which everything is kept; 0, 1: in one pass.
func EvaluateChunks(ctx context.Context, m *layers.Model, samples []tasks.Sample, chunks, batch int) (Scored, error) {
	n := len(samples)
	if n == 0 {
		return Scored{}, fmt.Errorf("evaluation: no samples")
	}
	next := func() (tasks.Sample, error) {
		s := samples[0]
		samples = samples[1:]
		return s, nil
	}
	tokens := len(samples[0].IDs)
	return score(n, nil, func(each func(s tasks.Sample, logits []float32)) error {
		return classify(ctx, m, n, tokens, chunks, batch, next, each)
	})
}

// EvaluateSamples is EvaluateContext of n samples of the given number of tokens that are made as Classify needs them.
// each is told every answer; it may be nil.
func EvaluateSamples(ctx context.Context, m *layers.Model, n, tokens, batch int,
	next func() (tasks.Sample, error), each func(Answer)) (Scored, error) {
	return score(n, each, func(each func(s tasks.Sample, logits []float32)) error {
		return Classify(ctx, m, n, tokens, batch, next, each)
	})
}

// score is the evaluation of n samples whose logits classify gives. each is told every answer; it may be nil.
func score(n int, each func(Answer),
	classify func(each func(s tasks.Sample, logits []float32)) error) (Scored, error) {
	right, total := map[string]int{}, map[string]int{}
	correct, outcomes := 0, make([]bool, 0, max(0, n))
	err := classify(func(s tasks.Sample, logits []float32) {
		total[s.Task]++
		outcomes = append(outcomes, Argmax(logits) == int(s.Label))
		if each != nil {
			each(answer(logits, s.Label))
		}
		if outcomes[len(outcomes)-1] {
			right[s.Task]++
			correct++
		}
	})
	if err != nil {
		return Scored{}, err
	}
	e := Scored{Evaluation{Overall: NewAccuracy(correct, n), PerTask: map[string]Accuracy{}}, outcomes}
	for task, n := range total {
		e.PerTask[task] = NewAccuracy(right[task], n)
	}
	return e, nil
}

// Classify gives the logits [C] of n samples of the given number of tokens, in their order, valid during the call. They
// are made as they are needed: no more than a batch of them is held. Logits that are not finite are an error. When ctx
// ends, it gives up between two batches, with ctx's error.
func Classify(ctx context.Context, m *layers.Model, n, tokens, batch int, next func() (tasks.Sample, error),
	each func(s tasks.Sample, logits []float32)) error {
	return classify(ctx, m, n, tokens, 1, batch, next, each)
}

// classify is Classify of samples that are read in chunks.
func classify(ctx context.Context, m *layers.Model, n, tokens, chunks, batch int, next func() (tasks.Sample, error),
	each func(s tasks.Sample, logits []float32)) error {
	if n < 1 || batch < 1 {
		return fmt.Errorf("evaluation: %d samples in batches of %d: use at least 1", n, batch)
	}
	inf, err := m.InferChunks(batch, tokens, chunks)
	if err != nil {
		return err
	}
	defer inf.Program.Close()
	part := make([]tasks.Sample, 0, min(batch, n))
	for from := 0; from < n; from += batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		for part = part[:0]; len(part) < min(batch, n-from); {
			s, err := next()
			if err != nil {
				return err
			}
			part = append(part, s)
		}
		ids, _ := Collate(part, batch)
		logits, err := inf.Run(ids, nil)
		if err != nil {
			return err
		}
		for i, s := range part {
			row := logits[i*m.Outputs() : (i+1)*m.Outputs()]
			if err := layers.CheckFinite("logits", row); err != nil {
				return fmt.Errorf("evaluation: sample %d (%s): %w", from+i, s.Task, err)
			}
			each(s, row)
		}
	}
	return nil
}

// answer is the class with the largest logit, and its share of the softmax.
func answer(logits []float32, label int32) Answer {
	best, sum := Argmax(logits), 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - float64(logits[best]))
	}
	return Answer{label, int32(best), 1 / sum}
}

// CalibrationError is the expected calibration error of answers in equal bins of their probability: the mean distance
// of accuracy and probability, each bin weighted by its answers (Guo et al. 2017).
func CalibrationError(answers []Answer, bins int) float64 {
	n, right, sum := make([]float64, bins), make([]float64, bins), make([]float64, bins)
	for _, a := range answers {
		i := min(int(a.Probability*float64(bins)), bins-1)
		n[i]++
		sum[i] += a.Probability
		if a.Class == a.Label {
			right[i]++
		}
	}
	total := 0.0
	for i := range n {
		total += math.Abs(right[i] - sum[i])
	}
	return total / float64(max(1, len(answers)))
}

// Tasks lists the tasks of an evaluation in alphabetical order.
func (e Evaluation) Tasks() []string {
	return slices.Sorted(maps.Keys(e.PerTask))
}

// Argmax is the position of the largest value, the first of equals.
func Argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

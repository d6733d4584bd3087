package result

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/synapnet/synapnet-train/curriculum"
)

// Outcomes says of each of n samples whether the answer was right: sample i is bit i%8 of byte i/8. In JSON it is
// base64; n is told beside it.
type Outcomes []byte

// NewOutcomes packs the outcomes of samples.
func NewOutcomes(right []bool) Outcomes {
	o := make(Outcomes, (len(right)+7)/8)
	for i, yes := range right {
		if yes {
			o[i/8] |= 1 << (i % 8)
		}
	}
	return o
}

// Right says whether the answer to sample i was right.
func (o Outcomes) Right(i int) bool { return o[i/8]>>(i%8)&1 == 1 }

// Score is an accuracy with the outcomes of its samples; without them, it was measured before they were kept.
type Score struct {
	curriculum.Accuracy
	Outcomes Outcomes `json:"outcomes,omitempty"`
}

// NewScore is the score of an evaluation.
func NewScore(e curriculum.Scored) Score { return Score{e.Overall, NewOutcomes(e.Outcomes)} }

// ScoreOf is the score of the outcomes of samples, of which there is one at least.
func ScoreOf(right []bool) Score {
	o := NewOutcomes(right)
	return Score{curriculum.NewAccuracy(o.correct(), len(right)), o}
}

func (o Outcomes) correct() int {
	n := 0
	for _, b := range o {
		n += bits.OnesCount8(b)
	}
	return n
}

// check is an error if the outcomes are not those of the accuracy.
func (s Score) check() error {
	if got, n := s.Outcomes.correct(), len(s.Outcomes); n != (s.N+7)/8 || got != s.Correct ||
		s.N%8 != 0 && s.Outcomes[n-1]>>(s.N%8) != 0 {
		return fmt.Errorf("%d bytes of outcomes, %d right, are not those of %d right of %d", n, got, s.Correct, s.N)
	}
	return nil
}

// Pairs counts the samples that two were given, by who was right.
type Pairs struct {
	Both, First, Second, Neither int
}

// N is the number of samples.
func (p Pairs) N() int { return p.Both + p.First + p.Second + p.Neither }

// Pair compares two scores of the same samples in the same order. It is not ok if one of them has no outcomes.
func Pair(a, b Score) (p Pairs, ok bool, err error) {
	if len(a.Outcomes) == 0 || len(b.Outcomes) == 0 {
		return p, false, nil
	}
	if a.N != b.N {
		return p, false, fmt.Errorf("outcomes of %d and of %d samples are no pairs", a.N, b.N)
	}
	for _, s := range []Score{a, b} {
		if err := s.check(); err != nil {
			return p, false, err
		}
	}
	for i := range a.N {
		switch x, y := a.Outcomes.Right(i), b.Outcomes.Right(i); {
		case x && y:
			p.Both++
		case x:
			p.First++
		case y:
			p.Second++
		default:
			p.Neither++
		}
	}
	return p, true, nil
}

// Difference is the share that the first answers right less that of the second, with the 95% interval of Newcombe 1998
// (Statistics in Medicine 17, 2635), method 10: Wilson's intervals of both shares, combined with the correlation φ of
// the outcomes, which is corrected for continuity.
func (p Pairs) Difference() (mean float64, i Interval) {
	a, b, c, d, n := float64(p.Both), float64(p.First), float64(p.Second), float64(p.Neither), float64(p.N())
	first, second := curriculum.NewAccuracy(p.Both+p.First, p.N()), curriculum.NewAccuracy(p.Both+p.Second, p.N())
	phi := 0.
	if margins := (a + b) * (c + d) * (a + c) * (b + d); margins > 0 {
		phi = a*d - b*c
		if phi > 0 {
			phi = max(0, phi-n/2)
		}
		phi /= math.Sqrt(margins)
	}
	side := func(x, y float64) float64 { return math.Sqrt(max(0, x*x-2*phi*x*y+y*y)) }
	mean = (b - c) / n
	return mean, Interval{
		Low:    mean - side(first.Mean-first.Low, second.High-second.Mean),
		High:   mean + side(first.High-first.Mean, second.Mean-second.Low),
		Method: "newcombe",
	}
}

// DifferenceOverSeeds is the difference of two shares on the same samples, pooled over seeds: a and b are the scores of
// each seed. The deviation is that of the seeds' differences. It is not ok if any of them has no outcomes, or there are
// none.
func DifferenceOverSeeds(l Labels, protocol string, a, b []Score) (m Measurement, ok bool, err error) {
	var all Pairs
	var differences []float64
	for i := range a {
		p, ok, err := Pair(a[i], b[i])
		if err != nil || !ok {
			return m, false, err
		}
		all = Pairs{all.Both + p.Both, all.First + p.First, all.Second + p.Second, all.Neither + p.Neither}
		differences = append(differences, a[i].Mean-b[i].Mean)
	}
	if len(a) == 0 {
		return m, false, nil
	}
	mean, interval := all.Difference()
	_, std := MeanAndStd(differences)
	return Measurement{
		Labels: l, Protocol: protocol, Metric: "difference", Unit: "1", N: all.N(), Mean: mean, Std: std, Interval: &interval,
	}, true, nil
}

// PairedNote is what is added to a protocol whose result has such differences.
const PairedNote = "Differences are paired, sample by sample; their intervals are Newcombe's (1998, method 10)"

// PairedOverSeedsNote is PairedNote where samples of several seeds are pooled.
const PairedOverSeedsNote = "Differences are paired, sample by sample, over all seeds; " +
	"their intervals are Newcombe's (1998, method 10)"

// AgainstLabel names what a difference is taken to.
const AgainstLabel = "against"

// Accuracies are those of scores.
func Accuracies(scores []Score) []curriculum.Accuracy {
	var all []curriculum.Accuracy
	for _, s := range scores {
		all = append(all, s.Accuracy)
	}
	return all
}

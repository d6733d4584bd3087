package result

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// Intervals of method 10 are those of scripts/newcombe.py, which computes them in another way. The tables are those of
// Altman et al., Statistics with Confidence (2000), table 6.2, and of Bentur et al. (2009) and Cavo et al. (2012) as
// Fagerland, Lydersen and Laake have them in Statistical Analysis of Contingency Tables (2017), chapter 8, whose R
// package contingencytables gives −0.0621 [−0.1186, −0.0046] for the last; and what has no correlation, or all.
func TestPairedDifference(t *testing.T) {
	const digits = 5e-9
	for name, c := range map[string]struct {
		pairs           Pairs
		mean, low, high float64
	}{
		"Altman":        {Pairs{14, 5, 0, 22}, 0.12195122, 0.01148324, 0.22649268},
		"Bentur":        {Pairs{1, 1, 7, 12}, -0.28571429, -0.50692023, -0.02555912},
		"Cavo":          {Pairs{59, 6, 16, 80}, -0.06211180, -0.11862120, -0.00462511},
		"always alike":  {Pairs{7, 0, 0, 3}, 0, -0.20019289, 0.20019289},
		"nobody ever":   {Pairs{0, 0, 0, 10}, 0, -0.27753280, 0.27753280},
		"first has all": {Pairs{0, 10, 0, 0}, 1, 0.60750935, 1},
	} {
		mean, i := c.pairs.Difference()
		if math.Abs(mean-c.mean) > digits || math.Abs(i.Low-c.low) > digits || math.Abs(i.High-c.high) > digits {
			t.Errorf("%s: %.8f [%.8f, %.8f], want %.8f [%.8f, %.8f]", name, mean, i.Low, i.High, c.mean, c.low, c.high)
		}
		p := c.pairs
		back, j := Pairs{p.Both, p.Second, p.First, p.Neither}.Difference()
		if back != -mean || math.Abs(j.Low+i.High) > 1e-12 || math.Abs(j.High+i.Low) > 1e-12 {
			t.Errorf("%s: the other way round it is %v %+v, not %v %+v", name, back, j, mean, i)
		}
		if i.Low > mean || i.High < mean || i.Low < -1 || i.High > 1 {
			t.Errorf("%s: %v is not in %+v", name, mean, i)
		}
	}
}

// A score keeps each outcome through JSON, and reads one from before outcomes were kept.
func TestScore(t *testing.T) {
	right := []bool{true, false, false, true, true, false, true, false, false, true, true}
	s := ScoreOf(right)
	text, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(text), `"n":11,"correct":6,`) ||
		!strings.Contains(string(text), `"outcomes":"WQY="`) {
		t.Fatalf("%s (%v)", text, err)
	}
	var read Score
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	for i, want := range right {
		if read.Outcomes.Right(i) != want {
			t.Errorf("sample %d is %v", i, !want)
		}
	}
	other := ScoreOf([]bool{true, true, false, false, true, false, false, false, false, true, false})
	if p, ok, err := Pair(read, other); err != nil || !ok || p != (Pairs{3, 3, 1, 4}) {
		t.Errorf("%+v %v %v", p, ok, err)
	}
	var old Score
	if err := json.Unmarshal([]byte(`{"n":11,"correct":6,"mean":0.5}`), &old); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := Pair(old, other); ok || err != nil {
		t.Errorf("without outcomes: %v %v", ok, err)
	}
}

// Outcomes that are not those of the accuracy beside them, or of other samples, are an error and no numbers.
func TestPairRefuses(t *testing.T) {
	good := ScoreOf(make([]bool, 9))
	for name, spoil := range map[string]func(s *Score){
		"too short":        func(s *Score) { s.Outcomes = s.Outcomes[:1] },
		"too long":         func(s *Score) { s.Outcomes = append(s.Outcomes, 0) },
		"another count":    func(s *Score) { s.Correct = 1 },
		"beyond the last":  func(s *Score) { s.Correct, s.Outcomes[1] = 1, 2 },
		"of other samples": func(s *Score) { *s = ScoreOf(make([]bool, 10)) },
	} {
		s := ScoreOf(make([]bool, 9))
		spoil(&s)
		if _, ok, err := Pair(good, s); err == nil || ok {
			t.Errorf("%s: %v %v", name, ok, err)
		}
	}
}

// The difference over seeds pools their samples; with one score without outcomes there is none.
func TestDifferenceOverSeeds(t *testing.T) {
	a := []Score{ScoreOf([]bool{true, true, false, true}), ScoreOf([]bool{true, false, false, true})}
	b := []Score{ScoreOf([]bool{false, true, false, false}), ScoreOf([]bool{true, false, true, true})}
	m, ok, err := DifferenceOverSeeds(Labels{"variant": "x"}, Strict, a, b)
	if err != nil || !ok || m.N != 8 || m.Mean != 0.125 || math.Abs(m.Std-math.Sqrt(0.28125)) > 1e-12 ||
		m.Interval.Method != "newcombe" || m.Metric != "difference" {
		t.Errorf("%+v %v %v", m, ok, err)
	}
	b[1].Outcomes = nil
	if _, ok, err := DifferenceOverSeeds(nil, Strict, a, b); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	if _, ok, err := DifferenceOverSeeds(nil, Strict, nil, nil); ok || err != nil {
		t.Errorf("of nothing: %v %v", ok, err)
	}
}

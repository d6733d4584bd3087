package benchmarks

import (
	"encoding/json"
	"os"
	"testing"
)

// goldenCase is a prediction with what the benchmarks' own code made of it.
type goldenCase struct {
	Dataset    string   `json:"dataset"`
	Task       string   `json:"task"`
	Question   string   `json:"question"`
	Prediction string   `json:"prediction"`
	Answers    []string `json:"answers"`
	Classes    []string `json:"classes"`
	Score      float64  `json:"score"`
	All        float64  `json:"all"`
	Part       float64  `json:"part"`
	Right      bool     `json:"right"`
}

// goldenSet is a set of cases with its published score.
type goldenSet struct {
	Dataset string  `json:"dataset"`
	Cases   []int   `json:"cases"`
	Right   int     `json:"right"`
	N       int     `json:"n"`
	Score   float64 `json:"score"`
	All     float64 `json:"all"`
	Part    float64 `json:"part"`
}

// golden is testdata/golden.json. It was written once by the benchmarks' own code, of the commits in sources.
type golden struct {
	LongBench       []goldenCase `json:"longbench"`
	LongBenchSets   []goldenSet  `json:"longbench_sets"`
	LongBenchV2     []goldenCase `json:"longbench_v2"`
	LongBenchV2Sets []goldenSet  `json:"longbench_v2_sets"`
	Ruler           []goldenCase `json:"ruler"`
	RulerSets       []goldenSet  `json:"ruler_sets"`
	BABILong        []goldenCase `json:"babilong"`
}

func goldenValues(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// set is what the benchmark makes of a row.
func set(t *testing.T, b *Benchmark, file string, r row) (*dataset, Sample) {
	t.Helper()
	d, s, err := b.sample(file, &r)
	if err != nil {
		t.Fatal(err)
	}
	return d, s
}

// score is that of a golden case in percent, from the row that a file would have.
func (c goldenCase) score(t *testing.T, b *Benchmark, file string, r row) float64 {
	t.Helper()
	d, s := set(t, b, file, r)
	return d.percent(d.score(c.Prediction, &s), 1)
}

func (c goldenCase) longBench() row {
	return row{Input: new(""), Context: new(""), Dataset: new(c.Dataset), Answers: c.Answers, AllClasses: c.Classes}
}

func TestLongBenchScores(t *testing.T) {
	g := goldenValues(t)
	for i, c := range g.LongBench {
		if got := c.score(t, &longBench, "", c.longBench()); got != c.Score {
			t.Errorf("case %d: %+v: %v", i, c, got)
		}
	}
	for i, s := range g.LongBenchSets {
		sum := 0.0
		var d *dataset
		for _, at := range s.Cases {
			c := g.LongBench[at]
			var sample Sample
			d, sample = set(t, &longBench, "", c.longBench())
			sum += d.score(c.Prediction, &sample)
		}
		if got := d.percent(sum, len(s.Cases)); got != s.Score {
			t.Errorf("set %d: got %v, want %v", i, got, s.Score)
		}
	}
}

func TestLongBenchV2Scores(t *testing.T) {
	g := goldenValues(t)
	of := func(c goldenCase) row {
		x := new("x")
		return row{Context: x, Question: x, ChoiceA: x, ChoiceB: x, ChoiceC: x, ChoiceD: x, Answer: &c.Answers[0]}
	}
	for i, c := range g.LongBenchV2 {
		if got := c.score(t, &longBenchV2, "", of(c)) == 100; got != c.Right {
			t.Errorf("case %d: %+v: %v", i, c, got)
		}
	}
	d, _ := set(t, &longBenchV2, "", of(g.LongBenchV2[0]))
	for _, s := range g.LongBenchV2Sets {
		if got := d.percent(float64(s.Right), s.N); got != s.Score {
			t.Errorf("%+v: %v", s, got)
		}
	}
}

func TestRulerScores(t *testing.T) {
	g := goldenValues(t)
	of := func(c goldenCase) row { return row{Input: new("x"), Outputs: c.Answers} }
	for i, c := range g.Ruler {
		if got := c.score(t, &ruler, "niah_single_1/validation.jsonl", of(c)); got != c.All {
			t.Errorf("case %d: %+v: all %v", i, c, got)
		}
		if got := c.score(t, &ruler, "qa_1/validation.jsonl", of(c)); got != c.Part {
			t.Errorf("case %d: %+v: part %v", i, c, got)
		}
	}
	for i, s := range g.RulerSets {
		for file, want := range map[string]float64{"vt.jsonl": s.All, "qa_2.jsonl": s.Part} {
			sum := 0.0
			var d *dataset
			for _, at := range s.Cases {
				var sample Sample
				d, sample = set(t, &ruler, file, of(g.Ruler[at]))
				sum += d.score(g.Ruler[at].Prediction, &sample)
			}
			if got := d.percent(sum, len(s.Cases)); got != want {
				t.Errorf("set %d, %s: got %v, want %v", i, file, got, want)
			}
		}
	}
}

func TestBABILongScores(t *testing.T) {
	for i, c := range goldenValues(t).BABILong {
		r := row{Input: new("x"), Question: new(c.Question), Target: new(c.Answers[0])}
		if got := c.score(t, &babilong, c.Task+"_0k.json", r) == 100; got != c.Right {
			t.Errorf("case %d: %+v: %v", i, c, got)
		}
	}
}

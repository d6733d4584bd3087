package benchmarks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

// longBenchV2 is LongBench v2: questions with four choices, answered by their letters.
var longBenchV2 = Benchmark{
	Name: "longbench-v2", Title: "LongBench v2 (Bai et al. 2025)",
	Reads:        "context, question and (A) choice_A to (D) choice_D, each on a line of its own; no prompt",
	Repositories: []string{"zai-org/LongBench-v2", "THUDM/LongBench-v2"}, Long: data.CutMiddle,
	form: `{"question": "…", "choice_A": "…" to "choice_D": "…", "answer": "A", "context": "…"}`,

	sample: longBenchV2Sample,
}

var choices = []string{"A", "B", "C", "D"}

func longBenchV2Sample(_ string, r *row) (*dataset, Sample, error) {
	needed := []field{{"context", r.Context}, {"question", r.Question}, {"choice_A", r.ChoiceA}, {"choice_B", r.ChoiceB},
		{"choice_C", r.ChoiceC}, {"choice_D", r.ChoiceD}, {"answer", r.Answer}}
	if err := missing(needed...); err != nil {
		return nil, Sample{}, err
	}
	if !slices.Contains(choices, *r.Answer) {
		return nil, Sample{}, fmt.Errorf("the answer is %s: it is A, B, C or D", foreign.Word(*r.Answer))
	}
	lines := []string{strings.TrimSpace(*r.Context), strings.TrimSpace(*r.Question)}
	for i, choice := range []*string{r.ChoiceA, r.ChoiceB, r.ChoiceC, r.ChoiceD} {
		lines = append(lines, "("+choices[i]+") "+strings.TrimSpace(*choice))
	}
	d := &dataset{name: "longbench-v2", metric: "accuracy"}
	d.score = func(prediction string, s *Sample) float64 { return share(prediction == s.Answers[0]) }
	d.percent = func(sum float64, n int) float64 { return rounded(100*sum/float64(n), 1) }
	return d, Sample{Text: strings.Join(lines, "\n"), Answers: []string{*r.Answer}, Classes: choices}, nil
}

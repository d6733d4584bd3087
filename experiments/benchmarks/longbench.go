package benchmarks

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

// longBench is LongBench, version 1: its classification, retrieval and counting sets have answers that a classifier can
// give. Its metrics are of the file metrics.py, applied as eval.py does.
var longBench = Benchmark{
	Name: "longbench", Title: "LongBench (Bai et al. 2024)", Reads: "context, a line feed, input; no prompt",
	Repositories: []string{"zai-org/LongBench", "THUDM/LongBench"}, Long: data.CutMiddle,
	form: `{"input": "…", "context": "…", "answers": ["…"], "dataset": "…", "all_classes": ["…"] or null}`,

	sample: longBenchSample,
}

// closedSets are LongBench's sets whose answers are closed.
var closedSets = map[string]dataset{
	"trec":                 {metric: "classification_score", score: firstLine(classification)},
	"lsht":                 {metric: "classification_score", score: firstLine(classification)},
	"passage_retrieval_en": {metric: "retrieval_score", score: best(retrieval(`Paragraph (\p{Nd}+)`))},
	"passage_retrieval_zh": {metric: "retrieval_zh_score", score: best(retrieval(`段落(\p{Nd}+)`))},
	"passage_count": {metric: "count_score", score: best(func(prediction, truth string, _ []string) float64 {
		return shareOfNumbers(prediction, truth)
	})},
}

// freeForm are LongBench's other sets, with their metrics.
var freeForm = map[string]string{
	"narrativeqa": "qa_f1_score", "qasper": "qa_f1_score", "multifieldqa_en": "qa_f1_score",
	"multifieldqa_zh": "qa_f1_zh_score", "hotpotqa": "qa_f1_score", "2wikimqa": "qa_f1_score", "musique": "qa_f1_score",
	"dureader": "rouge_zh_score", "gov_report": "rouge_score", "qmsum": "rouge_score", "multi_news": "rouge_score",
	"vcsum": "rouge_zh_score", "triviaqa": "qa_f1_score", "samsum": "rouge_score", "lcc": "code_sim_score",
	"repobench-p": "code_sim_score",
}

func longBenchSample(_ string, r *row) (*dataset, Sample, error) {
	err := missing(field{"input", r.Input}, field{"context", r.Context}, field{"dataset", r.Dataset})
	if err != nil {
		return nil, Sample{}, err
	}
	if len(r.Answers) == 0 {
		return nil, Sample{}, errors.New("it has no answers")
	}
	name := strings.TrimSuffix(*r.Dataset, "_e") // LongBench-E
	if metric, ok := freeForm[name]; ok {
		return &dataset{name: name, metric: metric, freeForm: true}, Sample{}, nil
	}
	d, ok := closedSets[name]
	if !ok {
		known := slices.Sorted(maps.Keys(closedSets))
		return nil, Sample{}, fmt.Errorf("the dataset %s is none of LongBench's: those with closed answers are %s",
			foreign.Word(*r.Dataset), strings.Join(known, ", "))
	}
	s := Sample{Text: *r.Context + "\n" + *r.Input, Answers: r.Answers}
	switch d.metric {
	case "classification_score":
		if s.Classes = r.AllClasses; len(s.Classes) == 0 {
			return nil, Sample{}, errors.New("it has no all_classes")
		}
	case "retrieval_score", "retrieval_zh_score":
		for _, truth := range s.Answers {
			if !retrievalForm.MatchString(truth) {
				return nil, Sample{}, fmt.Errorf("the answer %s names no paragraph: it is like \"Paragraph 3\" or \"段落3\"",
					foreign.Word(truth))
			}
		}
	}
	d.name, d.percent = name, func(sum float64, n int) float64 { return rounded(100*sum/float64(n), 2) }
	return &d, s, nil
}

// truthScore is the score of a prediction against one of the sample's answers.
type truthScore func(prediction, truth string, classes []string) float64

// best is the highest score against any answer.
func best(score truthScore) func(string, *Sample) float64 {
	return func(prediction string, s *Sample) float64 {
		highest := 0.0
		for _, truth := range s.Answers {
			highest = max(highest, score(prediction, truth, s.Classes))
		}
		return highest
	}
}

// firstLine is best of what stands on the prediction's first line that is not empty.
func firstLine(score truthScore) func(string, *Sample) float64 {
	return best(func(prediction, truth string, classes []string) float64 {
		line, _, _ := strings.Cut(strings.TrimLeft(prediction, "\n"), "\n")
		return score(line, truth, classes)
	})
}

// classification is LongBench's classification_score: 1 over the number of classes that the prediction names, if the
// truth is among them. A class whose name is part of the truth does not count; but, as in the original, which removes
// from the list that it goes through, the one behind a removed class is not looked at.
func classification(prediction, truth string, classes []string) float64 {
	var named []string
	for _, class := range classes {
		if strings.Contains(prediction, class) {
			named = append(named, class)
		}
	}
	for i := 0; i < len(named); i++ {
		if class := named[i]; class != truth && strings.Contains(truth, class) {
			first := slices.Index(named, class)
			named = slices.Delete(named, first, first+1)
		}
	}
	if !slices.Contains(named, truth) {
		return 0
	}
	return 1 / float64(len(named))
}

// Python's \d is any decimal digit of Unicode.
var (
	numbers       = regexp.MustCompile(`\p{Nd}+`)
	retrievalForm = regexp.MustCompile(`Paragraph \p{Nd}+|段落\p{Nd}+`)
)

// retrieval is LongBench's retrieval_score: the share of the prediction's numbers that are the paragraph's.
func retrieval(pattern string) truthScore {
	paragraph := regexp.MustCompile(pattern)
	return func(prediction, truth string, _ []string) float64 {
		found := paragraph.FindStringSubmatch(truth)
		if found == nil {
			return 0
		}
		return shareOfNumbers(prediction, found[1])
	}
}

// shareOfNumbers is the share of a text's numbers that are written like the given one.
func shareOfNumbers(text, number string) float64 {
	all, right := numbers.FindAllString(text, -1), 0
	for _, n := range all {
		if n == number {
			right++
		}
	}
	return float64(right) / float64(max(1, len(all)))
}

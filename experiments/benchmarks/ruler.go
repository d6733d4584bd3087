package benchmarks

import (
	"errors"
	"regexp"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/data"
)

// ruler is RULER: its tasks are made by its own scripts, for a tokeniser and a length.
var ruler = Benchmark{
	Name: "ruler", Title: "RULER (Hsieh et al. 2024)", Reads: "input", Long: data.Refuse,
	Obtain: "make its files with scripts/data/prepare.py of github.com/NVIDIA/RULER and give their folder, " +
		"--benchmark ruler=FOLDER",
	form: `{"input": "…", "outputs": ["…"]}`,

	sample: rulerSample,
}

// rulerTask is the task in the name of a file or its folder: niah_single_1/validation.jsonl.
var rulerTask = regexp.MustCompile(`^((?:niah|vt|cwe|fwe|qa)(?:_[A-Za-z0-9_]+)?)(?:\.|$)`)

func rulerSample(file string, r *row) (*dataset, Sample, error) {
	if err := missing(field{"input", r.Input}); err != nil {
		return nil, Sample{}, err
	}
	task := lastMatch(rulerTask, file)
	switch {
	case len(r.Outputs) == 0:
		return nil, Sample{}, errors.New("it has no outputs")
	case task == "":
		return nil, Sample{}, errors.New("which task is it? The name of a file or its folder begins with niah, vt, cwe, " +
			"fwe or qa, e.g. niah_single_1/validation.jsonl")
	}
	d := &dataset{name: task, metric: "string_match_all", score: matchAll}
	if strings.HasPrefix(task, "qa") {
		d.metric, d.score = "string_match_part", matchPart
	}
	d.percent = func(sum float64, n int) float64 { return rounded(sum/float64(n)*100, 2) }
	return d, Sample{Text: *r.Input, Answers: r.Outputs}, nil
}

// matchAll is RULER's string_match_all: the share of the answers that are in the prediction, whatever their case.
func matchAll(prediction string, s *Sample) float64 {
	return float64(found(prediction, s.Answers)) / float64(len(s.Answers))
}

// matchPart is RULER's string_match_part: 1 if one of the answers is in the prediction.
func matchPart(prediction string, s *Sample) float64 { return share(found(prediction, s.Answers) > 0) }

// found is how many of the answers are in the prediction.
func found(prediction string, answers []string) (n int) {
	prediction = lower(printable(prediction))
	for _, answer := range answers {
		if strings.Contains(prediction, lower(answer)) {
			n++
		}
	}
	return n
}

// printable is the prediction as evaluate.py prepares it: control characters are line feeds.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' {
			return '\n'
		}
		return r
	}, s))
}

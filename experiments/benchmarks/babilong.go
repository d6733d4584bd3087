package benchmarks

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

// babilong is BABILong: the facts of bAbI hidden in books. A classifier answers what it was trained on with the same
// files.
var babilong = Benchmark{
	Name: "babilong", Title: "BABILong (Kuratov et al. 2024)", Reads: "input, a blank, question",
	Repositories: []string{"RMT-team/babilong"}, Long: data.Refuse,
	form:   `{"input": "…", "question": "…", "target": "…"}`,
	sample: babilongSample,
}

// The task and the length in the name of a file: data/qa1/0k.json, 4k/qa1-00000-of-00001.parquet.
var (
	babilongTask   = regexp.MustCompile(`(?:^|[^A-Za-z0-9])(qa[0-9]{1,2})(?:[^A-Za-z0-9]|$)`)
	babilongLength = regexp.MustCompile(`(?:^|[^A-Za-z0-9])([0-9]+[kM])(?:[^A-Za-z0-9]|$)`)
)

func babilongSample(file string, r *row) (*dataset, Sample, error) {
	if err := missing(field{"input", r.Input}, field{"question", r.Question}, field{"target", r.Target}); err != nil {
		return nil, Sample{}, err
	}
	task, length := lastMatch(babilongTask, file), lastMatch(babilongLength, file)
	labels := babilongLabels[task]
	if labels == nil {
		return nil, Sample{}, errors.New("which task is it? The name of a file or its folder has qa1 to qa20, e.g. " +
			"qa1_0k.json")
	}
	for word := range strings.SplitSeq(*r.Target, ",") {
		if !slices.Contains(labels, *r.Target) && !slices.Contains(labels, word) {
			return nil, Sample{}, fmt.Errorf("the target %s is none of BABILong's answers to %s (%s): files of this form with "+
				"others are for --data", foreign.Word(*r.Target), task, strings.Join(labels, ", "))
		}
	}
	d := &dataset{name: strings.Trim(task+"_"+length, "_"), metric: "compare_answers", percent: unrounded}
	d.score = func(prediction string, s *Sample) float64 {
		return share(compareAnswers(s.Answers[0], prediction, s.Question, labels))
	}
	return d, Sample{Text: *r.Input + " " + *r.Question, Question: *r.Question, Answers: []string{*r.Target}}, nil
}

// lastMatch is what the pattern finds last in a path; "": nothing.
func lastMatch(pattern *regexp.Regexp, path string) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	for _, part := range slices.Backward(parts) {
		if found := pattern.FindStringSubmatch(part); found != nil {
			return found[1]
		}
	}
	return ""
}

// babilongLabels are the answers to each task, which its metric looks for.
var babilongLabels = func() map[string][]string {
	places := []string{"bathroom", "bedroom", "garden", "hallway", "kitchen", "office"}
	yes := []string{"no", "yes"}
	tasks := map[string][]string{
		"qa5": {"Bill", "Fred", "Jeff", "Mary", "apple", "football", "milk"}, "qa7": {"none", "one", "three", "two"},
		"qa8": {"apple", "football", "milk", "nothing"}, "qa10": {"maybe", "no", "yes"},
		"qa14": {"bedroom", "cinema", "kitchen", "office", "park", "school"},
		"qa15": {"cat", "mouse", "sheep", "wolf"}, "qa16": {"gray", "green", "white", "yellow"},
		"qa19": {"e,e", "e,n", "e,s", "n,e", "n,n", "n,w", "s,e", "s,s", "s,w", "w,n", "w,s", "w,w"},
		"qa20": {"bedroom", "bored", "garden", "hungry", "kitchen", "thirsty", "tired"},
	}
	for _, task := range []string{"qa1", "qa2", "qa3", "qa4", "qa11", "qa12", "qa13"} {
		tasks[task] = places
	}
	for _, task := range []string{"qa6", "qa9", "qa17", "qa18"} {
		tasks[task] = yes
	}
	return tasks
}()

// compareAnswers says whether the first sentence of an output names the target, and no other label but those of the
// question.
func compareAnswers(target, output, question string, labels []string) bool {
	output, target, question = lower(output), lower(target), lower(question)
	for _, end := range []string{".", "<context>", "<example>", "Question"} {
		output, _, _ = strings.Cut(output, end)
	}
	var named []string
	for _, label := range labels {
		if label = lower(label); strings.Contains(output, label) && !strings.Contains(question, label) {
			named = append(named, label)
		}
	}
	if !strings.Contains(target, ",") || len([]rune(target)) <= 3 {
		return slices.Equal(named, []string{target})
	}
	targets := strings.Split(target, ",")
	return len(named) == len(targets) &&
		!slices.ContainsFunc(targets, func(t string) bool { return !slices.Contains(named, t) })
}

// lower is Python's str.lower.
func lower(s string) string { return cases.Lower(language.Und).String(s) }

// share is a verdict as a score.
func share(right bool) float64 {
	if right {
		return 1
	}
	return 0
}

// unrounded is the mean score in percent.
func unrounded(sum float64, n int) float64 { return 100 * sum / float64(n) }

package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/data"
	"github.com/synapnet/synapnet-train/experiments/benchmarks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers"
)

// benchmarkEvaluation is what eval --benchmark --json prints.
type benchmarkEvaluation struct {
	Model       string              `json:"model"`
	Parameters  int                 `json:"parameters"`
	Benchmark   string              `json:"benchmark"`
	Reads       string              `json:"reads"` // what the model reads of a sample
	LongSamples data.Long           `json:"long_samples"`
	Positions   layers.Positions    `json:"positions"`
	Environment result.Environment  `json:"environment"`
	Results     []benchmarks.Result `json:"results"`
	Skipped     []skippedFile       `json:"skipped,omitempty"`
}

// skippedFile is a file of a benchmark that the model cannot be scored on.
type skippedFile struct {
	Dataset string `json:"dataset"`
	File    string `json:"file"`
	Reason  string `json:"reason"`
}

// benchmarkOf is the benchmark and the path that --benchmark names.
func benchmarkOf(c *cli.Context) (b *benchmarks.Benchmark, path string, err error) {
	name, path, given := strings.Cut(c.String("benchmark"), "=")
	b, ok := benchmarks.Lookup(name)
	switch {
	case !ok:
		return nil, "", usagef(c, "--benchmark %s: no such benchmark%s; there are %s", printable(name),
			didYouMean(name, benchmarks.Names(), asIs), strings.Join(benchmarks.Names(), ", "))
	case given && path == "":
		return nil, "", usagef(c, "--benchmark %s=: give its file or folder, or leave out the = for Hugging Face's cache",
			name)
	}
	return b, path, nil
}

// evalBenchmark scores a model on files of a benchmark.
func evalBenchmark(c *cli.Context) error {
	for _, flag := range []string{"tasks", "suite", "samples", "seed", "sample-keys", "data", "held-out"} {
		if c.IsSet(flag) {
			return usagef(c, "--%s does not go with --benchmark, whose files are evaluated: leave one of them out", flag)
		}
	}
	b, at, err := benchmarkOf(c)
	if err != nil {
		return err
	}
	long, err := longSamples(c, b.Long)
	if err != nil {
		return err
	}
	found, err := b.Files(at)
	if err != nil {
		return err
	}
	path, m, err := loadArgument(c)
	if err != nil {
		return err
	}
	reader, err := benchmarkReader(c, path, m, long)
	if err != nil {
		return err
	}
	if err := setPositions(c, path, m); err != nil {
		return err
	}
	r := &benchmarkEvaluation{Model: path, Parameters: m.Parameters(), Benchmark: b.Name, Reads: b.Reads,
		LongSamples: long, Positions: m.Positions, Environment: environment(), Results: []benchmarks.Result{}}
	if err := r.run(c, b, found, reader, m); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	return r.print(&firstError{w: c.App.Writer}, b.Title)
}

// benchmarkReader is what the model reads a benchmark with: only one of own text has it.
func benchmarkReader(c *cli.Context, path string, m *layers.Model, long data.Long) (benchmarks.Reader, error) {
	r := benchmarks.Reader{Vocab: m.Config.VocabSize, Most: m.Config.MaxLen, Long: long}
	if m.Config.LanguageModel() {
		return r, usagef(c, "%s is a language model: benchmarks are answered with a classifier's labels", foreign.Path(path))
	}
	var err error
	if r.Tokenizer, err = curriculum.TokenizerOf(m.Extra); err != nil {
		return r, err
	}
	if r.Labels, err = curriculum.LabelsOf(m.Extra); err != nil {
		return r, err
	}
	switch {
	case r.Tokenizer == nil || r.Labels == nil:
		return r, usagef(c, "%s has no tokeniser: a benchmark is text; train a model on text of your own, with "+
			"pretrain --data FILE --tokenizer words", foreign.Path(path))
	case r.Labels.Len() > m.Outputs():
		return r, fmt.Errorf("%s has %d labels and %d classes: the file is corrupt", foreign.Path(path), r.Labels.Len(),
			m.Outputs())
	}
	fixed, err := fixedContext(c, m)
	if err != nil {
		return r, err
	}
	r.Most = cmp.Or(fixed, r.Most)
	return r, checkShapes(c, m.Config, []int{r.Most}, c.Int("batch-size"))
}

// fixedContext is the one that --contexts gives, or that at which the model learnt; 0: the longest sample's.
func fixedContext(c *cli.Context, m *layers.Model) (int, error) {
	given, err := oneContext(c, m)
	if err != nil || given > 0 {
		return given, err
	}
	r, err := curriculum.ReadingOf(m.Extra)
	return min(r.Context, m.Config.MaxLen), err
}

// oneContext is the one that --contexts gives; 0: none.
func oneContext(c *cli.Context, m *layers.Model) (int, error) {
	if !c.IsSet("contexts") {
		return 0, nil
	}
	all := c.IntSlice("contexts")
	if len(all) > 1 {
		return 0, usagef(c, "--contexts %v: own data and benchmarks are evaluated at one", all)
	}
	return all[0], checkShapes(c, m.Config, all, 1)
}

// run scores file by file. One that is nothing for the model is skipped, and an error if it is the only one.
func (r *benchmarkEvaluation) run(c *cli.Context, b *benchmarks.Benchmark, found []benchmarks.File,
	reader benchmarks.Reader, m *layers.Model) error {
	fixed, err := fixedContext(c, m)
	if err != nil {
		return err
	}
	for _, file := range found {
		set, err := b.Read(c.Context, file, reader)
		if unfit, ok := errors.AsType[*benchmarks.UnfitError](err); ok {
			if len(found) == 1 {
				return usagef(c, "--benchmark %s: %v", b.Name, err)
			}
			r.Skipped = append(r.Skipped, skippedFile{unfit.Dataset, file.String(), unfit.Reason})
			continue
		}
		if err != nil {
			return err
		}
		length := reader.Most
		if fixed == 0 {
			length = max(set.Longest(), layers.MinContext)
		}
		batch := min(c.Int("batch-size"), set.Len())
		if err := checkEvalMemory(c, m, batch, []int{length}); err != nil {
			return err
		}
		one, err := set.Evaluate(c.Context, m, length, batch)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, one)
	}
	if len(r.Results) == 0 {
		first := r.Skipped[0]
		return usagef(c, "--benchmark %s: none of %d files can be scored with this model; %s: %s", b.Name, len(r.Skipped),
			foreign.Path(first.File), foreign.Line(first.Dataset+": "+first.Reason, foreign.LineLimit))
	}
	return nil
}

// print prints a line a set, and what was skipped.
func (r *benchmarkEvaluation) print(w *firstError, title string) error {
	w.printf("%s: %s parameters, %s%s\n", foreign.Path(r.Model), grouped(r.Parameters), title,
		positionsText(r.Positions))
	w.printf("read of a sample: %s; longer samples: %s\n\n", r.Reads, map[data.Long]string{data.Refuse: "refused",
		data.CutLeft: "cut on the left", data.CutRight: "cut on the right",
		data.CutMiddle: "cut in the middle"}[cmp.Or(r.LongSamples, data.Refuse)])
	rows := [][]string{{"dataset", "metric", "score", "95% interval", "n", "context", "cut", "outside"}}
	outside, n := 0, 0
	for _, x := range r.Results {
		interval := "-"
		if a := x.Accuracy; a != nil {
			interval = fmt.Sprintf("[%.2f, %.2f]", 100*a.Low, 100*a.High)
		}
		rows = append(rows, []string{foreign.Word(x.Dataset), x.Metric, fmt.Sprintf("%.2f", x.Score), interval,
			fmt.Sprint(x.N), fmt.Sprint(x.Context), fmt.Sprint(x.Cut), fmt.Sprint(x.Outside)})
		outside, n = outside+x.Outside, n+x.N
	}
	if err := table.Write(w, 2, rows...); err != nil {
		return err
	}
	if outside > 0 {
		w.printf("outside: %s of %s samples have an answer that is not among the model's labels; they count as wrong\n",
			grouped(outside), grouped(n))
	}
	if len(r.Skipped) > 0 {
		w.printf("skipped: %d of %d files\n", len(r.Skipped), len(r.Skipped)+len(r.Results))
	}
	for _, s := range r.Skipped {
		w.printf("  %s (%s): %s\n", foreign.Path(s.File), foreign.Word(s.Dataset), foreign.Line(s.Reason, foreign.LineLimit))
	}
	return w.err
}

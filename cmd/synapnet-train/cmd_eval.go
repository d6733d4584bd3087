package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/benchmarks"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:      "eval",
		Usage:     "measure a trained model's accuracy on tasks at context lengths",
		ArgsUsage: "[MODEL.safetensors]",
		Description: helpText("eval", "{pretrainedModel}", pretrainedModel, "{measureSuites}",
			strings.Join(measure.Suites(), ", ")),
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "tasks", Usage: "`NAME`s of tasks: --tasks niah_single fa (default: those of --suite)"},
			&cli.StringSliceFlag{Name: "suite", Usage: "`NAME`s of suites (default: mixture)"},
			&cli.IntSliceFlag{Name: "contexts", Usage: "context `LENGTH`s in tokens; of the default those that the model has " +
				"positions for, or all its positions", Value: cli.NewIntSlice(512, 1024)},
			&cli.IntFlag{Name: "samples", Usage: "samples of each task at each context", Value: 256},
			&cli.IntFlag{Name: "batch-size", Usage: "samples at a time; results do not depend on it", Value: 4},
			&cli.Uint64Flag{Name: "seed", Usage: "seed of the samples", Value: 42},
			&cli.IntFlag{Name: "sample-keys", Usage: "1: the samples of versions in which a seed could meet a training's; 2: " +
				"apart from every training", Value: int(tasks.CurrentKeys)},
			&cli.StringSliceFlag{Name: "data", Usage: "`FILE`s of samples of your own, in place of tasks, see pretrain --help"},
			&cli.BoolFlag{Name: "held-out",
				Usage: "of --data, the samples that the model's run held out of them, by their hashes"},
			&cli.StringFlag{Name: "benchmark", Usage: "`NAME[=PATH]` of a benchmark, in place of tasks: " +
				strings.Join(benchmarks.Names(), ", ") + "; PATH is a file or a folder (default: what is in Hugging Face's cache)"},
			longSamplesFlag(),
			&cli.StringFlag{Name: "positions", Usage: "`HOW` tokens beyond the trained context are given positions: plain, " +
				"their own; squeeze, all into those that were trained; wrap, from 0 again", Value: string(layers.PlainPositions)},
			&cli.IntFlag{Name: "trained-context", Usage: "`TOKENS` of the longest context that the model was trained at, for " +
				"--positions squeeze and wrap", DefaultText: "what the model's file tells"},
			&cli.BoolFlag{Name: "list", Usage: "list the tasks, what each asks and where it is from, and stop"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			threadsFlag(),
		},
		Action: eval,
	}
}

// evaluationResult is what eval --json prints.
type evaluationResult struct {
	Model       string                 `json:"model"`
	Parameters  int                    `json:"parameters"`
	Plan        measure.EvaluationPlan `json:"plan"`
	Positions   layers.Positions       `json:"positions"`
	Environment result.Environment     `json:"environment"`
	Results     []measure.TaskResult   `json:"results"`
}

func eval(c *cli.Context) error {
	if c.Bool("list") {
		return listTasks(c)
	}
	if c.Args().Len() > 1 {
		return usagef(c, "unexpected argument %s: eval takes one model", printable(c.Args().Get(1)))
	}
	if err := checkPositions(c); err != nil {
		return err
	}
	switch {
	case c.IsSet("benchmark"):
		return evalBenchmark(c)
	case c.IsSet("data"):
		return evalData(c)
	}
	return evalTasks(c)
}

// evalTasks measures a model on the tasks of the program.
func evalTasks(c *cli.Context) error {
	if c.IsSet("held-out") {
		return usagef(c, "--held-out says which of --data are evaluated: give --data FILE, too")
	}
	if c.IsSet("long-samples") {
		return usagef(c, "--long-samples says how --data are read: give --data FILE or --benchmark NAME, too")
	}
	plan, err := evaluationPlan(c)
	if err != nil {
		return err
	}
	path, m, err := loadArgument(c)
	if err != nil {
		return err
	}
	if learntOwn(m.Extra) && !c.IsSet("tasks") && !c.IsSet("suite") {
		return usagef(c, "%s learnt from data of its own: give --data FILE or --benchmark NAME, or name --tasks all the "+
			"same", foreign.Path(path))
	}
	if fit := possible(plan.Contexts, m.Config); !c.IsSet("contexts") && !slices.Equal(fit, plan.Contexts) {
		newProgress(c.App.ErrWriter).Line("contexts %v in place of %v: the model has %d positions", fit, plan.Contexts,
			m.Config.MaxLen)
		plan.Contexts = fit
	}
	if err := checkShapes(c, m.Config, plan.Contexts, min(plan.BatchSize, plan.Samples)); err != nil {
		return err
	}
	if err := plan.Check(m.Config); err != nil {
		return usagef(c, "%s: %v", path, err)
	}
	if err := checkEvalMemory(c, m, min(plan.BatchSize, plan.Samples), plan.Contexts); err != nil {
		return err
	}
	if err := setPositions(c, path, m); err != nil {
		return err
	}
	report := func(measure.TaskResult) {}
	w := &firstError{w: c.App.Writer}
	if !c.Bool("json") {
		w.printf("%s: %s parameters, %d samples a task, seed %d%s\n",
			foreign.Path(path), grouped(m.Parameters()), plan.Samples, plan.Seed, positionsText(m.Positions))
		report = evaluationTable(w, plan.Tasks)
	}
	results, err := plan.Run(c.Context, m, report)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(w, evaluationResult{path, m.Parameters(), plan, m.Positions, environment(), results})
	}
	if err = cmp.Or(err, w.err); err == nil {
		nextForm(c, path, m.Packed())
	}
	return err
}

// mostSamples is how many samples there may be of a task, as in trainings: more would take weeks.
const mostSamples = 1 << 24

// evaluationPlan checks the flags and puts them together.
func evaluationPlan(c *cli.Context) (measure.EvaluationPlan, error) {
	p := measure.EvaluationPlan{
		Contexts: c.IntSlice("contexts"), Samples: c.Int("samples"), BatchSize: c.Int("batch-size"), Seed: c.Uint64("seed"),
		Purpose: tasks.Evaluation, SampleKeys: tasks.Keys(c.Int("sample-keys")),
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"samples", p.Samples}, {"batch-size", p.BatchSize}} {
		if f.value < 1 {
			return p, usagef(c, "--%s %d: must be at least 1", f.name, f.value)
		}
		if f.value > mostSamples {
			return p, usagef(c, "--%s %d: must be at most %d", f.name, f.value, mostSamples)
		}
	}
	if k := c.Int("sample-keys"); k < 1 || k > int(tasks.CurrentKeys) {
		return p, usagef(c, "--sample-keys %d: must be 1 or %d", k, tasks.CurrentKeys)
	}
	suites := c.StringSlice("suite")
	if len(suites) == 0 && !c.IsSet("tasks") {
		suites = []string{"mixture"}
	}
	for _, name := range c.StringSlice("tasks") {
		if _, err := tasks.Lookup(name); err != nil {
			return p, usagef(c, "--tasks: %v (--list lists them)", err)
		}
		p.Tasks = append(p.Tasks, name)
	}
	for _, name := range suites {
		found := measure.SuiteTasks(name)
		if len(found) == 0 {
			return p, usagef(c, "--suite %s: no such suite%s; there are %s", printable(name),
				didYouMean(name, measure.Suites(), asIs), strings.Join(measure.Suites(), ", "))
		}
		p.Tasks = append(p.Tasks, found...)
	}
	p.Tasks = distinct(p.Tasks)
	p.Contexts = distinct(p.Contexts)
	return p, nil
}

// distinct leaves out what came before.
func distinct[T comparable](all []T) []T {
	var out []T
	for _, x := range all {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// evaluationTable prints the heading and returns what prints a row, each as soon as it is known.
func evaluationTable(w *firstError, names []string) func(measure.TaskResult) {
	row := make([]string, 6)
	head := []string{"task", "context", "accuracy", "95% interval", "chance", "n"}
	widths := []int{len(head[0]), len(head[1]), len(head[2]), len("[0.000, 0.000]"), len(head[4]), 6}
	for _, name := range names {
		widths[0] = max(widths[0], len(name))
	}
	w.printf("%s\n", table.Line(1, widths, head))
	return func(r measure.TaskResult) {
		row[0], row[1], row[2] = r.Task, strconv.Itoa(r.Context), fmt.Sprintf("%.3f", r.Mean)
		row[3], row[4], row[5] = fmt.Sprintf("[%.3f, %.3f]", r.Low, r.High), fmt.Sprintf("%.3f", r.Chance), strconv.Itoa(r.N)
		w.printf("%s\n", table.Line(1, widths, row))
	}
}

// taskInfo is a line of --list.
type taskInfo struct {
	Name         string `json:"name"`
	Doc          string `json:"doc"`
	Source       string `json:"source"`
	Unanswerable string `json:"unanswerable,omitempty"`
}

func listTasks(c *cli.Context) error {
	var all []taskInfo
	for _, name := range tasks.Names() {
		t, err := tasks.Lookup(name)
		if err != nil {
			return err
		}
		all = append(all, taskInfo{t.Name, t.Doc, t.Source, t.Unanswerable})
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, all)
	}
	w := &firstError{w: c.App.Writer}
	for _, suite := range measure.Suites() {
		if suite != "all" && suite != "mixture" { // they are made of the others
			printSuite(w, suite, all)
		}
	}
	w.printf("suite mixture: %s\nsuite all: every task above\n", strings.Join(measure.SuiteTasks("mixture"), ", "))
	for _, name := range benchmarks.Names() {
		b, _ := benchmarks.Lookup(name)
		w.printf("benchmark %s: %s, files as they ship; of a sample a model reads %s\n", name, b.Title, b.Reads)
	}
	return w.err
}

// printSuite lists a suite's tasks, those of one source together.
func printSuite(w *firstError, suite string, all []taskInfo) {
	var sources []string
	of := map[string][]taskInfo{}
	for _, t := range all {
		if slices.Contains(measure.SuiteTasks(suite), t.Name) {
			sources, of[t.Source] = append(sources, t.Source), append(of[t.Source], t)
		}
	}
	for _, source := range distinct(sources) {
		w.printf("suite %s (%s)\n", suite, source)
		for _, t := range of[source] {
			w.printf("  %s\n      %s\n", t.Name, t.Doc)
			if t.Unanswerable != "" {
				w.printf("      cannot be answered: %s\n", t.Unanswerable)
			}
		}
	}
}

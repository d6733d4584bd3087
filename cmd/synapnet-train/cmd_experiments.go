package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/report"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/shell"
	"github.com/synapnet/synapnet-train/internal/table"
)

// experimentAction is what `experiments` does, by a word behind it.
type experimentAction struct {
	name, usage, arguments, about string
	flags                         []cli.Flag
	do                            func(c *cli.Context, d *lab.Driver) error
}

// experimentTable lists the actions in the order of the help text.
func experimentTable() []experimentAction {
	return []experimentAction{
		{name: "list", usage: "every experiment with the state of its result and the time it takes", do: listExperiments,
			about: "Results of other settings than the profile's (see 'experiments run --help') are listed below those " +
				"of the\n" +
				"profile, with the settings that differ."},
		{name: "run", usage: "run experiments and those that they need", arguments: "[NAME...]", do: runPlan,
			about: helpText("experiments-run"),
			flags: append([]cli.Flag{
				&cli.IntFlag{Name: "jobs", Usage: "experiments at a time; those that measure time run alone", Value: 1},
				&cli.BoolFlag{Name: "dry-run", Usage: "only print the plan"},
				&cli.StringSliceFlag{Name: "python", Usage: "`PYTHON`s with PyTorch, each a side of experiment pytorch",
					DefaultText: "python3"},
			}, settingFlags()...)},
		{name: "settings", usage: "the settings of experiments in TOML, as run --config takes them", arguments: "[NAME...]",
			do: printSettings,
			about: "Without a name those of all. With --set and --config the settings are those that run would have with " +
				"them, and\n" +
				"a comment says where the result goes.",
			flags: settingFlags()},
		{name: "report", usage: "write report.html and report.md from the results that are there", do: writeReport,
			about: "It opens with verdicts on the claims of the paper; its tables are of the profile's settings alone. That " +
				"of the\nprofile full has the results of the profile strong, in the folder strong beside them, too, and their " +
				"verdicts first.",
			flags: []cli.Flag{&cli.BoolFlag{Name: "custom", Usage: "at the end the results of other settings, too"}}},
		{name: "convert", usage: "bring results of an earlier program into today's form", arguments: "[NAME...]",
			do: convertResults,
			about: "A result is converted only if its numbers stay the same, to the bit; what today's program computes from\n" +
				"its cells besides is added. Nothing is measured."},
	}
}

func experimentsCommand() *cli.Command {
	var names []string
	var about strings.Builder
	for _, a := range experimentTable() {
		names = append(names, a.name)
		_, _ = fmt.Fprintf(&about, "%-10s%s\n", a.name, a.usage)
	}
	return &cli.Command{
		Name:        "experiments",
		Usage:       "reproduce the paper's tables and figures: list them, run them, write the report",
		ArgsUsage:   strings.Join(names, " | "),
		Description: about.String() + "'experiments ACTION --help' says more of each.",
		Flags:       experimentFlags(),
		Action: func(c *cli.Context) error {
			if word := c.Args().First(); word != "" {
				return usagef(c, "unknown action %s%s; it is one of %s", printable(word), didYouMean(word, names, asIs),
					strings.Join(names, ", "))
			}
			return usagef(c, "say what to do: %s", strings.Join(names, ", "))
		},
	}
}

// experimentFlags are those of every action.
func experimentFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "profile",
			Usage: "`PROFILE`: full (the published protocol on the reference model), quick (small sizes, minutes) or strong " +
				"(what a model that mostly guesses blurs, on the one of recipe strong)",
			Value: string(lab.Full)},
		&cli.StringFlag{Name: "results",
			Usage: "results `DIR` (default: results for full, runs/quick for quick, results/strong for strong)"},
		threadsFlag(),
	}
}

// experimentActions are the commands `experiments list` and so on.
func experimentActions() []*cli.Command {
	var all []*cli.Command
	for _, a := range experimentTable() {
		all = append(all, &cli.Command{
			Name: "experiments " + a.name, Usage: a.usage, ArgsUsage: a.arguments, Description: strings.TrimSpace(a.about),
			Hidden: true,
			Flags:  append(a.flags, experimentFlags()...),
			Action: func(c *cli.Context) error {
				d, err := newDriver(c)
				if err != nil {
					return err
				}
				return a.do(c, d)
			},
		})
	}
	return all
}

// newDriver is the driver for the flags.
func newDriver(c *cli.Context) (*lab.Driver, error) {
	p := lab.Profile(c.String("profile"))
	if bad, ok := errors.AsType[*bounds.Error](bounds.Known("profile", lab.Profiles(), p)); ok {
		return nil, usagef(c, "--profile %s: %s", printable(string(p)), bad.Problem)
	}
	root := cmp.Or(c.String("results"), map[lab.Profile]string{
		lab.Full: "results", lab.Quick: filepath.Join("runs", "quick"), lab.Strong: filepath.Join("results", strongFolder),
	}[p])
	return driverOf(p, root), nil
}

// driverOf is the driver of a profile's results.
func driverOf(p lab.Profile, root string) *lab.Driver {
	return &lab.Driver{Profile: p, Root: root, Experiments: experiments.Of(p), Environment: environment()}
}

// strongFolder has the results of the profile strong, in the folder of those of the full one.
const strongFolder = "strong"

// listExperiments prints all with the states of their results, and the results of other settings.
func listExperiments(c *cli.Context, d *lab.Driver) error {
	steps, err := d.Plan()
	if err != nil {
		return err
	}
	rows := [][]string{{"name", "result", "time", "needs", "title"}}
	for _, s := range steps {
		needs := strings.Join(s.Needs, " ")
		if needs == "" {
			needs = "-"
		}
		rows = append(rows, []string{s.Name, s.State.String(), timeOf(s), needs, s.Title})
	}
	if err := table.Write(c.App.Writer, len(rows[0]), rows...); err != nil {
		return err
	}
	custom, err := d.CustomResults(steps)
	if err != nil || len(custom) == 0 {
		return err
	}
	rows = [][]string{{"custom", "result", "settings"}}
	for _, s := range custom {
		changed, err := s.Changes(d.Profile)
		if err != nil {
			return err
		}
		what := strings.Join(changed, " ")
		if s.State.Blocked() {
			what = s.Reason
		}
		rows = append(rows, []string{s.ID(), s.State.String(), what})
	}
	if _, err := fmt.Fprintln(c.App.Writer); err != nil {
		return err
	}
	return table.Write(c.App.Writer, len(rows[0]), rows...)
}

// printSettings prints experiments' settings as a file for --config.
func printSettings(c *cli.Context, d *lab.Driver) error {
	all, err := chosen(c, d)
	if err != nil {
		return err
	}
	for i, e := range all {
		text := settingsTOML(e.Name, e.Settings(d.Profile))
		if e.ID() != e.Name {
			text = fmt.Sprintf("# the result goes to %s\n%s", foreign.Path(d.Path(e)), text)
		}
		if i > 0 {
			text = "\n" + text
		}
		if _, err := io.WriteString(c.App.Writer, text); err != nil {
			return err
		}
	}
	return nil
}

// chosen are the experiments that the arguments name, all without one, with the settings of the command line.
func chosen(c *cli.Context, d *lab.Driver) ([]lab.Experiment, error) {
	names, err := namedExperiments(c, d)
	if err != nil {
		return nil, err
	}
	if err := customise(c, d, names); err != nil {
		return nil, err
	}
	var all []lab.Experiment
	for _, e := range d.Experiments {
		if len(names) > 0 && !slices.Contains(names, e.Name) {
			continue
		}
		if i := slices.IndexFunc(d.Custom, func(x lab.Experiment) bool { return x.Name == e.Name }); i >= 0 {
			e = d.Custom[i]
		}
		all = append(all, e)
	}
	return all, nil
}

// namedExperiments are the command's arguments, each the name of an experiment.
func namedExperiments(c *cli.Context, d *lab.Driver) ([]string, error) {
	names := c.Args().Slice()
	for _, name := range names {
		if slices.Contains(d.Names(), name) {
			continue
		}
		if slices.ContainsFunc(experiments.All(), func(e lab.Experiment) bool { return e.Name == name }) {
			return nil, usagef(c, "experiment %s is not part of profile %s; 'experiments list --profile %s' shows all that are",
				name, d.Profile, d.Profile)
		}
		return nil, usagef(c, "unknown experiment %s%s; 'experiments list' shows all", printable(name),
			didYouMean(name, d.Names(), asIs))
	}
	return names, nil
}

// timeOf is the time that the rest of a step takes.
func timeOf(s *lab.Step) string {
	if s.State == lab.UpToDate || s.State.Blocked() {
		return "-"
	}
	return spell(s.Time)
}

// spell writes a duration as people say it, in two units at most.
func spell(t time.Duration) string {
	switch {
	case t < time.Minute:
		return fmt.Sprintf("%.0f s", math.Ceil(t.Seconds()))
	case t < time.Hour:
		t = t.Round(time.Second)
		return fmt.Sprintf("%d min %02d s", int(t.Minutes()), int(t.Seconds())%60)
	}
	t = t.Round(time.Minute)
	return fmt.Sprintf("%d h %02d min", int(t.Hours()), int(t.Minutes())%60)
}

// runPlan prints the plan and carries it out.
func runPlan(c *cli.Context, d *lab.Driver) error {
	if d.Jobs = c.Int("jobs"); d.Jobs < 1 {
		return usagef(c, "--jobs %d: must be at least 1", d.Jobs)
	}
	if _, err := chosen(c, d); err != nil {
		return err
	}
	names := c.Args().Slice()
	steps, err := d.Plan(names...)
	if err != nil {
		return err
	}
	if d.Python = distinct(c.StringSlice("python")); len(d.Python) == 0 {
		d.Python = []string{"python3"}
	}
	steps, left, err := d.LeaveOut(steps, names, c.IsSet("python"))
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c.App.Writer, left); err != nil {
		return err
	}
	todo, err := printPlan(c.App.Writer, d, steps)
	if err != nil || todo == 0 || c.Bool("dry-run") {
		return err
	}
	p, began := newDisplay(c.App.ErrWriter), time.Now()
	d.Hooks = runHooks(p)
	err = d.Run(c.Context, steps)
	p.clear()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w; continue with: %s", err, againCommand(c, names))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "all done in %s; results are in %s\n", spell(time.Since(began)),
		foreign.Path(d.Root))
	return err
}

// againCommand is the command line that continues this one.
func againCommand(c *cli.Context, names []string) string {
	return shell.CommandLine(again(c, append([]string{"experiments", "run"}, names...), "profile", "results", "jobs",
		"threads", "config", "set", "python")...)
}

// printPlan prints what is to be done and how long it takes, and returns the number of experiments that are not up to
// date.
func printPlan(w io.Writer, d *lab.Driver, steps []*lab.Step) (todo int, err error) {
	rows := [][]string{{"experiment", "time", "result"}}
	current, old := 0, 0
	for _, s := range steps {
		if s.OldSamples(d.Profile) {
			old++
		}
		if s.State == lab.UpToDate {
			current++
			continue
		}
		todo++
		state := s.State.String()
		switch {
		case s.State.Blocked():
			state = s.Reason
		case s.State == lab.Waits:
			state += " " + s.Reason
		case s.Reason != "":
			state += " (" + s.Reason + ")"
		}
		source := "~"
		if s.Measured || s.State.Blocked() {
			source = ""
		}
		rows = append(rows, []string{s.ID(), source + timeOf(s), state})
	}
	if todo == 0 {
		_, err := fmt.Fprintf(w, "all %d results in %s are up to date\n%s", current, foreign.Path(d.Root), oldSamples(old))
		return 0, err
	}
	if err := table.Write(w, len(rows[0]), rows...); err != nil {
		return 0, err
	}
	line := fmt.Sprintf("%d to run, about %s on this profile (%s)", todo, spell(lab.TimeLeft(steps)), d.Profile)
	if current > 0 {
		line += fmt.Sprintf("; %d up to date", current)
	}
	_, err = fmt.Fprintf(w, "%s; results go to %s\n%s", line, foreign.Path(d.Root), oldSamples(old))
	return todo, err
}

// oldSamples is a line about n results whose samples have keys of before; "" for none.
func oldSamples(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s with sample_keys 1, as before the purpose was part of the keys of samples: kept, and "+
		"continued with the same; "+
		"delete one to measure it with %d\n", plural(n, "result"), tasks.CurrentKeys)
}

// runHooks tell how a run of experiments goes.
func runHooks(p *display) lab.Hooks {
	return lab.Hooks{
		Begin: func(s *lab.Step, at, of int) {
			p.clear()
			p.last = p.now()
			p.Line("[%d/%d] %s: %s", at, of, s.ID(), s.Title)
		},
		Line: func(s *lab.Step, line string) { p.Line("  %s: %s", s.ID(), strings.TrimRight(line, "\n")) },
		End: func(s *lab.Step, took time.Duration, err error) {
			p.clear()
			if errors.Is(err, context.Canceled) {
				p.Line("%s: stopped; what is saved of it continues", s.ID())
				return
			}
			if err != nil {
				text := strings.Join(strings.Fields(err.Error()), " ")
				var bug *lab.Bug
				if !errors.As(err, &bug) {
					p.Line("%s: FAILED: %s", s.ID(), text)
					return
				}
				p.Line("%s: FAILED: %s with the output of %s=1", s.ID(), text, debugVariable)
				reportStack(p.w, bug.Stack)
				return
			}
			p.Line("%s: done in %s", s.ID(), spell(took))
		},
		Progress: func(s *lab.Step, done, total int, left time.Duration) {
			share := 100 * done / total
			p.show(false, share, 100, fmt.Sprintf("%s  all: %s left", s.ID(), spell(left)),
				fmt.Sprintf("  %s: %d%%, %s left for all", s.ID(), share, spell(left)))
		},
	}
}

// writeReport writes the report and says where it is and what it lacks.
func writeReport(c *cli.Context, d *lab.Driver) error {
	if _, err := os.Stat(d.Root); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no results folder %s: make results with '%s', or name another folder with --results",
			foreign.Path(d.Root), shell.CommandLine(again(c, []string{"experiments", "run"}, "profile")...))
	}
	var strong *lab.Driver
	if d.Profile == lab.Full {
		strong = driverOf(lab.Strong, filepath.Join(d.Root, strongFolder))
	}
	paths, r, err := report.Write(d, strong, c.Bool("custom"))
	if err != nil {
		return err
	}
	for _, s := range r.All() {
		if s.State != "complete" {
			line := s.ID + ": " + s.State
			if s.Reason != "" {
				line += ": " + s.Reason
			}
			if _, err := fmt.Fprintln(c.App.ErrWriter, foreign.Line(line, foreign.LineLimit)); err != nil {
				return err
			}
		}
	}
	for i, path := range paths {
		paths[i] = foreign.Path(path)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s\n%s\n", r.Summary(), strings.Join(paths, "\n"))
	return err
}

// convertResults converts results and says which files changed, and why.
func convertResults(c *cli.Context, d *lab.Driver) error {
	names, err := namedExperiments(c, d)
	if err != nil {
		return err
	}
	all, err := d.Convert(names...)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(c.App.Writer, "all results in %s have today's form\n", foreign.Path(d.Root))
		return err
	}
	for _, k := range all {
		var what []string
		if k.Converted > 0 {
			what = append(what, fmt.Sprintf("converted, all of its %s equal to those of its new details",
				plural(k.Converted, "measurement")))
		}
		if k.Added > 0 {
			what = append(what, fmt.Sprintf("has %s more, computed from its cells", plural(k.Added, "measurement")))
		}
		if len(k.Inputs) > 0 {
			what = append(what, "has the new hashes of "+strings.Join(k.Inputs, ", "))
		}
		if _, err := fmt.Fprintf(c.App.Writer, "%s: %s\n", foreign.Path(k.Path), strings.Join(what, "; ")); err != nil {
			return err
		}
	}
	return nil
}

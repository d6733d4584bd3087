package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// testApp is the program with doctor and one command of each kind, whose action
// prints what it was given, in place of the table.
func testApp(stdout, stderr *bytes.Buffer) *cli.App {
	app := newApp(stdout, stderr)
	train := &cli.Command{
		Name: "pretrain",
		Flags: []cli.Flag{
			&cli.IntSliceFlag{Name: "curriculum", Aliases: []string{"c"}, Value: cli.NewIntSlice(512, 1024)},
			&cli.IntSliceFlag{Name: "seeds"},
			&cli.StringSliceFlag{Name: "variants"},
			&cli.Float64SliceFlag{Name: "noise"},
			&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Value: 4},
			&cli.IntFlag{Name: "seed"},
			&cli.Float64Flag{Name: "lr", Value: 5e-4},
			&cli.StringFlag{Name: "output-dir"},
			&cli.BoolFlag{Name: "resume"},
		},
		Action: func(c *cli.Context) error {
			_, err := fmt.Fprintf(c.App.Writer, "%v %v %v %v %v %v %q %v", c.IntSlice("curriculum"), c.IntSlice("seeds"),
				c.StringSlice("variants"), c.Float64Slice("noise"), c.Int("batch-size"), c.Float64("lr"), c.String("output-dir"),
				c.Bool("resume"))
			return err
		},
	}
	files := &cli.Command{
		Name:      "conform",
		ArgsUsage: "FILE...",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json"},
			&cli.Float64Flag{Name: "tolerance"},
			&cli.StringSliceFlag{Name: "only"},
		},
		Action: func(c *cli.Context) error {
			_, err := fmt.Fprintf(c.App.Writer, "%q json %v only %q", c.Args().Slice(), c.Bool("json"), c.StringSlice("only"))
			return err
		},
	}
	failing := &cli.Command{
		Name:  "fail",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "panic"}, &cli.BoolFlag{Name: "interrupted"}},
		Action: func(c *cli.Context) error {
			switch {
			case c.Bool("panic"):
				panic("index out of\nrange")
			case c.Bool("interrupted"):
				return fmt.Errorf("interrupted at step 7, checkpoint saved: %w", context.Canceled)
			}
			return fmt.Errorf("first line\nsecond line")
		},
	}
	app.Commands = []*cli.Command{doctorCommand(), train, files, failing}
	for _, command := range app.Commands {
		prepare(command)
	}
	return app
}

// outcome runs a command line of testApp.
func outcome(ctx context.Context, t *testing.T, words ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = runApp(ctx, testApp(&out, &errs), append([]string{program}, words...))
	return code, out.String(), errs.String()
}

// Command lines do what they say.
func TestCommandLines(t *testing.T) {
	cases := map[string]string{
		"pretrain": `[512 1024] [] [] [] 4 0.0005 "" false`,
		"pretrain --curriculum 256 512 1024 --seeds 42 43":      `[256 512 1024] [42 43] [] [] 4 0.0005 "" false`,
		"pretrain --curriculum 256 512 --resume --variants a b": `[256 512] [] [a b] [] 4 0.0005 "" true`,
		"pretrain -c 8 16 -b 2":                                 `[8 16] [] [] [] 2 0.0005 "" false`,
		"pretrain --curriculum=256,512 --lr=1e-3":               `[256 512] [] [] [] 4 0.001 "" false`,
		"pretrain --curriculum 256,512 1024":                    `[256 512 1024] [] [] [] 4 0.0005 "" false`,
		"pretrain --noise -0.5 -.5 1e-3 --output-dir x":         `[512 1024] [] [] [-0.5 -0.5 0.001] 4 0.0005 "x" false`,
		"pretrain --seeds 1 --seeds 2 3 -curriculum 8":          `[8] [1 2 3] [] [] 4 0.0005 "" false`,
		"pretrain --output-dir=-x":                              `[512 1024] [] [] [] 4 0.0005 "-x" false`,
		"conform a b":                                           `["a" "b"] json false only []`,
		"conform a --json b":                                    `["a" "b"] json true only []`,
		"conform - -- --json":                                   `["-" "--json"] json false only []`,
		"conform --only x y -- a":                               `["a"] json false only ["x" "y"]`,
		"conform --only=x a --json":                             `["a"] json true only ["x"]`,
		"conform a --only x y":                                  `["a"] json false only ["x" "y"]`,
		"conform help -5":                                       `["help" "-5"] json false only []`,
	}
	for line, want := range cases {
		code, stdout, stderr := outcome(t.Context(), t, strings.Fields(line)...)
		if code != exitOK || stdout != want || stderr != "" {
			t.Errorf("%s:\n got %d %s %s\nwant 0 %s", line, code, stdout, stderr, want)
		}
	}
}

// A mistake gets status 2 and one line that names it and the mend.
func TestUsageErrors(t *testing.T) {
	cases := map[string]string{
		"pretrain --curiculum 512": "unknown flag --curiculum (did you mean --curriculum?); see 'synapnet-train pretrain " +
			"--help'",
		"pretrain --batch 4":       "unknown flag --batch (did you mean --batch-size?); see 'synapnet-train pretrain --help'",
		"pretrain --xyzzy=4":       "unknown flag --xyzzy; see 'synapnet-train pretrain --help'",
		"pretrain -q":              "unknown flag -q; see 'synapnet-train pretrain --help'",
		"--verison":                "unknown flag --verison (did you mean --version?); see 'synapnet-train --help'",
		"pretain --curriculum 512": "unknown command pretain (did you mean pretrain?); see 'synapnet-train --help'",
		"frobnicate":               "unknown command frobnicate; see 'synapnet-train --help'",
		"help pretran":             "unknown command pretran (did you mean pretrain?); see 'synapnet-train --help'",
		"pretrain --batch-size abc": "--batch-size abc: not a whole number; give e.g. --batch-size 4; see 'synapnet-train " +
			"pretrain --help'",
		"pretrain -b 1.5": "-b 1.5: not a whole number; give e.g. -b 4; see 'synapnet-train pretrain --help'",
		"pretrain --batch-size 999999999999999999999": "--batch-size 999999999999999999999: out of range; give e.g. " +
			"--batch-size 4; see 'synapnet-train pretrain --help'",
		"pretrain --curriculum 512 1o24": "--curriculum 1o24: not a whole number; give e.g. --curriculum 512 1024; see " +
			"'synapnet-train pretrain --help'",
		"pretrain --seed x":  "--seed x: not a whole number; give e.g. --seed 4; see 'synapnet-train pretrain --help'",
		"pretrain --lr fast": "--lr fast: not a number; give e.g. --lr 0.0005; see 'synapnet-train pretrain --help'",
		"pretrain --noise 0.1 loud": "--noise loud: not a number; give e.g. --noise 0.1 0.2; see 'synapnet-train pretrain " +
			"--help'",
		"pretrain --resume=perhaps": "--resume perhaps: not true or false; give e.g. --resume true; see 'synapnet-train " +
			"pretrain --help'",
		"pretrain --lr": "--lr needs a value; give e.g. --lr 0.0005; see 'synapnet-train pretrain --help'",
		"pretrain --output-dir --resume": "--output-dir needs a value; give e.g. --output-dir VALUE; see 'synapnet-train " +
			"pretrain --help'",
		"pretrain --curriculum --resume": "--curriculum needs a value; give e.g. --curriculum 512 1024; see " +
			"'synapnet-train pretrain --help'",
		"pretrain --curriculum": "--curriculum needs a value; give e.g. --curriculum 512 1024; see 'synapnet-train " +
			"pretrain --help'",
		"pretrain 512": "unexpected argument 512; see 'synapnet-train pretrain --help'",
		"pretrain -b 1 --batch-size 2": "--batch-size and -b are the same flag, use one of them; see 'synapnet-train " +
			"pretrain --help'",
		"doctor --measure 0s":   "--measure 0s: must be above 0; give e.g. --measure 1s; see 'synapnet-train doctor --help'",
		"doctor --measure soon": "--measure soon: not a duration; give e.g. --measure 1s; see 'synapnet-train doctor --help'",
	}
	for line, want := range cases {
		code, stdout, stderr := outcome(t.Context(), t, strings.Fields(line)...)
		if code != exitUsage || stdout != "" || stderr != "synapnet-train: "+want+"\n" {
			t.Errorf("%s:\n got %d %s%s\nwant 2 %s", line, code, stdout, stderr, want)
		}
	}
}

// Words that would break the line, or be invisible, are quoted.
func TestUsageErrorsStayOnOneLine(t *testing.T) {
	for _, words := range [][]string{{"a\nb"}, {"pretrain", "--a\nb"}, {"pretrain", "a\nb"}, {"pretrain", "--lr", "a\nb"},
		{""}} {
		code, stdout, stderr := outcome(t.Context(), t, words...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: %d %q %q", words, code, stdout, stderr)
		}
	}
}

// Failures are status 1 and one line; an interrupted run is status 130.
func TestFailures(t *testing.T) {
	if code, stdout, stderr := outcome(t.Context(), t, "fail"); code != exitFailure || stdout != "" ||
		stderr != "synapnet-train: first line second line\n" {
		t.Errorf("failure: %d %q %q", code, stdout, stderr)
	}
	if code, _, stderr := outcome(t.Context(), t, "fail", "--interrupted"); code != exitFailure {
		t.Errorf("cancelled without a signal: %d %q", code, stderr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, stderr := outcome(ctx, t, "fail", "--interrupted"); code != exitInterrupted ||
		strings.Count(stderr, "\n") != 1 {
		t.Errorf("interrupted: %d %q", code, stderr)
	}
}

// A panic is one line that asks for a report; the stack comes on request.
func TestPanicIsReported(t *testing.T) {
	t.Setenv(debugVariable, "")
	code, stdout, stderr := outcome(t.Context(), t, "fail", "--panic")
	want := "synapnet-train: internal error: index out of range; this is a bug, please report it with the command line " +
		"and the output of SYNAPNET_DEBUG=1\n"
	if code != exitFailure || stdout != "" || stderr != want {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	t.Setenv(debugVariable, "1")
	if _, _, stderr := outcome(t.Context(), t, "fail", "--panic"); !strings.HasPrefix(stderr, want) ||
		!strings.Contains(stderr, "app_test.go") {
		t.Errorf("no stack in %q", stderr)
	}
}

// Help goes to stdout with status 0, whichever way it is asked for.
func TestHelp(t *testing.T) {
	for line, want := range map[string]string{
		"":                     "COMMANDS:",
		"--help":               "COMMANDS:",
		"help":                 "COMMANDS:",
		"help pretrain":        "--curriculum",
		"pretrain --help":      "--curriculum",
		"pretrain --resume -h": "--curriculum",
		"conform some-file -h": "FILE...",
		"doctor --help":        "--json",
	} {
		code, stdout, stderr := outcome(t.Context(), t, strings.Fields(line)...)
		if code != exitOK || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("%q: %d %q %q", line, code, stdout, stderr)
		}
	}
}

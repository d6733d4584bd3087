package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

// plain is a progress that is not on a terminal, with a clock set by hand.
func plain() (*progress, *bytes.Buffer, *time.Time) {
	var out bytes.Buffer
	clock := time.Unix(1000, 0)
	p := newProgress(&out)
	p.now = func() time.Time { return clock }
	return p, &out, &clock
}

// A line has all the facts; time left weighs stages by their context.
func TestProgressLine(t *testing.T) {
	p, out, clock := plain()
	p.Start(2048, progressStage{512, 4, 1024}, progressStage{1024, 4, 1024})
	*clock = clock.Add(120 * time.Second)
	p.Step(120, 4.12341, 0.0512, 9876.4)
	// 120 of 3072 units of 512 tokens took 120 s
	want := "step 120/2048  stage 1/2 ctx 512  loss 4.1234  acc 0.051  9876 tok/s  left 49m12s\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out, want)
	}
}

// Time left weighs steps by their tokens: short samples in large batches cost what long ones in small batches do.
func TestProgressOfOtherBatches(t *testing.T) {
	p, out, clock := plain()
	p.Start(200, progressStage{48, 32, 100}, progressStage{1536, 1, 100})
	*clock = clock.Add(100 * time.Second)
	p.Step(100, 1, 0.5, 100)
	if !strings.Contains(out.String(), "left 1m40s\n") {
		t.Errorf("got %s", out)
	}
}

func TestProgressStages(t *testing.T) {
	p, _, _ := plain()
	p.Start(30, progressStage{512, 4, 10}, progressStage{1024, 4, 20})
	for done, want := range map[int]string{1: "stage 1/2 ctx 512  ", 10: "stage 1/2 ctx 512  ", 11: "stage 2/2 ctx 1024  ",
		30: "stage 2/2 ctx 1024  ", 31: "stage 2/2 ctx 1024  "} {
		if got := p.stageText(done); got != want {
			t.Errorf("step %d: %q, want %q", done, got, want)
		}
	}
	p.Start(30)
	if got := p.stageText(5); got != "" {
		t.Errorf("without stages: %q", got)
	}
}

// Slow runs get a line every 10 seconds, quick ones one every twentieth; both
// one at the end.
func TestProgressRhythm(t *testing.T) {
	cases := []struct {
		name  string
		total int
		pace  time.Duration
		want  int
	}{
		{"slow", 100, 4 * time.Second, 34}, // after 3, 6, … steps, and the last
		{"quick", 1001, time.Millisecond, 21},
		{"short", 3, time.Millisecond, 3},
	}
	for _, c := range cases {
		p, out, clock := plain()
		p.Start(c.total)
		for step := range c.total {
			*clock = clock.Add(c.pace)
			p.Step(step+1, 1, 0.5, 100)
		}
		p.Finish()
		if got := strings.Count(out.String(), "\n"); got != c.want {
			t.Errorf("%s: %d lines, want %d:\n%s", c.name, got, c.want, out)
		}
		if !strings.Contains(out.String(), "left 0s\n") {
			t.Errorf("%s: no last line in %s", c.name, out)
		}
	}
}

// After a resume only this run's steps count for the time left.
func TestProgressResume(t *testing.T) {
	p, out, clock := plain()
	p.Start(1000)
	p.Resume(900)
	*clock = clock.Add(20 * time.Second)
	p.Step(920, 1, 0.5, 100)
	if !strings.Contains(out.String(), "left 1m20s\n") {
		t.Errorf("got %s", out)
	}
}

// A stage that ended by accuracy before its time is over, whatever the number of the step.
func TestProgressOfStagesThatEndEarly(t *testing.T) {
	p, out, clock := plain()
	p.Start(1000, progressStage{24, 4, 600}, progressStage{80, 4, 400})
	*clock = clock.Add(time.Minute)
	p.Step(100, 1, 0.5, 100)
	p.Plan(progressStage{24, 4, 100}, progressStage{80, 4, 400})
	*clock = clock.Add(time.Minute)
	p.Step(101, 1, 0.5, 100)
	for _, want := range []string{"step 100/1000  stage 1/2 ctx 24", "step 101/500  stage 2/2 ctx 80"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
}

func TestProgressUnknowns(t *testing.T) {
	p, out, _ := plain()
	p.Start(1)
	p.Line("evaluating %d tasks", 5)
	p.Step(0, 1, 0, 0)
	p.Step(1, 2, math.NaN(), math.NaN())
	want := "evaluating 5 tasks\nstep 1/1  loss 2.0000  acc -  - tok/s  left 0s\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if got := p.left(0); got != "?" {
		t.Errorf("left before the first step: %s", got)
	}
}

// On a terminal the bar carries the same facts, and lines do not tear it.
func TestProgressBar(t *testing.T) {
	p, out, clock := onTerminal(80)
	p.Start(10, progressStage{512, 4, 10})
	*clock = clock.Add(time.Second)
	p.Step(5, 4.5, 0.25, 1000)
	p.Line("saved")
	*clock = clock.Add(time.Second)
	p.Step(10, 4.25, 0.5, 1000)
	p.Finish()
	text := out.String()
	for _, want := range []string{
		"stage 1/1 ctx 512 loss 4.5000 acc 0.250 1000 tok/s left 1s  50% |",
		"\rsaved\n",
		"stage 1/1 ctx 512 loss 4.2500 acc 0.500 1000 tok/s left 0s 100% |████████|",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if !strings.HasSuffix(text, "\n") {
		t.Errorf("the cursor is left in the bar: %q", text)
	}
}

// The bar is redrawn ten times a second at most, and for the last step.
func TestProgressBarThrottles(t *testing.T) {
	p, out, clock := onTerminal(80)
	p.Start(1000)
	for step := range 999 {
		*clock = clock.Add(time.Millisecond)
		p.Step(step+1, 1, 0.5, 100)
	}
	if drawn := strings.Count(out.String(), "loss"); drawn > 20 {
		t.Errorf("drawn %d times in a second", drawn)
	}
	p.Step(1000, 1, 0.5, 100)
	if !strings.Contains(out.String(), "100% |") {
		t.Errorf("the end is missing in %q", out)
	}
}

// No redraw is wider than the terminal, which would leave remains behind.
func TestProgressBarFits(t *testing.T) {
	for _, width := range []int{10, 40, 60, 80, 132, 300} {
		p, out, clock := onTerminal(width)
		p.Start(2048, progressStage{512, 4, 1024}, progressStage{1024, 4, 1024})
		for _, step := range []int{1, 1024, 2000, 2048} {
			*clock = clock.Add(time.Hour)
			p.Step(step, 12.34567, 0.123, 98765)
		}
		for _, drawn := range strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\r' || r == '\n' }) {
			drawn = strings.ReplaceAll(strings.TrimRight(drawn, " "), "\x1b[0K", "")
			if got := len([]rune(strings.TrimRight(drawn, " "))); got > max(width, barNarrow+barFrame+1) {
				t.Errorf("%d characters on %d columns: %q", got, width, drawn)
			}
		}
	}
}

func onTerminal(width int) (*progress, *bytes.Buffer, *time.Time) {
	p, out, clock := plain()
	p.terminal = p.w
	p.columns = func() int { return width }
	return p, out, clock
}

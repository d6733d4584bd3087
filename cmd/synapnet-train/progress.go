package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/synapnet/synapnet-train/internal/foreign"
)

const (
	// A plain line comes after this long, or this share of all steps, whichever
	// is first: a log of a short or a long run is about a page or a few.
	plainInterval = 10 * time.Second
	plainShare    = 20
	barInterval   = 100 * time.Millisecond

	// Widths in characters. A bar that wraps onto a second line leaves its
	// remains behind, so on narrow terminals the facts are cut.
	barNarrow = 8 // leaves room for the facts on 80 columns
	barWide   = 40
	barFrame  = 9 // " 100% |" and "|", and a free column
	barFacts  = 64
)

// display tells how work goes: on a terminal by a bar, or a line that is drawn anew, with lines above it; elsewhere by
// lines. It reports on stderr, where a failure to write has no better place to be told, so such failures are ignored.
// It is not for concurrent use.
type display struct {
	w    io.Writer // of lines
	now  func() time.Time
	last time.Time // of what was shown last

	terminal io.Writer  // where the bar is drawn; nil: there is none
	columns  func() int // width of the terminal
	bar      *progressbar.ProgressBar
}

// newDisplay reports on w, with a bar if w is a terminal.
func newDisplay(w io.Writer) *display {
	d := &display{w: w, now: time.Now, last: time.Now()}
	if terminal := terminalOf(w); terminal != nil {
		d.terminal = terminal
		d.columns = func() int { return columns(terminal) }
	}
	return d
}

// fit cuts text to width characters.
func fit(text string, width int) string {
	if letters := []rune(text); len(letters) > width {
		return string(letters[:max(0, width-1)]) + "…"
	}
	return text
}

// show tells that done of total are complete, -1 of a total that is not known, if it is time to or must be told: on a
// terminal in the words of drawn, elsewhere in those of line. It says whether it did.
func (d *display) show(must bool, done, total int, drawn, line string) bool {
	interval := plainInterval
	if d.terminal != nil {
		interval = barInterval
	}
	now := d.now()
	if !must && now.Sub(d.last) < interval {
		return false
	}
	d.last = now
	if d.terminal == nil {
		d.Line("%s", line)
		return true
	}
	width := 1
	if total > 0 {
		width = min(barWide, max(barNarrow, d.columns()-barFacts-barFrame))
	}
	if d.bar == nil {
		d.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(d.terminal),
			progressbar.OptionSetWidth(width),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionThrottle(0), // show does it, by its own clock
			progressbar.OptionSetSpinnerChangeInterval(0),
			progressbar.OptionUseANSICodes(true),
		)
	}
	d.bar.Describe(fit(drawn, d.columns()-width-barFrame))
	_ = d.bar.Set(done)
	return true
}

// Line prints a line of its own, above the bar if there is one.
func (d *display) Line(format string, args ...any) {
	if d.bar != nil {
		_ = d.bar.Clear()
	}
	_, _ = fmt.Fprintln(d.w, foreign.Line(fmt.Sprintf(format, args...), foreign.LineLimit))
	if d.bar != nil {
		_ = d.bar.RenderBlank()
	}
}

// clear takes the bar away.
func (d *display) clear() {
	if d.bar != nil {
		_ = d.bar.Clear()
		d.bar = nil
	}
}

// Finish leaves the bar as it is; what is printed next starts on a line of its own.
func (d *display) Finish() {
	if d.bar != nil {
		_, _ = fmt.Fprintln(d.w)
		d.bar = nil
	}
}

// progressStage is a stretch of steps at one context length.
type progressStage struct {
	Context int // tokens per sample
	Batch   int // samples per step
	Steps   int
}

// progress tells how a training goes.
type progress struct {
	*display
	total    int
	stages   []progressStage
	baseStep int // where the measured time begins
	baseTime time.Time
	lineStep int // of the last report
}

func newProgress(w io.Writer) *progress { return &progress{display: newDisplay(w)} }

// Start begins a run of total steps. The stages, if given, are named in the
// reports and weigh the time left: a step is taken to cost in proportion to its
// tokens.
func (p *progress) Start(total int, stages ...progressStage) {
	p.total, p.stages = total, stages
	p.Resume(0)
}

// Resume says that the first done steps belong to an earlier run, so that they
// do not count as fast ones. Call it after Start.
func (p *progress) Resume(done int) {
	p.baseStep, p.baseTime = done, p.now()
	p.lineStep, p.last = done, p.baseTime
}

// Plan takes other stages in place of those that Start was given, one of which ended before its time.
func (p *progress) Plan(stages ...progressStage) {
	p.total, p.stages = 0, stages
	for _, s := range stages {
		p.total += s.Steps
	}
	if p.bar != nil {
		p.bar.ChangeMax(p.total)
	}
}

// Step reports that done steps are complete, with the latest loss (nats),
// accuracy (0 to 1) and speed (tokens/s). NaN stands for a value not known.
func (p *progress) Step(done int, loss, accuracy, tokensPerSecond float64) {
	facts := p.facts(done, loss, accuracy, tokensPerSecond)
	must := done >= p.total || p.terminal == nil && done-p.lineStep >= max(1, p.total/plainShare)
	if p.show(must, done, max(1, p.total), strings.ReplaceAll(facts, "  ", " "),
		fmt.Sprintf("step %d/%d  %s", done, p.total, facts)) {
		p.lineStep = done
	}
}

func (p *progress) facts(done int, loss, accuracy, tokensPerSecond float64) string {
	return fmt.Sprintf("%sloss %s  acc %s  %s tok/s  left %s", p.stageText(done),
		known("%.4f", loss), known("%.3f", accuracy), known("%.0f", tokensPerSecond), p.left(done))
}

// known formats x, or "-" where it is not known.
func known(format string, x float64) string {
	if math.IsNaN(x) {
		return "-"
	}
	return fmt.Sprintf(format, x)
}

// stageText names the stage that step number done belongs to.
func (p *progress) stageText(done int) string {
	end := 0
	for i, stage := range p.stages {
		end += stage.Steps
		if done <= end || i == len(p.stages)-1 {
			return fmt.Sprintf("stage %d/%d ctx %d  ", i+1, len(p.stages), stage.Context)
		}
	}
	return ""
}

// work is the cost of the first n steps in units that take equal time.
func (p *progress) work(n int) float64 {
	if len(p.stages) == 0 {
		return float64(n)
	}
	total := 0.0
	for _, stage := range p.stages {
		steps := min(n, stage.Steps)
		total += float64(steps) * float64(stage.Context) * float64(stage.Batch)
		n -= steps
	}
	return total
}

// left is the time to the end at the pace so far, "?" before there is one.
func (p *progress) left(done int) string {
	finished := p.work(done) - p.work(p.baseStep)
	if finished <= 0 {
		return "?"
	}
	pace := float64(p.now().Sub(p.baseTime)) / finished
	remaining := time.Duration(pace * (p.work(p.total) - p.work(done)))
	return max(0, remaining).Round(time.Second).String()
}

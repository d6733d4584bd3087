package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synapnet/synapnet-train/curriculum/train"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/internal/host"
)

// Hooks receives news of a run. Any function may be nil; none is called concurrently.
type Hooks struct {
	Begin    func(s *Step, at, of int)
	Line     func(s *Step, line string)
	Progress func(s *Step, done, total int, left time.Duration) // left: of the whole run
	// End tells how a step ended: err is nil for a finished one, and the reason why it failed or was not begun otherwise.
	End func(s *Step, took time.Duration, err error)
}

// Failed is the error of a run in which some experiments failed and the others were carried out.
type Failed struct {
	Names []string
	Of    int
	First error
}

// Error names the experiments.
func (f *Failed) Error() string {
	rest := "the same command tries them again"
	if len(f.Names) < f.Of {
		rest = "the others are done, the same command tries these again"
	}
	return fmt.Sprintf("%d of %d experiments failed: %s; the first error: %v; %s", len(f.Names), f.Of,
		strings.Join(f.Names, ", "), f.First, rest)
}

// Bug is a panic within an experiment: its error is one line, for users; the stack is for those who mend it.
type Bug struct {
	Problem any
	Stack   []byte
}

// Error asks for a report.
func (b *Bug) Error() string {
	return fmt.Sprintf("internal error: %v; this is a bug, please report it", b.Problem)
}

// Run carries a plan out. A failed experiment does not stop those that do not need it: the error is then a *Failed.
// When ctx ends, what is finished and what experiments saved is in the results folder, and the error
// wraps train.ErrInterrupted.
func (d *Driver) Run(ctx context.Context, steps []*Step) error {
	r := &driverRun{Driver: d, steps: steps, ended: map[string]error{}, running: map[string]*progressOf{}, pace: 1}
	for _, s := range steps {
		if s.State != UpToDate {
			r.todo = append(r.todo, s)
		}
	}
	r.of = len(r.todo)
	if r.of == 0 {
		return nil
	}
	if err := files.MakeFolder(d.Root); err != nil {
		return fmt.Errorf("cannot make %s: %w", d.Root, files.Cause(err))
	}
	release, err := d.lock()
	if err != nil {
		return err
	}
	defer release()
	if err := d.sweep(); err != nil {
		return err
	}
	err = r.all(ctx)
	for _, e := range d.Custom { // folders of what was not begun
		removeEmpty(filepath.Join(d.Root, e.Folder))
	}
	removeEmpty(filepath.Join(d.Root, customFolder))
	return err
}

// removeEmpty removes a folder that has nothing in it, and no link to one.
func removeEmpty(dir string) {
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		_ = os.Remove(dir) // fails if there is something
	}
}

// sweep removes what killed runs left half-written in the results folder.
func (d *Driver) sweep() error {
	folders := []string{d.Root}
	for _, e := range slices.Concat(d.Experiments, d.Custom) {
		folders = AppendNew(folders, filepath.Join(d.Root, e.Folder))
	}
	for _, folder := range folders {
		if err := files.SweepFolder(folder); err != nil {
			return err
		}
	}
	return nil
}

// driverRun is one run of a plan.
type driverRun struct {
	*Driver
	steps []*Step
	of    int

	mu      sync.Mutex
	todo    []*Step
	at      int
	running map[string]*progressOf // by ID
	ended   map[string]error       // by ID; nil: finished
	failed  []string
	first   error
	pace    float64 // real over estimated time, of the finished steps
	real    time.Duration
	guessed time.Duration
}

// progressOf is a running step.
type progressOf struct {
	step  *Step
	start time.Time
	share float64
	// What is done within the first moments is what an earlier run had finished: pace is that of the rest.
	before float64
	since  time.Time
}

// begin is a step of which nothing is done yet, as far as is known.
func begin(s *Step, now time.Time) *progressOf { return &progressOf{step: s, start: now, since: now} }

// firstMoments is the time in which a step that continues tells what was done before.
const firstMoments = 2 * time.Second

// firstShare is how much of a step must be done before its own pace is told: what it prepares has no share.
const firstShare = 0.02

// all starts steps as they become ready, until none is left.
func (r *driverRun) all(ctx context.Context) error {
	done := make(chan struct{})
	for {
		r.mu.Lock()
		for ctx.Err() == nil {
			s := r.next()
			if s == nil {
				break
			}
			r.at++
			r.running[s.ID()] = begin(s, time.Now())
			at := r.at
			if r.Hooks.Begin != nil {
				r.Hooks.Begin(s, at, r.of)
			}
			go func() {
				r.end(s, r.runStep(ctx, s))
				done <- struct{}{}
			}()
		}
		idle := len(r.running) == 0
		r.mu.Unlock()
		if idle {
			break
		}
		<-done
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: what is finished or saved is in %s", train.ErrInterrupted, r.Root)
	}
	if len(r.failed) > 0 {
		return &Failed{r.failed, r.of, r.first}
	}
	return nil
}

// next takes the first step that may start now out of the list. Steps that cannot run any more end here.
func (r *driverRun) next() *Step {
	for i := 0; i < len(r.todo); {
		s := r.todo[i]
		failed, wait := r.needs(s)
		if failed != "" {
			r.todo = slices.Delete(r.todo, i, i+1)
			r.fail(s, 0, fmt.Errorf("not run: it needs %s, which failed", failed))
			i = 0
			continue
		}
		alone := s.Alone || slices.ContainsFunc(r.steps, func(o *Step) bool { return o.Alone && r.running[o.ID()] != nil })
		if !wait && (len(r.running) == 0 || !alone && len(r.running) < r.Jobs) {
			r.todo = slices.Delete(r.todo, i, i+1)
			return s
		}
		i++
	}
	return nil
}

// needs finds a needed step that failed, and whether one is still to end.
func (r *driverRun) needs(s *Step) (failed string, wait bool) {
	for _, need := range s.Needs {
		i := slices.IndexFunc(r.steps, func(o *Step) bool { return o.ID() == need })
		if r.steps[i].State == UpToDate {
			continue
		}
		err, ended := r.ended[need]
		if err != nil {
			return need, false
		}
		wait = wait || !ended
	}
	return "", wait
}

func (r *driverRun) fail(s *Step, took time.Duration, err error) {
	r.ended[s.ID()] = err
	r.failed = append(r.failed, s.ID())
	if r.first == nil {
		r.first = err
	}
	if r.Hooks.End != nil {
		r.Hooks.End(s, took, err)
	}
}

// end closes a step that ran.
func (r *driverRun) end(s *Step, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := time.Since(r.running[s.ID()].start)
	delete(r.running, s.ID())
	if err != nil {
		r.fail(s, took, err)
		return
	}
	r.ended[s.ID()] = nil
	if s.Time > 0 {
		r.real, r.guessed = r.real+took, r.guessed+s.Time
		r.pace = float64(r.real) / float64(r.guessed)
	}
	if r.Hooks.End != nil {
		r.Hooks.End(s, took, nil)
	}
}

// left is the time to the end of the whole run: what the running steps still take at their own pace, and the estimates
// of the others at the pace of the finished ones.
func (r *driverRun) left() time.Duration {
	var sum time.Duration
	for _, s := range r.todo {
		sum += time.Duration(float64(s.Time) * r.pace)
	}
	for _, p := range r.running {
		guess := max(0, time.Duration(float64(p.step.Time)*r.pace*(1-p.before))-time.Since(p.start))
		if done := p.share - p.before; done >= firstShare {
			guess = time.Duration(float64(time.Since(p.since)) * (1 - p.share) / done)
		}
		sum += guess
	}
	return sum
}

// runStep runs a step and writes its result.
func (r *driverRun) runStep(ctx context.Context, s *Step) (err error) {
	defer func() { // a panic in a goroutine would end the process, and the other experiments with it
		if problem := recover(); problem != nil {
			err = &Bug{problem, debug.Stack()}
		}
	}()
	if s.State.Blocked() {
		return errors.New(s.Reason)
	}
	j, f, release, err := r.job(s)
	if err != nil {
		return err
	}
	defer release()
	if j == nil {
		return nil // another process has done it meanwhile
	}
	if r.Jobs <= 1 {
		debug.FreeOSMemory()
		host.ResetPeakRSS()
	}
	if err := s.checkMemory(j, host.Free()); err != nil {
		return err
	}
	o, err := s.Run(ctx, j)
	if err != nil {
		return err
	}
	if err := f.Write(o, !o.Partial); err != nil {
		return err
	}
	return os.RemoveAll(WorkFolder(f.path))
}

// job prepares the run of a step whose inputs are there. The job is nil if the result proves up to date.
func (r *driverRun) job(s *Step) (j *Job, f *ResultFile, release func(), err error) {
	dir := filepath.Join(r.Root, s.Folder)
	if err := prepareFolder(dir); err != nil {
		return nil, nil, nil, err
	}
	if release, err = lockResult(r.Path(s.Experiment)); err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	f, now, settings, err := r.open(s)
	if err != nil || now.State == UpToDate {
		return nil, nil, release, err
	}
	j = f.job(settings, r.Environment)
	j.Root, j.folder, j.Python = r.Root, r.folder, r.Python
	if now.State == Unfinished {
		if j.before, err = s.today(now.Result); err != nil {
			return nil, nil, nil, err
		}
	}
	j.Line = func(format string, args ...any) { r.line(s, fmt.Sprintf(format, args...)) }
	j.Progress = func(done, total int) { r.progress(s, done, total) }
	if f.Note != "" {
		j.Line("%s", f.Note)
	}
	goesOn, err := continues(f, now.State)
	if err == nil && !goesOn {
		err = r.setAside(s.Experiment, now.Result, j.Line)
	}
	return j, f, release, err
}

// open finds out what is to be done for a step now that all it needs is there: its state, the file to write and the
// settings.
func (r *driverRun) open(s *Step) (f *ResultFile, now *Step, settings any, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums = map[string]string{} // the files of an earlier step are new
	now = &Step{Experiment: s.Experiment}
	if err := r.inspect(now, map[string]State{}); err != nil { // all that it needs has run
		return nil, nil, nil, err
	}
	switch {
	case now.State.Blocked():
		return nil, nil, nil, errors.New(now.Reason)
	case now.State == UpToDate:
		return nil, now, nil, nil
	}
	inputs, err := r.inputs(s.Experiment)
	if err != nil {
		return nil, nil, nil, err
	}
	settings = s.settings(r.Profile, now.Keys)
	f, err = NewResultFile(s.Experiment, s.profile(r.Profile), settings, inputs, r.Path(s.Experiment), r.Environment)
	if err == nil && now.State == Unfinished {
		f.follow(now.Result)
	}
	return f, now, settings, err
}

func (r *driverRun) folder(experiment string) string {
	for _, e := range r.Experiments {
		if e.Name == experiment {
			return e.Folder
		}
	}
	return experiment
}

func (r *driverRun) line(s *Step, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Hooks.Line != nil {
		r.Hooks.Line(s, text)
	}
}

func (r *driverRun) progress(s *Step, done, total int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.running[s.ID()]
	if p == nil || total <= 0 {
		return
	}
	p.share = min(1, max(0, float64(done)/float64(total)))
	if time.Since(p.start) < firstMoments {
		p.before, p.since = p.share, time.Now()
	}
	if r.Hooks.Progress != nil {
		r.Hooks.Progress(s, done, total, r.left())
	}
}

// prepareFolder makes an experiment's folder and finds out before it runs, not after, that there is no room for a
// result.
func prepareFolder(dir string) error {
	if err := files.MakeFolder(dir); err != nil {
		return fmt.Errorf("cannot make %s: %w", dir, files.Cause(err))
	}
	const room = 1 << 20
	if err := files.CheckWritable(filepath.Join(dir, "result"), room); err != nil {
		return fmt.Errorf("cannot write to %s: %w; free at least 1 MB there or make it writable: the same command continues",
			dir, errors.Unwrap(err))
	}
	return nil
}

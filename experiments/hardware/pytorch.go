package hardware

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// pytorchSide is the program of the other side.
//
//go:embed pytorch.py
var pytorchSide []byte

// pytorchSettings are those of the comparison with PyTorch.
type pytorchSettings struct {
	Cases     []pytorchCase     `json:"cases"`
	Optimiser measure.Optimiser `json:"optimiser"` // of training steps
	Compiled  bool              `json:"compiled"`  // PyTorch 2 also compiles the model
	Warmups   int               `json:"warmups"`   // passes of each side; in training steps
	Rounds    int               `json:"rounds"`    // in each of which every side is timed once
	Rest      float64           `json:"rest"`      // seconds before each pass
	Tolerance float64           `json:"tolerance"` // of a disagreement, of the largest loss or logit
	Seed      uint64            `json:"seed"`      // of tokens and labels
}

// pytorchCase is what all sides do.
type pytorchCase struct {
	Train   bool `json:"train,omitempty"` // a training step; else inference
	Context int  `json:"context"`         // tokens
	Batch   int  `json:"batch"`           // samples
}

func (k pytorchCase) String() string {
	what := "inference"
	if k.Train {
		what = "training step"
	}
	return fmt.Sprintf("%s, batch %d", what, k.Batch)
}

func (k pytorchCase) name() string { return fmt.Sprintf("%s, context %d", k, k.Context) }

// The labels of its measurements.
const (
	caseLabel = "case"
	sideLabel = "side"
	ourSide   = "synapnet-train"
)

// PyTorchExperiment times this program against PyTorch.
func PyTorchExperiment() lab.Experiment {
	e := lab.Describe(descriptions, "pytorch", pytorchSettings{}, runPyTorch)
	e.Lacks = lacksPyTorch
	return e
}

// lacksPyTorch says which of the Pythons cannot be the other side.
func lacksPyTorch(pythons []string) error {
	const look = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('torch') else 3)"
	for _, python := range pythons {
		err := exec.Command(python, "-c", look).Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
		case errors.As(err, &exit) && exit.ExitCode() == 3:
			return fmt.Errorf("%s has no PyTorch: install it there ('%s -m pip install torch'), or name a Python that has it "+
				"with --python", python, python)
		default:
			return fmt.Errorf("%s cannot be run (%w): name a Python that has PyTorch with --python", python, err)
		}
	}
	return nil
}

// pytorchCell is a case as all sides measured it.
type pytorchCell struct {
	Sides []pytorchTimes `json:"sides"` // ours first
}

// pytorchTimes are those of one side.
type pytorchTimes struct {
	Side         string    `json:"side"`
	Build        string    `json:"build,omitempty"` // of PyTorch
	Disagreement float64   `json:"disagreement"`    // with ours
	Seconds      []float64 `json:"seconds"`         // by round
	PeakRSS      uint64    `json:"peak_rss_bytes"`
}

// pytorchComparison is the experiment under way.
type pytorchComparison struct {
	pytorchSettings
	model  *layers.Model
	path   string // of the model's file
	script string // of the other side
	done   *lab.Cells[pytorchCell]
	job    *lab.Job
}

// runPyTorch has all sides take turns, case by case.
func runPyTorch(ctx context.Context, j *lab.Job, s pytorchSettings) (*lab.Outcome, error) {
	p := &pytorchComparison{pytorchSettings: s, job: j, path: j.Model()}
	var err error
	if p.model, err = measure.LoadBase(p.path); err != nil {
		return nil, err
	}
	if p.done, err = lab.NewCells[pytorchCell](j, len(s.Cases)); err != nil {
		return nil, err
	}
	p.done.Outcome = p.outcome
	dir, err := j.Work()
	if err != nil {
		return nil, err
	}
	p.script = filepath.Join(dir, "pytorch.py")
	if err := os.WriteFile(p.script, pytorchSide, 0o600); err != nil {
		return nil, err
	}
	for _, k := range s.Cases {
		if _, err := p.done.Do(ctx, k.name(), func() (pytorchCell, error) { return p.measure(ctx, k) }); err != nil {
			return nil, err
		}
	}
	return p.done.Finish()
}

// side is one that is ready to be timed.
type side struct {
	*measure.Session
	pytorchTimes
}

// measure times a case.
func (p *pytorchComparison) measure(ctx context.Context, k pytorchCase) (cell pytorchCell, err error) {
	sides, err := p.open(ctx, k)
	defer func() {
		for _, s := range sides {
			s.Kill()
		}
	}()
	if err != nil {
		return cell, fmt.Errorf("%s: %w", k.name(), err)
	}
	var sessions []*measure.Session
	for _, s := range sides {
		sessions = append(sessions, s.Session)
	}
	seconds, err := measure.TakeTurns(ctx, sessions, p.Rounds, p.Rest)
	if err != nil {
		return cell, fmt.Errorf("%s: %w", k.name(), err)
	}
	for i, s := range sides {
		var end measure.BatchEnd
		if err := s.End(&end); err != nil {
			return cell, fmt.Errorf("%s: %s: %w", k.name(), s.Side, err)
		}
		s.Seconds, s.PeakRSS = seconds[i], end.PeakRSS
		cell.Sides = append(cell.Sides, s.pytorchTimes)
		p.job.Line("%s: %s: %.3f s", k.name(), s.Side, result.Median(s.Seconds))
	}
	return cell, nil
}

// open starts all sides of a case, which are returned with an error, too, and holds what they compute against ours: no
// time is taken of a side that computes something else.
func (p *pytorchComparison) open(ctx context.Context, k pytorchCase) (sides []*side, err error) {
	b := p.batch(k)
	s, ours, err := b.Open(ctx)
	if err != nil {
		return nil, err
	}
	sides = []*side{{s, pytorchTimes{Side: ourSide}}}
	for _, python := range p.job.Python {
		for _, compiled := range []bool{false, true} {
			if b.Compiled = compiled; compiled && !p.compiles(sides[len(sides)-1].Side) {
				continue
			}
			s, ready, err := p.openPython(ctx, python, b)
			switch {
			case err != nil && compiled:
				return sides, fmt.Errorf("%s: torch.compile: %w; `compiled` = false leaves it out", python, err)
			case err != nil:
				return sides, fmt.Errorf("%s: %w", python, err)
			}
			t := pytorchTimes{Side: "PyTorch " + ready.Version, Build: ready.Build, Disagreement: ours.Disagreement(ready)}
			if compiled {
				t.Side += compiledSuffix
			}
			other := slices.ContainsFunc(sides, func(s *side) bool { return s.Side == t.Side })
			sides = append(sides, &side{s, t})
			switch {
			case other:
				return sides, fmt.Errorf("--python %s: its PyTorch is of the version of another one's: name one of them", python)
			case t.Disagreement > p.Tolerance:
				return sides, fmt.Errorf("%s computes something else: its losses or logits differ from ours by %.2g of the "+
					"largest, more than `tolerance` %g", t.Side, t.Disagreement, p.Tolerance)
			}
			p.job.Line("%s: %s agrees with ours to %.1g", k.name(), t.Side, t.Disagreement)
		}
	}
	return sides, nil
}

// compiledSuffix marks PyTorch with a compiled model.
const compiledSuffix = ", compiled"

// compiles says whether a side, which is not compiled, is to have one beside it that is.
func (p *pytorchComparison) compiles(side string) bool {
	return p.Compiled && !strings.HasPrefix(side, "PyTorch 1.")
}

// openPython starts a side that is PyTorch, with as many threads as ours and, if its BLAS is OpenBLAS, with the kernels
// that ours found to be right: an OpenBLAS that is older than the processor takes those of one without AVX.
func (p *pytorchComparison) openPython(ctx context.Context, python string, b measure.Batch) (*measure.Session,
	measure.BatchReady, error) {
	command := exec.CommandContext(ctx, python, p.script)
	command.Env = os.Environ()
	for _, name := range []string{"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} {
		command.Env = append(command.Env, fmt.Sprintf("%s=%d", name, b.Threads))
	}
	if words := strings.Fields(p.job.Environment.BLAS); len(words) > 2 && words[0] == "OpenBLAS" {
		command.Env = append(command.Env, "OPENBLAS_CORETYPE="+words[2])
	}
	var ready measure.BatchReady
	s, err := measure.OpenCommand(ctx, command, b, &ready)
	return s, ready, err
}

// batch is what all sides compute of a case.
func (p *pytorchComparison) batch(k pytorchCase) measure.Batch {
	c := p.model.Config
	b := measure.Batch{Model: p.path, Context: k.Context, Batch: k.Batch, Warmups: p.Warmups,
		Threads: measure.AllThreads(), IDs: measure.Tokens(c, k.Batch*k.Context, p.Seed)}
	rng := rand.New(rand.NewPCG(p.Seed, 0x6c6162656c73))
	b.Labels = measure.RandomTokens(rng, k.Batch, c.NumClasses)
	if k.Train {
		b.Train = &p.Optimiser
	}
	return b
}

// outcome is that of the cases that are done.
func (p *pytorchComparison) outcome() (*lab.Outcome, error) {
	o := &lab.Outcome{Seeds: []uint64{p.Seed}, Unpublished: true}
	var builds []string
	for _, k := range p.Cases {
		for i, s := range p.done.Done[k.name()].Sides {
			ours := p.done.Done[k.name()].Sides[0]
			l := result.Labels{caseLabel: k.String(), result.ContextLabel: result.ContextOf(k.Context), sideLabel: s.Side}
			o.Measurements = append(o.Measurements, s.measurements(l, k)...)
			if i == 0 {
				continue
			}
			builds = lab.AppendNew(builds, fmt.Sprintf("%s: %s", s.Side, s.Build))
			var ratios []float64
			for round, seconds := range s.Seconds {
				ratios = append(ratios, seconds/ours.Seconds[round])
			}
			o.Measurements = append(o.Measurements, result.MedianOf(l, result.Strict, "times_faster", "1", ratios),
				result.ExactOf(l, result.Strict, "disagreement", "ppm", 1e6*s.Disagreement))
			if s.PeakRSS > 0 && ours.PeakRSS > 0 {
				o.Measurements = append(o.Measurements, result.ExactOf(l, result.Strict, "times_memory", "1",
					float64(s.PeakRSS)/float64(ours.PeakRSS)))
			}
		}
	}
	o.Notes = []string{"Sides: " + strings.Join(append([]string{ourSide}, builds...), "; ")}
	return o, nil
}

// measurements are the times and the memory of one side.
func (s pytorchTimes) measurements(l result.Labels, k pytorchCase) []result.Measurement {
	var times, rate []float64
	for _, x := range s.Seconds {
		times, rate = append(times, 1e3*x), append(rate, float64(k.Batch*k.Context)/x)
	}
	all := []result.Measurement{result.MedianOf(l, result.Strict, "time", "ms", times),
		result.MedianOf(l, result.Strict, "tokens_per_second", "tokens/s", rate)}
	if s.PeakRSS > 0 {
		all = append(all, result.ExactOf(l, result.Strict, "peak_rss", "bytes", float64(s.PeakRSS)))
	}
	return all
}

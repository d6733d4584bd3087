package measure

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
)

// Probe is a measurement of inference at batch 1 in a process of its own: there, neither what earlier measurements left
// in memory counts, nor the number of threads of this process.
type Probe struct {
	Model   string `json:"model"`   // file, in floating point or packed
	Context int    `json:"context"` // tokens
	Threads int    `json:"threads"`
	Warmups int    `json:"warmups"` // passes that are not timed
	Timed   int    `json:"timed"`   // passes that are
	Seed    uint64 `json:"seed"`    // of the tokens
}

// ProbeResult is what a probe measured. Resident memory is 0 where the system does not tell it.
type ProbeResult struct {
	Seconds     []float64 `json:"seconds"` // of the timed passes
	WeightBytes int       `json:"weight_bytes"`
	ArenaBytes  int       `json:"arena_bytes"` // of the compiled plan: all intermediate values
	// Resident memory of the process: with the model loaded, after the last pass, and the largest from the one to the
	// other.
	LoadedRSS uint64 `json:"loaded_rss_bytes"`
	RSS       uint64 `json:"rss_bytes"`
	PeakRSS   uint64 `json:"peak_rss_bytes"`
}

// Start runs the probe in a new process and waits for it.
func (p Probe) Start(ctx context.Context) (r ProbeResult, err error) {
	if err = InOwnProcess(ctx, p.Threads, passKind, p, &r); err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s at context %d: %w", p.Model, p.Context, err)
	}
	return r, err
}

// Open begins the probe in a new process, whose turns are then timed: how many is up to the caller, not to Timed.
func (p Probe) Open(ctx context.Context) (*Session, error) {
	s, err := Open(ctx, p.Threads, turnsKind, p, nil)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s at context %d: %w", p.Model, p.Context, err)
	}
	return s, err
}

// run measures in this process.
func (p Probe) run(ctx context.Context) (r ProbeResult, err error) {
	t, err := p.begin(ctx)
	if err != nil {
		return r, err
	}
	defer t.forward.Close()
	for range p.Timed {
		if _, err := t.turn(ctx); err != nil {
			return r, err
		}
	}
	return t.end(), nil
}

// probing is a probe under way.
type probing struct {
	forward *Forward
	result  ProbeResult
}

// begin reads the model and warms up.
func (p Probe) begin(ctx context.Context) (*probing, error) {
	m, err := layers.Load(p.Model)
	if err != nil {
		return nil, err
	}
	t := &probing{result: ProbeResult{WeightBytes: m.WeightBytes()}}
	debug.FreeOSMemory() // what reading the file left
	host.ResetPeakRSS()
	t.result.LoadedRSS, _ = host.CurrentRSS() // 0 where it cannot be read
	if t.forward, err = NewForward(m, p.Context, p.Seed); err != nil {
		return nil, err
	}
	t.result.ArenaBytes = t.forward.Inference.Program.ArenaBytes()
	for range p.Warmups {
		if _, err := t.forward.Run(ctx); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// turn times a pass.
func (t *probing) turn(ctx context.Context) (time.Duration, error) {
	took, err := t.forward.Run(ctx)
	if err == nil {
		t.result.Seconds = append(t.result.Seconds, took.Seconds())
	}
	return took, err
}

// end is what was measured of all.
func (t *probing) end() ProbeResult {
	t.result.RSS, _ = host.CurrentRSS()
	if t.result.RSS > 0 {
		t.result.PeakRSS = host.PeakRSS()
	}
	return t.result
}

// Forward is inference on one sequence of random tokens, as the published measurements have it.
type Forward struct {
	Inference *layers.Inference
	IDs       []int32
}

// NewForward compiles m for one sequence of the given length.
func NewForward(m *layers.Model, tokens int, seed uint64) (*Forward, error) {
	f := &Forward{IDs: Tokens(m.Config, tokens, seed)}
	var err error
	f.Inference, err = m.Infer(1, tokens, 0)
	return f, err
}

// Run is one pass and the time that it took.
func (f *Forward) Run(ctx context.Context) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	start := time.Now()
	_, err := f.Inference.Run(f.IDs, nil)
	return time.Since(start), err
}

// Close frees the memory of the compiled graph.
func (f *Forward) Close() { f.Inference.Program.Close() }

// Tokens is a sequence of random tokens for a model.
func Tokens(c layers.Config, n int, seed uint64) []int32 {
	return RandomTokens(rand.New(rand.NewPCG(seed, 0x746f6b656e73)), n, c.VocabSize)
}

// FittingContexts are the contexts that the model has positions for.
func FittingContexts(contexts []int, c layers.Config) (fit []int) {
	for _, t := range contexts {
		if t <= c.MaxLen {
			fit = append(fit, t)
		}
	}
	return fit
}

// CheckFitting names a list of contexts none of which a model of configuration m has positions for.
func CheckFitting(setting string, m layers.Config, contexts []int) error {
	return cmp.Or(bounds.List(setting, contexts...), bounds.AtLeast(setting, layers.MinContext, contexts...),
		m.CheckContexts(setting, slices.Min(append(contexts, m.MaxLen+1))))
}

// AllThreads are those that this process computes with.
func AllThreads() int { return runtime.GOMAXPROCS(0) }

// RandomTokens are n token ids of a vocabulary, uniformly drawn.
func RandomTokens(rng *rand.Rand, n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = rng.Int32N(int32(vocab))
	}
	return ids
}

// The names of this package's kinds.
const (
	passKind  = "pass"  // a Probe
	turnsKind = "turns" // one in a Session
	batchKind = "batch" // a Batch
)

// PassKinds are the kinds of this package.
func PassKinds() Kinds {
	return Kinds{
		passKind: Kind(func(ctx context.Context, p Probe) (any, error) { return p.run(ctx) }),
		turnsKind: Kind(func(ctx context.Context, p Probe) (any, error) {
			t, err := p.begin(ctx)
			if err != nil {
				return nil, err
			}
			return Turns{Turn: t.turn, End: func() any { return t.end() }}, nil
		}),
		batchKind: Kind(func(ctx context.Context, b Batch) (any, error) { return b.begin(ctx) }),
	}
}

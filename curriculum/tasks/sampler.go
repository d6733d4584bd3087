package tasks

import (
	"fmt"
	"math/rand/v2"
	"unsafe"

	"github.com/synapnet/synapnet-train/internal/host"
)

// Sampler makes the samples of a task one by one: those of [Generate], in its order, without holding them.
type Sampler struct {
	task Task
	p    Params
	rng  *rand.Rand
}

// NewSampler begins the samples that Generate makes with the same arguments. Its errors are those of Generate.
func NewSampler(name string, p Params, from Source) (*Sampler, error) {
	if err := from.check(); err != nil {
		return nil, err
	}
	t, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	p = p.withDefaults(t.Defaults)
	if err := t.check(p); err != nil {
		return nil, err
	}
	return &Sampler{t, p, from.stream("task", name)}, nil
}

// Next is the next sample. Its error is what a registered generator reports.
func (s *Sampler) Next() (Sample, error) { return s.task.sample(s.rng, s.p) }

// SampleBytes is the memory that a sample of the given number of tokens takes: its ids, its header and its targets.
func SampleBytes(tokens int) uint64 {
	const targets = 64 // a few positions, in their own piece of memory
	return host.Plus(host.Times(4, tokens), uint64(unsafe.Sizeof(Sample{})), targets)
}

// checkRoom is an error if n samples of p do not fit in memory.
func checkRoom(n int, p Params) error {
	if err := host.Check(fmt.Sprintf("holding %d samples of %d tokens", n, p.Length),
		host.Times(n, int(SampleBytes(p.Length)))); err != nil {
		return fmt.Errorf("tasks: %w; use fewer samples or shorter contexts", err)
	}
	return nil
}

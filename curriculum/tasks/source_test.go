package tasks

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// of is the source of a seed with nothing added to it, keyed as before purposes were part of keys: the recorded samples
// of these tests are its.
func of(seed uint64) Source { return Draw{Keys1, seed}.For(Demonstration, 0) }

// start is a hash of the first samples of a stream.
func start(t testing.TB, task string, from Source) uint64 {
	t.Helper()
	samples, err := Generate(task, 2, Params{Length: 128, Vocab: 128, Classes: 48}, from)
	if err != nil {
		t.Fatal(err)
	}
	h := fnv.New64a()
	for _, s := range samples {
		_, _ = fmt.Fprintln(h, s.IDs)
	}
	return h.Sum64()
}

// gridSeeds are seeds that met with Keys1, and their neighbours.
func gridSeeds() []uint64 {
	return []uint64{0, 1, 42, 43, 1042, 1234, 2042, 2025, 7000, 7_000_041, 9042, 9043, 10_042, 1_000_420, 5_042_000,
		6_500_042, 1 << 63, math.MaxUint64}
}

// What a model is tested on is not what it, or anything that it is tested with, learnt from: no two streams start
// alike.
func TestNoTwoStreamsStartAlike(t *testing.T) {
	// Over the whole grid it is enough to look at the generators: they are all that tasks differ by.
	seen := map[[2]uint64]string{}
	for _, seed := range gridSeeds() {
		for _, p := range Purposes() {
			for stage := range 4 {
				for _, task := range append(Names(), "shuffle") {
					from := Seeded(seed).For(p, stage)
					rng := from.stream("task", task)
					at := [2]uint64{rng.Uint64(), rng.Uint64()}
					name := fmt.Sprintf("%s of %s, stage %d, seed %d", task, p, stage, seed)
					if other, ok := seen[at]; ok {
						t.Fatalf("%s starts as %s does", name, other)
					}
					seen[at] = name
				}
			}
		}
	}
	// And at the samples themselves, over a part of it.
	samples := map[uint64]string{}
	for _, seed := range []uint64{42, 1234, 9042} {
		for _, p := range Purposes() {
			for stage := range 2 {
				name := fmt.Sprintf("%s, stage %d, seed %d", p, stage, seed)
				at := start(t, "niah_multi_key", Seeded(seed).For(p, stage))
				if other, ok := samples[at]; ok {
					t.Fatalf("the samples of %s are those of %s", name, other)
				}
				samples[at] = name
			}
		}
	}
}

// With random seeds, stages and tasks as well: a source that differs in anything gives other samples.
func TestSourcesDifferInAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	names, all := Names(), Purposes()
	for range 300 {
		draw := func() (Source, string) {
			return Seeded(rng.Uint64()>>rng.IntN(64)).For(all[rng.IntN(len(all))], rng.IntN(3)), names[rng.IntN(len(names))]
		}
		a, task := draw()
		b, other := draw()
		if same := a == b && task == other; same != (a.stream("task", task).Uint64() == b.stream("task", other).Uint64()) {
			t.Fatalf("%s of %+v and %s of %+v", task, a, other, b)
		}
	}
}

// The seeds that committed results and old checkpoints were made with, number by number: with Keys1 their streams are
// those of the seed to which the purpose was added.
func TestOldKeysStayWhatTheyWere(t *testing.T) {
	for _, c := range []struct {
		purpose Purpose
		stage   int
		seed    uint64
		want    uint64
	}{
		{Training, 0, 42, 42}, {Training, 1, 42, 43}, {HeldOut, 0, 42, 9042}, {HeldOut, 1, 42, 9043},
		{Calibration, 0, 42, 1042},
		{Finetuning, 0, 42, 2042}, {ThreePhase, 0, 42, 42}, {Retention, 0, 7000, 7000}, {Evaluation, 0, 42, 9042},
		{Quantisation, 2, 43, 1_000_432}, {Eviction, 10, 42, 4210}, {MemoryPressure, 10, 2025, 202_510},
		{EvictionCost, 0, 12_345, 12_345},
		{NeedleBench, 0, 2025, 2025}, {RULER, 0, 7_000_041, 7_000_041}, {LongBench, 0, 7_000_042, 7_000_042},
		{LongContext, 0, 1234, 1234},
		{LongContext, 2, 1234, 1236}, {Baselines, 0, 7_000_043, 7_000_043}, {BridgePaper, 0, 44, 44},
		{BridgeTest, 0, 44, 1044},
		{BridgeTraining, 3, 42, 5_042_003}, {BridgeHeldOut, 0, 42, 6_000_042}, {BridgeFinal, 0, 42, 6_500_042},
		{Deployment, 0, 999, 999},
		{Demonstration, 0, 42, 42},
	} {
		for _, keys := range []Keys{0, Keys1} {
			got := Draw{keys, c.seed}.For(c.purpose, c.stage).stream("task", "fa").Uint64()
			if want := stream("task", "fa", c.want).Uint64(); got != want {
				t.Errorf("keys %d: %s, stage %d, seed %d is not the stream of seed %d", keys, c.purpose, c.stage, c.seed, c.want)
			}
		}
	}
	want := rand.New(rand.NewPCG(43, 3+0x65706f6368)).Perm(50)
	if got := (Draw{Keys1, 42}).For(Training, 1).Order(50, 3); !slices.Equal(got, want) {
		t.Errorf("the order of an epoch of pretraining is %v, was %v", got, want)
	}
	want = rand.New(rand.NewPCG(2042, 3+0x716174)).Perm(50)
	if got := (Draw{Keys1, 42}).For(Finetuning, 0).Order(50, 3); !slices.Equal(got, want) {
		t.Errorf("the order of an epoch of fine-tuning is %v, was %v", got, want)
	}
	if start(t, "fa", Draw{Keys1, 9042}.For(Training, 0)) != start(t, "fa", Draw{Keys1, 42}.For(Evaluation, 0)) {
		t.Error("with Keys1 an evaluation of seed 42 is no longer on what a training of seed 9042 saw: then old results " +
			"mean something else")
	}
}

func TestOrdersDiffer(t *testing.T) {
	from := Seeded(42).For(Training, 0)
	if got := slices.Sorted(slices.Values(from.Order(100, 0))); got[0] != 0 || got[99] != 99 {
		t.Fatalf("no permutation of 100: %v", got)
	}
	if !slices.Equal(from.Order(100, 1), from.Order(100, 1)) {
		t.Error("an epoch's order is not always the same")
	}
	for name, other := range map[string][]int{
		"epoch 1": from.Order(100, 1), "stage 1": Seeded(42).For(Training, 1).Order(100, 0),
		"seed 43": Seeded(43).For(Training, 0).Order(100, 0),
	} {
		if slices.Equal(other, from.Order(100, 0)) {
			t.Errorf("%s has the order of epoch 0", name)
		}
	}
}

// Nothing can be drawn without saying what for.
func TestSourcesAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		from Source
		want string
	}{
		"no purpose": {Source{}, `samples for the purpose "": it must be one of training, held-out, `},
		"an unknown one": {Seeded(1).For("trianing", 0),
			`samples for the purpose "trianing": it must be one of training, `},
		"a negative stage": {Seeded(1).For(Training, -1), "samples of stage -1: it must be at least 0"},
		"later keys": {Draw{3, 1}.For(Training, 0),
			"sample_keys is 3: it must be 1 (as before the purpose was part of the keys) or 2"},
	} {
		p := Params{Length: 32, Vocab: 128, Classes: 16}
		if _, err := Generate("fa", 1, p, c.from); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if _, err := Mixture(8, p, c.from, nil); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s, mixture: %v, want %s", name, err, c.want)
		}
	}
	_, err := Generate("fa", 1, Params{Length: 32, Vocab: 128, Classes: 16}, Seeded(1).For("mine", 0))
	if err == nil || !strings.HasSuffix(err.Error(), ", or be registered with tasks.RegisterPurpose") {
		t.Errorf("%v does not name the door for other purposes", err)
	}
	if all := slices.Sorted(slices.Values(Purposes())); len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("a purpose is listed twice: %v", all)
	}
}

// The share of steps that are replayed is that asked for, and of them each stage has what its weight says; with equal
// weights the draws do not depend on how large they are.
func TestReplayed(t *testing.T) {
	s := Draw{Keys: CurrentKeys, Seed: 3}.For(Replay, 1)
	const n = 20_000
	var counts [4]int
	for step := range n {
		counts[s.Replayed(step, 0.5, []float64{1, 4, 0.5})]++
		if a, b := s.Replayed(step, 0.5, []float64{1, 1, 1}), s.Replayed(step, 0.5, []float64{7, 7, 7}); a != b {
			t.Fatalf("step %d: stage %d, and with other equal weights %d", step, a, b)
		}
	}
	for i, share := range []float64{0.5, 0.5 / 5.5, 2 / 5.5, 0.25 / 5.5} {
		if got := float64(counts[i]) / n; math.Abs(got-share) > 4*math.Sqrt(share*(1-share)/n) {
			t.Errorf("%d: %.4f of the steps, want %.4f", i, got, share)
		}
	}
}

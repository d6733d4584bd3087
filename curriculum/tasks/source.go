package tasks

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/registry"
)

// Purpose says what samples are for. It is part of the key of their stream, so that what a model is tested on is never
// what it was trained on, whatever the seeds of the two are.
type Purpose string

// The purposes of this program. A new one is a constant here and a line in purposes, or that of another module's
// experiment is registered with RegisterPurpose.
const (
	Training    Purpose = "training"    // stage: of the curriculum
	Replay      Purpose = "replay"      // earlier stages within a later one; stage: of the two
	HeldOut     Purpose = "held-out"    // evaluations while a model trains; stage: of the curriculum
	Calibration Purpose = "calibration" // of quantisers
	Finetuning  Purpose = "fine-tuning" // short training of a pretrained model, through quantisers or without
	ThreePhase  Purpose = "three-phase" // training of the three-phase trainer
	Retention   Purpose = "retention"   // what the retention classifier learns from and is tested on, split by sequence
	Evaluation  Purpose = "evaluation"  // of a model by a command
	// test of variants and of the model without its bridge; stage: 0 to 2, a metric each.
	Quantisation   Purpose = "quantisation"
	Eviction       Purpose = "eviction"        // test of eviction policies; stage: the budget in percent
	EvictionCost   Purpose = "eviction-cost"   // what policies keep in the micro-benchmark
	MemoryPressure Purpose = "memory-pressure" // test of eviction policies on one budget; stage as of Eviction
	Answers        Purpose = "answers"         // test of policies by what is answered over streams
	// tests on suites of tasks; stage: 2 for the mixture, which is apart from its tasks.
	NeedleBench    Purpose = "needlebench"
	RULER          Purpose = "ruler"
	LongBench      Purpose = "longbench"
	LongContext    Purpose = "long-context"
	Positions      Purpose = "positions"       // test of positions beyond those that were trained
	Baselines      Purpose = "baselines"       // test of other architectures
	BaselineRates  Purpose = "baseline-rates"  // what chooses their learning rates
	BridgePaper    Purpose = "bridge-paper"    // training of the published ScaleBridge ablation
	BridgeTest     Purpose = "bridge-test"     // its test
	BridgeTraining Purpose = "bridge-training" // training of ours; stage: block of steps
	BridgeHeldOut  Purpose = "bridge-held-out" // what says that its curve has stopped rising
	BridgeFinal    Purpose = "bridge-final"    // its test
	RecipeTest     Purpose = "recipe-test"     // test of variants of the recipe of pretraining
	Deployment     Purpose = "deployment"      // calibration of variants whose size and time are measured
	Acceptance     Purpose = "acceptance"      // test of pretrained models, on which nothing is chosen
	Demonstration  Purpose = "demonstration"   // examples and benchmarks, which measure no accuracy
)

// purpose is what Keys1 did for a Purpose.
type purpose struct {
	Purpose
	// seed is the number that the stream was keyed by; nil: the seed plus the stage.
	seed func(seed, stage uint64) uint64
	// order was mixed into the generator of the order in which an epoch takes the samples.
	order uint64
}

// plus adds a number and the stage to the seed.
func plus(n uint64) func(seed, stage uint64) uint64 {
	return func(seed, stage uint64) uint64 { return seed + n + stage }
}

const (
	orderOfCurriculum = 0x65706f6368
	orderOfQAT        = 0x716174
)

// purposes lists those, with the numbers that Keys1 added to seeds (SPEC section 3; SPEC section 4; SPEC section 5).
var purposes = []purpose{
	{Training, nil, orderOfCurriculum},
	{HeldOut, plus(9000), 0},
	{Calibration, plus(1000), 0},
	{Finetuning, plus(2000), orderOfQAT},
	{ThreePhase, nil, orderOfQAT},
	{Retention, nil, 0},
	{Evaluation, plus(9000), 0},
	{Quantisation, func(seed, stage uint64) uint64 { return 1_000_000 + 10*seed + stage }, 0},
	{Eviction, func(seed, stage uint64) uint64 { return 100*seed + stage }, 0},
	{EvictionCost, nil, 0},
	{MemoryPressure, func(seed, stage uint64) uint64 { return 100*seed + stage }, 0},
	{Answers, nil, 0},
	{NeedleBench, nil, 0},
	{RULER, nil, 0},
	{LongBench, nil, 0},
	{LongContext, nil, 0},
	{Positions, nil, 0},
	{Baselines, nil, 0},
	{BridgePaper, nil, 0},
	{BridgeTest, plus(1000), 0},
	{BridgeTraining, func(seed, stage uint64) uint64 { return 5_000_000 + 1000*seed + stage }, 0},
	{BridgeHeldOut, plus(6_000_000), 0},
	{BridgeFinal, plus(6_500_000), 0},
	{Replay, nil, 0},
	{RecipeTest, nil, 0},
	{Deployment, nil, 0},
	{Acceptance, nil, 0},
	{BaselineRates, nil, 0},
	{Demonstration, nil, 0},
}

var registeredPurposes = registry.New("purpose", registry.Word+"-", "lower-case letters, digits, _ and -",
	func(purpose) error { return nil }).With(func(p purpose) string { return string(p.Purpose) }, purposes...)

// RegisterPurpose makes a purpose known, for an init function of the package that draws samples for it. A misspelt
// purpose would draw other samples, unnoticed: one that is not known gives none.
func RegisterPurpose(p Purpose) error { return registeredPurposes.Add(string(p), purpose{Purpose: p}) }

// Purposes lists all, registered ones last.
func Purposes() []Purpose {
	var all []Purpose
	for _, name := range registeredPurposes.Names() {
		all = append(all, Purpose(name))
	}
	return all
}

// Keys is the version of the keys of streams of samples. It is part of the configuration of a run and of the settings
// of an experiment; 0, in what was written before there were versions, is Keys1.
type Keys int

// The versions.
const (
	// Keys1 keys a stream by task and seed. Purpose and stage are numbers added to the seed, so that two purposes meet
	// where their seeds differ by that number: a training of seed 9042 and an evaluation of seed 42.
	Keys1 Keys = 1
	// Keys2 keys a stream by task, purpose, stage and seed.
	Keys2 Keys = 2
	// CurrentKeys are those of new runs.
	CurrentKeys = Keys2
)

// Version is k, and Keys1 for 0.
func (k Keys) Version() Keys { return max(k, Keys1) }

// Check refuses a version that this program does not know.
func (k Keys) Check() error {
	if k < 0 || k > CurrentKeys {
		return bounds.Wrong("sample_keys", k, "it must be 1 (as before the purpose was part of the keys) or 2")
	}
	return nil
}

// Draw is a seed with the version of the keys that it is used with.
type Draw struct {
	Keys Keys
	Seed uint64
}

// Seeded is a seed with the current keys.
func Seeded(seed uint64) Draw { return Draw{CurrentKeys, seed} }

// For is the source of the samples of one purpose. The stage, at least 0, sets draws for the same purpose apart;
// without any it is 0.
func (d Draw) For(p Purpose, stage int) Source { return Source{draw: d, purpose: p, stage: stage} }

// Source names streams of samples, one for each task and one for the order of a mixture. Two sources that differ in
// anything give different samples (with Keys2). It is made by [Draw.For]; the zero value has no purpose and gives none.
type Source struct {
	draw    Draw
	purpose Purpose
	stage   int
	epoch   int // of fresh samples; the first is 0, and as if there were no epochs
}

// Epoch is the source of the fresh samples of an epoch, from 0; that of the first is s.
func (s Source) Epoch(epoch int) Source {
	s.epoch = epoch
	return s
}

// check refuses a source that no samples can be drawn from.
func (s Source) check() error {
	if err := s.draw.Keys.Check(); err != nil {
		return err
	}
	if names := registeredPurposes.Names(); !slices.Contains(names, string(s.purpose)) {
		return fmt.Errorf("samples for the purpose %q: it must be one of %s, or be registered with tasks.RegisterPurpose",
			s.purpose, strings.Join(names, ", "))
	}
	if own := func(p purpose) bool { return p.Purpose == s.purpose }; s.draw.Keys.Version() == Keys1 &&
		!slices.ContainsFunc(purposes, own) {
		return fmt.Errorf("samples for the purpose %q with sample_keys 1, which have no place for further purposes: use "+
			"sample_keys 2", s.purpose)
	}
	if s.stage < 0 {
		return fmt.Errorf("samples of stage %d: it must be at least 0", s.stage)
	}
	if s.epoch > 0 && s.draw.Keys.Version() == Keys1 {
		return fmt.Errorf("fresh samples of epoch %d with sample_keys 1, which have no place for epochs: use sample_keys 2",
			s.epoch)
	}
	return nil
}

// old is what Keys1 did for the source's purpose, with the number that it keyed streams by.
func (s Source) old() (seed, order uint64) {
	seed = s.draw.Seed + uint64(s.stage)
	for _, p := range purposes {
		if p.Purpose != s.purpose {
			continue
		}
		if p.seed != nil {
			seed = p.seed(s.draw.Seed, uint64(s.stage))
		}
		order = p.order
	}
	return seed, order
}

// stream is the generator of (kind, name) within the source.
func (s Source) stream(kind, name string) *rand.Rand {
	if s.draw.Keys.Version() == Keys1 {
		seed, _ := s.old()
		return stream(kind, name, seed)
	}
	words := []string{string(s.purpose), fmt.Sprint(s.stage)}
	if s.epoch > 0 {
		words = append(words, fmt.Sprint(s.epoch))
	}
	return stream(kind, name, s.draw.Seed, words...)
}

// Order is the order in which an epoch, from 0, takes n samples of the source.
func (s Source) Order(n, epoch int) []int {
	if s.draw.Keys.Version() == Keys1 {
		seed, order := s.old()
		return rand.New(rand.NewPCG(seed, uint64(epoch)+order)).Perm(n)
	}
	return s.stream("order", fmt.Sprint(epoch)).Perm(n)
}

// Positions are those of n samples of the given number of tokens, [n, tokens], for a step of a run: each begins at a
// random one that leaves room below limit.
func (s Source) Positions(step, n, tokens, limit int) []int32 {
	rng := s.stream("positions", fmt.Sprint(step))
	all := make([]int32, 0, n*tokens)
	for range n {
		first := rng.IntN(limit - tokens + 1)
		for i := range tokens {
			all = append(all, int32(first+i))
		}
	}
	return all
}

// Kept is how many of the entries that a chunk writes stay in memory, for each of n samples of a step: from the share
// least of them (at least one) to all, each as likely.
func (s Source) Kept(step, n, written int, least float64) []int32 {
	rng := s.stream("kept", fmt.Sprint(step))
	from := max(1, int32(math.Ceil(least*float64(written))))
	all := make([]int32, n)
	for i := range all {
		all[i] = from + rng.Int32N(int32(written)-from+1)
	}
	return all
}

// Replayed is which of the earlier stages, from 1, a step is of, with probability share, each as often as its weight
// says; 0: of none.
func (s Source) Replayed(step int, share float64, weights []float64) int {
	rng := s.stream("replay", fmt.Sprint(step))
	if rng.Float64() >= share {
		return 0
	}
	if slices.Min(weights) == slices.Max(weights) {
		return 1 + rng.IntN(len(weights))
	}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	at := rng.Float64() * sum
	for i, w := range weights {
		if at -= w; at < 0 {
			return 1 + i
		}
	}
	return len(weights)
}

// Chosen are n places of `of` examples, for a step of a run, as drawn without replacement while there are enough.
func (s Source) Chosen(step, n, of int) []int {
	order := s.stream("chosen", fmt.Sprint(step)).Perm(of)
	all := make([]int, n)
	for i := range all {
		all[i] = order[i%of]
	}
	return all
}

// stream returns the generator of (kind, name, seed) and, with Keys2, of purpose and stage. The key is hashed because
// PCG streams whose seeds differ in a few bits are correlated. No word of a key has a zero byte in it.
func stream(kind, name string, seed uint64, more ...string) *rand.Rand {
	key := binary.LittleEndian.AppendUint64([]byte(kind+"\x00"+name+"\x00"), seed)
	for _, word := range more {
		key = append(append(key, word...), 0)
	}
	sum := sha256.Sum256(key)
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16])))
}

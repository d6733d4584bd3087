package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/bench"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// fitting is work whose memory grows with one setting. The memory is planned from the configuration alone: nothing is
// allocated to find it out.
type fitting struct {
	setting string // as the user gives it: --batch-size
	value   int
	what    string // that takes the memory: "a step at context 1024"
	// need is in bytes. Beyond room, the bytes that there are, a lower bound will do: see beyond.
	need    func(value int, room uint64) (uint64, error)
	smaller string // the mend if the least value of the setting does not fit either
	kept    string // the mend of what continues, whose setting is what it began with; "": the setting can be another
}

// freeMemory is the room that is planned for; tests have other machines.
var freeMemory = host.Free

// keptMend is the mend of a run that continues.
const keptMend = "a run continues with the settings that it began with: free memory or raise that limit, or begin a " +
	"new run in another --output-dir"

// continued is the mend of a run that continues, if it does.
func continued(resumed bool) string {
	if resumed {
		return keptMend
	}
	return ""
}

// check refuses what does not fit into room, with the largest value that does.
func (f fitting) check(room host.Room) error {
	if !room.Known {
		return nil
	}
	all, err := f.need(f.value, room.Bytes)
	if err != nil || all <= room.Bytes {
		return err
	}
	most, err := f.most(room, all)
	if err != nil {
		return err
	}
	mend := room.Mend(f.smaller)
	if most > 0 {
		mend = fmt.Sprintf("give a %s of at most %d", f.setting, most)
	}
	if f.kept != "" {
		mend = f.kept
		if most > 0 {
			mend += fmt.Sprintf(" with a %s of at most %d", f.setting, most)
		}
	}
	return &tooLarge{fmt.Sprintf("%s %d: %s takes at least %s of memory, and %s; %s",
		f.setting, f.value, f.what, host.Size(all), room, mend)}
}

// tooLarge is the error of a setting that does not fit; the errors of planning are others.
type tooLarge struct{ message string }

func (e *tooLarge) Error() string { return e.message }

// usageOf makes the error of a setting that does not fit one of the command line; others stay what they are.
func usageOf(c *cli.Context, err error) error {
	if _, ok := errors.AsType[*tooLarge](err); ok {
		return usagef(c, "%v", err)
	}
	return err
}

// most is the largest value of the setting that fits, 0 if there is none. What is needed grows nearly as a line.
func (f fitting) most(room host.Room, all uint64) (int, error) {
	least, err := f.need(1, room.Bytes)
	if err != nil || least > room.Bytes || f.value <= 1 {
		return 0, err
	}
	low, high := 1, f.value // low fits, high does not
	guess := 1 + int(float64(room.Bytes-least)/float64(all-least)*float64(f.value-1))
	for ; high-low > 1; guess = low + (high-low)/2 {
		guess = min(max(guess, low+1), high-1)
		n, err := f.need(guess, room.Bytes)
		if err != nil {
			return 0, err
		}
		if n <= room.Bytes {
			low = guess
			if float64(high-low) < 0.02*float64(high) {
				break // near enough: each plan of a deep model takes time
			}
		} else {
			high = guess
		}
	}
	return low, nil
}

// checkRoom is the error of the first that does not fit.
func checkRoom(room host.Room, all ...fitting) error {
	for _, f := range all {
		if err := f.check(room); err != nil {
			return err
		}
	}
	return nil
}

// checkFits is the usage error of the first that does not fit into the memory that is free now.
func checkFits(c *cli.Context, all ...fitting) error {
	return usageOf(c, checkRoom(freeMemory(), all...))
}

// ofTraining are a batch, and the samples of which held tells the memory, of training as trainingBytes has it.
func ofTraining(m *layers.Model, copies, tokens int, held func(samples int) uint64, batch, samples fitting) []fitting {
	batch = ofStep(m, copies, layers.TrainSpec{Tokens: tokens}, batch)
	samples.need = func(n int, room uint64) (uint64, error) {
		step, err := batch.need(batch.value, room)
		return host.Plus(step, held(n)), err
	}
	return []fitting{batch, samples}
}

// ofStep is a batch of training as trainingBytes has it.
func ofStep(m *layers.Model, copies int, spec layers.TrainSpec, batch fitting) fitting {
	batch.what = fmt.Sprintf("a step at context %d", spec.Tokens)
	if spec.Chunks > 1 {
		batch.what += fmt.Sprintf(" in %d chunks", spec.Chunks)
	}
	batch.need = func(n int, room uint64) (uint64, error) {
		spec := spec
		spec.Batch = n
		return trainingBytes(m, copies, spec, room)
	}
	return batch
}

// copies of the weights in float32: the model and what goes with it.
const (
	adamCopies     = 2 // moments
	quantisedExtra = 3 // weights through the quantisers, their gradients, and the steps of both
)

// outlineWithin is the model to plan with, or an error if its weights alone do not fit: of a deep model even the names
// of the parameters take tens of megabytes. A run that continues reads them, and the optimiser's state, from a file
// that is held beside them.
func outlineWithin(m layers.Config, copies int, resumed bool, room host.Room) (*layers.Model, error) {
	mend := "give a smaller model"
	if resumed {
		copies, mend = copies+1+adamCopies, keptMend
	}
	if need := host.Times(copies, int(m.WeightBytes())); room.Known && need > room.Bytes {
		return nil, &tooLarge{fmt.Sprintf("the weights of the model (dim %d, depth %d, vocab_size %d, max_len %d) and the "+
			"optimiser's state take %s of memory, and %s; %s",
			m.Dim, m.Depth, m.VocabSize, m.MaxLen, host.Size(need), room, room.Mend(mend))}
	}
	return layers.Outline(m)
}

// trainingBytes is the memory of training a model with AdamW at a batch: `copies` of the weights, the plan of the step,
// and of the evaluation that is compiled beside it.
func trainingBytes(m *layers.Model, copies int, spec layers.TrainSpec, room uint64) (uint64, error) {
	weights := host.Times(copies, int(m.Config.WeightBytes()))
	graphs := host.Times(max(1, spec.Chunks), int(graphBytes(m.Config)))
	floor := host.Plus(weights, leastValues(m.Config, spec.Batch, spec.Tokens), graphs)
	if beyond(floor, room) {
		return floor, nil
	}
	train, err := m.PlanTrain(spec)
	if err != nil {
		return 0, err
	}
	infer, err := m.PlanInferChunks(spec.Batch, spec.Tokens, spec.Chunks)
	return host.Plus(weights, uint64(train.Arena), uint64(infer.Arena), idBytes(spec.Batch, spec.Tokens), graphs), err
}

// inferenceBytes is the memory of a forward pass beside the weights.
func inferenceBytes(m *layers.Model, batch, tokens int, room uint64) (uint64, error) {
	if floor := host.Plus(leastValues(m.Config, batch, tokens), graphBytes(m.Config)); beyond(floor, room) {
		return floor, nil
	}
	infer, err := m.PlanInfer(batch, tokens, 0)
	return host.Plus(uint64(infer.Arena), idBytes(batch, tokens), graphBytes(m.Config)), err
}

// beyond says that a lower bound settles it: to plan a deep model takes time and memory of its own.
func beyond(floor, room uint64) bool { return floor > min(lab.MostPlanned, room) }

// graphBytes is the memory of the graph itself, its nodes and instructions: about half a megabyte a block.
func graphBytes(c layers.Config) uint64 { return host.Times(c.Depth, 1<<19) }

// leastValues is what the intermediate values take at least: two rows of the model's width for each token.
func leastValues(c layers.Config, batch, tokens int) uint64 {
	return host.Times(2, 4, batch, tokens, c.Dim)
}

// idBytes is the token ids of a batch: its samples, their copy in a row, the graphs' inputs.
func idBytes(batch, tokens int) uint64 {
	return host.Plus(host.Times(4, 4, batch, tokens), host.Times(batch, int(tasks.SampleBytes(0))))
}

// sampleBytes is the memory of n samples held at a time, and of their order.
func sampleBytes(n, tokens int) uint64 { return host.Times(n, int(tasks.SampleBytes(tokens)+8)) }

// checkMemory refuses a run whose steps or samples take more memory than there is, of which the system would kill it
// without a word. Of a run that continues it does so before the checkpoint is read: what a run holds already is no
// longer in the room.
func checkMemory(conf curriculum.Config, resumed bool, room host.Room) error {
	m, err := outlineWithin(conf.Model, 1+adamCopies, resumed, room)
	if err != nil {
		return err
	}
	longest, batch := slices.Max(conf.Contexts()), 0
	for _, s := range conf.Stages() {
		batch = max(batch, s.BatchSize)
	}
	samples := func(n int) (most uint64) {
		if conf.Data != nil {
			return sampleBytes(2*batch, longest) // they stay on disk
		}
		c := conf
		c.SamplesPerStage = n
		for _, s := range c.Stages() {
			total, err := s.Drawn()
			if err != nil {
				total = n // Validate has refused it
			}
			most = max(most, sampleBytes(total+conf.EvalSamples, s.Context))
		}
		return most
	}
	all := stepsOf(conf, m, continued(resumed))
	step := sync.OnceValues(func() (most uint64, err error) {
		for _, f := range all {
			need, err := f.need(f.value, room.Bytes)
			if err != nil {
				return 0, err
			}
			most = max(most, need)
		}
		return most, nil
	})
	return checkRoom(room, append(slices.Clone(all), fitting{
		setting: "--samples-per-stage", value: conf.SamplesPerStage,
		what:    fmt.Sprintf("a step with its samples, %d tokens each,", longest),
		smaller: "give a smaller --batch-size, a smaller model or shorter contexts", kept: continued(resumed),
		need: func(n int, _ uint64) (uint64, error) {
			largest, err := step()
			return host.Plus(largest, samples(n)), err
		}})...)
}

// stepsOf are the batches of a run's stages, but for those of stages that take no more than another one.
func stepsOf(conf curriculum.Config, m *layers.Model, kept string) (all []fitting) {
	specs, copies := conf.Specs(), 1+adamCopies
	if conf.Average > 0 {
		copies++
	}
	for i, spec := range specs {
		replays := len(conf.Stage) > 0 && conf.Stage[i].Replay > 0
		if !replays && covered(specs, i) {
			continue
		}
		f := fitting{setting: "--batch-size", value: spec.Batch, smaller: "give a smaller model or shorter contexts",
			kept: kept}
		if len(conf.Stage) > 0 && conf.Stage[i].BatchSize > 0 {
			f.setting = fmt.Sprintf("stage.%d.batch_size", i+1)
		}
		f = ofStep(m, copies, spec, f)
		if own := f.need; replays { // the graphs of all stages before it stay beside its own
			f.need = func(n int, room uint64) (uint64, error) {
				need, err := own(n, room)
				for _, earlier := range specs[:i] {
					plan, planned := m.PlanTrain(earlier)
					need, err = host.Plus(need, uint64(plan.Arena)), cmp.Or(err, planned)
				}
				return need, err
			}
		}
		all = append(all, f)
	}
	return all
}

// covered says whether another of specs, the last of equal ones, is spec i with as many samples and tokens or more.
func covered(specs []layers.TrainSpec, i int) bool {
	for k, other := range specs {
		spec := specs[i]
		fits := spec.Batch <= other.Batch && spec.Tokens <= other.Tokens && (k > i || spec != other)
		if spec.Batch, spec.Tokens = other.Batch, other.Tokens; fits && spec == other {
			return true
		}
	}
	return false
}

// checkEvalMemory refuses batches that do not fit beside the loaded model.
func checkEvalMemory(c *cli.Context, m *layers.Model, batch int, contexts []int) error {
	longest := slices.Max(contexts)
	return checkFits(c, fitting{"--batch-size", batch, fmt.Sprintf("a batch at context %d", longest),
		func(n int, room uint64) (uint64, error) {
			return inferenceBytes(m, n, longest, room)
		}, "give shorter --contexts, or more memory", ""})
}

// checkFinetuneMemory refuses a fine-tuning of a model that does not fit.
func checkFinetuneMemory(c *cli.Context, f qat.FinetuneConfig, config layers.Config) error {
	if f.Batch < 1 || f.Context < 1 || f.Context > config.MaxLen {
		return nil // no variant trains
	}
	m, err := layers.Outline(config)
	if err != nil {
		return err
	}
	held := func(steps int) uint64 {
		if c.IsSet("data") { // which are read as they are asked for
			steps = 1
		}
		return sampleBytes(steps*f.Batch, f.Context)
	}
	return checkFits(c, ofTraining(m, 1+adamCopies+quantisedExtra, f.Context, held,
		fitting{setting: "--qat-batch", value: f.Batch, smaller: "give a shorter --qat-ctx, or more memory"},
		fitting{setting: "--qat-steps", value: f.Steps,
			what:    fmt.Sprintf("training with its samples, %d of %d tokens a step,", f.Batch, f.Context),
			smaller: "give a smaller --qat-batch or a shorter --qat-ctx"})...)
}

// checkThreePhaseMemory refuses a run that does not fit. Its settings are in a file, or in the checkpoint of one that
// continues, which is not read yet.
func checkThreePhaseMemory(c *cli.Context, conf qat.ThreePhaseConfig, resumed bool) error {
	m, err := outlineWithin(conf.Model, 1+adamCopies+quantisedExtra, resumed, freeMemory())
	if err != nil {
		return usageOf(c, err)
	}
	held := func(samples int) uint64 { return sampleBytes(samples+conf.EvalSamples, conf.Context) }
	return checkFits(c, ofTraining(m, 1+adamCopies+quantisedExtra, conf.Context, held,
		fitting{setting: "batch_size", value: conf.BatchSize,
			smaller: "set a smaller model or a shorter context in --config", kept: continued(resumed)},
		fitting{setting: "samples", value: conf.Samples,
			what:    fmt.Sprintf("a step with its samples, %d tokens each,", conf.Context),
			smaller: "set a smaller batch_size or a shorter context in --config", kept: continued(resumed)})...)
}

// restoredMend is the mend of a stream that continues.
const restoredMend = "a restored stream has the budget that it began with: free memory or raise that limit, or begin " +
	"a new stream"

// checkStreamMemory refuses a chunk that does not fit, and a budget that does not when it is as full as `tokens` tokens
// (below 0: any number) can make it: what is held beyond what is held already, and the rows that a chunk reads of it in
// float32 with what is computed of them.
func checkStreamMemory(c *cli.Context, m *layers.Model, s *baee.Stream, tokens int64) error {
	conf, chunk := s.Memory().Config(), s.ChunkSize()
	reader := func(tokens int, capacity []int) (uint64, error) {
		plan, err := m.PlanReader(tokens, capacity, conf.Window, s.Memory().NeedsProjections())
		return uint64(plan.Arena), err
	}
	chunkFits := fitting{"--chunk-size", chunk, "a chunk", func(n int, _ uint64) (uint64, error) {
		return reader(n, slices.Repeat([]int{1}, conf.Layers))
	}, "more memory is needed to run this model", ""}
	budgetFits := fitting{"--budget-mb", max(1, conf.BudgetBytes>>20), "a full memory with what a chunk reads of it",
		func(mb int, _ uint64) (uint64, error) {
			memory := s.Memory()
			if least := conf.Layers * conf.EntryBytes(); mb<<20 < conf.BudgetBytes {
				k := conf
				k.BudgetBytes = max(least, mb<<20)
				var err error
				if memory, err = baee.New(k); err != nil {
					return 0, err
				}
			}
			room := memory.RoomFor(chunk, tokens)
			n, err := reader(chunk, room.Capacity)
			return host.Plus(n, room.Bytes), err
		}, "give a smaller --chunk-size, or more memory", ""}
	if tokens >= 0 {
		budgetFits.what = fmt.Sprintf("a memory of at most %s tokens with what a chunk reads of it", grouped(int(tokens)))
	}
	if c.String("restore") != "" {
		chunkFits.kept, budgetFits.kept = restoredMend, restoredMend
	}
	return checkFits(c, chunkFits, budgetFits)
}

// checkBenchMemory refuses batches of the reference model that do not fit.
func checkBenchMemory(c *cli.Context, cases []bench.Case) error {
	m, err := layers.Outline(layers.Reference())
	if err != nil {
		return err
	}
	for _, benchCase := range cases {
		need := func(batch int, room uint64) (uint64, error) { return inferenceBytes(m, batch, benchCase.Context, room) }
		if benchCase.Name == bench.TrainStep || benchCase.Name == bench.MemoryGrowth {
			need = func(batch int, room uint64) (uint64, error) {
				return trainingBytes(m, 1+adamCopies, layers.TrainSpec{Batch: batch, Tokens: benchCase.Context}, room)
			}
		}
		if err := checkFits(c, fitting{"--batch-size", benchCase.Batch,
			fmt.Sprintf("case %s at context %d", benchCase.Name, benchCase.Context), need, "give shorter --contexts",
			""}); err != nil {
			return err
		}
	}
	return nil
}

// checkCalibrationMemory refuses calibration data of a model that do not fit.
func checkCalibrationMemory(c *cli.Context, m layers.Config, samples, batch, tokens int) error {
	o, err := layers.Outline(m)
	if err != nil {
		return err
	}
	o.EveryRow = true
	return checkFits(c, fitting{"--calib-samples", samples, fmt.Sprintf("calibration with samples of %d tokens", tokens),
		func(n int, room uint64) (uint64, error) {
			values, err := inferenceBytes(o, min(n, batch), tokens, room)
			return host.Plus(values, 2*sampleBytes(n, tokens), host.Times(2, int(m.WeightBytes()))), err
		}, "give a shorter --calib-context, or more memory", ""})
}

// checkDemands refuses an experiment on a model of configuration m that does not fit. conf points to its settings, some
// of which have flags.
func checkDemands(c *cli.Context, conf any, flags []setting, of func(m layers.Config) ([]lab.Demand, error),
	m layers.Config) error {
	demands, err := of(m)
	if err != nil {
		return err
	}
	names := flagNames(conf, flags)
	flag := func(key string) string { return dashed(cmp.Or(names[key], key)) }
	var all []fitting
	for _, d := range demands {
		var smaller []string
		for _, s := range d.Smaller {
			smaller = append(smaller, flag(s))
		}
		all = append(all, fitting{flag(d.Setting), d.Value, d.What,
			func(n int, _ uint64) (uint64, error) { return d.Need(n) },
			"give smaller " + strings.Join(smaller, " or ") + ", or more memory", ""})
	}
	return checkFits(c, all...)
}

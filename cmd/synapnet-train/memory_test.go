package main

import (
	"context"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
)

// withRoom makes commands plan for a machine with that many bytes left.
func withRoom(t *testing.T, bytes uint64) {
	t.Helper()
	was := freeMemory
	t.Cleanup(func() { freeMemory = was })
	freeMemory = func() host.Room { return roomOf(bytes) }
}

const lengthOfHeader = 8

// beginOnly leaves a run in folder "run" interrupted before its first step.
func beginOnly(t *testing.T, line string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, stderr := synapnet(ctx, t, line+" --output-dir run"); code == exitOK ||
		!strings.Contains(stderr, "--resume") {
		t.Fatalf("status %d: %s", code, stderr)
	}
}

// cut makes a checkpoint of its header alone, so that nothing but the header can be what is planned from.
func cut(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := lengthOfHeader + binary.LittleEndian.Uint64(b)
	if err := os.WriteFile(path, b[:n], 0o600); err != nil {
		t.Fatal(err)
	}
}

// least is the smallest room with which the check passes, to 64 KiB.
func least(check func(room host.Room) error) uint64 {
	low, high := uint64(0), uint64(1)<<40
	for high-low > 1<<16 {
		if mid := low + (high-low)/2; check(roomOf(mid)) == nil {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// A run that continues needs no more room than it needed when it began, where its steps are what takes most of it:
// nothing is counted twice.
func TestResumeNeedsWhatTheRunNeeded(t *testing.T) {
	conf := curriculum.Default()
	begin, again := least(func(r host.Room) error { return checkMemory(conf, false, r) }),
		least(func(r host.Room) error { return checkMemory(conf, true, r) })
	if begin != again {
		t.Errorf("the run needs %d bytes to begin and %d to continue", begin, again)
	}
	// Of a wide model at a small batch reading the checkpoint takes most: the file beside what is made of it.
	conf.Model.Dim, conf.Model.Depth, conf.Model.Heads, conf.BatchSize, conf.SamplesPerStage = 2048, 6, 8, 1, 1
	conf.Curriculum, conf.EvalSamples = []int{64}, 1
	want := 6 * conf.Model.WeightBytes()
	if err := checkMemory(conf, true, roomOf(want)); err != nil {
		t.Error(err)
	}
	if checkMemory(conf, false, roomOf(want-1)) != nil || checkMemory(conf, true, roomOf(want-1)) == nil {
		t.Errorf("reading the checkpoint is not planned with %d bytes", want)
	}
}

// The plan of a run that continues is made of its checkpoint's header, before anything else is read, and offers no
// setting that it cannot have.
func TestResumePlansFromTheHeader(t *testing.T) {
	for name, begin := range map[string]string{"pretrain": "pretrain --curriculum 32 " + tiny,
		"cajq-3phase": "cajq-3phase --config three.toml"} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("three.toml", []byte(tinyThreePhase), 0o600); err != nil {
				t.Fatal(err)
			}
			beginOnly(t, begin)
			cut(t, "run/checkpoint.safetensors")
			withRoom(t, 1<<14)
			refusal(t, exitUsage, name+" --resume --output-dir run", "the weights of the model", "0.0 MB is free of this test",
				keptMend)
			withRoom(t, 1<<19) // the weights fit, a step does not
			refusal(t, exitUsage, name+" --resume --output-dir run", "a step at context 32 takes at least ", keptMend)
			withRoom(t, 1<<40)
			refusal(t, exitFailure, name+" --resume --output-dir run", "checkpoint.safetensors: ")
		})
	}
}

// What a stream of a known length can write bounds its memory; a pipe's is planned as full. A restored one is planned,
// too.
func TestStreamIsPlannedByItsInput(t *testing.T) {
	t.Chdir(t.TempDir())
	model := pressureModelFile(t)
	if err := os.WriteFile("ids", []byte(strings.Repeat("1 ", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	withRoom(t, 8<<20)
	start := "stream " + model + " --chunk-size 16 "
	trained(t, start+"--random-tokens 200") // with the default budget of 256 MB
	trained(t, "stream --chunk-size 16 "+model+" ids")
	withRoom(t, 256<<20)
	refusal(t, exitUsage, start+"--random-tokens 2000000000",
		"--budget-mb 256: a memory of at most 2,000,000,000 tokens with what a chunk reads of it takes at least ",
		"give a --budget-mb of at most ")
	code, _, stderr := piped(t.Context(), strings.NewReader("1 2 3"), strings.Fields(start+"-")...)
	if code != exitUsage || !strings.Contains(stderr, "--budget-mb 256: a full memory with what a chunk reads of it") {
		t.Errorf("a pipe: status %d: %s", code, stderr)
	}
	withRoom(t, 1<<40)
	trained(t, start+"--random-tokens 200 --snapshot s.safetensors")
	withRoom(t, 8<<20)
	trained(t, "stream "+model+" --random-tokens 200 --restore s.safetensors")
	refusal(t, exitUsage, "stream "+model+" --random-tokens 2000000000 --restore s.safetensors", restoredMend)
}

// A memory is planned with as many rows as its stream writes, and not with fewer.
func TestStreamRoomHoldsWhatIsWritten(t *testing.T) {
	path := pressureModelFile(t)
	m, err := layers.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tokens := range []int64{1, 16, 17, 500, 5000} {
		conf := baee.Default(m.Config.Dim, m.Config.Depth, m.Config.EpisodicSlots, nil)
		conf.Policy = "baee_salience"
		memory, err := baee.New(conf)
		if err != nil {
			t.Fatal(err)
		}
		s, err := baee.NewStream(m, memory, 16)
		if err != nil {
			t.Fatal(err)
		}
		plan := memory.RoomFor(16, tokens)
		if err := s.Push(make([]int32, tokens), func([]float32) error { return nil }); err != nil {
			t.Fatal(err)
		}
		s.Close()
		total := memory.Total()
		if uint64(total.Bytes) > plan.Bytes {
			t.Errorf("%d tokens: %d bytes are held, %d planned", tokens, total.Bytes, plan.Bytes)
		}
		for i, c := range plan.Capacity {
			if rows := memory.Rows(i); rows > c || c > max(32, 4*rows+4*32) {
				t.Errorf("%d tokens, layer %d: %d rows, room for %d planned", tokens, i, rows, c)
			}
		}
	}
}

// What a user cannot follow is no mend: a file's model is the one it is, and a model given to train is one's own to
// choose.
func TestMendsCanBeFollowed(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	withRoom(t, 1000)
	for _, line := range []string{
		"eval " + model + " --contexts 64 --tasks niah_single", "export " + model +
			" --targets attention --output x --calib-context 32",
		"stream " + model + " --random-tokens 10",
		"cajq-qat --checkpoint " + model + " --qat-ctx 64 --context-lengths 64 --variants fp16_finetuned --output r.json",
	} {
		t.Chdir(t.TempDir())
		code, _, stderr := synapnet(t.Context(), t, line)
		if code != exitUsage || strings.Contains(stderr, "smaller model") || !strings.Contains(stderr, "more memory") {
			t.Errorf("%s: status %d: %s", line, code, stderr)
		}
	}
}

// The experiments on memory are planned as trainings are: the flag, its value, the need, the room and the mend, before
// anything is made.
func TestBAEEExperimentsNeedMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	model := pressureModelFile(t)
	train := "baee-train --checkpoint " + model + smallBAEETrain + " --output-dir out "
	withRoom(t, 64<<20)
	for flag, mend := range map[string]string{
		"--sequences 100000000":       "give a --sequences of at most ",
		"--paper-sequences 100000000": "give a --paper-sequences of at most ",
		"--batch-size 100000000":      "give a --batch-size of at most ",
		"--hidden 60000":              "give smaller --hidden, or more memory",
		"--context 16000000":          "give smaller --context or --examples, or more memory",
	} {
		name := strings.Fields(flag)[0]
		line := train
		if i := strings.Index(line, name+" "); i >= 0 { // in place of the small value
			rest := strings.Fields(line[i:])
			line = line[:i] + strings.Join(rest[2:], " ") + " "
		}
		want := flag
		switch name { // what grows with two settings is told by one of them
		case "--context":
			want = "--sequences 10"
		case "--hidden":
			want = "--batch-size 64"
		}
		refusal(t, exitUsage, line+flag, want+": ", " takes at least ", "67.1 MB is free of this test", mend)
	}
	refusal(t, exitUsage, "baee-grid --checkpoint "+model+
		" --policies fifo --chunk-size 16 --contexts 64 --headline=false --samples 100000000 --output g.json",
		"--samples 100000000: ", " takes at least ", "give a --samples of at most ")
	if got := present(t, "."); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

// The reference recipe fits into a machine of 8 GB, with half of that left for the system and for garbage.
func TestReferenceRecipeFitsInto8GB(t *testing.T) {
	if err := checkMemory(curriculum.Default(), false, roomOf(4e9)); err != nil {
		t.Error(err)
	}
	if err := checkMemory(curriculum.Default(), true, roomOf(4e9)); err != nil {
		t.Error(err)
	}
	if err := checkMemory(curriculum.Default(), false, roomOf(100e6)); err == nil {
		t.Error("it is planned with less than its weights and moments") // 8,714,950 parameters, 12 bytes each
	}
}

// Each stage is planned with its own batch, context and chunks: a long stage of small batches does not need what short
// ones of large batches would at its length.
func TestStagesArePlannedApart(t *testing.T) {
	conf := curriculum.Default()
	conf.Model.Depth, conf.Model.VocabSize, conf.Model.MaxLen = 1, 128, 512
	conf.Curriculum, conf.SamplesPerStage, conf.EvalSamples = nil, 8, 8
	conf.Stage = []curriculum.Stage{{Context: 64, BatchSize: 64}, {Context: 512, BatchSize: 2},
		{Context: 256, BatchSize: 2}}
	need := func(conf curriculum.Config) uint64 {
		return least(func(r host.Room) error { return checkMemory(conf, false, r) })
	}
	large := conf
	large.Stage = conf.Stage[:1]
	if all, most := need(conf), need(large); all > most*11/10 {
		t.Errorf("all stages need %d bytes, the one with the largest batches %d", all, most)
	}
	conf.Stage = []curriculum.Stage{{Context: 4096, BatchSize: 2, Chunks: 8}}
	refused := "stage.1.batch_size 2: a step at context 4096 in 8 chunks takes at least "
	if err := checkMemory(conf, false, roomOf(24<<20)); err == nil || !strings.HasPrefix(err.Error(), refused) {
		t.Error(err)
	}
	m, err := layers.NewModel(conf.Model, 1)
	if err != nil {
		t.Fatal(err)
	}
	step, err := m.TrainOn(conf.Specs()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer step.Program.Close()
	all, least := need(conf), uint64(step.Program.ArenaBytes())+3*conf.Model.WeightBytes()
	if all < least || all > least*3/2 {
		t.Errorf("planned are %d bytes, the step and the optimiser have %d", all, least)
	}
}

// A stage that replays others holds their graphs beside its own; an average is a copy of the weights.
func TestReplayAndAverageArePlanned(t *testing.T) {
	conf := curriculum.Default()
	conf.Model.Depth, conf.Model.VocabSize, conf.Model.MaxLen = 1, 128, 512
	conf.Curriculum, conf.SamplesPerStage, conf.EvalSamples = nil, 8, 8
	conf.Stage = []curriculum.Stage{{Context: 64, BatchSize: 16}, {Context: 256, BatchSize: 4}}
	need := func() uint64 {
		return least(func(r host.Room) error { return checkMemory(conf, false, r) })
	}
	m, err := layers.Outline(conf.Model)
	if err != nil {
		t.Fatal(err)
	}
	earlier, err := m.PlanTrain(conf.Specs()[0])
	if err != nil {
		t.Fatal(err)
	}
	plain := need()
	conf.Stage[1].Replay = 0.5
	replaying := need()
	if more, want := replaying-plain, uint64(earlier.Arena); more < want*9/10 || more > want*11/10 {
		t.Errorf("replaying needs %d bytes more, the graph of the stage before has %d", more, want)
	}
	conf.Average = 0.99
	if more, want := need()-replaying, conf.Model.WeightBytes(); more < want*9/10 || more > want*11/10 {
		t.Errorf("an average needs %d bytes more, the weights are %d", more, want)
	}
}

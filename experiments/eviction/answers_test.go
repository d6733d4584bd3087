package eviction

import (
	"context"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
)

// smallAnswers are settings for labtest.StreamModel, which writes 3 entries a layer and chunk.
func smallAnswers() answersSettings {
	return answersSettings{
		Tasks: []string{"niah_single", "memory_pressure_niah"}, Positions: []string{"early", "late"},
		Spread: []string{"variable_track"}, Contexts: []int{32, 64},
		Samples: []int{6, 5}, RivalSamples: []int{4, 3}, GridSamples: []int{2, 0},
		Policies: []string{"baee", "fifo", "random", "pyramidkv"}, Principal: []string{"baee", "fifo"},
		Tiered: []string{"baee"}, Budgets: []float64{0.4, 0.6}, OnePassUpTo: 64, Chunk: 16, Needles: 3, Seed: 7,
		SampleKeys: tasks.CurrentKeys,
	}
}

// Streams that are long from a setting on have fewer cases, the others all.
func TestAnswersCasesOfLongStreams(t *testing.T) {
	s := smallAnswers()
	s.LongFrom, s.LongTasks = 64, []string{"memory_pressure_niah"}
	of := map[int][]answersCase{}
	for _, c := range s.cases() {
		of[c.Context] = append(of[c.Context], c)
	}
	if len(of[32]) != 5 || !slices.Equal(of[64], []answersCase{{"memory_pressure_niah", tasks.Early, 64}}) {
		t.Errorf("the cases are %v, want all 5 of 32 tokens and one of 64", of)
	}
}

func TestAnswers(t *testing.T) {
	s := smallAnswers()
	root, _ := labtest.StreamRoot(t)
	o := labtest.CheckRuns(t, AnswersExperiment(), root, func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
		return runAnswers(ctx, j, s)
	}, labtest.Always)
	find := func(metric, policy string, context int) result.Measurement {
		return labtest.Find(t, o, result.Strict, metric, result.Labels{
			result.PolicyLabel: policy, result.ContextLabel: result.ContextOf(context), result.TaskLabel: "niah_single",
			positionLabel: "early"})
	}
	// Each row has its number of samples, and what is compared has the samples of both.
	for policy, n := range map[string]int{noMemory: 6, lastBank: 6, "baee": 6, "fifo": 6, "baee, tiers": 6, classTokens: 6,
		result.Unbounded: 6, onePass: 6, "random": 4, "pyramidkv": 4, result.Guessing: 6} {
		if m := find("accuracy", policy, 32); m.N != n {
			t.Errorf("%s has %d samples, want %d", policy, m.N, n)
		}
	}
	d := labtest.Find(t, o, result.Strict, "difference", result.Labels{"of": "accuracy", result.PolicyLabel: "random",
		result.ContextLabel: "32", result.TaskLabel: "niah_single", positionLabel: "early", result.AgainstLabel: "baee"})
	if d.N != 4 || d.Interval == nil {
		t.Errorf("the difference of a rival is %+v, want one of 4 pairs", d)
	}
	for _, m := range o.Measurements {
		if p := m.Labels[result.PolicyLabel]; m.Metric == "retention" && (p == noMemory || p == onePass) {
			t.Errorf("%s holds nothing, and has %+v", p, m)
		}
	}
	// Of two chunks the last bank is one, and 64 tokens are four.
	for context, rows := range map[string][2]float64{"32": {2 * 3, 2 * 6}, "64": {2 * 3, 2 * 12}} {
		for i, policy := range []string{lastBank, result.Unbounded} {
			m := labtest.Find(t, o, result.Strict, "rows", result.Labels{result.PolicyLabel: policy,
				result.ContextLabel: context, budgetLabel: "none"})
			if m.Mean != rows[i] {
				t.Errorf("%s at %s tokens holds %g rows, want %g", policy, context, m.Mean, rows[i])
			}
		}
	}
}

// A part has, of every row that is no policy, what the model alone gives.
func TestAnswersOfRowsWithoutAPolicy(t *testing.T) {
	root, m := labtest.StreamRoot(t)
	s := smallAnswers()
	a, err := newAnswers(labtest.NewJob(t, AnswersExperiment(), root), s)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := baee.NewShared(m, s.Chunk)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	for _, c := range s.cases() {
		if c.Context != 64 {
			continue
		}
		part, err := a.part(t.Context(), &worker{m, shared}, answersPart{c, 1, 5})
		if err != nil {
			t.Fatal(err)
		}
		next, err := s.sampler(m.Config, c)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]bool{}
		for n := range 5 {
			sample, err := next()
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				continue
			}
			right := func(name string, logits []float32) {
				want[name] = append(want[name], curriculum.Argmax(logits) == int(sample.Label))
			}
			right(noMemory, infer(t, m, sample.IDs[48:]))
			right(onePass, infer(t, m, sample.IDs))
			for name, entries := range map[string]int{lastBank: 3, result.Unbounded: 12} {
				logits, memory := stream(t, m, sample.IDs, entries)
				right(name, logits)
				want[name+" kept"] = append(want[name+" kept"], retained(memory, sample.Targets))
			}
		}
		for _, name := range []string{noMemory, onePass, lastBank, result.Unbounded} {
			got := part[name+"@0"]
			if got.N != 4 || !reflect.DeepEqual(got.Right, result.NewOutcomes(want[name])) {
				t.Errorf("%+v, %s: %+v, alone %v", c, name, got, want[name])
			}
			if kept := want[name+" kept"]; kept != nil && !reflect.DeepEqual(got.Kept, result.NewOutcomes(kept)) {
				t.Errorf("%+v, %s: %+v, alone kept %v", c, name, got, kept)
			}
		}
	}
}

// infer are the logits of tokens that are read at once.
func infer(t *testing.T, m *layers.Model, ids []int32) []float32 {
	t.Helper()
	f, err := m.Infer(1, len(ids), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Program.Close()
	logits, err := f.Run(ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(logits)
}

// stream reads tokens through a memory of the newest entries.
func stream(t *testing.T, m *layers.Model, ids []int32, entries int) ([]float32, *baee.Manager) {
	t.Helper()
	memory, err := baee.New(baee.Config{Dim: 8, Layers: 2, Slots: 4, Policy: "fifo", Protocol: baee.Strict,
		EntriesPerLayer: entries, Window: 16})
	if err != nil {
		t.Fatal(err)
	}
	s, err := baee.NewStream(m, memory, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	chunk := 0
	if err := s.Push(ids, func([]float32) error { chunk++; return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		held := memory.Entries(i)
		if len(held) != min(entries, 3*chunk) || entries == 3 && slices.ContainsFunc(held,
			func(e policy.Entry) bool { return e.Position < int64(16*(chunk-1)) }) {
			t.Errorf("with room for %d entries layer %d holds %+v after %d chunks", entries, i, held, chunk)
		}
	}
	return s.LastLogits(), memory
}

// The oracle keeps what was written at class tokens, the newest first, and then the newest others.
func TestKeepClassTokens(t *testing.T) {
	const class, filler = tasks.KeyStart + 3, tasks.KeyStart + 4 // of 4 classes
	ids := []int32{tasks.BOS, filler, class, filler, tasks.KeyStart, filler, tasks.QUERY, class}
	var entries []policy.Entry
	for _, position := range []int64{4, 2, 1, 7, 6, 5} { // as they were written: by salience
		entries = append(entries, policy.Entry{Position: position})
	}
	for budget, want := range map[int][]int{1: {3}, 2: {1, 3}, 3: {0, 1, 3}, 4: {0, 1, 3, 5}, 5: {0, 1, 3, 4, 5}} {
		if got := keepClasses(ids, 4)(nil, entries, budget); !slices.Equal(got, want) {
			t.Errorf("of %d entries it keeps %v, want %v", budget, got, want)
		}
	}
}

// In a stream of a model no other entry stays where one of a class token has to leave.
func TestTheOracleInAStream(t *testing.T) {
	root, m := labtest.StreamRoot(t)
	s := smallAnswers()
	a, err := newAnswers(labtest.NewJob(t, AnswersExperiment(), root), s)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := baee.NewShared(m, s.Chunk)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	next, err := s.sampler(m.Config, answersCase{pressureTask, tasks.Early, 64})
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for n := range 40 {
		sample, err := next()
		if err != nil {
			t.Fatal(err)
		}
		memory, err := a.memory(memoryRow{name: classTokens, entries: 3}, sample, n)
		if err != nil {
			t.Fatal(err)
		}
		classes := func(entries []policy.Entry) (n int) {
			for _, e := range entries {
				if id := sample.IDs[e.Position]; id >= tasks.KeyStart && id < tasks.KeyStart+40 {
					n++
				}
			}
			return n
		}
		before := map[int]int{} // entries at class tokens, by layer, in the last chunk
		memory.Observe = func(o baee.Observation) { before[o.Layer] = classes(o.Entries) }
		if _, err := shared.Run(sample.IDs, []*baee.Manager{memory}); err != nil {
			t.Fatal(err)
		}
		for i, there := range before {
			held := memory.Entries(i)
			if got := classes(held); len(held) != 3 || got != min(3, there) {
				t.Fatalf("sample %d, layer %d: %d entries of %d at class tokens are held: %+v", n, i, got, there, held)
			}
			left += max(0, there-3)
		}
	}
	if left == 0 {
		t.Error("no entry at a class token had to leave: the test shows little")
	}
}

// The samples of a case are the task's, those whose targets all lie at the position; there are more of them the longer
// one draws, and a task that cannot have its targets there is told.
func TestAnswersSamples(t *testing.T) {
	s, m := smallAnswers(), layers.Config{VocabSize: 128, NumClasses: 40}
	for _, task := range []string{"niah_single", "niah_multi_key", "memory_pressure_niah"} {
		of := map[tasks.Position][]int{}
		for _, position := range []tasks.Position{tasks.Early, tasks.Late} {
			c := answersCase{task, position, 64}
			next, err := s.sampler(m, c)
			if err != nil {
				t.Fatal(err)
			}
			for range 50 {
				sample, err := next()
				if err != nil || !c.holds(sample.Targets) || sample.Task != task {
					t.Fatalf("%+v: targets %v of a sample of %s (%v)", c, sample.Targets, sample.Task, err)
				}
				of[position] = append(of[position], sample.Targets...)
			}
		}
		if early, late := slices.Max(of[tasks.Early]), slices.Min(of[tasks.Late]); early < 15 || early >= 25 || late < 38 ||
			late > 48 {
			t.Errorf("%s: early targets are up to %d, late ones from %d on", task, early, late)
		}
	}
	next, err := s.sampler(m, answersCase{"fa", tasks.Early, 64})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next(); err == nil || !strings.Contains(err.Error(), "put the task into spread") {
		t.Errorf("fa with all targets early: %v", err)
	}
}

// Outcomes of parts are put together in order, and a difference is that of the samples which both have.
func TestAnswersDifferences(t *testing.T) {
	s := smallAnswers()
	s.Tasks, s.Positions, s.Spread, s.Contexts = []string{"niah_single"}, []string{"early"}, nil, []int{partTokens / 10}
	s.Chunk = s.Contexts[0] / 2
	s.Samples, s.RivalSamples, s.GridSamples = []int{20}, []int{13}, []int{0}
	m := layers.Reference()
	r := rand.New(rand.NewPCG(1, 2))
	done, right := map[string]map[string]tally{}, map[string][]bool{}
	parts := s.parts(s.cases()[0])
	if len(parts) != 2 || parts[1].from != 10 || parts[1].to != 20 {
		t.Fatalf("parts %+v, want two of ten samples", parts)
	}
	for _, p := range parts {
		done[p.name()] = map[string]tally{}
		for key, n := range map[string]int{"baee@0.4": 10, "fifo@0.4": 10, "random@0.4": min(10, 13-p.from)} {
			x := make([]bool, n)
			for i := range x {
				x[i] = r.IntN(2) == 0
			}
			right[key] = append(right[key], x...)
			done[p.name()][key] = tally{N: n, Right: result.NewOutcomes(x), Kept: result.NewOutcomes(make([]bool, n))}
		}
	}
	o, err := s.outcome(m, done)
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"fifo": 20, "random": 13} {
		var pairs result.Pairs
		for i := range n {
			a, b := right[name+"@0.4"][i], right["baee@0.4"][i]
			switch {
			case a && b:
				pairs.Both++
			case a:
				pairs.First++
			case b:
				pairs.Second++
			default:
				pairs.Neither++
			}
		}
		mean, interval := pairs.Difference()
		for _, l := range []result.Labels{
			{result.TaskLabel: "niah_single"}, {budgetLabel: "0.4"}, // of one task both are the same
		} {
			maps.Copy(l, result.Labels{"of": "accuracy", result.PolicyLabel: name, positionLabel: "early",
				result.ContextLabel: result.ContextOf(s.Contexts[0]), result.AgainstLabel: "baee"})
			d := labtest.Find(t, o, result.Strict, "difference", l)
			if d.N != n || d.Mean != mean || *d.Interval != interval || d.Std != 0 {
				t.Errorf("%v: %+v, want %d pairs, %g, %+v", l, d, n, mean, interval)
			}
		}
	}
}

func TestAnswersMistakes(t *testing.T) {
	_, m := labtest.StreamRoot(t)
	for want, change := range map[string]func(s *answersSettings){
		`tasks is "niah": did you mean`:             func(s *answersSettings) { s.Tasks = []string{"niah"} },
		`tasks is "fa": none of 1000 samples of 32`: func(s *answersSettings) { s.Tasks = []string{"fa"} },
		`long_tasks is "fa": it must be`: func(s *answersSettings) {
			s.LongFrom, s.LongTasks = 64, []string{"fa"}
		},
		`spread is "niah_single": it is in`:        func(s *answersSettings) { s.Spread = []string{"niah_single"} },
		`positions is "midst"`:                     func(s *answersSettings) { s.Positions = []string{"midst"} },
		"contexts is 40: it must be two or more":   func(s *answersSettings) { s.Contexts = []int{40, 64} },
		"contexts is 16: it must be two or more":   func(s *answersSettings) { s.Contexts = []int{16, 64} },
		"samples is [6]: give a number for each":   func(s *answersSettings) { s.Samples = []int{6} },
		"samples is 0: it must be at least 1":      func(s *answersSettings) { s.Samples = []int{0, 1} },
		"rival_samples is 7: it must be at most 6": func(s *answersSettings) { s.RivalSamples = []int{7, 1} },
		"grid_samples is 4: it must be at most 3":  func(s *answersSettings) { s.GridSamples = []int{1, 4} },
		"policies is [fifo]: baee must be one": func(s *answersSettings) {
			s.Policies, s.Principal = []string{"fifo"}, nil
		},
		`principal is "fifi"`:                       func(s *answersSettings) { s.Principal = []string{"fifi"} },
		`tiered is "fifo": it has no scores`:        func(s *answersSettings) { s.Tiered = []string{"fifo"} },
		"budgets is 0: it must be above 0":          func(s *answersSettings) { s.Budgets = []float64{0} },
		"needles is 0: it must be at least 1":       func(s *answersSettings) { s.Needles = 0 },
		"chunk is 65: it must be from 8 to":         func(s *answersSettings) { s.Chunk = 65 },
		"contexts is 32: task memory_pressure_niah": func(s *answersSettings) { s.Needles = 16 },
	} {
		s := smallAnswers()
		change(&s)
		if err := s.Validate(m.Config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := smallAnswers().Validate(m.Config); err != nil {
		t.Error(err)
	}
}

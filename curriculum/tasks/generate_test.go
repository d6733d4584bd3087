package tasks

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/quick"
)

// digest is the start of a hash of samples' ids, labels and targets.
func digest(samples []Sample) string {
	h := sha256.New()
	put := func(v int) { _ = binary.Write(h, binary.LittleEndian, int64(v)) }
	for _, s := range samples {
		for _, id := range s.IDs {
			put(int(id))
		}
		put(int(s.Label))
		for _, pos := range s.Targets {
			put(pos)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// The samples of a seed are part of every recorded result: a change to one of these
// hashes makes committed results incomparable and must be said in the change log.
func TestGoldenSamples(t *testing.T) {
	golden := map[string]string{
		"niah_single":                       "f30b5206c91a",
		"niah_multi_key":                    "b61879244c81",
		"variable_track":                    "e3f013d55d8e",
		"fa":                                "bc8aee7bfa0b",
		"memory_pressure_niah":              "2d699ffcda42",
		"needlebench/snia":                  "d1a6b7e557d2",
		"needlebench/mkn":                   "6b4db40b26e0",
		"needlebench/ron":                   "fd74ccc4b7ca",
		"needlebench/cn":                    "c0c152889f41",
		"needlebench/adn":                   "3594b8ed1671",
		"ruler/niah_single":                 "3c9edbe4322a",
		"ruler/niah_multi_key":              "2dbcdfbe2058",
		"ruler/variable_track":              "0a7416d5a310",
		"ruler/fa":                          "112f882b7904",
		"longbench/single_doc_qa":           "a3b2b159ded1",
		"longbench/multi_doc_qa":            "f11ae8686bc4",
		"longbench/summarization":           "ac61d69ea0bc",
		"longbench/few_shot":                "0ac7e18f184c",
		"longbench/code_completion":         "bd2348fdbc92",
		"longbench/passage_retrieval":       "5874e97a4822",
		"paper/ruler/niah_single":           "4247a73b845c",
		"paper/ruler/niah_multi_key":        "22b746a669ce",
		"paper/ruler/variable_track":        "0ae51225ec43",
		"paper/ruler/fa":                    "32923e6601c1",
		"paper/longbench/single_doc_qa":     "3fc199774366",
		"paper/longbench/multi_doc_qa":      "c7c84343a437",
		"paper/longbench/summarization":     "ca3fca8292ce",
		"paper/longbench/few_shot":          "4df656f908f4",
		"paper/longbench/code_completion":   "9c88826715aa",
		"paper/longbench/passage_retrieval": "95302d67fd09",
		"mixture":                           "704fb764ccb9",
	}
	p := Params{Length: 128, Vocab: 512, Classes: 32}
	for _, task := range builtin() {
		if got := digest(mustGenerate(t, task.Name, 4, p, 42)); got != golden[task.Name] {
			t.Errorf("%q: %q,", task.Name, got)
		}
	}
	mixture, err := Mixture(32, p, of(42), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := digest(mixture); got != golden["mixture"] {
		t.Errorf("%q: %q,", "mixture", got)
	}
}

func TestSamplesDependOnNothingElse(t *testing.T) {
	p := Params{Length: 64, Vocab: 512, Classes: 32}
	want := mustGenerate(t, "fa", 20, p, 1)
	t.Run("a longer run only adds", func(t *testing.T) {
		if got := mustGenerate(t, "fa", 30, p, 1)[:20]; !reflect.DeepEqual(got, want) {
			t.Error("the first 20 of 30 samples differ from 20")
		}
	})
	t.Run("settings that the task does not read", func(t *testing.T) {
		q := p
		q.Needles, q.Position, q.Passages = 7, Late, 3
		if got := mustGenerate(t, "fa", 20, q, 1); !reflect.DeepEqual(got, want) {
			t.Error("fa changed with the number of needles")
		}
	})
	t.Run("other goroutines", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				got, err := Generate("fa", 20, p, of(1))
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("samples differ, error %v", err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("another seed or task has another stream", func(t *testing.T) {
		if reflect.DeepEqual(mustGenerate(t, "fa", 20, p, 2), want) {
			t.Error("seed 2 gives the samples of seed 1")
		}
		same := mustGenerate(t, "longbench/summarization", 20, p, 1)
		if reflect.DeepEqual(same[0].IDs, want[0].IDs) {
			t.Error("longbench/summarization, which shares fa's generator, gives fa's samples")
		}
	})
}

func TestMixtureCounts(t *testing.T) {
	for _, c := range []struct{ n, total int }{{96, 94}, {2048, 2047}, {256, 254}, {32, 37}} {
		counts, err := Counts(c.n, TrainingMixture())
		if err != nil {
			t.Fatal(err)
		}
		samples, err := Mixture(c.n, Params{Length: 32, Vocab: 128, Classes: 16}, of(1), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(samples) != c.total {
			t.Errorf("a mixture of %d has %d samples, want %d", c.n, len(samples), c.total)
		}
		byTask := map[string]int{}
		for _, s := range samples {
			byTask[s.Task]++
		}
		for i, w := range TrainingMixture() {
			if byTask[w.Task] != counts[i] {
				t.Errorf("a mixture of %d has %d of %s, want %d", c.n, byTask[w.Task], w.Task, counts[i])
			}
		}
	}
	if counts, _ := Counts(2048, TrainingMixture()); !reflect.DeepEqual(counts, []int{819, 614, 307, 307}) {
		t.Errorf("counts of 2048 are %v", counts)
	}
}

func TestMixtureIsShuffled(t *testing.T) {
	samples, err := Mixture(400, Params{Length: 32, Vocab: 128, Classes: 16}, of(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for _, s := range samples[:100] {
		if s.Task == "niah_single" {
			first++
		}
	}
	// 40 expected, standard deviation about 4.2; unshuffled it would be 100.
	if first < 25 || first > 55 {
		t.Errorf("%d of the first 100 samples are niah_single, want about 40", first)
	}
}

func TestMixtureRejects(t *testing.T) {
	p := Params{Length: 32, Vocab: 128, Classes: 16}
	for name, c := range map[string]struct {
		n       int
		weights []Weight
		want    string
	}{
		"no samples":   {0, nil, "0 samples"},
		"no tasks":     {8, []Weight{}, "no tasks"},
		"zero share":   {8, []Weight{{Task: "fa", Share: 0}}, "fa has share 0"},
		"share above":  {8, []Weight{{Task: "fa", Share: 1.5}}, "fa has share 1.5"},
		"named twice":  {8, []Weight{{Task: "fa", Share: .5}, {Task: "fa", Share: .5}}, "fa is named twice"},
		"unknown task": {8, []Weight{{Task: "fb", Share: .5}}, `did you mean "fa"`},
	} {
		_, err := Mixture(c.n, p, of(1), c.weights)
		oneLine(t, name, err, c.want)
	}
}

// oneLine wants an error of one line that contains want.
func oneLine(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: error %v, want one line with %q", name, err, want)
	}
}

// randomParams draws dimensions near the least that tasks accept, and beyond.
func randomParams(rng *rand.Rand) Params {
	positions := []Position{"", Anywhere, Early, Late}
	return Params{
		Length: 4 + rng.IntN(200), Vocab: 4 + rng.IntN(150), Classes: rng.IntN(80),
		Needles: rng.IntN(20), Questions: rng.IntN(12), Repeat: rng.IntN(5), Hops: rng.IntN(6), Items: rng.IntN(30),
		MaxCount: rng.IntN(12), Distractors: rng.IntN(12), Passages: rng.IntN(12),
		Position: positions[rng.IntN(len(positions))],
	}
}

// Whatever the parameters: either Check refuses them, or every sample is well formed
// and, with the default counts that the solvers know, answerable.
func TestAnyParamsAreRefusedOrWork(t *testing.T) {
	accepted := 0
	property := func(seed uint64) bool {
		p := randomParams(stream("test", "params", seed))
		for _, task := range builtin() {
			refused := Check(task.Name, p)
			samples, err := Generate(task.Name, 3, p, of(seed))
			if (refused == nil) != (err == nil) {
				t.Logf("%s %+v: Check says %v, Generate %v", task.Name, p, refused, err)
				return false
			}
			if err == nil {
				accepted += len(samples)
			}
			if !answerable(t, task, Params{Length: p.Length, Vocab: p.Vocab, Classes: p.Classes, Position: p.Position}, seed) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 300}); err != nil {
		t.Error(err)
	}
	if accepted < 1000 {
		t.Errorf("only %d samples were accepted: the property says little", accepted)
	}
}

// answerable reports whether the task's solver agrees with three samples of p, if the
// task takes p and has a solver.
func answerable(t *testing.T, task Task, p Params, seed uint64) bool {
	solve, ok := solvers[task.Name]
	if !ok || Check(task.Name, p) != nil {
		return true
	}
	for _, s := range mustGenerate(t, task.Name, 3, p, seed) {
		if got := solve(s.IDs, p.Classes); got != int(s.Label) {
			t.Logf("%s %+v: the input says %d, the label %d", task.Name, p, got, s.Label)
			return false
		}
	}
	return true
}

// A task works at the dimensions that its refusal names, and refuses one token less.
func TestRefusalsNameTheLeastLength(t *testing.T) {
	for _, task := range builtin() {
		for _, p := range shapes(task)[2:] {
			if len(shapes(task)) > 3 && p.Length == 512 {
				continue // not a least shape
			}
			least := p.Length
			p.Length--
			var bad *ParamError
			if err := Check(task.Name, p); !errors.As(err, &bad) || bad.Param != "length" || bad.Min != least {
				t.Errorf("%s: length %d gives %v, want a refusal that names %d", task.Name, p.Length, err, least)
			}
			p.Length = least
			mustGenerate(t, task.Name, 50, p, 1)
		}
	}
}

func FuzzParams(f *testing.F) {
	f.Add(uint8(0), 64, 256, 16, 0, 0, 0, 0, 0, 0, 0, 0, "")
	f.Add(uint8(4), 1024, 4096, 64, 16, 0, 3, 0, 0, 0, 0, 0, "early")
	f.Add(uint8(1), 64, 256, 16, 4, 8, 0, 0, 0, 0, 0, 0, "")
	f.Add(uint8(4), 8, 6, 1, -1, 1<<40, 0, 0, 0, 0, 0, 0, "nowhere")
	f.Add(uint8(7), -1, 1<<40, 1<<33, 0, 0, 0, 0, 0, 0, 0, 0, "")
	all := builtin()
	f.Fuzz(func(t *testing.T, task uint8, length, vocab, classes, needles, questions, repeat, hops, items, count,
		distractors, passages int, where string) {
		if length > 1<<14 {
			length = 1<<14 + length%2 // allowed, but slow to generate
		}
		p := Params{length, vocab, classes, needles, questions, repeat, hops, items, count, distractors, passages,
			Position(where)}
		name := all[int(task)%len(all)].Name
		samples, err := Generate(name, 1, p, of(1))
		if err != nil {
			if strings.Contains(err.Error(), "its generator made") {
				t.Fatal(err)
			}
			return
		}
		if len(samples[0].IDs) != length {
			t.Fatalf("%d tokens, want %d", len(samples[0].IDs), length)
		}
	})
}

func BenchmarkGenerate(b *testing.B) {
	p := Params{Length: 1024, Vocab: 4096, Classes: 64}
	for _, name := range []string{"niah_single", "niah_multi_key", "fa", "memory_pressure_niah", "ruler/fa"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Generate(name, 16, p, of(1)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(16*1024*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

func BenchmarkMixture(b *testing.B) {
	p := Params{Length: 1024, Vocab: 4096, Classes: 64}
	for b.Loop() {
		if _, err := Mixture(2048, p, of(42), nil); err != nil {
			b.Fatal(err)
		}
	}
}

package tasks

import (
	"slices"
	"strings"
	"testing"
)

// asksForKey names the tasks that end in QUERY key SEP; the other strict ones end in
// QUERY SEP.
var asksForKey = []string{
	"niah_multi_key", "memory_pressure_niah", "needlebench/mkn", "needlebench/cn", "needlebench/adn",
	"ruler/niah_multi_key", "ruler/variable_track",
	"longbench/single_doc_qa", "longbench/multi_doc_qa", "longbench/few_shot", "longbench/passage_retrieval",
}

func TestSamplesHaveTheTrainingLayout(t *testing.T) {
	for _, task := range builtin() {
		if strings.HasPrefix(task.Name, "paper/") {
			continue
		}
		queryAt := 2
		if slices.Contains(asksForKey, task.Name) {
			queryAt = 3
		}
		for _, p := range shapes(task) {
			for _, s := range mustGenerate(t, task.Name, 20, p, 11) {
				n := len(s.IDs)
				if n != p.Length || s.Task != task.Name {
					t.Fatalf("%s: %d tokens of task %q, want %d", task.Name, n, s.Task, p.Length)
				}
				if s.IDs[0] != BOS || s.IDs[n-1] != SEP || s.IDs[n-queryAt] != QUERY {
					t.Fatalf("%s: want BOS first, SEP last, QUERY at -%d: %v", task.Name, queryAt, s.IDs)
				}
				body := slices.Concat(s.IDs[1:n-queryAt], s.IDs[n-queryAt+1:n-1])
				for _, special := range []int32{PAD, BOS, SEP, QUERY} {
					if slices.Contains(body, special) {
						t.Fatalf("%s: special token %d in the body: %v", task.Name, special, s.IDs)
					}
				}
			}
		}
	}
}

func TestPublishedSamplesHaveThePublishedLayout(t *testing.T) {
	for _, task := range publishedTasks() {
		for _, p := range shapes(task) {
			for _, s := range mustGenerate(t, task.Name, 20, p, 11) {
				n := len(s.IDs)
				if s.IDs[n-1] != SEP {
					t.Fatalf("%s: want SEP last: %v", task.Name, s.IDs)
				}
				if low := slices.Min(s.IDs[:n-1]); low < publishedKeyStart {
					t.Fatalf("%s: token %d before the end, want classes from %d and filler above: %v", task.Name, low,
						publishedKeyStart, s.IDs)
				}
			}
		}
	}
}

func publishedTasks() []Task { return slices.Concat(publishedRULER(), publishedLongBench()) }

// How many class tokens a sample holds before the question follows from its task
// alone: filler never collides with a class.
func TestOnlyNeedlesAreClassTokens(t *testing.T) {
	p := Params{Length: 256, Vocab: 80, Classes: 64} // 11 filler tokens
	for name, want := range map[string]int{
		"niah_single": 1, "niah_multi_key": 8, "variable_track": 4, "fa": 16,
		"memory_pressure_niah": 2 * (15 + 3),
		"needlebench/snia":     1, "needlebench/mkn": 12, "needlebench/ron": 2, "needlebench/adn": 18,
		"ruler/niah_single": 1, "ruler/niah_multi_key": 8, "ruler/variable_track": 16, "ruler/fa": 16,
		"longbench/single_doc_qa": 16, "longbench/multi_doc_qa": 8, "longbench/summarization": 16,
		"longbench/few_shot": 16, "longbench/code_completion": 4, "longbench/passage_retrieval": 8,
	} {
		for _, s := range mustGenerate(t, name, 50, p, 3) {
			end := slices.Index(s.IDs, QUERY)
			if got := len(classesIn(s.IDs[:end], 5, 64)); got != want {
				t.Fatalf("%s: %d class tokens, want %d: %v", name, got, want, s.IDs)
			}
		}
	}
}

func TestTargetsAreNeedlePositions(t *testing.T) {
	p := Params{Length: 256, Vocab: 1024, Classes: 64}
	for _, task := range builtin() {
		first := int32(5)
		if strings.HasPrefix(task.Name, "paper/") {
			first = 4
		}
		for _, s := range mustGenerate(t, task.Name, 50, p, 3) {
			if !slices.IsSorted(s.Targets) || len(slices.Compact(slices.Clone(s.Targets))) != len(s.Targets) {
				t.Fatalf("%s: targets %v, want them ascending and distinct", task.Name, s.Targets)
			}
			if len(s.Targets) == 0 && task.Name != "paper/longbench/summarization" {
				t.Fatalf("%s: no targets", task.Name)
			}
			for _, pos := range s.Targets {
				if id := s.IDs[pos]; id < first || id >= first+64 {
					t.Fatalf("%s: target %d is token %d, want a class token", task.Name, pos, id)
				}
			}
		}
	}
}

// The targets of a task that asks for a key by name are the positions of that key.
func TestTargetsOfFactsAreKeys(t *testing.T) {
	p := Params{Length: 256, Vocab: 1024, Classes: 64}
	for _, name := range []string{"niah_multi_key", "memory_pressure_niah", "needlebench/mkn", "needlebench/cn",
		"ruler/niah_multi_key", "longbench/few_shot", "longbench/passage_retrieval"} {
		for _, s := range mustGenerate(t, name, 50, p, 3) {
			var want []int
			for i, id := range s.IDs[:p.Length-3] {
				if id == s.IDs[p.Length-2] {
					want = append(want, i)
				}
			}
			if !slices.Equal(s.Targets, want) {
				t.Fatalf("%s: targets %v, the key asked for is at %v", name, s.Targets, want)
			}
		}
	}
}

// SPEC section 2, Layout: early targets lie in the first 40% and distractors in the rest, late
// targets in the last 40% and distractors in the first 60%; no value of the target is
// ever overwritten.
func TestMemoryPressureRegions(t *testing.T) {
	for _, length := range []int{96, 1024, 2048} {
		for _, where := range []Position{Early, Late, Anywhere} {
			p := Params{Length: length, Vocab: 4096, Classes: 64, Position: where}
			for _, s := range mustGenerate(t, "memory_pressure_niah", 100, p, 7) {
				if len(s.Targets) != 3 {
					t.Fatalf("%d targets, want 3", len(s.Targets))
				}
				for _, pos := range s.Targets {
					if got := int(s.IDs[pos+1]) - 5 - 32; got != int(s.Label) {
						t.Fatalf("the value at target %d is %d, want %d", pos, got, s.Label)
					}
				}
				checkRegions(t, p, s)
			}
		}
	}
}

func checkRegions(t *testing.T, p Params, s Sample) {
	t.Helper()
	inFirst40 := func(pos int) bool { return pos < int(0.4*float64(p.Length)) }
	inFirst60 := func(pos int) bool { return pos < int(0.6*float64(p.Length)) }
	keys := 0
	for pos, id := range s.IDs[:p.Length-3] {
		if id < 5 || id >= 5+32 {
			continue
		}
		keys++
		target := slices.Contains(s.Targets, pos)
		if p.Position == Early && inFirst40(pos) != target || p.Position == Late && inFirst60(pos) == target {
			t.Fatalf("%s, length %d: key at %d, target %v", p.Position, p.Length, pos, target)
		}
	}
	if keys != 18 {
		t.Fatalf("%d keys, want 15 distractors and 3 of the target", keys)
	}
}

func TestNeedleBenchRanges(t *testing.T) {
	p := Params{Length: 512, Vocab: 4096, Classes: 64}
	for _, s := range mustGenerate(t, "needlebench/snia", 500, p, 1) {
		if pos := s.Targets[0]; pos < 128 || pos > 384 {
			t.Fatalf("snia: needle at %d, want L/4..3L/4", pos)
		}
	}
	for _, s := range mustGenerate(t, "needlebench/ron", 500, p, 1) {
		if s.Targets[0] >= 256 || s.Targets[1] < 256 {
			t.Fatalf("ron: codes at %v, want one in each half", s.Targets)
		}
	}
	for _, s := range mustGenerate(t, "needlebench/cn", 500, p, 1) {
		if s.Label < 1 || s.Label > 8 || s.IDs[p.Length-2] >= 5+32 {
			t.Fatalf("cn: label %d, code %d; want 1..8 copies of a code of 0..31", s.Label, s.IDs[p.Length-2]-5)
		}
	}
}

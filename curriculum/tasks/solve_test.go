package tasks

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// solver answers a sample from its tokens alone; classes is N. It is written from
// the layout in doc.go and shares no code with the generators.
type solver func(ids []int32, classes int) int

// solvers has one entry for every built-in task whose label follows from its input.
var solvers = map[string]solver{
	"niah_single":                 onlyClass(5),
	"niah_multi_key":              valueOfKey(4),
	"variable_track":              onlyClass(5),
	"fa":                          mostCommon(5, 1),
	"memory_pressure_niah":        valueOfKey(16),
	"needlebench/snia":            onlyClass(5),
	"needlebench/mkn":             valueOfKey(6),
	"needlebench/ron":             lastClass,
	"needlebench/cn":              countOfKey,
	"needlebench/adn":             lastValueOfKey,
	"ruler/niah_single":           onlyClass(5),
	"ruler/niah_multi_key":        valueOfKey(4),
	"ruler/variable_track":        followNames(8),
	"ruler/fa":                    mostCommon(5, 1),
	"longbench/single_doc_qa":     valueOfKey(8),
	"longbench/multi_doc_qa":      followDocuments(4),
	"longbench/summarization":     mostCommon(5, 1),
	"longbench/few_shot":          valueOfKey(4),
	"longbench/code_completion":   completePrefix,
	"longbench/passage_retrieval": passageOfKey,

	"paper/ruler/niah_single":           onlyClass(4),
	"paper/ruler/variable_track":        onlyClass(4),
	"paper/ruler/fa":                    mostCommon(4, 0),
	"paper/longbench/single_doc_qa":     onlyClass(4),
	"paper/longbench/multi_doc_qa":      onlyClass(4),
	"paper/longbench/few_shot":          onlyClass(4),
	"paper/longbench/code_completion":   onlyClass(4),
	"paper/longbench/passage_retrieval": onlyClass(4),
}

const noAnswer = -1

// classesIn lists the classes of the class tokens of ids, in order.
func classesIn(ids []int32, first, classes int) []int {
	var found []int
	for _, id := range ids {
		if k := int(id) - first; k >= 0 && k < classes {
			found = append(found, k)
		}
	}
	return found
}

// onlyClass answers with the one class that occurs, however often.
func onlyClass(first int) solver {
	return func(ids []int32, classes int) int {
		found := slices.Compact(classesIn(ids, first, classes))
		if len(found) != 1 {
			return noAnswer
		}
		return found[0]
	}
}

func lastClass(ids []int32, classes int) int {
	found := classesIn(ids, 5, classes)
	if len(found) != 2 || (found[0]+1)%classes != found[1] {
		return noAnswer
	}
	return found[1]
}

// mostCommon sorts the class tokens: the longest run wins, the first of equals.
func mostCommon(first, skip int) solver {
	return func(ids []int32, classes int) int {
		found := classesIn(ids[skip:len(ids)-1], first, classes)
		slices.Sort(found)
		best, longest := noAnswer, 0
		for i, run := 0, 0; i < len(found); i++ {
			if run++; i > 0 && found[i] != found[i-1] {
				run = 1
			}
			if run > longest {
				best, longest = found[i], run
			}
		}
		return best
	}
}

// answersTo lists what follows each occurrence of the queried key, in order.
func answersTo(ids []int32, key int32) []int32 {
	var next []int32
	for i := 1; i < len(ids)-3; i++ {
		if ids[i] == key {
			next = append(next, ids[i+1])
		}
	}
	return next
}

func valueIndex(token int32, classes, keysInUse int) int {
	nKeys := max(classes/2, keysInUse+1)
	if int(token) < 5+nKeys || int(token) >= 5+classes {
		return noAnswer
	}
	return int(token) - 5 - nKeys
}

// valueOfKey requires that every occurrence of the key gives the same value.
func valueOfKey(keysInUse int) solver {
	return func(ids []int32, classes int) int {
		next := slices.Compact(answersTo(ids, ids[len(ids)-2]))
		if len(next) != 1 {
			return noAnswer
		}
		return valueIndex(next[0], classes, keysInUse)
	}
}

func lastValueOfKey(ids []int32, classes int) int {
	next := answersTo(ids, ids[len(ids)-2])
	right := next[len(next)-1]
	if slices.Contains(next[:len(next)-1], right) {
		return noAnswer // a wrong value must be wrong
	}
	return valueIndex(right, classes, 7)
}

func countOfKey(ids []int32, classes int) int {
	return len(classesIn(ids[:len(ids)-3], int(ids[len(ids)-2]), 1))
}

// followNames goes back from the queried name through name, source facts that lie
// ever earlier; a name is assigned once.
func followNames(names int) solver {
	return func(ids []int32, classes int) int {
		name, before := ids[len(ids)-2], len(ids)-3
		for range 64 {
			assigned := noAnswer
			for i := 1; i < before; i++ {
				// A source is also a name; the assignment is the first occurrence.
				if ids[i] == name {
					assigned = i
					break
				}
			}
			if assigned < 0 {
				return noAnswer
			}
			name, before = ids[assigned+1], assigned
			if v := valueIndex(name, classes, names); v >= 0 {
				return v
			}
		}
		return noAnswer
	}
}

// followDocuments looks the key up in the first document and its bridge in the second.
func followDocuments(keysInUse int) solver {
	return func(ids []int32, classes int) int {
		end := slices.Index(ids, EOS)
		bridge := ids[slices.Index(ids[:end], ids[len(ids)-2])+1]
		return valueIndex(ids[end+slices.Index(ids[end:], bridge)+1], classes, keysInUse)
	}
}

func completePrefix(ids []int32, classes int) int {
	prefix := ids[len(ids)-5 : len(ids)-2]
	for i := 1; i < len(ids)-8; i++ {
		k := int(ids[i+3]) - 5
		if slices.Equal(ids[i:i+3], prefix) && k >= 0 && k < classes {
			return k
		}
	}
	return noAnswer
}

func passageOfKey(ids []int32, _ int) int {
	at := slices.Index(ids, ids[len(ids)-2])
	if at >= len(ids)-3 {
		return noAnswer
	}
	return len(classesIn(ids[:at], int(EOS), 1))
}

func TestEveryLabelFollowsFromTheInput(t *testing.T) {
	for _, task := range builtin() {
		t.Run(task.Name, func(t *testing.T) {
			solve, ok := solvers[task.Name]
			if ok == (task.Unanswerable != "") {
				t.Fatalf("has a solver: %v, but Unanswerable says %q", ok, task.Unanswerable)
			}
			if !ok {
				return
			}
			for _, p := range shapes(task) {
				for i, s := range mustGenerate(t, task.Name, 40, p, 5) {
					if got := solve(s.IDs, p.Classes); got != int(s.Label) {
						t.Fatalf("%+v sample %d: its input says %d, its label %d\n%v", p, i, got, s.Label, s.IDs)
					}
				}
			}
		})
	}
}

// The published multi-key samples cannot be answered: two samples may have the same
// input and different labels.
func TestPublishedMultiKeyHasNoQuery(t *testing.T) {
	for _, s := range mustGenerate(t, "paper/ruler/niah_multi_key", 50, Params{Length: 64, Vocab: 256, Classes: 16}, 1) {
		found := classesIn(s.IDs, 4, 16)
		if len(found) != 4 || !slices.Contains(found, int(s.Label)) {
			t.Fatalf("want four candidates with the label %d among them, got %v", s.Label, found)
		}
	}
}

// shapes are the dimensions that the specification tests run at: the reference's, a
// cramped one, and the least that the task accepts.
func shapes(task Task) []Params {
	least := Params{Length: MinLength, Classes: 2}.withDefaults(task.Defaults)
	if task.Need != nil {
		need := task.Need(least)
		least.Length, least.Classes = max(need.Length, MinLength), max(need.Classes, 2)
		need = task.Need(least)
		least.Vocab = need.Vocab
	}
	least.Vocab = max(least.Vocab, 5+least.Classes+1)
	out := []Params{
		{Length: 512, Vocab: 4096, Classes: 64},
		{Length: 97, Vocab: 128, Classes: 33},
		least,
	}
	if strings.HasPrefix(task.Name, "memory_pressure") {
		out = out[:2]
		for _, where := range []Position{Early, Late, Anywhere} {
			p := least
			p.Position = where
			p.Length = task.Need(p).Length
			out = append(out, p, Params{Length: 512, Vocab: 4096, Classes: 64, Position: where})
		}
	}
	return out
}

func mustGenerate(t testing.TB, name string, n int, p Params, seed uint64) []Sample {
	t.Helper()
	samples, err := Generate(name, n, p, of(seed))
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

// Further questions stand among the facts, each as the last one does, and each has the value of its key.
func TestFurtherQuestionsFollowFromTheFacts(t *testing.T) {
	p := Params{Length: 64, Vocab: 256, Classes: 16, Needles: 4, Questions: 8}
	for _, s := range mustGenerate(t, "niah_multi_key", 200, p, 5) {
		if len(s.Asked) != 7 {
			t.Fatalf("%d further questions, want 7", len(s.Asked))
		}
		facts := slices.Clone(s.IDs) // without what is asked
		asked := append(slices.Clone(s.Asked), Question{len(s.IDs) - 1, s.Label})
		for i, q := range asked {
			if s.IDs[q.At] != SEP || s.IDs[q.At-2] != QUERY {
				t.Fatalf("no question ends at %d: %v", q.At, s.IDs)
			}
			if i > 0 && asked[i-1].At > q.At-3 {
				t.Fatalf("questions at %d and %d overlap", asked[i-1].At, q.At)
			}
			facts[q.At-1] = PAD
		}
		for _, q := range asked {
			answers := answersTo(facts, s.IDs[q.At-1])
			if len(answers) != 1 || valueIndex(answers[0], 16, 4) != int(q.Label) {
				t.Fatalf("the question at %d has the answers %v, its label is %d: %v", q.At, answers, q.Label, s.IDs)
			}
		}
	}
}

// One question is what there is without the setting, to the bit.
func TestOneQuestionIsTheDefault(t *testing.T) {
	p := Params{Length: 64, Vocab: 256, Classes: 16}
	want := mustGenerate(t, "niah_multi_key", 20, p, 5)
	p.Questions = 1
	if got := mustGenerate(t, "niah_multi_key", 20, p, 5); !reflect.DeepEqual(got, want) {
		t.Error("one question differs from the default")
	}
}

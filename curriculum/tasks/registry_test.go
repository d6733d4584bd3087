package tasks

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestNamesAreSortedAndComplete(t *testing.T) {
	names := Names()
	if !slices.IsSorted(names) {
		t.Errorf("names are not sorted: %v", names)
	}
	for _, name := range []string{
		"niah_single", "niah_multi_key", "variable_track", "fa", "memory_pressure_niah",
		"needlebench/snia", "needlebench/mkn", "needlebench/ron", "needlebench/cn", "needlebench/adn",
		"ruler/niah_single", "ruler/niah_multi_key", "ruler/variable_track", "ruler/fa",
		"longbench/single_doc_qa", "longbench/multi_doc_qa", "longbench/summarization",
		"longbench/few_shot", "longbench/code_completion", "longbench/passage_retrieval",
	} {
		if !slices.Contains(names, name) {
			t.Errorf("no task %s", name)
		}
		if strings.HasPrefix(name, "ruler/") || strings.HasPrefix(name, "longbench/") {
			if !slices.Contains(names, "paper/"+name) {
				t.Errorf("%s has no published variant", name)
			}
		}
	}
}

func TestBuiltinTasksAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, task := range builtin() {
		if err := task.complete(); err != nil {
			t.Error(err)
		}
		if seen[task.Name] {
			t.Errorf("two tasks are named %s", task.Name)
		}
		seen[task.Name] = true
		if task.Source == "" {
			t.Errorf("%s names no source", task.Name)
		}
		chance, err := Chance(task.Name, Params{Length: 512, Vocab: 4096, Classes: 64})
		if err != nil || !(chance > 0 && chance < 1) {
			t.Errorf("%s: chance %v, error %v", task.Name, chance, err)
		}
	}
}

func TestLookupNamesTheNearest(t *testing.T) {
	for name, nearest := range map[string]string{
		"niah_singel":             "niah_single",
		"NIAH_SINGLE":             "niah_single",
		"snia":                    "needlebench/snia",
		"variable-track":          "variable_track",
		"ruler/niah_multikey":     "ruler/niah_multi_key",
		"longbench/summarisation": "longbench/summarization",
		"memory_pressure":         "memory_pressure_niah",
	} {
		_, err := Lookup(name)
		var unknown *UnknownTaskError
		if !errors.As(err, &unknown) || unknown.Name != name || unknown.Nearest != nearest {
			t.Errorf("Lookup(%q): %v, want the nearest name %q", name, err, nearest)
		}
	}
	for _, name := range []string{"", "\x00\xff", strings.Repeat("x", 1<<20)} {
		if _, err := Lookup(name); err == nil {
			t.Errorf("Lookup(%.10q...) finds a task", name)
		}
	}
}

func TestBadParamsAreOneClearLine(t *testing.T) {
	good := Params{Length: 128, Vocab: 256, Classes: 64}
	with := func(change func(*Params)) Params { p := good; change(&p); return p }
	for name, c := range map[string]struct {
		task string
		p    Params
		want string
	}{
		"length below 8": {"niah_single", with(func(p *Params) { p.Length = 7 }),
			"task niah_single: length 7 is too small: use at least 8"},
		"length for the task": {"fa", with(func(p *Params) { p.Length = 21 }),
			"task fa: length 21 is too small with items 16: use at least 22"},
		"length too large": {"fa", with(func(p *Params) { p.Length = MaxLength + 1 }), "use at most 16777216"},
		"negative length":  {"fa", with(func(p *Params) { p.Length = -1 }), "length -1 is too small"},
		"vocab": {"niah_single", with(func(p *Params) { p.Vocab = 69 }),
			"vocab 69 is too small with 64 classes: use at least 70"},
		"vocab too large": {"niah_single", with(func(p *Params) { p.Vocab = math.MaxInt32 + 1 }),
			"vocab 2147483648 is too large"},
		"vocab for the task": {"longbench/code_completion", with(func(p *Params) { p.Vocab = 70 }), "use at least 73"},
		"one class": {"niah_single", with(func(p *Params) { p.Classes = 1 }),
			"classes 1 is too small: use at least 2"},
		"classes for keys": {"memory_pressure_niah", with(func(p *Params) { p.Classes = 16 }),
			"classes 16 is too small with needles 16, repeat 3, position anywhere: use at least 19"},
		"classes for counts": {"needlebench/cn", with(func(p *Params) { p.Classes = 8 }), "with max count 8: use at least 9"},
		"negative needles": {"niah_multi_key", with(func(p *Params) { p.Needles = -1 }),
			"needles -1 is too small: use at least 1"},
		"too many needles": {"niah_multi_key", with(func(p *Params) { p.Needles = 1 << 40 }),
			"needles 1099511627776 is too large"},
		"position": {"memory_pressure_niah", with(func(p *Params) { p.Position = "middle" }),
			`position "middle" is unknown: use anywhere, early or late`},
		"early needs room": {"memory_pressure_niah", with(func(p *Params) { p.Length, p.Position = 40, Early }),
			"position early: use at least"},
	} {
		_, err := Generate(c.task, 1, c.p, of(1))
		oneLine(t, name, err, c.want)
	}
	_, err := Generate("fa", 0, good, of(1))
	oneLine(t, "no samples", err, "task fa: 0 samples asked for: use at least 1")
	var bad *ParamError
	if err := Check("fa", with(func(p *Params) { p.Length = 21 })); !errors.As(err, &bad) || bad.Param != "length" ||
		bad.Min != 22 {
		t.Errorf("want a ParamError of length with the least 22, got %#v", err)
	}
}

func TestRegisterRefuses(t *testing.T) {
	full := Task{
		Name: "fa", Doc: "d", Chance: perClass,
		Generate: func(*rand.Rand, Params) (Sample, error) { return Sample{}, nil },
	}
	change := func(f func(*Task)) Task { task := full; f(&task); return task }
	for want, task := range map[string]Task{
		"the name is taken": full,
		"Name is empty":     change(func(t *Task) { t.Name = "" }),
		"a name has only":   change(func(t *Task) { t.Name = "two words" }),
		"Doc is empty":      change(func(t *Task) { t.Name, t.Doc = "x", "" }),
		"Chance is nil":     change(func(t *Task) { t.Name, t.Chance = "x", nil }),
		"Generate is nil":   change(func(t *Task) { t.Name, t.Generate = "x", nil }),
	} {
		oneLine(t, want, Register(task), want)
	}
}

// A registered generator that makes what no model can take is reported, not run on.
func TestFaultyGeneratorsAreReported(t *testing.T) {
	p := Params{Length: 8, Vocab: 20, Classes: 4}
	ids := func() []int32 { return []int32{1, 9, 9, 9, 9, 9, 4, 3} }
	for want, s := range map[string]Sample{
		"made 2 tokens, length is 8": {IDs: []int32{1, 3}},
		"made label 4":               {IDs: ids(), Label: 4},
		"made id 20 at position 1":   {IDs: func() []int32 { x := ids(); x[1] = 20; return x }()},
		"made target position 8":     {IDs: ids(), Targets: []int{8}},
	} {
		task := Task{Name: "faulty", Generate: func(*rand.Rand, Params) (Sample, error) { return s, nil }}
		_, err := task.sample(stream("test", "faulty", 1), p)
		oneLine(t, want, err, want)
	}
	task := Task{Name: "faulty", Generate: func(*rand.Rand, Params) (Sample, error) {
		return Sample{},
			errors.New("no luck")
	}}
	_, err := task.sample(stream("test", "faulty", 1), p)
	oneLine(t, "own error", err, "task faulty: no luck")
}

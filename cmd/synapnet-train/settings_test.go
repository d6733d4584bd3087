package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/bounds"
)

// leaves are the dotted keys and values of settings that are no tables.
func leaves(prefix string, v reflect.Value, visit func(key string, v reflect.Value)) {
	keys, values := settingsOf(v)
	for i, key := range keys {
		if isTable(values[i]) {
			leaves(prefix+key+".", values[i], visit)
		} else {
			visit(prefix+key, values[i])
		}
	}
}

// exportedFields counts the exported fields of a struct and of those in it.
func exportedFields(t reflect.Type) (n int) {
	for f := range t.Fields() {
		switch {
		case f.Type.Kind() == reflect.Struct:
			n += exportedFields(f.Type)
		case f.Type.Kind() == reflect.Pointer: // own data of a pretraining
		case f.Tag.Get("toml") == "-": // what a run notes
		case f.IsExported() && f.Type.Kind() != reflect.Map:
			n++
		}
	}
	return n
}

// Every setting of every experiment is printed, and what is printed is read back as the same settings. Every key has
// the name that results have for it.
func TestEverySettingIsPrintedAndReadBack(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, profile := range []lab.Profile{lab.Full, lab.Quick} {
		text, stderr := trained(t, "experiments settings --profile "+string(profile))
		if err := os.WriteFile("all.toml", []byte(text), 0o600); err != nil || stderr != "" {
			t.Fatal(err, stderr)
		}
		again, _ := trained(t, "experiments settings --config all.toml --profile "+string(profile))
		if again != text {
			t.Errorf("%s: read back it is\n%s\nnot\n%s", profile, again, text)
		}
		for _, e := range experiments.All() {
			s := e.Settings(profile)
			n := 0
			leaves("", reflect.ValueOf(s), func(string, reflect.Value) { n++ })
			inMaps := 0
			if e.Name == "pareto" {
				inMaps = 7 // deployed
			}
			if want := exportedFields(reflect.TypeOf(s)); n != want+inMaps {
				t.Errorf("%s prints %d settings, it has %d", e.Name, n, want+inMaps)
			}
			for _, key := range configKeys(reflect.TypeOf(s), "") {
				if first, _, dotted := strings.Cut(key, "."); dotted && slices.ContainsFunc(experiments.All(),
					func(e lab.Experiment) bool { return e.Name == first }) {
					t.Errorf("%s: the setting %s could be taken for an experiment", e.Name, key)
				}
			}
		}
	}
}

// others are values of a setting besides the one that it has, as --set takes them.
func others(v reflect.Value) []string {
	switch {
	case v.Kind() == reflect.Bool:
		return []string{fmt.Sprint(!v.Bool())}
	case v.CanInt() || v.CanUint():
		n := v.Convert(reflect.TypeFor[int64]()).Int()
		if n == 0 {
			return []string{"1"}
		}
		return []string{fmt.Sprint(n + 1), fmt.Sprint(n / 2), fmt.Sprint(2 * n)}
	case v.CanFloat() && v.Float() == 0:
		return []string{"0.5"}
	case v.CanFloat():
		return []string{fmt.Sprint(v.Float() / 2), "0.5"}
	case v.Kind() == reflect.Slice && v.Len() == 0 && v.Type().Elem().Kind() == reflect.Uint64:
		return []string{"7"}
	case v.Kind() == reflect.Slice && v.Len() == 0 && v.Type().Elem().Kind() == reflect.Int:
		return []string{"[16]"}
	case v.Kind() == reflect.Slice && v.Len() == 0 && v.Type().Elem().Kind() == reflect.Float64:
		return []string{"0.5"}
	case v.Kind() == reflect.Slice && v.Len() == 0 && scalar(v.Type().Elem()):
		return []string{`["other"]`}
	case v.Kind() == reflect.Slice && v.Len() == 0:
		return []string{"[" + tomlValue(reflect.Zero(v.Type().Elem())) + "]"}
	case v.Kind() == reflect.Slice && v.Len() > 1:
		return []string{tomlValue(v.Slice(0, 1))}
	case v.Kind() == reflect.Slice && scalar(v.Type().Elem()):
		return others(v.Index(0))
	case v.Kind() == reflect.Slice:
		return []string{"[" + tomlValue(v.Index(0)) + ", " + tomlValue(v.Index(0)) + "]"}
	}
	return []string{"other"}
}

// Every setting can be given by --set and by a file, and is then part of the settings; a value that the experiment
// refuses is named in the error.
func TestEverySettingCanBeGiven(t *testing.T) {
	d := &lab.Driver{Profile: lab.Quick, Experiments: experiments.All()}
	for _, e := range d.Experiments {
		leaves("", reflect.ValueOf(e.Settings(lab.Quick)), func(key string, v reflect.Value) {
			refused := ""
			for _, value := range others(v) {
				ch := &changes{of: map[string]map[string]any{}}
				if err := ch.set(key+"="+value, d, []string{e.Name}); err != nil {
					t.Errorf("%s: --set %s=%s: %v", e.Name, key, value, err)
					continue
				}
				changed, err := d.Change(e, ch.of[e.Name])
				if err != nil {
					refused = err.Error()
					continue
				}
				all, err := changed.Changes(lab.Quick)
				if len(all) != 1 || err != nil || !strings.HasPrefix(all[0], key+"=") {
					t.Errorf("%s: --set %s=%s changes %v (%v)", e.Name, key, value, all, err)
				}
				return
			}
			if last := key[strings.LastIndex(key, ".")+1:]; !strings.Contains(refused, last) &&
				!strings.Contains(refused, "other") {
				t.Errorf("%s: %s takes no other value: %s", e.Name, key, refused)
			}
		})
	}
}

// wrongValues are values out of what a setting could be, of its kind, as --set takes them.
func wrongValues(v reflect.Value) []string {
	numbers := []string{"-1", "0", "9000000000000000000"}
	switch {
	case v.Kind() == reflect.Bool:
		return []string{"maybe"}
	case v.CanInt() || v.CanUint():
		return append(numbers, "99999999999999999999", "0.5")
	case v.CanFloat():
		return append(numbers, "1e300", "NaN", "-Inf")
	case v.Kind() == reflect.Slice && scalar(v.Type().Elem()):
		return append(wrongValues(reflect.Zero(v.Type().Elem())), "[]", "[[]]")
	case v.Kind() == reflect.Slice:
		return []string{"[]", "[1]", "[" + tomlValue(reflect.Zero(v.Type().Elem())) + "]"}
	}
	return []string{"", "nonsense"}
}

// reasonable are the settings that a value is one of which most cannot have, by the end of experiment.key.
var reasonable = map[string][]string{
	"0": {"seed", "seeds", "data_seed", "target_seed", "variant_seed", "microbench.warmups", "deployment.warmups",
		"sustained.warmups", "warmup_steps", "short_steps", "rise", "rest", "reference_steps", "reference_samples",
		"look_up.chunk",
		"whole.chunk", "memory.chunk",
		"validation_samples", "weight_decay", "beta1", "beta2", "training.clip", "finetune.clip", "recovery.clip",
		"pretrain.clip", "lambda", "step_lr", "recovery.lr", "finetune.lr", "salient_fraction",
		"smooth_alpha", "noise", "baee-grid.needles", "sparse_threshold", "sample_keys", "extend_max_len",
		"cooldown_steps", "one_pass_up_to", "long_from", "training.chunks", "pretrain.chunks", "average"},
	"9000000000000000000": {"seed", "seeds", "data_seed", "target_seed", "variant_seed"},
	"[]": {"tiered", "long_tasks", "fresh_seeds", "spread", "principal", "random_models", "block_layers", "mixture",
		"pretrain.stage", "paper.training.stage", "strict.training.stage", "recipe.look_up.training.curriculum",
		"recipe.whole.training.curriculum", "recipe.memory.training.curriculum", "paper.rates", "strict.rates", "paper.seeds",
		"strict.seeds", "further_seeds"},
	"": {"tiered", "long_tasks", "spread", "principal", "block_layers", "architecture", "pretrain.init", "training.init",
		"init_from", "init_sha256", "extend_by", "held-out.reference"},
	"nonsense": {"pretrain.init_from"}, // a file that is looked for when the run begins
}

// Every value that a setting of an experiment cannot have is refused when it is given, by the setting's whole key. What
// no variant of the profile reads is let be.
func TestEveryWrongValueIsRefused(t *testing.T) {
	d := &lab.Driver{Profile: lab.Quick, Experiments: experiments.All()}
	trains := func(e lab.Experiment) bool {
		text := fmt.Sprint(e.Settings(lab.Quick))
		return strings.Contains(text, "qat") || strings.Contains(text, "cajq_full") || e.Name == "scale-bridge-removal"
	}
	for _, e := range d.Experiments {
		leaves("", reflect.ValueOf(e.Settings(lab.Quick)), func(key string, v reflect.Value) {
			if strings.Contains(key, "finetune.") && !trains(e) {
				return
			}
			for _, value := range wrongValues(v) {
				ch := &changes{of: map[string]map[string]any{}}
				err := ch.set(key+"="+value, d, []string{e.Name})
				if err != nil {
					continue // of another kind: the word is told
				}
				_, err = d.Change(e, ch.of[e.Name])
				bad, ok := errors.AsType[*bounds.Error](err)
				fine := slices.ContainsFunc(reasonable[value], func(end string) bool {
					return strings.HasSuffix(e.Name+"."+key, end)
				}) && (e.Name != "recipe" || key != "sample_keys") // its samples are fresh ones
				switch {
				case fine && err != nil:
					t.Errorf("%s: %s=%s is refused: %v", e.Name, key, value, err)
				case !fine && (!ok || !in(bad.Setting, key)):
					t.Errorf("%s: %s=%s: %v", e.Name, key, value, err)
				}
			}
		})
	}
}

// A wrong key or value is one line that says where it stands, what it is and what is allowed, before anything is read.
func TestSettingMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	file := func(text string) string {
		if err := os.WriteFile("mine.toml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "experiments run cajq-qat --config mine.toml"
	}
	for _, c := range []struct{ line, want string }{
		{"experiments run cajq-qat --set seedz=42",
			"--set seedz=42: unknown key seedz (did you mean seeds?); see 'synapnet-train experiments run --help'"},
		{"experiments run cajq-qat --set finetune.steps=2",
			"--set finetune.steps=2: unknown key finetune.steps (did you mean experiment.finetune.steps?)"},
		{"experiments run cajq-qat --set seeds.x=2", "--set seeds.x=2: unknown key seeds.x"},
		{"experiments run cajq-qat --set seeds", "--set seeds: it must be KEY=VALUE, e.g. seeds=42,43"},
		{"experiments run cajq-qat --set =3", "--set =3: it must be KEY=VALUE, e.g. seeds=42,43"},
		{"experiments run cajq-qat --set seeds=99999999999999999999", "the value must be from 0 to 9223372036854775807"},
		{"experiments run --set samples=3", "say which the key belongs to, e.g. positions.samples"},
		{"experiments run --set samplez=3", "--set samplez=3: unknown key samplez, in each of the experiments to run"},
		{"experiments run baselines --set paper.training.model.heads=3 --set repetitions=4",
			"--set paper.training.model.heads=3: it must divide dim (64)"},
		{"experiments run baee-grid --set chunk=500 --set samples=3",
			"--set chunk=500 --set samples=3: contexts is 1024: it must be a whole number of chunks (chunk 500)"},
		{"experiments run cajq-qat --set experiment.options.targets=[\"ff\"]",
			"experiment.options.targets is [ff]: every variant has targets of its own: leave it out"},
		{"experiments run cajq-qat --set experiment.options.metadata=x",
			"--set experiment.options.metadata=x: it must be one of"},
		{"experiments run cajq-qat --set seeds=42,x", "--set seeds=42,x: x in the list: the value must be a whole number"},
		{"experiments run cajq-qat --set seeds=", "--set seeds=: seeds is []: give at least one value"},
		{"experiments run cajq-qat --set seeds=42 --set seeds=43",
			"--set seeds=43: the setting is given twice: give it once"},
		{"experiments run cajq-qat --set seeds=[42", "--set seeds=[42: the value is no TOML"},
		{"experiments run cajq-qat --set seeds=-1", "--set seeds=-1: seeds is -1: it must be at least 0"},
		{"experiments run cajq-qat --set samples=many", "--set samples=many: the value must be a whole number"},
		{"experiments run cajq-qat --set experiment=1",
			"--set experiment=1: the value must be a table, as TOML has it: in brackets"},
		{"experiments run cajq-qat --set experiment.finetune.lr=NaN",
			"--set experiment.finetune.lr=NaN: experiment.finetune.lr is NaN: it must be a finite number"},
		{"experiments run cajq-qat --set experiment.finetune.constant_lr=yes", "the value must be true or false"},
		{"experiments run baee-grid --set headline=1", "--set headline=1: the value must be true or false"},
		{"experiments run cajq-qat --set samples=0", "--set samples=0: it must be at least 1"},
		{"experiments run cajq-qat --set variants=fp16,cajk", `variants is "cajk": it must be one of fp16, `},
		{"experiments run cajq-qat --set contexts=64,64",
			"--set contexts=64,64: contexts is [64 64]: 64 is given twice, give each once"},
		{"experiments run energy --set seconds=0", "--set seconds=0: it must be above 0 and finite"},
		{"experiments run pretrain --set model.heads=5", "--set model.heads=5: it must divide dim (192)"},
		{"experiments run baee-grid --set policies=fofi", `--set policies=fofi: it must be one of `},
		{"experiments run baselines --set paper.training.sample_keys=1", "the experiment's own sample_keys counts"},
		{"experiments run pareto --set accuracy=energy", "it must be one of cajq-qat, cajq-ablation"},
		{"experiments run cajq-qat --set sample_keys=9", "--set sample_keys=9: it must be from 0 to 2"},
		{"experiments run --set seeds=42",
			"there are several experiments to run: say which the key belongs to, e.g. cajq-qat.seeds"},
		{"experiments run cajq-qat energy --set cajq.seeds=42",
			"cajq is no experiment (did you mean cajq-qat?): say which the key belongs to, e.g. cajq-qat.seeds"},
		{"experiments run energy --set cajq-qat.seeds=42",
			"--set cajq-qat.seeds=42: cajq-qat is not among the experiments to run: name it, too"},
		{"experiments list --set seeds=42", "unknown flag --set"},
		{"experiments run cajq-qat --config none.toml", "configuration none.toml: no such file"},
	} {
		refusal(t, exitUsage, c.line, c.want)
	}
	for text, want := range map[string]string{
		"\n[cajq-qta]\nseeds = [42]\n":   "mine.toml:2: unknown key cajq-qta (did you mean cajq-qat?)",
		"[cajq-qat]\nseedz = [42]\n":     "mine.toml:2: unknown key cajq-qat.seedz (did you mean cajq-qat.seeds?)",
		"[cajq-qat]\nseeds = 42\n":       "mine.toml:2: cajq-qat.seeds: the value is a whole number, but must be a list",
		"[energy]\n\nseconds = -1\n":     "mine.toml:3: energy.seconds is -1: it must be from 0 to 1e+09",
		"seeds = [42]\n":                 "mine.toml:1: unknown key seeds",
		"[[stage]]\ncontext = 64\n":      "mine.toml:1: unknown key stage; see",
		"[energy]\nseed = 1\nseed = 2\n": "mine.toml:3: key 'energy.seed' is given twice: leave one out",
		"[energy]\nseconds = 1\nSeconds=2": "mine.toml:3: keys energy.seconds (line 2) and energy.Seconds (line 3) differ " +
			"in case alone",
	} {
		refusal(t, exitUsage, file(text), want)
	}
	refusal(t, exitUsage, file("[cajq-qat]\nseeds = [42]\n")+" --set seeds=-2",
		"--set seeds=-2: seeds is -2: it must be at least 0")
	if got := present(t, "."); got != "mine.toml" {
		t.Errorf("left %s", got)
	}
}

// Flags win over the file, and the file over the profile; a setting that keeps its value makes no custom run; the plan
// says what runs with other settings, and what it needs runs with the profile's.
func TestCustomPlan(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("mine.toml", []byte("[cajq-qat]\nsamples = 6\nseeds = [7]\n\n[energy]\nseconds = 0.25\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _ := trained(t, "experiments settings cajq-qat --profile quick --config mine.toml --set seeds=8,9")
	if !regexp.MustCompile(`^# the result goes to ` +
		`runs/quick/custom/cajq-qat-[0-9a-f]{8}/cajq-qat.json\n\[cajq-qat\]\nseeds = \[8, 9\]\ncontexts = \[128, ` +
		`256\]\nsamples = 6\n`).MatchString(stdout) {
		t.Errorf("settings\n%s", stdout)
	}
	stdout,
		_ = trained(t, "experiments run cajq-qat --profile quick --dry-run --config mine.toml --set cajq-qat.seeds=8,9")
	if !regexp.MustCompile(`^experiment +time +result\npretrain +~1 min 15 s +missing\ncajq-qat-[0-9a-f]{8} +~40 s ` +
		`+after pretrain\n2 to run`).MatchString(stdout) {
		t.Errorf("the plan:\n%s", stdout)
	}
	if _, stderr := trained(t, "experiments run cajq-qat --profile quick --dry-run --config mine.toml"); stderr !=
		"mine.toml:5: energy is not among the experiments named: its settings are left out\n" {
		t.Errorf("of the table of another experiment it says %q", stderr)
	}
	stdout, _ = trained(t, "experiments run cajq-qat --profile quick --dry-run --set seeds=42,43 --set samples=12")
	if !strings.Contains(stdout, "\ncajq-qat  ") {
		t.Errorf("the profile's own settings make a custom run:\n%s", stdout)
	}
	stdout, _ = trained(t, "experiments run pareto cajq-qat --profile quick --dry-run --set cajq-qat.seeds=1")
	if n := len(regexp.MustCompile(`(?m)^cajq-qat(-[0-9a-f]{8})? `).FindAllString(stdout, -1)); n != 2 {
		t.Errorf("pareto needs cajq-qat with the profile's settings, too:\n%s", stdout)
	}
}

// A table of --set leaves what another --set gave of it.
func TestTablesOfSetAreJoined(t *testing.T) {
	t.Chdir(t.TempDir())
	stdout, _ := trained(t, "experiments settings cajq-qat --set experiment.finetune.lr=2e-3"+
		" --set experiment={finetune={steps=7}}")
	if !strings.Contains(stdout, "\nsteps = 7\n") || !strings.Contains(stdout, "\nlr = 0.002\n") {
		t.Errorf("settings\n%s", stdout)
	}
}

// A run with settings of its own leaves the profile's result alone, is listed and reported apart, and is up to date.
func TestCustomRun(t *testing.T) {
	t.Chdir(t.TempDir())
	const quick = " --profile quick --results res"
	if _,
		stderr := trained(t,
		"experiments run pretrain --set samples_per_stage=64 --set curriculum=64 --set epochs_per_stage=1 --set "+
			"eval_samples=8"+quick); !strings.Contains(stderr, "pretrain-") {
		t.Errorf("stderr %s", stderr)
	}
	found, err := filepath.Glob("res/custom/pretrain-????????/pretrain.json")
	if _, missing := os.Stat("res/pretrain"); err != nil || len(found) != 1 || missing == nil {
		t.Fatalf("%v %v, and the profile's: %v", found, err, missing)
	}
	stdout, _ := trained(t, "experiments list"+quick)
	if want := `(?m)^pretrain-[0-9a-f]{8}  up to date  curriculum=\[64\] epochs_per_stage=1 eval_samples=8 ` +
		`samples_per_stage=64$`; !regexp.MustCompile(want).MatchString(stdout) {
		t.Errorf("the list:\n%s", stdout)
	}
	stdout,
		_ = trained(t,
		"experiments run pretrain --set curriculum=[64] --set epochs_per_stage=1 --set eval_samples=8 --set "+
			"samples_per_stage=064"+quick)
	if !strings.HasPrefix(stdout, "all 1 results in res are up to date") {
		t.Errorf("again:\n%s", stdout)
	}
	id := filepath.Base(filepath.Dir(found[0]))
	trained(t, "experiments report"+quick)
	if page := read(t, "res/report.html") + read(t, "res/report.md"); strings.Contains(page, id) {
		t.Error("the report shows it")
	}
	trained(t, "experiments report --custom"+quick)
	for _, name := range []string{"res/report.html", "res/report.md"} {
		if page := read(t, name); !strings.Contains(page, id) || !strings.Contains(page, "Results of other settings") {
			t.Errorf("%s does not show it", name)
		}
	}
}

// Any --set is a value or a line of an error; what it gives, --config gives, too.
func FuzzSetting(f *testing.F) {
	for _, word := range []string{"seeds=42,43", "experiment.finetune.steps=20", "samples=", "=", "a.b.c=1",
		`variants=["a,b"]`, "experiment.options.schemes={ssm=\"x\"}",
		"experiment.options.schemes.ssm=x", "experiment.finetune.lr=1e400", "seeds=[[[[[[[[[[[[[[[[[[1", "sample_keys=1",
		"experiment={}"} {
		f.Add(word)
	}
	d := &lab.Driver{Profile: lab.Quick, Experiments: experiments.All()}
	e := d.Experiments[1]
	f.Fuzz(func(t *testing.T, word string) {
		ch := &changes{of: map[string]map[string]any{}}
		err := ch.set(word, d, []string{e.Name})
		if err == nil {
			_, err = d.Change(e, ch.of[e.Name])
		}
		if err != nil && (err.Error() == "" || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %q", word, err)
		}
		if err != nil {
			return
		}
		changed, err := d.Change(e, ch.of[e.Name])
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "c.toml")
		if err := os.WriteFile(path, []byte(settingsTOML(e.Name, changed.Settings(lab.Quick))), 0o600); err != nil {
			t.Fatal(err)
		}
		back := &changes{of: map[string]map[string]any{}}
		if err := back.read(path, d); err != nil {
			t.Fatalf("%q: %v", word, err)
		}
		again, err := d.Change(e, back.of[e.Name])
		if err != nil || again.ID() != changed.ID() {
			t.Errorf("%q: as a file it is %s (%v), not %s", word, again.ID(), err, changed.ID())
		}
	})
}

package experiments

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/report"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// Every experiment whose samples have a seed has a version of their keys, and no other settings say it.
func TestSettingsNameTheirKeysOnce(t *testing.T) {
	for _, e := range All() {
		for _, p := range lab.Profiles() {
			text, err := json.Marshal(e.Settings(p))
			if err != nil {
				t.Fatal(err)
			}
			draws := !slices.Contains([]string{"activation-memory", "energy", "sustained", "episodic-growth", "pareto",
				"pytorch"}, e.Name)
			now := fmt.Sprintf(`"sample_keys":%d`, tasks.CurrentKeys)
			if n := strings.Count(string(text), "sample_keys"); n != map[bool]int{true: 1}[draws] || draws &&
				!strings.Contains(string(text), now) {
				t.Errorf("%s: %d versions of keys in %s", e.Name, n, text)
			}
			old := json.RawMessage(strings.Replace(string(text), now, `"sample_keys":1`, 1))
			if draws && e.ProfileOf(old) != e.ProfileOf(e.Settings(p)) {
				t.Errorf("%s: with old keys its settings are no longer those of profile %s", e.Name, p)
			}
		}
	}
}

// The settings of a profile are such as the experiment takes, and changes that change nothing leave them.
func TestProfilesAreValid(t *testing.T) {
	for _, p := range lab.Profiles() {
		for _, e := range Of(p) {
			if same, err := (&lab.Driver{Profile: p, Experiments: Of(p)}).Change(e, nil); err != nil || same.ID() != e.Name {
				t.Errorf("%s, profile %s, unchanged is %s (%v)", e.Name, p, same.ID(), err)
			}
		}
	}
}

// The registered experiments make an order, have what the report and the plan need, and settings for all profiles.
func TestRegistry(t *testing.T) {
	all := All()
	for _, p := range lab.Profiles() {
		if _, err := (&lab.Driver{Profile: p, Root: t.TempDir(), Experiments: Of(p)}).Plan(); err != nil {
			t.Fatal(err)
		}
	}
	var rows []string
	for _, r := range report.SeedRows() {
		rows = append(rows, r.String())
	}
	for _, e := range all {
		if e.Title == "" || e.Source == "" || e.Says.Of(lab.Full) == "" || len(e.Views) == 0 {
			t.Errorf("%s lacks a title, source, views or what it says", e.Name)
		}
		main := lab.Full // of most; some are about the strong model alone
		if !e.In(main) {
			main = lab.Strong
		}
		if e.Estimate[main] <= 0 || e.Estimate[lab.Quick] <= 0 {
			t.Errorf("%s lacks an estimate", e.Name)
		}
		for _, row := range e.Covers {
			if !slices.Contains(rows, row) {
				t.Errorf("%s covers %q, which is no row of the README's lists", e.Name, row)
			}
		}
		if e.ProfileOf(e.Settings(main)) != string(main) {
			t.Errorf("%s: the settings of %s are not told", e.Name, main)
		}
	}
}

// What a weak base model blurs runs again on the strong one; hardware and what needs no base do not.
func TestStrong(t *testing.T) {
	strong := Of(lab.Strong)
	in := func(name string) bool {
		return slices.ContainsFunc(strong, func(e lab.Experiment) bool { return e.Name == name })
	}
	for _, name := range []string{"pretrain", "held-out", "cajq-qat", "cajq-ablation", "long-context", "needlebench",
		"ruler", "longbench", "baee-train", "baee-grid", "memory-pressure", "baselines", "scale-bridge-removal"} {
		if !in(name) {
			t.Errorf("%s is not part of it", name)
		}
	}
	for _, name := range []string{"energy", "sustained", "episodic-growth", "deployment", "scale-bridge-scratch"} {
		if in(name) {
			t.Errorf("%s is part of it", name)
		}
	}
}

// Where a profile's model or sizes are others, the words about them are, too: what is said of the strong model is not
// said of the reference one.
func TestTextsOfStrong(t *testing.T) {
	for _, e := range Of(lab.Strong) {
		if e.In(lab.Full) && e.Says[lab.Strong] == "" {
			t.Errorf("%s says of the strong model what it says of the reference one", e.Name)
		}
		text := e.Protocol.Of(lab.Strong) + " " + e.Says.Of(lab.Strong)
		for _, other := range []string{"The reference model was", "published figures", "The published comparison",
			"The published run", "The published answers", "published one", ", n 32", ": n 64"} {
			if strings.Contains(text, other) {
				t.Errorf("%s says of the strong model %q", e.Name, other)
			}
		}
	}
}

// Protocols are sentences, whatever a run adds to them.
func TestProtocolsAreSentences(t *testing.T) {
	for _, e := range All() {
		for _, p := range lab.Profiles() {
			path := filepath.Join(t.TempDir(), "result.json")
			f, err := lab.NewResultFile(e, string(p), e.Settings(p), nil, path, result.Environment{})
			if err == nil {
				err = f.Write(&lab.Outcome{Notes: []string{"Differences are paired.", "Sides: ours"}}, false)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := result.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{r.Protocol, e.Says.Of(p)} {
				for _, slip := range []string{"..", "  ", ". .", " ,", " ;"} {
					if strings.Contains(text, slip) {
						t.Errorf("%s, profile %s: %q in %q", e.Name, p, slip, text)
					}
				}
			}
		}
	}
}

// What is left out is of published files, with a reason.
func TestOmissions(t *testing.T) {
	for _, o := range report.Omissions() {
		if o.What == "" || o.Why == "" {
			t.Errorf("%+v", o)
		}
		for name := range strings.SplitSeq(o.File, ", ") {
			if _, err := os.Stat(filepath.Join("..", "results", "published", name)); err != nil {
				t.Error(err)
			}
		}
	}
}

// Every row of the lists of the public README has an experiment.
func TestEveryRowIsCovered(t *testing.T) {
	for _, r := range report.SeedRows() {
		if len(r.Answer(All())) == 0 {
			t.Errorf("no experiment covers %q", r)
		}
	}
}

// The driver plans the memory of the experiments whose settings say it.
func TestWhatIsPlanned(t *testing.T) {
	var planned []string
	for _, e := range All() {
		if e.Demands != nil {
			planned = append(planned, e.Name)
		}
	}
	for _, name := range []string{"baee-train", "baee-grid"} {
		if !slices.Contains(planned, name) {
			t.Errorf("%s is not planned by the driver", name)
		}
	}
}

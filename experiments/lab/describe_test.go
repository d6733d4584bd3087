package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"testing/fstest"
	"time"

	"github.com/synapnet/synapnet-train/experiments/result"
)

type describedSettings struct {
	Seeds   []uint64 `json:"seeds"`
	Samples int      `json:"samples"`
	Part    struct {
		LR    float64 `json:"lr"`
		Tasks []string
	} `json:"part"`
}

func describe(text string, base describedSettings) Experiment {
	files := fstest.MapFS{"mine.toml": {Data: []byte(text)}}
	return Describe(files, "mine", base, func(context.Context, *Job, describedSettings) (*Outcome, error) {
		return &Outcome{}, nil
	})
}

// A description has what an experiment is; full is what differs from the base, quick and strong what differs from full.
func TestDescribe(t *testing.T) {
	var base describedSettings
	base.Part.Tasks = []string{"a", "b"}
	e := describe(`
title = "Mine"
one_machine = true
protocol = "By counting"
says.full = "Of the paper's model"
says.strong = "Of the strong one"
profiles = ["full", "strong"]
estimate = { quick = "3s", full = "1h10m" }

[[views]]
title = "Accuracy"
rows = ["variant"]
figure = { kind = "line", x = "context", log_x = true }

[full]
seeds = [42, 43]
samples = 3
part.lr = 1e-3

[quick]
seeds = [7]

[strong]
samples = 1000
`, base)
	want := Experiment{Name: "mine", Folder: "mine", Title: "Mine", OneMachine: true, Version: 1,
		Profiles: []Profile{Full, Strong}, Protocol: Texts{Full: "By counting"},
		Says:     Texts{Full: "Of the paper's model", Strong: "Of the strong one"},
		Estimate: Durations{Quick: 3 * time.Second, Full: 70 * time.Minute},
		Views: []View{{Title: "Accuracy", Rows: []string{"variant"},
			Figure: &Figure{Kind: "line", X: "context", LogX: true}}}}
	got := e
	got.Run, got.settings, got.decode = nil, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	full := base
	full.Seeds, full.Samples, full.Part.LR = []uint64{42, 43}, 3, 1e-3
	quick, strong := full, full
	quick.Seeds, strong.Samples = []uint64{7}, 1000
	for p, want := range map[Profile]describedSettings{Full: full, Quick: quick, Strong: strong} {
		if got := e.Settings(p); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", p, got, want)
		}
	}
}

// A text is that of the profile, and where it has none that of full. Results say theirs, those of other settings that
// of the profile that is changed, with what a run adds behind it: each is a sentence.
func TestTexts(t *testing.T) {
	e := describe("profiles = [\"full\", \"quick\", \"strong\"]\nprotocol.full = \"Once.\"\nprotocol.strong = \"Twice\"",
		describedSettings{})
	d := &Driver{Profile: Strong, Experiments: []Experiment{e}}
	custom, err := d.Change(e, map[string]any{"samples": 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		e       Experiment
		profile string
		notes   []string
		want    string
	}{
		{e, "full", nil, "Once."},
		{e, "quick", []string{"Then"}, "Once. Then"},
		{e, "strong", []string{"Then.", "Again"}, "Twice. Then. Again"},
		{custom, Custom, nil, "Twice"},
	} {
		path := filepath.Join(t.TempDir(), "result.json")
		f, err := NewResultFile(c.e, c.profile, c.e.Settings(Full), nil, path, result.Environment{})
		if err == nil {
			err = f.Write(&Outcome{Notes: c.notes}, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r, err := result.Read(path); err != nil || r.Protocol != c.want {
			t.Errorf("%s: %q (%v), want %q", c.profile, r.Protocol, err, c.want)
		}
	}
}

// A description that has what nothing reads is a mistake of ours, told when the program starts.
func TestDescribeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"titel = 1":              "mine.toml: unknown key titel",
		"[full]\nsample = 1":     `mine.toml: json: unknown field "sample"`,
		"[quick]\nsamples = 1.5": "mine.toml: json: cannot unmarshal number 1.5",
		"[[views]]\nnote = 1":    "mine.toml: unknown key views.note",
		"profiles = [\"strog\"]": `mine.toml: profiles is "strog": it must be one of full, quick, strong; did you `,
		"says.strog = \"\"":      `mine.toml: toml: line 0 (last key "says"): profile is "strog": it must be one of`,
		"protocol.full = 1":      `mine.toml: toml: line 0 (last key "protocol"): a text of profile full is 1, which is no`,
		"[strong]\nsamples = 1":  "mine.toml: it has settings of profile strong, which it is not part of",
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); len(got) < len(want) || got[:len(want)] != want {
					t.Errorf("%q gave %q, want %q", text, got, want)
				}
			}()
			describe(text, describedSettings{})
		}()
	}
}

// Without settings of its own a profile has those of full; with bases of their own it has [full] put into its base.
func TestDescribeOn(t *testing.T) {
	files := fstest.MapFS{"mine.toml": {Data: []byte("profiles = [\"full\", \"quick\", \"strong\"]\n[full]\nsamples = 3")}}
	e := DescribeOn(files, "mine", func(p Profile) describedSettings {
		return describedSettings{Seeds: []uint64{uint64(len(p))}}
	}, func(context.Context, *Job, describedSettings) (*Outcome, error) { return &Outcome{}, nil })
	for _, p := range Profiles() {
		want := describedSettings{Seeds: []uint64{uint64(len(p))}, Samples: 3}
		if got := e.Settings(p); !reflect.DeepEqual(got, want) || !e.In(p) {
			t.Errorf("%s: %+v, want %+v", p, got, want)
		}
	}
}

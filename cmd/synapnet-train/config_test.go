package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// testConfig has the kinds of key a configuration has.
type testConfig struct {
	Dim        int     `toml:"dim"`
	LR         float64 `toml:"lr"`
	BatchSize  int     `toml:"batch-size"`
	Curriculum []int   `toml:"curriculum"`
	Hidden     int     `toml:"-"`
	Untagged   bool
	Model      testModel `toml:"model"`
	Seed       uint64    `toml:"seed"`
	Shifts     []int     `toml:"shifts"`
}

type testModel struct {
	Heads int      `toml:"heads"`
	Seeds []uint64 `toml:"seeds"`
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What the file sets is set; the defaults stay elsewhere.
func TestLoadConfig(t *testing.T) {
	got := testConfig{Dim: 256, LR: 5e-4, Model: testModel{Heads: 4}}
	err := loadConfig(written(t, "# a run\nlr = 1e-3\ncurriculum = [512, 1024]\nuntagged = true\n[model]\nheads = 8\n"),
		&got)
	want := testConfig{Dim: 256, LR: 1e-3, Curriculum: []int{512, 1024}, Untagged: true, Model: testModel{Heads: 8}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
}

// A negative number is refused only where the setting cannot hold it.
func TestLoadConfigTakesNegativeNumbers(t *testing.T) {
	var got testConfig
	err := loadConfig(written(t, "dim = -1\nseed = 0\nshifts = [3, -4]\n[model]\nseeds = [0, 42]\n"), &got)
	want := testConfig{Dim: -1, Shifts: []int{3, -4}, Model: testModel{Seeds: []uint64{0, 42}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
}

// Each mistake in a file is one line: file, line, key and the mend.
func TestLoadConfigErrors(t *testing.T) {
	cases := map[string]string{
		"\xff\xfed\x00":             ": it is text in UTF-16, by the mark that it begins with: save it as UTF-8",
		"dim = 1\nbatch_size = 4\n": ":2: unknown key batch_size (did you mean batch-size?)",
		"[model]\nhaeds = 4\n":      ":2: unknown key model.haeds (did you mean model.heads?)",
		"[modle]\nheads = 4\n":      ":1: unknown key modle (did you mean model?)",
		"model = { haeds = 4 }\n":   ":1: unknown key model.haeds (did you mean model.heads?)",
		"zzzzzz = 1\n":              ":1: unknown key zzzzzz",
		"Hidden = 1\n":              ":1: unknown key Hidden",
		"dim = 1\nlr = \n":          ":2: expected value but found '\\n' instead (last key lr)",
		"dim = 1\ndim = 2\n":        ":2: key 'dim' is given twice: leave one out",
		"dim = \"wide\"\n":          ":1: dim: the value is a string, but must be a whole number",
		"dim = 1\n[model]\nheads = 1.5\n": ":3: model.heads: the value is a number with a fraction, but must be a " +
			"whole number",
		"curriculum = [512, \"a\"]\n": ":1: curriculum: the value is a string, but must be a whole number",
		"dim = 99999999999999999999999\n": ":1: dim is 99999999999999999999999: the most a TOML file can hold " +
			"is 9223372036854775807",
		"dim = -99999999999999999999\n": ":1: dim is -99999999999999999999: the least a TOML file can hold " +
			"is -9223372036854775808",
		"[model]\nseeds = [1, 18446744073709551615]\n": ":2: model.seeds is 18446744073709551615: the most a TOML file can " +
			"hold is ",
		"curriculum = 512\n":            ":1: curriculum: the value is a whole number, but must be a list",
		"dim = 1\nseed = -3\n":          ":2: seed is -3: it must be at least 0",
		"[model]\nseeds = [-1]\n":       ":2: model.seeds is -1: it must be at least 0",
		"[model]\nseeds = [7, 0, -2]\n": ":2: model.seeds is -2: it must be at least 0",
	}
	for text, want := range cases {
		path := written(t, text)
		var into testConfig
		err := loadConfig(path, &into)
		if err == nil || !strings.HasPrefix(err.Error(), path+want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q:\n got %v\nwant %s", text, err, path+want)
		}
	}
}

func TestLoadConfigFromNowhere(t *testing.T) {
	err := loadConfig("absent/run.toml", &testConfig{})
	if err == nil || err.Error() != "configuration absent/run.toml: no such file or directory" ||
		!errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// Flags win over the file, but only those that were given.
func TestOverride(t *testing.T) {
	config := testConfig{Dim: 128, LR: 1e-3, Curriculum: []int{64}}
	app := testApp(new(bytes.Buffer), new(bytes.Buffer))
	app.Command("pretrain").Action = func(c *cli.Context) error {
		override(c, setting{"lr", "", &config.LR}, setting{"batch-size", "", &config.BatchSize},
			setting{"curriculum", "", &config.Curriculum})
		return nil
	}
	if code := runApp(t.Context(), app, strings.Fields("x pretrain -b 2 --curriculum 8 16")); code != exitOK {
		t.Fatal(code)
	}
	want := testConfig{Dim: 128, LR: 1e-3, BatchSize: 2, Curriculum: []int{8, 16}}
	if !reflect.DeepEqual(config, want) {
		t.Errorf("%+v, want %+v", config, want)
	}
}

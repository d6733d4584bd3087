package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/qat"
)

// everyKind has a setting that cannot be negative in each form in which a configuration may have one.
type everyKind struct {
	Seed     uint64              `toml:"seed"`
	Small    uint8               `toml:"small"`
	Optional *uint64             `toml:"optional"`
	Seeds    []uint64            `toml:"seeds"`
	Pair     [2]uint32           `toml:"pair"`
	Rows     [][]uint            `toml:"rows"`
	ByName   map[string]uint64   `toml:"by_name"`
	Lists    map[string][]uint64 `toml:"lists"`
	Inner    innerKind           `toml:"inner"`
	Pointer  *innerKind          `toml:"pointer"`
	Runs     []innerKind         `toml:"runs"`
	Tables   map[string]innerKind
	innerEmbedded
	LR      float64       `toml:"lr"`
	Wait    time.Duration `toml:"wait"`
	Dim     int16         `toml:"dim"`
	Note    string        `toml:"note"`
	When    time.Time     `toml:"when"`
	Free    any           `toml:"free"`
	Ignored int           `toml:"-"`
}

type innerKind struct {
	Seed uint64 `toml:"seed"`
	LR   float32
}

type innerEmbedded struct {
	Steps uint `toml:"steps"`
}

// A number below 0 is refused wherever a setting cannot hold it, with its line, and 0 is taken there.
func TestNegativeNumbersOfUnsignedSettings(t *testing.T) {
	cases := map[string]string{ // % is the number
		"\nseed = %":                                  ":2: seed",
		"small = %":                                   ":1: small",
		"optional = %":                                ":1: optional",
		"seeds = [1,\n 2,\n %]":                       ":3: seeds",
		"pair = [7, %]":                               ":1: pair",
		"rows = [[1], [2,\n%]]":                       ":2: rows",
		"by_name = { a = 1, b = % }":                  ":1: by_name.b",
		"[by_name]\na = 1\n\"b c\" = %":               ":3: by_name.\"b c\"",
		"[lists]\na = [0, %]":                         ":2: lists.a",
		"inner.seed = %":                              ":1: inner.seed",
		"inner = { lr = 1, seed = % }":                ":1: inner.seed",
		"[inner]\n\"seed\" = %":                       ":2: inner.seed",
		"[pointer]\n# seed = -1\n'seed' = %":          ":3: pointer.seed",
		"[[runs]]\nseed = 1\n[[runs]]\nseed = %":      ":4: runs.seed",
		"runs = [\n{seed = 1},\n{seed = %}]":          ":3: runs.seed",
		"[tables.x]\nseed = %":                        ":2: tables.x.seed",
		"note = \"\"\"\nseed = -1\n\"\"\"\nsteps = %": ":4: steps",
	}
	for text, want := range cases {
		path := written(t, strings.Replace(text, "%", "0", 1))
		if err := loadConfig(path, &everyKind{}); err != nil {
			t.Errorf("%q with 0: %v", text, err)
		}
		path = written(t, strings.Replace(text, "%", "-1", 1))
		err := loadConfig(path, &everyKind{})
		if err == nil || err.Error() != path+want+" is -1: it must be at least 0" {
			t.Errorf("%q with -1:\n got %v\nwant %s", text, err, path+want)
		}
	}
}

// Keys that differ in case alone are refused with both and their lines, and a key in another case with the right one.
func TestKeysByCase(t *testing.T) {
	cases := map[string]string{
		"lr = 1\nLR = 2": `:2: keys lr (line 1) and LR (line 2) ` +
			`differ in case alone: the setting is lr, leave the other out`,
		"LR = 1\n\nlr = 2": `:1: keys lr (line 3) and LR (line 1) ` +
			`differ in case alone: the setting is lr, leave the other out`,
		"seed = 1\nSEED = -1":                        `:2: keys seed (line 1) and SEED (line 2) differ`,
		"inner = { seed = 1, Seed = 2 }":             `:1: keys inner.seed (line 1) and inner.Seed (line 1) differ`,
		"[inner]\nseed = 1\n'sEED' = 2":              `:3: keys inner.seed (line 2) and inner.sEED (line 3) differ`,
		"inner.seed = 1\nInner.seed = 2":             `:2: keys inner (line 1) and Inner (line 2) differ`,
		"[inner]\nseed = 1\n[INNER]\nseed = 2":       `:3: keys inner (line 1) and INNER (line 3) differ`,
		"[[runs]]\nseed=1\n[[runs]]\nseed=1\nSEED=2": `:5: keys runs.seed (line 4) and runs.SEED (line 5) differ`,
		"\"\\u0053eed\" = 1\nseed = 2":               `:1: keys seed (line 2) and Seed (line 1) differ`,
		"Lr = 1\nLR = 2": `:1: keys LR (line 2) and Lr (line 1) ` +
			`differ in case alone: leave both out`,
		"\n\nSEED = 3":      `:3: unknown key SEED (did you mean seed?)`,
		"[Inner]\nseed = 3": `:1: unknown key Inner (did you mean inner?)`,
	}
	for text, want := range cases {
		path := written(t, text)
		for range 8 { // the library's choice was another each time
			err := loadConfig(path, &everyKind{})
			if err == nil || !strings.HasPrefix(err.Error(), path+want) {
				t.Errorf("%q:\n got %v\nwant %s", text, err, path+want)
				break
			}
		}
	}
	// Keys of a map are the user's own.
	var got everyKind
	if err := loadConfig(written(t, "[by_name]\na = 1\nA = 2"), &got); err != nil ||
		!reflect.DeepEqual(got.ByName, map[string]uint64{"a": 1, "A": 2}) {
		t.Errorf("%v %v", got.ByName, err)
	}
}

// No two settings of a configuration that a command takes could be meant by one key.
func TestSettingsDifferByMoreThanCase(t *testing.T) {
	for _, conf := range []any{curriculum.Config{}, qat.ThreePhaseConfig{}, cajq.Config{}, everyKind{}} {
		seen := map[string]bool{}
		for _, key := range configKeys(reflect.TypeOf(conf), "") {
			if seen[strings.ToLower(key)] {
				t.Errorf("%T: %s: two settings", conf, key)
			}
			seen[strings.ToLower(key)] = true
		}
		if len(seen) < 10 {
			t.Errorf("%T has settings %v", conf, seen)
		}
	}
}

// Of several mistakes the first in the file is told, each time.
func TestTheFirstMistakeIsTold(t *testing.T) {
	text := "note = \"x\"\nlr = \"a\"\nseed = -1\nnobody = 1\nsmall = 300\ndim = 40000\n[inner]\nseed = 1.5\n"
	wants := []string{
		":2: lr: the value is a string, but must be a number",
		":3: seed is -1: it must be at least 0",
		":4: unknown key nobody",
		":5: small is 300: it must be at most 255",
		":6: dim is 40000: it must be from -32768 to 32767",
		":8: inner.seed: the value is a number with a fraction, but must be a whole number",
	}
	for _, want := range wants {
		path := written(t, text)
		for range 8 {
			if err := loadConfig(path, &everyKind{}); err == nil || err.Error() != path+want {
				t.Fatalf("got %v, want %s", err, want)
			}
		}
		line := want[1] - '1'
		lines := strings.Split(text, "\n")
		lines[line] = ""
		text = strings.Join(lines, "\n")
	}
	if err := loadConfig(written(t, text), &everyKind{}); err != nil {
		t.Error(err)
	}
}

// A file made to take long or much is refused at once, with one line, and so is what is no file.
func TestHostileConfigurations(t *testing.T) {
	var tables, keys strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&tables, "[t%d]\n", i)
		fmt.Fprintf(&keys, "k%d=1\n", i)
	}
	cases := map[string]string{
		tables.String():            ":1: unknown key t0",
		"lr = 1\n" + keys.String(): ":2: unknown key k0",
		"by-name = [\n" + strings.Repeat("{a=[]},\n", 7_000) + "]":       ":1:",
		"a = " + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000): ":1: more than 16 brackets within each other",
		"a = " + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000): ":1: arrays and inline tables are nested more " +
			"than the maximum",
		"note = \"[[[\" # [[[\na = " + strings.Repeat("{a=", 20_000): ":2: arrays and inline tables are nested more",
		"note = \"[[[\"\na = " + strings.Repeat("{a=", 5_000):        ":2: expected value, not end of input",
		"note = \"[[[\"\na = " + strings.Repeat("{a=", 500):          ":2: ",
		"a" + strings.Repeat(".a", 20_000) + ".":                     ":1: expected key but reached end of input",
		"a" + strings.Repeat(".a", 20_000) +
			" = 1": ":1: a key of more than 16 names",
		"[a" + strings.Repeat(" . 'a'", 9_000) +
			"]": ":1: a key of more than 16 names",
		"lr = 1\n[[" + strings.Repeat("k", 30_000) +
			"]]\n": ":2: a key of 30000 letters: at most 256; shorten it",
		"'" + strings.Repeat("k", 30_000) +
			"' = 1\n": ":1: a key of 30002 letters",
		strings.Repeat("x", maxConfigBytes+1):      "larger than 64 KB",
		"#" + strings.Repeat("\n", maxConfigBytes): "larger than 64 KB",
		"inner = { a = [{ a = [{ a = [{ a = [{ a = [{ a = [{ a = [{ a = [{ a = [1]}]}]}]}]}]}]}]}]}": ":1: more than 16 " +
			"brackets",
	}
	for text, want := range cases {
		path := written(t, text)
		begin := time.Now()
		err := loadConfig(path, &everyKind{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) ||
			len(err.Error()) > 500 {
			t.Errorf("%.40q: got %.300v, want %s", text, err, want)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%.40q: %v", text, took)
		}
	}
	if err := loadConfig(os.DevNull, &everyKind{}); err == nil ||
		!strings.Contains(err.Error(), "it is a device, not a file") {
		t.Error(err)
	}
	if err := loadConfig(t.TempDir(), &everyKind{}); err == nil || !strings.Contains(err.Error(), "configuration ") {
		t.Error(err)
	}
	// Just within the bounds all is read.
	text := "# " + strings.Repeat("x", maxConfigBytes-20) + "\nlr = 2\n"
	var got everyKind
	if err := loadConfig(written(t, text), &got); err != nil || got.LR != 2 {
		t.Error(got.LR, err)
	}
	if err := loadConfig(written(t, "free = "+strings.Repeat("[", 16)+strings.Repeat("]", 16)), &got); err != nil {
		t.Error(err)
	}
}

// FuzzConfig: no text makes the loader panic or take long; the same text gives the same settings or the same
// error; an error is short and names the file; and the keys that placer finds are those that the TOML library
// finds.
func FuzzConfig(f *testing.F) {
	for _, name := range []string{"pretrain", "small", "demo", "cajq-qat", "cajq-3phase"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "configs", name+".toml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, text := range []string{
		"dim = 1\n[inner]\nhaeds = 2", "[[runs]]\n\"a b\".c = {x=1}", "lr = 1\nLR = 2", "seed = -1\nSEED = 1\n",
		"[[runs]]\nseed = 1\n[[runs]]\nseed = 2\n[runs.x]\ny = 1", "runs = [{seed = 1,}, {lr = 2, 'seed' = 3}, # x\n]\r\n",
		"note = \"\"\"\na = 1\\\"\"\"\"\"\nsteps = 1", "note = '''\n[x]\n'''''\nsteps = 1",
		"\"\\u0053\\x41\\e\" = 0x10\nwhen = 1979-05-27 07:32:00Z",
		"a = [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1", "\xef\xbb\xbflr = 1 # \xff",
		"wait = \"1s\"\nfree = { a = { b = [] } }",
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "run.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxConfigBytes {
			return
		}
		begin := time.Now()
		first := ""
		for i := range 3 {
			var into everyKind
			err := decodeConfig(path, text, &into)
			if err != nil && (!strings.HasPrefix(err.Error(), path) || len(err.Error()) > 10*maxConfigBytes) {
				t.Fatalf("error %.300q", err)
			}
			result := fmt.Sprintf("%v", err)
			if err == nil {
				result = asText(t, into)
			}
			if i > 0 && result != first {
				t.Fatalf("%s\nand then\n%s", first, result)
			}
			first = result
		}
		if took := time.Since(begin); took > 20*time.Second { // of a machine with much else to do
			t.Fatal(took)
		}
		sameKeys(t, text)
	})
}

// asText is a configuration with what its pointers point at.
func asText(t *testing.T, c everyKind) string {
	t.Helper()
	text, err := json.Marshal(struct {
		Plain any
		Steps uint
	}{c.Inner, c.Steps})
	if err != nil { // NaN and infinities
		text = nil
	}
	return fmt.Sprintf("%s %+v %v %v", text, c.Runs, c.Seeds,
		[]any{c.LR, c.Wait, c.Dim, c.Note, c.Free, c.Rows, c.ByName, c.Lists, c.Tables, c.Pair, c.Small, c.Seed})
}

// sameKeys compares the keys of a text that is TOML, as placer and as the library find them.
func sameKeys(t *testing.T, text string) {
	t.Helper()
	places, _, err := placesOf(text)
	if err != nil {
		return
	}
	var values map[string]any
	if _, err := toml.Decode(text, &values); err != nil {
		return
	}
	lines := 1 + strings.Count(text, "\n")
	var compare func(v any, at *place, path string)
	compare = func(v any, at *place, path string) {
		if at.line < 1 || at.line > lines {
			t.Fatalf("%s: line %d of %d", path, at.line, lines)
		}
		if table, is := v.(map[string]any); is {
			for key, value := range table {
				if at.keys[key] == nil {
					t.Fatalf("no place of key %q of %q in %q", key, path, text)
				}
				compare(value, at.keys[key], path+"."+key)
			}
			for key := range at.keys {
				if _, is := table[key]; !is {
					t.Fatalf("%q holds no key %q, which has a place, in %q", path, key, text)
				}
			}
			return
		}
		if all := reflect.ValueOf(v); all.Kind() == reflect.Slice {
			if all.Len() != len(at.items) {
				t.Fatalf("%q: %d elements, %d places in %q", path, all.Len(), len(at.items), text)
			}
			for i := range all.Len() {
				compare(all.Index(i).Interface(), at.items[i], path+"[]")
			}
		}
	}
	compare(values, places, "")
}

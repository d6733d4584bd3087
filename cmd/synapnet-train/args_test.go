package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// The words urfave/cli gets.
func TestNormalise(t *testing.T) {
	cases := map[string]string{
		"":                               "",
		"--help":                         "--help",
		"-- conform a":                   "conform a",
		"help pretrain":                  "help pretrain",
		"help --json pretrain --bogus x": "help pretrain",
		"conform a b":                    "conform a b",
		"conform -- a --b":               "conform -- a --b",
		"conform a --json":               "conform --json a",
		"conform -1":                     "conform -- -1",
		"pretrain --curriculum 512 1024 --seeds 42 43 44 --variants a b": "pretrain --curriculum 512 --curriculum 1024 " +
			"--seeds 42 --seeds 43 --seeds 44 --variants a --variants b",
		"pretrain --curriculum 512 1024 -- positional": "pretrain --curriculum 512 --curriculum 1024 -- positional",
		"pretrain --curriculum=512,1024 positional":    "pretrain --curriculum=512,1024 -- positional",
		"pretrain -c 512 1024 --lr 1e-3":               "pretrain -c 512 -c 1024 --lr 1e-3",
		"pretrain --seeds -1 -2 --lr -3":               "pretrain --seeds -1 --seeds -2 --lr -3",
		"conform one --only x -- two":                  "conform --only x -- one two",
	}
	for line, want := range cases {
		app := testApp(new(bytes.Buffer), new(bytes.Buffer))
		app.Setup()
		got, err := normalise(app, append([]string{program}, strings.Fields(line)...))
		if err != nil || !slices.Equal(got[1:], strings.Fields(want)) {
			t.Errorf("%s:\n got %v %v\nwant [%s]", line, got, err, want)
		}
	}
}

// FuzzNormalise: no command line makes it panic; what it accepts, it leaves
// alone the second time; what it refuses is a usage error; no word is lost.
func FuzzNormalise(f *testing.F) {
	for _, line := range []string{
		"", "pretrain --curriculum 512 1024 -- x", "conform a --json --only x y", "pretrain -c=1,2 -b -3",
		"--help", "-- conform -- --", "conform - --only - -1 --=", "help conform", "pretrain ---x", "conform -5x --json",
	} {
		f.Add(strings.ReplaceAll(line, " ", "\x00"))
	}
	app := testApp(new(bytes.Buffer), new(bytes.Buffer))
	app.Setup()
	f.Fuzz(func(t *testing.T, joined string) {
		words := append([]string{program}, strings.Split(joined, "\x00")...)
		once, err := normalise(app, words)
		if err != nil {
			if _, ok := errors.AsType[*usageError](err); !ok {
				t.Errorf("%q: %v is not a usage error", words, err)
			}
			return
		}
		twice, err := normalise(app, once)
		if err != nil || !slices.Equal(once, twice) {
			t.Errorf("%q\nonce  %q\ntwice %q %v", words, once, twice, err)
		}
		asksForHelp := func(word string) bool { return slices.Contains([]string{"-h", "--h", "-help", "--help"}, word) }
		if slices.ContainsFunc(words, asksForHelp) || slices.Contains(words, "help") || slices.Contains(words, "h") {
			return // words besides the topic are dropped
		}
		for _, word := range words {
			if strings.HasPrefix(word, "-h=") || strings.Contains(word, "-help=") {
				return
			}
			number := strings.ContainsAny(word, "0123456789") // 00 becomes 0
			if word != "--" && !number && !slices.Contains(once, word) {
				t.Errorf("%q: %q is lost in %q", words, word, once)
			}
		}
	})
}

package main

import (
	"os"
	"strings"
	"testing"
)

// Runs are drawn, over figures that were drawn before, and over nothing else.
func TestPlot(t *testing.T) {
	t.Chdir(t.TempDir())
	trained(t, "pretrain --curriculum 32 "+tiny+" --output-dir a")
	trained(t, "pretrain --curriculum 32 "+tiny+" --seed 2 --output-dir b")
	for line, want := range map[string]string{
		"plot a":                      "plot.svg: 3 panels of 1 run\n",
		"plot a b":                    "plot.svg: 7 panels of 2 runs\n",
		"plot --output c.PNG b":       "c.PNG: 3 panels of 1 run\n",
		"plot b a --output both.html": "both.html: 7 panels of 2 runs\n",
	} {
		for range 2 {
			if code, stdout, stderr := synapnet(t.Context(), t, line); code != exitOK || stdout != want || stderr != "" {
				t.Errorf("%s: %d %s%s", line, code, stdout, stderr)
			}
		}
	}
	if err := os.WriteFile("notes.html", []byte("<p>mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"plot":                       "no runs given: name the folders of trainings",
		"plot a --output a.pdf":      "--output a.pdf: its name must end with one of .svg, .png, .html",
		"plot a --output notes.html": "--output notes.html: it exists and is no figure of a training",
	} {
		refusal(t, exitUsage, line, want)
	}
	refusal(t, exitFailure, "plot nowhere", "nowhere: ")
	refusal(t, exitFailure, "plot a/model.safetensors",
		"cannot read the history of a/model.safetensors: line 1 is not valid JSON")
	if text := read(t, "notes.html"); !strings.HasPrefix(text, "<p>mine") {
		t.Errorf("notes.html is now %s", text)
	}
}

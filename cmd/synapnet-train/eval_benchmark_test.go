package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers"
)

// walks is n rows of BABILong's qa1 from number `from` on, as its files have them, in sentences of our own.
func walks(t *testing.T, path string, from, n int) {
	t.Helper()
	places := []string{"bathroom", "garden", "office"}
	var text strings.Builder
	for i := from; i < from+n; i++ {
		line, err := json.Marshal(map[string]string{"input": fmt.Sprintf("Ada was in the %s. Rain %d fell. Ada is now in "+
			"the %s.", places[i/3%3], i, places[i%3]), "question": "Where is Ada?", "target": places[i%3]})
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(line, '\n'))
	}
	write(t, path, text.String())
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// walker is a model that was trained on text of the user's own in BABILong's form.
func walker(t *testing.T) string {
	t.Helper()
	walks(t, "train.jsonl", 0, 120)
	trained(t, "pretrain --data train.jsonl --tokenizer words --output-dir run"+smallRun)
	return "run/model.safetensors"
}

// A benchmark's files are scored one by one, a folder as a file, in a table as in JSON; what a classifier cannot answer
// is skipped and counted.
func TestEvalBenchmark(t *testing.T) {
	t.Chdir(t.TempDir())
	model := walker(t)
	walks(t, "babilong/qa1/0k.json", 200, 30)
	walks(t, "babilong/qa11/0k.json", 300, 9)
	write(t, "babilong/qa6/0k.json", `{"input":"i","question":"q","target":"yes"}`+"\n")
	r := decode[benchmarkEvaluation](t, "eval", model, "--benchmark", "babilong=babilong", "--json")
	if r.Benchmark != "babilong" || len(r.Results) != 2 || r.Parameters == 0 || len(r.Skipped) != 1 {
		t.Fatalf("%+v", r)
	}
	if x := r.Results[0]; x.Dataset != "qa1_0k" || x.File != "babilong/qa1/0k.json" || x.N != 30 || x.Accuracy == nil ||
		math.Abs(x.Score-100*x.Accuracy.Mean) > 1e-9 || x.Context < 12 || x.Cut+x.Outside != 0 {
		t.Errorf("%+v", x)
	}
	if s := r.Skipped[0]; s.Dataset != "qa6_0k" || !strings.Contains(s.Reason, "none of its 1 answers is among the 3") {
		t.Errorf("%+v", s)
	}
	out := success(t, "eval", model, "--benchmark", "babilong=babilong")
	for _, want := range []string{"BABILong (Kuratov et al. 2024)", "read of a sample: input, a blank, question; longer " +
		"samples: refused", "95% interval", "qa1_0k", "skipped: 1 of 3 files\n  babilong/qa6/0k.json (qa6_0k): none of"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not print %q:\n%s", want, out)
		}
	}
	same := decode[ownEvaluation](t, "eval", model, "--data", "babilong/qa1/0k.json", "--json")
	if same.Accuracy != *r.Results[0].Accuracy {
		t.Errorf("--data gives %+v, the benchmark %+v", same.Accuracy, r.Results[0].Accuracy)
	}
}

// LongBench is cut in the middle, to what the model learnt, without a flag, and says how often; answers outside of the
// labels count as wrong.
func TestEvalLongBench(t *testing.T) {
	t.Chdir(t.TempDir())
	model := walker(t)
	var text strings.Builder
	for i, answer := range []string{"garden", "office", "attic"} {
		_, _ = fmt.Fprintf(&text, `{"input":"Where?","context":"%s","answers":["%s"],"length":9,"dataset":"trec",`+
			`"language":"en","all_classes":["attic","garden","office"],"_id":"%d"}`+"\n", strings.Repeat("rain ", 20*i+5),
			answer, i)
	}
	write(t, "trec.jsonl", text.String())
	r := decode[benchmarkEvaluation](t, "eval", model, "--benchmark", "longbench=trec.jsonl", "--json")
	if x := r.Results[0]; x.N != 3 || x.Cut != 2 || x.Outside != 1 || x.Context != 21 || r.LongSamples != "middle" ||
		x.Accuracy.Correct > 2 {
		t.Errorf("%+v", x)
	}
	out := success(t, "eval", model, "--benchmark", "longbench=trec.jsonl", "--contexts", "16")
	for _, want := range []string{"cut in the middle", "classification_score",
		"outside: 1 of 3 samples have an answer that is not among the model's labels; they count as wrong"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not print %q:\n%s", want, out)
		}
	}
}

// Bad input is told in a line, with the mend.
func TestEvalBenchmarkRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HF_HUB_CACHE", "cache")
	model := walker(t)
	tasks := smallModelFile(t, func(*layers.Config) {})
	walks(t, "qa1.json", 200, 3)
	free := `{"input":"i","context":"c","answers":["a"],"length":1,"dataset":"qmsum","all_classes":null}` + "\n"
	write(t, "free.jsonl", free)
	write(t, "several/a.jsonl", free)
	write(t, "several/b.jsonl", free)
	write(t, "broken/qa1.json", "{\"input\": 3}\n")
	for line, want := range map[string]string{
		model + " --benchmark longbnech": "--benchmark longbnech: no such benchmark (did you mean longbench?); there are " +
			"babilong, longbench, longbench-v2, ruler",
		model + " --benchmark babilong=":                     "give its file or folder",
		model + " --benchmark babilong=qa1.json --samples 3": "--samples does not go with --benchmark",
		model + " --benchmark babilong=qa1.json --contexts 8": "--benchmark babilong: qa1.json line 1: qa1: it has 21 " +
			"tokens, more than the 8 of the context: --long-samples left, right or middle cuts there",
		model + " --benchmark babilong=qa1.json --contexts 64":       "--contexts 64: must be from",
		model + " --benchmark babilong=qa1.json --contexts 16 32":    "benchmarks are evaluated at one",
		model + " --benchmark babilong=qa1.json --long-samples lfet": "--long-samples lfet: it must be left, right",
		tasks + " --benchmark babilong=qa1.json":                     "has no tokeniser: a benchmark is text; train a",
		model + " --benchmark longbench=free.jsonl":                  "qmsum: its answers are free-form (rouge_score): it",
		model + " --benchmark longbench=several":                     "none of 2 files can be scored with this model",
		model + " --benchmark babilong=qa1.json more":                "unexpected argument more",
	} {
		refusal(t, exitUsage, "eval "+line, want)
	}
	for line, want := range map[string]string{
		"babilong": "is not in Hugging Face's cache, cache, and nothing is downloaded from here: fetch it with: hf " +
			"download RMT-team/babilong --repo-type dataset",
		"ruler":                "RULER (Hsieh et al. 2024) is not a download: make its files with",
		"babilong=absent.json": "cannot read absent.json: no such file or directory; give a file of",
		"babilong=cmd":         "cannot read cmd: no such file or directory",
		"babilong=broken":      "broken/qa1.json line 1: input has a value of another kind, number",
	} {
		refusal(t, exitFailure, "eval "+model+" --benchmark "+line, want)
	}
}

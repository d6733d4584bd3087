package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
	"github.com/synapnet/synapnet-train/qat"
)

const (
	longer = " --curriculum 24 --samples-per-stage 32 --epochs-per-stage 1 --batch-size 8 --eval-samples 32 " +
		"--warmup-steps 2"
	fromBase = "pretrain --init-from base/model.safetensors" + longer
)

// A run begins from a model, whose configuration is its own, and says from which in its result. What contradicts the
// model is refused, with both values.
func TestPretrainInitFrom(t *testing.T) {
	t.Chdir(t.TempDir())
	trained(t, "pretrain --curriculum 32 "+tiny+" --output-dir base")
	_, told := trained(t, fromBase+" --dim 16 --output-dir more")
	sum, err := files.HashFile("base/model.safetensors")
	if err != nil || !strings.Contains(told, "from base/model.safetensors, SHA-256 "+sum[:12]+"…\n") {
		t.Errorf("%v %s", err, told)
	}
	c := pretrainResult(t, "more/pretrain.json").Config
	if c.InitFrom != "base/model.safetensors" || c.InitSHA256 != sum || c.Model.Dim != 16 || c.Model.MaxLen != 64 {
		t.Errorf("%+v", c)
	}
	// The same in a file, with the hash; and not from a checkpoint with other weights.
	text := "init_from = \"base/model.safetensors\"\ninit_sha256 = \"" + sum + "\"\ncurriculum = [24]\n[model]\ndim = 16\n"
	for name, content := range map[string]string{
		"run.toml": text, "other.toml": strings.Replace(text, "dim = 16", "dim = 24", 1),
		"sum.toml": strings.Replace(text, sum, "00ff", 1), "alone.toml": "init_sha256 = \"00ff\"\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trained(t, "pretrain --config run.toml --output-dir file"+strings.Replace(longer, "--curriculum 24", "", 1))
	if read(t, "file/model.safetensors") != read(t, "more/model.safetensors") {
		t.Error("a file and flags give different models")
	}
	for flags, want := range map[string]string{
		"--init-from base/model.safetensors --dim 24 --depth 2": "--init-from base/model.safetensors: the model has dim " +
			"16, not 24; depth 1, not 2 as the settings say: leave those out, or name another model",
		"--init-from base/model.safetensors --max-len 128": "max_len 64, not 128 as the settings say: leave those out, or " +
			"name another model; --extend-max-len gives it more positions",
		"--init-from base/model.safetensors --architecture llama": "architecture synapnet, not llama as",
		"--init-from base/model.safetensors --extend-max-len 64": "--extend-max-len 64: the model has 64 positions: it " +
			"must be more, or be left out",
		"--init-from base/model.safetensors --extend-max-len 128 --extend-by mirror": `--extend-by mirror: it must be one of`,
		"--init-from base/model.safetensors --extend-by fresh": "--extend-by fresh: it says how --extend-max-len makes " +
			"positions: give that, too",
		"--extend-max-len 10000": "--extend-max-len 10000: it lengthens the model of --init-from: name that, too",
		"--config other.toml": "other.toml:1: init_from is \"base/model.safetensors\": the model has dim 16, not 24 as " +
			"the settings say",
		"--config alone.toml": "alone.toml:1: init_sha256 is \"00ff\": it is that of init_from: name that, too",
	} {
		refusal(t, exitUsage, "pretrain --output-dir new "+flags, want)
	}
	refusal(t, exitUsage, "pretrain --output-dir new --config sum.toml", "init_sha256 is \"00ff\": that of "+
		"base/model.safetensors is "+sum+": name the file that is meant, or leave the hash out")
	refusal(t, exitFailure, "pretrain --init-from absent.safetensors", "absent.safetensors: no such file or directory")
	success(t, "export", "base/model.safetensors")
	refusal(t, exitFailure, "pretrain --init-from base/model.packed.safetensors",
		"--init-from: base/model.packed.safetensors: the model is packed: it runs, but can be neither trained nor changed; "+
			"give the checkpoint that it was exported from\n")
	if got := present(t, "."); strings.Contains(got, "new") {
		t.Errorf("refused runs leave %s", got)
	}
}

// A run from a model, interrupted, goes on without the model's file to the bytes of one that was not. It may be told
// again what it began with.
func TestPretrainInitFromResumes(t *testing.T) {
	t.Chdir(t.TempDir())
	trained(t, "pretrain --curriculum 32 "+tiny+" --output-dir base")
	if err := os.WriteFile("run.toml", []byte("init_from = \"base/model.safetensors\"\n"+
		"extend_max_len = 100\nextend_by = \"fresh\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	line := "pretrain --config run.toml" + strings.Replace(longer, "24", "80", 1)
	_, told := trained(t, line+" --output-dir whole")
	if !strings.Contains(told, ", with 100 positions (fresh)\n") {
		t.Error(told)
	}
	stopped(t, line+" --output-dir cut", "step 2/")
	if err := os.RemoveAll("base"); err != nil {
		t.Fatal(err)
	}
	refusal(t, exitUsage, "pretrain --resume --output-dir cut --init-from x", "--init-from is x, but the run began with "+
		"base/model.safetensors")
	trained(t, strings.Replace(line, "pretrain", "pretrain --resume --init-from base/model.safetensors", 1)+
		" --output-dir cut")
	if read(t, "cut/model.safetensors") != read(t, "whole/model.safetensors") {
		t.Error("an interrupted run ends in another model")
	}
	if m, err := layers.ReadConfig("cut/model.safetensors"); err != nil || m.MaxLen != 100 {
		t.Errorf("%+v %v", m, err)
	}
}

// A model with quantisers is trained through them: its steps move, and what is left is a model with quantisers, which
// the next commands take.
func TestPretrainInitFromQuantised(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("run.toml", []byte(tinyThreePhase), 0o600); err != nil {
		t.Fatal(err)
	}
	success(t, "cajq-3phase", "--config", "run.toml", "--output-dir", "base")
	_, told := trained(t, fromBase+" --output-dir more")
	if !strings.Contains(told, "…, through its quantisers\n") {
		t.Error(told)
	}
	before, err := trainedSteps("base/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	after, err := trainedSteps("more/model.safetensors")
	if err != nil || after == before {
		t.Errorf("the steps of the quantisers do not move: %v", err)
	}
	stopped(t, fromBase+" --output-dir cut", "step 2/")
	trained(t, "pretrain --resume --output-dir cut")
	if read(t, "cut/model.safetensors") != read(t, "more/model.safetensors") {
		t.Error("an interrupted run ends in another model")
	}
	success(t, "eval", "more/model.safetensors", "--contexts", "24", "--samples", "8")
	success(t, "export", "more/model.safetensors")
	refusal(t, exitUsage, fromBase+" --extend-max-len 100 --output-dir new", "--extend-max-len 100: the model of "+
		"--init-from has quantisers: extend the one in floating point that it was made of")
	// A checkpoint of a training is a model, too.
	stopped(t, "pretrain --curriculum 32 "+tiny+" --output-dir half", "step 2/")
	trained(t, strings.Replace(fromBase, "base/model", "half/checkpoint", 1)+" --output-dir other")
}

// A model of own data goes on with its tokeniser and its labels, and with data that have no others.
func TestPretrainInitFromOwnData(t *testing.T) {
	t.Chdir(t.TempDir())
	visits(t, "first.jsonl", 0, 120)
	visits(t, "more.jsonl", 300, 120)
	trained(t, "pretrain --data first.jsonl --tokenizer words --eval-share 0.2 --output-dir base"+smallRun)
	text := strings.ReplaceAll(read(t, "more.jsonl"), `"hall"`, `"garden"`) // two of the three labels
	unknown := strings.ReplaceAll(read(t, "more.jsonl"), `"label":"hall"`, `"label":"cellar"`)
	for name, content := range map[string]string{"two.jsonl": text, "cellar.jsonl": unknown} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	from := "pretrain --init-from base/model.safetensors --eval-share 0.2 --epochs-per-stage 1 --warmup-steps 2 "
	line := from + "--data two.jsonl --batch-size 16"
	trained(t, line+" --output-dir whole")
	was, err := layers.ReadExtra("base/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	now, err := layers.ReadExtra("whole/model.safetensors")
	if err != nil || now["labels"] != was["labels"] || now["tokenizer"] != was["tokenizer"] {
		t.Errorf("%v\n%v %v", now, was, err)
	}
	// The store of the samples is made again, with the labels that the model had.
	stopped(t, line+" --output-dir cut", "step 2/")
	for _, gone := range []string{"base/model.safetensors", filepath.Join("cut", "data.work")} {
		if err := os.Rename(gone, strings.ReplaceAll(gone, "/", "-")); err != nil {
			t.Fatal(err)
		}
	}
	trained(t, "pretrain --resume --output-dir cut")
	if read(t, "cut/model.safetensors") != read(t, "whole/model.safetensors") {
		t.Error("an interrupted run ends in another model")
	}
	if err := os.Rename("base-model.safetensors", "base/model.safetensors"); err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[string]string{
		"--data cellar.jsonl": "the label cellar is unknown: those known are garden, hall, office",
		"--data more.jsonl --tokenizer bytes": "--tokenizer bytes: the model of --init-from has a tokeniser of its own, " +
			"which is another: leave it out",
		"--data more.jsonl --num-classes 4": "the model has num_classes 3, not 4 as the settings say",
	} {
		code, _, told := synapnet(t.Context(), t, from+"--output-dir new "+flags)
		if code == exitOK || !strings.Contains(told, want) {
			t.Errorf("%s: %d %s\nwant …%s", flags, code, told, want)
		}
	}
	refusal(t, exitUsage, fromBase+" --output-dir new", "--init-from base/model.safetensors: the model learnt from data "+
		"of its own, whose ids and classes the tasks do not have: give --data, too, or name another model")
	if got := present(t, "."); strings.Contains(got, "new") {
		t.Errorf("refused runs leave %s", got)
	}
}

// trainedSteps are the log step sizes of the quantisers in a file.
func trainedSteps(path string) (string, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return "", err
	}
	q, err := qat.FromFile(f)
	if err != nil {
		return "", err
	}
	var all []string
	for _, p := range q.StepParams() {
		all = append(all, fmt.Sprint(p.Data()))
	}
	return strings.Join(all, "; "), nil
}

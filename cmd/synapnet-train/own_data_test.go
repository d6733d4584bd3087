package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers"
)

// visits writes n samples of text with a label of three words.
func visits(t *testing.T, name string, from, n int) {
	t.Helper()
	var text strings.Builder
	for i := from; i < from+n; i++ {
		place := []string{"garden", "hall", "office"}[i%3]
		_, _ = fmt.Fprintf(&text, `{"text":"visit %d was in the %s","label":"%s"}`+"\n", i, place, place)
	}
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

const smallRun = " --dim 16 --depth 1 --heads 2 --max-len 32 --episodic-slots 2 --batch-size 16 --epochs-per-stage 1 " +
	"--warmup-steps 2 --eval-samples 20 "

// A run on data takes vocabulary, classes, samples and context from them, says so, and leaves the model with its
// tokeniser and labels, and no store.
func TestPretrainOnData(t *testing.T) {
	t.Chdir(t.TempDir())
	visits(t, "train.jsonl", 0, 120)
	_, told := trained(t, "pretrain --data train.jsonl --tokenizer words --eval-share 0.2 --output-dir run"+smallRun)
	for _, want := range []string{"counting the words of the data: ", "reading data: ", "3 labels", "up to 6 tokens",
		"ctx 8 "} {
		if !strings.Contains(told, want) {
			t.Errorf("nothing says %q:\n%s", want, told)
		}
	}
	m, err := layers.Load("run/model.safetensors")
	if err != nil || m.Config.NumClasses != 3 || !strings.Contains(m.Extra["labels"], "office") ||
		!strings.Contains(m.Extra["tokenizer"], "garden") {
		t.Errorf("%+v %v", m, err)
	}
	visits(t, "held.jsonl", 200, 30)
	out, _ := trained(t, "eval run/model.safetensors --data held.jsonl")
	for _, want := range []string{"30 samples at 8 tokens", "expected calibration error 0.", "office", "as hall"} {
		if !strings.Contains(out, want) {
			t.Errorf("eval --data does not print %q:\n%s", want, out)
		}
	}
	if got := present(t, "run"); strings.Contains(got, "data") || !strings.Contains(got, "model.safetensors") {
		t.Errorf("the run leaves %s", got)
	}
}

// Evaluation data are files of their own; those that training has, too, are refused, and no folder stays.
func TestPretrainOnDataRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	visits(t, "train.jsonl", 0, 60)
	visits(t, "eval.jsonl", 60, 20)
	visits(t, "shared.jsonl", 50, 20)
	trained(t, "pretrain --data train.jsonl --eval-data eval.jsonl --tokenizer bytes --output-dir run"+smallRun)
	if err := os.WriteFile("dots.jsonl", []byte(`{"text":" ","label":"a"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	before := present(t, ".")
	for flags, want := range map[string]string{
		"--data absent.jsonl": "cannot read absent.jsonl: no such file or directory; give a file of samples",
		"--data .":            "cannot read .: it is a folder, not a file",
		"--data train.jsonl":  "train.jsonl line 1: ",
		"--data train.jsonl --tokenizer words --eval-data shared.jsonl": "shared.jsonl",
		"--data train.jsonl --tokenizer absent.json": "absent.json: no such file or directory; a " +
			"tokeniser is bytes, words",
		"--data train.jsonl --tokenizer bytes --curriculum 16":     "have more than the 16 tokens of the context",
		"--data train.jsonl --tokenizer bytes --long-samples rigt": `--long-samples rigt: it must be one of`,
		"--data train.jsonl --tokenizer words --eval-share 1.5":    "--eval-share 1.5: it must be at least 0 and below 1",
		"--data train.jsonl --tokenizer words --num-classes 2": "--num-classes 2: train.jsonl line 3: the label " +
			"office is one more than the 2 classes",
		"--data train.jsonl --tokenizer bytes --vocab 20":    "vocabulary",
		"--data train.jsonl ./train.jsonl --tokenizer words": "train.jsonl and ./train.jsonl are the same file",
		"--data dots.jsonl --tokenizer words":                "dots.jsonl: the data have no words",
		"--data train.jsonl --tokenizer words --eval-share 0.2 --samples-per-stage 10000": "--samples-per-stage " +
			"10000: the data have",
		"--tokenizer bytes": "--tokenizer says how --data are read: give --data FILE, too",
		"--tasks niah_single": "--tasks niah_single: it must be NAME=SHARE, e.g. " +
			"niah_single=0.4",
		"--curriculum 24 --tasks niah_singel=1":                      `did you mean "niah_single"?`,
		"--data train.jsonl --tokenizer words --tasks niah_single=1": "a run learns from tasks or from data",
	} {
		code, out, told := synapnet(t.Context(), t, "pretrain --output-dir new"+smallRun+flags)
		if code == 0 || !strings.Contains(told, want) || out != "" || strings.Count(told, "\n") > 4 {
			t.Errorf("%s: status %d\n got %s\nwant …%s", flags, code, told, want)
		}
	}
	for _, flag := range []string{"--tokenizer", "--init-from", "--eval-data"} { // of a shell's variable that is not set
		code, _, told := synapnet(t.Context(), t, "pretrain --data train.jsonl --output-dir new "+smallRun, flag, "")
		if code != exitUsage || !strings.Contains(told, flag+` "": it is empty: give a value, or leave the flag out`) {
			t.Errorf("%d %s", code, told)
		}
	}
	if got := present(t, "."); got != before {
		t.Errorf("refused runs leave %s, before them there was %s", got, before)
	}
}

// A flag that says which samples are held out takes the place of what the file says.
func TestFlagsOfHeldOutSamplesWin(t *testing.T) {
	t.Chdir(t.TempDir())
	visits(t, "train.jsonl", 0, 60)
	visits(t, "eval.jsonl", 60, 20)
	for file, flag := range map[string]string{
		"eval_share = 0.5": "--eval-data eval.jsonl", `eval = ["eval.jsonl"]`: "--eval-share 0.5",
	} {
		text := "[data]\ntrain = [\"train.jsonl\"]\ntokenizer = \"words\"\n" + file + "\n"
		if err := os.WriteFile("run.toml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, told := trained(t, "pretrain --config run.toml --output-dir run "+flag+smallRun)
		if held := strings.Contains(told, "20 held-out"); held != strings.HasPrefix(flag, "--eval-data") {
			t.Errorf("%s over %s: %s", flag, file, told)
		}
		if err := os.RemoveAll("run"); err != nil {
			t.Fatal(err)
		}
	}
}

// A run on stages and tasks of the user's own.
func TestPretrainInStages(t *testing.T) {
	t.Chdir(t.TempDir())
	text := "[model]\ndim = 16\ndepth = 1\nheads = 2\nvocab_size = 64\nmax_len = 64\nnum_classes = 16\nepisodic_slots " +
		"= 2\n\n" +
		"[[stage]]\ncontext = 24\nsamples = 32\nepochs = 1\n\n" +
		"[[stage]]\ncontext = 32\ntokens = 1024\nfresh = true\nbatch_size = 8\n"
	if err := os.WriteFile("run.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, told := trained(t, "pretrain --config run.toml --tasks niah_single=0.5 fa=0.5 --eval-samples 16 --warmup-steps 2 "+
		"--output-dir run")
	if strings.Count(told, "evaluation ") != 3 || !strings.Contains(told, "fa 0.") || strings.Contains(told, "variable") {
		t.Errorf("%s", told)
	}
	chunks := strings.NewReplacer("max_len = 64", "max_len = 16", "context = 24", "context = 24\nchunks = 2",
		"context = 32", "context = 32\nchunks = 4").Replace(text)
	if err := os.WriteFile("chunks.toml", []byte("classifier = true\n"+chunks), 0o600); err != nil {
		t.Fatal(err)
	}
	trained(t, "pretrain --config chunks.toml --eval-samples 16 --warmup-steps 2 --output-dir chunks")
	trained(t, "stream chunks/model.safetensors --classifier chunks/classifier.safetensors --policy baee --chunk-size 16 "+
		"--random-tokens 64")
	refusal(t, exitUsage, "pretrain --config chunks.toml --chunks 2 --output-dir new",
		"--chunks 2: every [[stage]] of chunks.toml has its own: change it there")
	own := strings.Replace(text, "epochs = 1\n", "epochs = 1\n[[stage.mixture]]\ntask = \"fa\"\nshare = 1.0\n", 1)
	both := strings.Replace(text, "tokens = 1024\n", "tokens = 1024\nsamples = 8\n", 1)
	for name, text := range map[string]string{"own.toml": own, "both.toml": both} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refusal(t, exitUsage, "pretrain --config own.toml --tasks fa=1 --output-dir new",
		"there are [[stage.mixture]] in own.toml")
	refusal(t, exitUsage, "pretrain --config both.toml --output-dir new",
		"both.toml:17: stage.2.tokens is 1024: it stands in place of samples, which are 8: leave one of them out")
	refusal(t, exitUsage, "pretrain --config run.toml --curriculum 24", "stage is 2: there is a curriculum, too, [24]")
}

// A run on data goes on from any folder, by the configuration that it began with, and while its store is whole without
// the files that it was made of.
func TestPretrainOnDataGoesOnFromAnyFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	visits(t, "train.jsonl", 0, 120)
	if err := os.WriteFile("run.toml", []byte("[data]\ntrain = [\"train.jsonl\"]\ntokenizer = \"words\"\n"+
		"eval_share = 0.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const line = "pretrain --config run.toml --output-dir "
	trained(t, line+"whole"+smallRun)
	stopped(t, line+"parts"+smallRun+" --checkpoint-every 1", "step 1/")
	trained(t, "pretrain --resume --output-dir parts --config run.toml"+smallRun) // the same settings
	stopped(t, line+"moved"+smallRun+" --checkpoint-every 1", "step 1/")
	if err := os.Rename("train.jsonl", "away.jsonl"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	trained(t, "pretrain --resume --output-dir "+filepath.Join(dir, "moved"))
	for _, run := range []string{"parts", "moved"} {
		if read(t, filepath.Join(dir, run, "model.safetensors")) != read(t, filepath.Join(dir, "whole/model.safetensors")) {
			t.Errorf("%s ends in other weights", run)
		}
	}
}

// Shares that do not add up to 1 are told with what they make of a stage.
func TestSharesThatAreNotAllAreTold(t *testing.T) {
	conf := curriculum.Default()
	conf.SamplesPerStage, conf.Mixture = 1000, []tasks.Weight{{Task: "niah_single", Share: 0.5}, {Task: "fa", Share: 0.25}}
	if got := sharesLine(conf); got != "the shares of the tasks add up to 0.75: each is that part of the 1,000 samples "+
		"of stage 1, which has 750" {
		t.Error(got)
	}
	conf.Mixture[1].Share = 0.5
	if got := sharesLine(conf) + sharesLine(curriculum.Default()); got != "" {
		t.Error(got)
	}
}

// A run that is told to stop while its data are read says so in one line, with the command that begins it again, and
// leaves nothing; an empty folder of the user's stays.
func TestPretrainStoppedWhileDataAreRead(t *testing.T) {
	t.Chdir(t.TempDir())
	visits(t, "train.jsonl", 0, 60)
	if err := os.Mkdir("mine", 0o700); err != nil {
		t.Fatal(err)
	}
	before := present(t, ".")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, dir := range []string{"new", "mine"} {
		line := "pretrain --data train.jsonl --tokenizer words --output-dir " + dir
		code, stdout, stderr := synapnet(ctx, t, line+smallRun)
		if code == exitOK || stdout != "" || !strings.Contains(stderr,
			"interrupted while the data were read; run it again with: ") ||
			!strings.Contains(stderr, "--data train.jsonl") {
			t.Errorf("%d %s%s", code, stdout, stderr)
		}
		if got := present(t, "."); got != before {
			t.Errorf("it leaves %s of %s", got, before)
		}
	}
	if got := present(t, "mine"); got != "" {
		t.Errorf("the user's folder holds %s", got)
	}
}

// A model of own data is evaluated and exported at the context that it learnt at, calibrated and trained on own
// samples; what works on the program's tasks refuses it.
func TestModelsOfOwnDataComeOut(t *testing.T) {
	t.Chdir(t.TempDir())
	visits(t, "train.jsonl", 0, 120)
	visits(t, "held.jsonl", 200, 30)
	trained(t, "pretrain --data train.jsonl --eval-data held.jsonl --tokenizer words --curriculum 20 --output-dir run"+
		smallRun)
	const model = "run/model.safetensors"
	out, _ := trained(t, "eval "+model+" --data held.jsonl")
	if !strings.Contains(out, "30 samples at 20 tokens") {
		t.Errorf("eval does not read at the context of the training: %s", out)
	}
	out, told := trained(t, "export "+model+
		" --data train.jsonl --group-size 16 --qat-steps 3 --qat-batch 8 --output packed.safetensors")
	if !strings.Contains(told, "calibrating on 32 samples of 20 tokens of --data") ||
		!strings.Contains(out, "packed weights") {
		t.Errorf("%s%s", out, told)
	}
	trained(t, "export "+model+" --data train.jsonl --group-size 16 --output untrained.safetensors")
	if read(t, "packed.safetensors") == read(t, "untrained.safetensors") {
		t.Error("--qat-steps changes nothing")
	}
	if out, _ = trained(t, "eval packed.safetensors --data held.jsonl"); !strings.Contains(out,
		"30 samples at 20 tokens") {
		t.Errorf("the packed model has lost its labels, tokeniser or context: %s", out)
	}
	for line, want := range map[string]string{
		"export " + model + " --output new":                                 "give --data FILE, to calibrate attention",
		"export " + model + " --output new --targets ssm --qat-steps 2":     "give --data FILE, to calibrate attention",
		"export " + model + " --output new --data held.jsonl --qat-lr 1e-3": "--qat-lr 0.001: it goes with --qat-steps N",
		"export " + model + " --output new --data held.jsonl --targets ssm": "--data: nothing is calibrated or trained",
		"export " + model + " --output new --data absent.jsonl":             "cannot read absent.jsonl",
		"baee-train --checkpoint " + model + " --output-dir new":            "baee-train works on the tasks",
		"eval " + model: "give --data FILE or --benchmark NAME, or name --tasks all the same",
		"eval " + model + " --tasks niah_single --long-samples left":            "give --data FILE or --benchmark NAME, too",
		"eval " + model + " --data held.jsonl --contexts 8 --long-samples rigt": "rigt",
	} {
		code, out, told := synapnet(t.Context(), t, line)
		if code == exitOK || !strings.Contains(told, want) || strings.Contains(out, "accuracy") {
			t.Errorf("%s: status %d\n got %s\nwant …%s", line, code, told, want)
		}
	}
}

// Samples that are longer than the context are cut where the model's run cut them, by eval and export too: elsewhere
// their answer may be gone. A share that the run held out is evaluated by itself, and not trained on.
func TestSamplesAreReadAsTheModelLearntThem(t *testing.T) {
	t.Chdir(t.TempDir())
	var text strings.Builder
	for i := range 200 { // the answer is the first word
		_, _ = fmt.Fprintf(&text, `{"text":"%s","label":"%d"}`+"\n", strings.TrimSpace(fmt.Sprint(
			[]string{"yes", "no"}[i%2], strings.Repeat(fmt.Sprintf(" w%d", i%50), 9), " ", i)), i%2)
	}
	write(t, "train.jsonl", text.String())
	_, told := trained(t, "pretrain --data train.jsonl --eval-share 0.2 --tokenizer words --curriculum 8 --long-samples "+
		"right --lr 1e-2 --epochs-per-stage 8 --output-dir run"+strings.Replace(smallRun, "--epochs-per-stage 1", "", 1))
	for _, want := range []string{"eval run/model.safetensors --data ", "train.jsonl --held-out", "export run/model"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q is suggested: %s", want, told)
		}
	}
	held := decode[ownEvaluation](t, strings.Fields("eval run/model.safetensors --data train.jsonl --held-out --json")...)
	all := decode[ownEvaluation](t, strings.Fields("eval run/model.safetensors --data train.jsonl --json")...)
	if n := held.Accuracy.N; all.Accuracy.N != 200 || n < 15 || n > 70 || held.Accuracy.Mean != 1 || held.Cut != int64(n) {
		t.Errorf("%+v of %+v", held.Accuracy, all.Accuracy)
	}
	_, told = trained(t, "export run/model.safetensors --data train.jsonl --group-size 16 --qat-steps 20 --qat-batch 16 "+
		"--output packed.safetensors")
	learnt := fmt.Sprintf("%d of the %[1]d samples of --data are longer than 8 tokens", 200-held.Accuracy.N)
	if !strings.Contains(told, learnt) || !strings.Contains(told,
		"eval packed.safetensors --data train.jsonl --held-out") {
		t.Errorf("no %q: %s", learnt, told)
	}
	packed := decode[ownEvaluation](t, strings.Fields("eval packed.safetensors --data train.jsonl --held-out --json")...)
	if packed.Accuracy.Mean < 0.9 {
		t.Errorf("packed it answers %+v", packed.Accuracy)
	}
	refusal(t, exitUsage, "eval run/model.safetensors --held-out", "--held-out says which of --data are evaluated")
	write(t, "held.jsonl", `{"text":"yes yes","label":"0"}`+"\n"+`{"text":"no no","label":"1"}`+"\n")
	trained(t, "pretrain --data train.jsonl --eval-data held.jsonl --tokenizer words --output-dir files"+smallRun)
	refusal(t, exitUsage, "eval files/model.safetensors --data train.jsonl --held-out", "held nothing out of its --data")
}

// A stage that is to end by accuracy says how it ended, and what is left is counted from there.
func TestStagesSayHowTheyEnd(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "run.toml", smallTable+"\n[[stage]]\ncontext = 24\nsamples = 32\nepochs = 3\nuntil = \"overall > 0.0\"\n\n"+
		"[[stage]]\ncontext = 32\nsamples = 32\nepochs = 1\nuntil = \"overall > 0.99\"\n")
	_, told := trained(t, "pretrain --config run.toml --eval-samples 60 --batch-size 8 --warmup-steps 2 --output-dir run")
	for _, want := range []string{
		"stage 1 ends: overall > 0.0\n", "step 10/10  stage 2/2 ctx 32",
		"warning: stage 2 ends after its 1 epoch without overall > 0.99\n",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
}

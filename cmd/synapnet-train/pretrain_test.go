package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments/cajq"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/pretrain"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/host"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/qat"
)

// tiny are the flags of a run that takes a fraction of a second: 5 steps an epoch.
const tiny = "--dim 16 --depth 1 --heads 2 --vocab 48 --max-len 64 --num-classes 16 --episodic-slots 4 " +
	"--samples-per-stage 32 --epochs-per-stage 1 --batch-size 8 --eval-samples 32 --warmup-steps 2 --lr 1e-3"

// synapnet runs a command line of the program itself.
func synapnet(ctx context.Context, t *testing.T, line string, more ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, append(append([]string{program}, strings.Fields(line)...), more...), &out, &errs)
	return code, out.String(), errs.String()
}

// trained runs a command line that must succeed.
func trained(t *testing.T, line string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := synapnet(t.Context(), t, line)
	if code != exitOK {
		t.Fatalf("%s: %d %s", line, code, stderr)
	}
	return stdout, stderr
}

// refusal checks the status and that stderr is one line that holds every one of the given texts.
func refusal(t *testing.T, want int, line string, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // should it not be refused but run
	defer cancel()
	code, stdout, stderr := synapnet(ctx, t, line)
	if code != want || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, program+": ") {
		t.Errorf("%s:\n got %d %s%s\nwant status %d and one line", line, code, stdout, stderr, want)
	}
	for _, text := range texts {
		if !strings.Contains(stderr, text) {
			t.Errorf("%s:\n got %s\nwant …%s", line, stderr, text)
		}
	}
}

func present(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A run trains through its stages, says so line by line, and leaves weights, result and curves.
func TestPretrain(t *testing.T) {
	t.Chdir(t.TempDir())
	stdout, stderr := trained(t, "pretrain --curriculum 32 64 "+tiny)
	for i, form := range []string{
		`^SIMD \S+, .+, \S+, go1\.\S+; \d+ threads?$`,
		`^5216 parameters, 10 steps, seed 42, runs/pretrain$`,
		`^step 1/10  stage 1/2 ctx 32  loss \d\.\d{4}  acc \d\.\d{3}  \d+ tok/s  left \S+$`,
		`^step 2/10  stage 1/2 ctx 32  loss `, `^step 3/10 `, `^step 4/10 `, `^step 5/10  stage 1/2 ctx 32 `,
		`^evaluation  stage 1 epoch 1 ctx 32  overall 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]  ` +
			`fa .*  niah_multi_key .*  niah_single .*  variable_track `,
		`^step 6/10  stage 2/2 ctx 64  loss `, `^step 7/10 `, `^step 8/10 `, `^step 9/10 `, `^step 10/10 .* left 0s$`,
		`^evaluation  stage 2 epoch 1 ctx 64  overall `,
	} {
		lines := strings.Split(stderr, "\n")
		if i == 1 {
			form = strings.Replace(form, "5216", fmt.Sprint(tinyModel().Parameters()), 1)
		}
		if i >= len(lines) || !regexp.MustCompile(form).MatchString(lines[i]) {
			t.Errorf("line %d of\n%s\nwant %s", i+1, stderr, form)
			break
		}
	}
	end := regexp.MustCompile(`^evaluation  stage 2 .*\nwall time \S+, peak memory \d+ MB; ` +
		`weights, result and curves are in runs/pretrain\n$`)
	if !end.MatchString(stdout) {
		t.Errorf("stdout: %s", stdout)
	}
	if got := present(t, "runs/pretrain"); got != "curves.png curves.svg metrics.jsonl metrics.tfevents "+
		"model.safetensors pretrain.json" {
		t.Errorf("the run leaves %s", got)
	}
	if png, svg := read(t, "runs/pretrain/curves.png"),
		read(t, "runs/pretrain/curves.svg"); !strings.HasPrefix(png, "\x89PNG") || !strings.Contains(svg, "</svg>") {
		t.Error("the curves are no PNG and SVG")
	}
	m, err := layers.Load("runs/pretrain/model.safetensors")
	if err != nil || !m.Config.Equal(tinyModel()) {
		t.Errorf("%+v %v", m, err)
	}
	r := pretrainResult(t, "runs/pretrain/pretrain.json")
	if r.Experiment != "pretrain" || r.Parameters != tinyModel().Parameters() || len(r.History.Steps) != 10 ||
		len(r.History.Evaluations) != 2 ||
		r.Config.Seed != 42 || r.Cost.WallSeconds <= 0 || r.Environment.Go != runtime.Version() ||
		r.Model != "model.safetensors" {
		t.Errorf("the result: %+v", r)
	}
}

// pretrainResult reads the details of a finished run.
func pretrainResult(t *testing.T, path string) pretrain.Result {
	t.Helper()
	file, err := result.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var r pretrain.Result
	if err := json.Unmarshal(file.Details, &r); err != nil {
		t.Fatal(err)
	}
	if !file.Complete || file.Profile != lab.Custom || file.Seeds[0] != r.Config.Seed || file.Cost != r.Cost {
		t.Errorf("%s: %+v", path, file)
	}
	return r
}

func tinyModel() layers.Config {
	c := layers.Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicSlots = 16, 1, 2, 48, 64, 16, 4
	return c
}

// No run overwrites another: without --output-dir it takes the next free name, with one it is refused.
func TestPretrainKeepsEarlierRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	line := "pretrain --curriculum 32 " + tiny
	trained(t, line)
	first := read(t, "runs/pretrain/model.safetensors")
	if _, stderr := trained(t, line+" --seed 43"); !strings.Contains(stderr, "seed 43, runs/pretrain-2\n") {
		t.Errorf("the second run: %s", stderr)
	}
	if _, stderr := trained(t, line); !strings.Contains(stderr, "runs/pretrain-3\n") ||
		read(t, "runs/pretrain-3/model.safetensors") != first {
		t.Errorf("the third run, with the first one's settings, ends in other weights: %s", stderr)
	}
	if read(t, "runs/pretrain-2/model.safetensors") == first {
		t.Error("another seed ends in the same weights")
	}
	refusal(t, exitFailure, line+" --output-dir runs/pretrain",
		"output directory runs/pretrain already holds a finished run (model.safetensors): give another --output-dir")
	if read(t, "runs/pretrain/model.safetensors") != first {
		t.Error("the refused run changed the first one's weights")
	}
	refusal(t, exitFailure, "pretrain --resume",
		"--resume: no unfinished run in runs/pretrain*; name its directory with --output-dir")
	refusal(t, exitFailure, "pretrain --resume --output-dir runs/pretrain",
		"the run in runs/pretrain has ended: its weights are in model.safetensors")
	refusal(t, exitFailure, "pretrain --resume --output-dir nowhere",
		"there is no checkpoint nowhere/checkpoint.safetensors to resume: leave out --resume to begin a run, or give the "+
			"--output-dir of one")
}

// stopAt cancels a run when its progress shows a text.
type stopAt struct {
	bytes.Buffer
	text   string
	cancel func()
}

func (s *stopAt) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if strings.Contains(s.String(), s.text) {
		s.cancel()
	}
	return n, err
}

// stopped begins a run and interrupts it, as Ctrl-C does, when its progress shows a text.
func stopped(t *testing.T, line, text string) (stderr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &stopAt{text: text, cancel: cancel}
	var out bytes.Buffer
	if code := run(ctx, append([]string{program}, strings.Fields(line)...), &out, s); code != exitInterrupted ||
		out.Len() > 0 {
		t.Fatalf("%s: %d %s%s", line, code, out.String(), s.String())
	}
	return s.String()
}

// Ctrl-C saves, says how to go on, and going on ends in the same weights.
func TestPretrainResumes(t *testing.T) {
	t.Chdir(t.TempDir())
	line := "pretrain --curriculum 32 64 " + tiny
	trained(t, line+" --output-dir whole")
	stderr := stopped(t, line, "step 7/10")
	if !strings.HasSuffix(stderr, "\nsynapnet-train: interrupted at step 7; everything up to it is in "+
		"runs/pretrain/checkpoint.safetensors; continue with: synapnet-train pretrain --resume "+
		"--output-dir runs/pretrain\n") {
		t.Errorf("%s", stderr)
	}
	if got := present(t, "runs/pretrain"); got != "checkpoint.safetensors cost.json metrics.jsonl metrics.tfevents" {
		t.Errorf("the interrupted run leaves %s", got)
	}
	refusal(t, exitFailure, line+" --output-dir runs/pretrain", "already holds a run (checkpoint.safetensors)")
	if _, stdout, _ := synapnet(t.Context(), t, "runs . --json"); !strings.Contains(stdout, `"unfinished"`) ||
		!strings.Contains(stdout, `"finished"`) {
		t.Errorf("runs: %s", stdout)
	}
	if code, stdout, stderr := synapnet(t.Context(), t, "runs"); code != exitOK || stderr != "" ||
		!regexp.MustCompile(`(?m)^runs/pretrain  unfinished  7/10   0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]$`).MatchString(stdout) {
		t.Errorf("runs: %d %s%s", code, stdout, stderr)
	}
	refusal(t, exitFailure, "runs whole/model.safetensors", "cannot list whole/model.safetensors: it is no folder")
	other := flock.New("runs/pretrain/.run.lock")
	if held, err := other.TryLock(); !held || err != nil {
		t.Fatal(held, err)
	}
	if code, _, stderr := synapnet(t.Context(), t, "pretrain --resume"); code != exitFailure ||
		!strings.HasSuffix(stderr, "\nsynapnet-train: another process is training in runs/pretrain: wait for it, stop it, "+
			"or give another --output-dir\n") {
		t.Errorf("%d %s", code, stderr)
	}
	if err := other.Unlock(); err != nil {
		t.Fatal(err)
	}
	_, stderr = trained(t, "pretrain --resume") // finds it
	if strings.Contains(stderr, "step 7/10") || !strings.Contains(stderr, "step 8/10") {
		t.Errorf("resumed elsewhere than at step 8: %s", stderr)
	}
	if read(t, "runs/pretrain/model.safetensors") != read(t, "whole/model.safetensors") {
		t.Error("the resumed run ends in other weights")
	}
	if read(t, "runs/pretrain/metrics.jsonl") != read(t, "whole/metrics.jsonl") {
		t.Error("the resumed run has another metrics.jsonl")
	}
	whole, parts := pretrainResult(t, "whole/pretrain.json"), pretrainResult(t, "runs/pretrain/pretrain.json")
	if fmt.Sprint(whole.History) != fmt.Sprint(parts.History) || fmt.Sprint(whole.Config) != fmt.Sprint(parts.Config) {
		t.Error("the resumed run has another history")
	}
}

// A run goes on with the settings it began with: repeating them is right, changing one is refused by name.
func TestResumeWithSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	line := "pretrain --curriculum 32 " + tiny + " --output-dir a"
	stopped(t, line, "step 1/5")
	for flag, text := range map[string]string{
		"--lr 0.5":            "--lr 0.5: the run has 0.001 and did not stop because it diverged: leave it out to resume",
		"--dim 32":            "--dim is 32, but the run began with 16",
		"--heads 5":           "--heads is 5, but the run began with 2",
		"--curriculum 32 64":  "--curriculum is [32 64], but the run began with [32]",
		"--seed 7":            "--seed is 7, but the run began with 42",
		"--chunks 2":          "--chunks is 2, but the run began with 0",
		"--config other.toml": "--config other.toml differs from the settings the run began with: leave it out to resume",
	} {
		if err := os.WriteFile("other.toml", []byte("lr = 0.002\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		refusal(t, exitUsage, "pretrain --resume --output-dir a "+flag, text)
	}
	trained(t, "pretrain --resume --output-dir a --dim 16 --lr 1e-3 --curriculum 32 --checkpoint-every 1")
	stopped(t, strings.Replace(line, "-dir a", "-dir b", 1), "step 2/5")
	trained(t, strings.Replace(line, "-dir a", "-dir b", 1)+" --resume")
}

// killable, if set, makes the test binary the program: it runs the command line and is killed.
const killable = "SYNAPNET_TEST_COMMAND_LINE"

func TestMain(m *testing.M) {
	if line := os.Getenv(killable); line != "" {
		os.Exit(process(append([]string{program}, strings.Fields(line)...)))
	}
	if os.Getenv(asProgram) != "" {
		os.Exit(process(os.Args))
	}
	os.Exit(m.Run())
}

// kill -9 in mid-run loses the steps since the last checkpoint and nothing else.
func TestKilledRunResumes(t *testing.T) {
	t.Chdir(t.TempDir())
	line := "pretrain --curriculum 32 64 " +
		strings.Replace(tiny, "--samples-per-stage 32", "--samples-per-stage 320", 1) + " --checkpoint-every 2"
	trained(t, line+" --output-dir whole")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), killable+"="+line+" --output-dir killed")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	began := func() bool { // at least one checkpoint after the first
		_, err := os.Stat("killed/cost.json")
		return err == nil
	}
	for deadline := time.Now().Add(time.Minute); !began() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil {
		t.Skip("the run ended before it could be killed")
	}
	_, stderr := trained(t, "pretrain --resume --output-dir killed")
	if strings.Contains(stderr, "step 1/") {
		t.Errorf("the killed run began anew: %s", stderr)
	}
	if read(t, "killed/model.safetensors") != read(t, "whole/model.safetensors") {
		t.Error("the killed and resumed run ends in other weights")
	}
}

// Settings come from the file, flags win over it; every key of the file counts.
func TestPretrainConfigFile(t *testing.T) {
	t.Chdir(t.TempDir())
	text := `curriculum = [32]
samples_per_stage = 32
epochs_per_stage = 1
batch_size = 8
eval_samples = 32
lr = 1.0
seed = 7
[model]
dim = 16
depth = 1
heads = 2
vocab_size = 48
max_len = 64
num_classes = 16
episodic_slots = 4
`
	if err := os.WriteFile("run.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trained(t, "pretrain --config run.toml --output-dir a --lr 1e-3 --warmup-steps 2 --seed 42")
	trained(t, "pretrain --curriculum 32 "+tiny+" --output-dir b")
	if read(t, "a/model.safetensors") != read(t, "b/model.safetensors") {
		t.Error("a file and flags with the same settings end in different weights")
	}
}

// A setting that cannot work is refused before anything is made: status 2, one line with the key, the value, what is
// allowed.
func TestPretrainRefusesSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for flags, text := range map[string]string{
		"--curriculum":                   "--curriculum needs a value; give e.g. --curriculum 512 1024",
		"--curriculum 512 --lr":          "--lr needs a value",
		"--curiculum 512":                "unknown flag --curiculum (did you mean --curriculum?)",
		"--epochs 3":                     "unknown flag --epochs (did you mean --epochs-per-stage?)",
		"--heads 5":                      "--heads 5: it must divide dim (192); the nearest that does is 4",
		"--dim 200":                      "--heads 6: it must divide dim (200); the nearest that does is 5",
		"--dim 0":                        "--dim 0: it must be from 2 to 65536",
		"--dim 1e3":                      "--dim 1e3: not a whole number",
		"--dim 99999999":                 "--dim 99999999: it must be from 2 to 65536",
		"--depth -1":                     "--depth -1: it must be from 1 to 4096",
		"--curriculum 7":                 "--curriculum 7: it must be from 8 to the model's max_len 8192",
		"--curriculum -512":              "--curriculum -512: it must be from 8",
		"--curriculum 16384":             "--curriculum 16384: it must be from 8 to the model's max_len 8192",
		"--curriculum 512 --max-len 256": "--curriculum 512: it must be from 8 to the model's max_len 256",
		"--curriculum 12":                "length 12",
		"--curriculum 5x":                "--curriculum 5x: not a whole number",
		"--vocab 30":                     "vocab",
		"--num-classes 0":                "--num-classes 0",
		"--lr 0":                         "--lr 0: it must be above 0 and finite",
		"--lr -1e-3":                     "--lr -0.001: it must be above 0 and finite",
		"--lr NaN":                       "--lr NaN: it must be above 0 and finite",
		"--lr Inf":                       "--lr +Inf: it must be above 0 and finite",
		"--lr 1,5":                       "--lr 1,5: not a number",
		"--batch-size 0":                 "--batch-size 0: it must be from 1 to 65536",
		"--chunks 2 --curriculum 65":     "--chunks 2: it must divide the context, and curriculum is 65: give another of",
		"--chunks 2 --curriculum 15":     "--chunks 2: a chunk has at least 8 tokens, and curriculum is 15: give at most 1",
		"--samples-per-stage 0":          "--samples-per-stage 0: it must be from 1",
		"--epochs-per-stage 0":           "--epochs-per-stage 0: it must be from 1",
		"--warmup-steps -1":              "--warmup-steps -1: it must be from 0",
		"--weight-decay -1":              "--weight-decay -1: it must be at least 0",
		"--eval-samples 0":               "--eval-samples 0: it must be from 1",
		"--seed -1":                      "--seed -1: not a whole number",
		"--seed 1.5":                     "--seed 1.5: not a whole number",
		"--threads 0":                    "--threads 0: must be at least 1",
		"--threads -2":                   "--threads -2: must be at least 1",
		"--threads 100000000":            "--threads 100000000: must be at most ",
		"--checkpoint-every -1":          "--checkpoint-every -1: must be 0 or more",
		"--config absent.toml":           "configuration absent.toml: no such file or directory",
		"512":                            "unexpected argument 512",
	} {
		refusal(t, exitUsage, "pretrain "+flags, text, "; see 'synapnet-train pretrain --help'")
	}
	if got := present(t, "."); got != "" {
		t.Errorf("refused runs leave %s", got)
	}
}

// So is a mistake in a configuration file, with the file and the line.
func TestPretrainRefusesConfigFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for file, text := range map[string]string{
		"curriculum = []": "curriculum is []: " +
			"give the context length of each stage, e.g. --curriculum 512 1024",
		"curriculum = 512":             "run.toml:1: curriculum: the value is a whole number, but must be a list",
		"curriculum = [\"long\"]":      "run.toml:1: curriculum: the value is a string, but must be a whole number",
		"lr = \"fast\"":                "run.toml:1: lr: the value is a string, but must be a number",
		"batch_size = 4\nlearning = 1": "run.toml:2: unknown key learning",
		"batchsize = 4":                "run.toml:1: unknown key batchsize (did you mean batch_size?)",
		"seed = 1\n[model]\nhaeds = 4": "run.toml:3: unknown key model.haeds (did you mean model.heads?)",
		"dim = 64":                     "run.toml:1: unknown key dim (did you mean model.dim?)",
		"[model]\nheads = 5":           "heads is 5: it must divide dim (192)",
		"[model]\nk_frac = 2.0":        "k_frac is 2: it must be above 0 and at most 1",
		"lr = nan":                     "lr is NaN: it must be a finite number",
		"beta1 = 1.0":                  "beta1 is 1: it must be at least 0 and below 1",
		"lr = ":                        "run.toml:1: ",
		"seed = -1":                    "run.toml:1: seed is -1: it must be at least 0",
		"SEED = 1":                     "run.toml:1: unknown key SEED (did you mean seed?)",
		"[model]\nlr = 1.0":            "run.toml:2: unknown key model.lr (did you mean lr?)",
	} {
		if err := os.WriteFile("run.toml", []byte(file+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		refusal(t, exitUsage, "pretrain --config run.toml", text)
	}
}

func roomOf(bytes uint64) host.Room { return host.Room{Bytes: bytes, Known: true, Limit: "this test"} }

// A run that cannot fit into the machine's memory is refused with the size that does, which is right.
func TestPretrainNeedsMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	refusal(t, exitUsage, "pretrain --batch-size 65536 --samples-per-stage 65536",
		"--batch-size 65536: a step at context 1024 takes ", "give a --batch-size of at most ")
	if got := present(t, "."); got != "" {
		t.Errorf("left behind: %s", got)
	}
	conf := curriculum.Default()
	fits := regexp.MustCompile("at most ([0-9]+)$")
	for _, total := range []uint64{1 << 30, 5 << 30} {
		conf.BatchSize = 4096
		found := fits.FindStringSubmatch(fmt.Sprint(checkMemory(conf, false, roomOf(total))))
		if found == nil {
			t.Fatalf("%d bytes are enough", total)
		}
		most, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		conf.BatchSize = most
		if err := checkMemory(conf, false, roomOf(total)); err != nil {
			t.Errorf("%d: %v", most, err)
		}
		conf.BatchSize = most + most/20 + 1
		if err := checkMemory(conf, false, roomOf(total)); err == nil {
			t.Errorf("%d of at most %d fit", conf.BatchSize, most)
		}
	}
	if err := checkMemory(conf, false, roomOf(1<<20)); err == nil || !strings.Contains(err.Error(), "smaller model") {
		t.Errorf("%v", err)
	}
}

// A place that cannot be written to is found out before the first step.
func TestPretrainUnwritableOutput(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	line := "pretrain --curriculum 32 " + tiny
	refusal(t, exitUsage, line+" --output-dir file", "--output-dir file: file is a file, not a folder")
	refusal(t, exitUsage, line+" --output-dir file/run", "--output-dir file/run: file is a file, not a folder")
	locked := readOnlyDir(t)
	refusal(t, exitFailure, line+" --output-dir "+locked, "--output-dir: cannot write "+locked+string(filepath.Separator),
		"; make "+locked+" writable or choose another directory")
}

// A full disk is one line that says how much is missing.
func TestPretrainFullDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	full := fullDir(t)
	refusal(t, exitFailure, "pretrain --curriculum 32 "+tiny+" --output-dir "+full, "cannot write "+
		filepath.Join(full, "checkpoint.safetensors")+
		": no space left on device; free at least 1 MB there or choose another directory")
	if got := present(t, full); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

// A damaged checkpoint is refused by name.
func TestResumeOfADamagedCheckpoint(t *testing.T) {
	t.Chdir(t.TempDir())
	stopped(t, "pretrain --curriculum 32 "+tiny+" --output-dir a", "step 2/5")
	path := "a/checkpoint.safetensors"
	whole := read(t, path)
	for what, text := range map[string]string{"cut": whole[:len(whole)/2], "empty": "",
		"flipped": whole[:len(whole)-9] + string(whole[len(whole)-9]^1) + whole[len(whole)-8:]} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(what, func(t *testing.T) { refusal(t, exitFailure, "pretrain --resume --output-dir a", path+": ") })
	}
}

// A run whose loss is no number any more stops with status 1, and its last good checkpoint can be read.
func TestPretrainStopsAtNaN(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, stderr := synapnet(t.Context(), t, "pretrain --curriculum 32 "+
		strings.Replace(tiny, "--warmup-steps 2 --lr 1e-3", "--warmup-steps 0 --lr 1e38", 1)+" --output-dir a")
	last := stderr[strings.LastIndex(strings.TrimSuffix(stderr, "\n"), "\n")+1:]
	if code != exitFailure || !strings.HasPrefix(last, "synapnet-train: training stopped at step ") ||
		!strings.Contains(last, "the last good checkpoint, of step 0, is a/checkpoint.safetensors; the training diverged "+
			"at lr 1e+38; go on from there with a lower rate: synapnet-train pretrain --resume --output-dir a --lr 0.0003\n") {
		t.Errorf("%d %s", code, stderr)
	}
	if _, err := curriculum.Resume("a/checkpoint.safetensors"); err != nil {
		t.Error(err)
	}
}

// The weights do not depend on --threads.
func TestPretrainThreads(t *testing.T) {
	t.Chdir(t.TempDir())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, n := range []string{"1", "3"} {
		trained(t, "pretrain --curriculum 32 "+tiny+" --output-dir "+n+" --threads "+n)
	}
	if read(t, "1/model.safetensors") != read(t, "3/model.safetensors") {
		t.Error("1 and 3 threads end in different weights")
	}
}

// A configuration that lists every setting has each key, commented out where the default is not to have it.
func TestConfigurationsListEverySetting(t *testing.T) {
	model := configKeys(reflect.TypeFor[layers.Config](), "model.")
	for name, c := range map[string]struct {
		settings reflect.Type
		without  []string // which the file says where to find
	}{
		"pretrain":    {reflect.TypeFor[curriculum.Config](), nil},
		"cajq-3phase": {reflect.TypeFor[qat.ThreePhaseConfig](), model},
		"cajq-qat":    {reflect.TypeFor[cajq.Config](), []string{"experiment.options.targets"}},
	} {
		path := "../../configs/" + name + ".toml"
		commented := regexp.MustCompile(`(?m)^# (\[|[a-z_0-9]+ += )`)
		_, places, err := checkedConfig(path, commented.ReplaceAllString(read(t, path), "$1"), c.settings)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, key := range configKeys(c.settings, "") {
			at := places
			for part := range strings.SplitSeq(key, ".") {
				if at = at.last().keys[part]; at == nil {
					break
				}
			}
			if at == nil && !slices.Contains(c.without, key) {
				t.Errorf("%s: there is no %s", path, key)
			}
		}
	}
}

// A setting whose value cannot work is told with the file, the line and the whole key, as one that there is not; with
// the flag that gave it where that was one.
func TestWrongSettingsHaveAPlace(t *testing.T) {
	const begin = "curriculum = [32]\n[model]\ndim = 16\ndepth = 1\nheads = 2\nmax_len = 64\n"
	for text, want := range map[string]string{
		"lr = -1\n" + begin:                     ":1: lr is -1: it must be above 0",
		begin + "architecture = \"lama\"":       `:7: model.architecture is "lama": it must be one of `,
		begin + "block_layers = [\"swigl\"]":    `:7: model.block_layers is "swigl": it must be swiglu`,
		begin + "[model.options]\nx = 1":        `:8: model.options.x is 1: architecture synapnet has no options`,
		begin + "[[mixture]]\ntask = \"fb\"":    `:7: mixture is "fb": did you mean "fa"?`,
		begin + "[[mixture]]\ntask = \"fa\"":    ":7: mixture is [fa=0]: mixture: task fa has share 0: use a share above 0",
		strings.Replace(begin, "= 2", "= 3", 1): ":5: model.heads is 3: it must divide dim (16)",
		strings.Replace(begin, "32", "65", 1):   ":1: curriculum is 65: it must be from 8 to ",
		"sample_keys = 9\n" + begin:             ":1: sample_keys is 9: ",
	} {
		path := written(t, text)
		refusal(t, exitUsage, "pretrain --config "+path, program+": "+path+want)
	}
	path := written(t, begin)
	refusal(t, exitUsage, "pretrain --config "+path+" --heads 3", program+": --heads 3: it must divide")
	refusal(t, exitUsage, "info --config "+written(t, begin+"k_frac = 2"), ":7: model.k_frac is 2: ")
	refusal(t, exitUsage, "cajq-3phase --config "+written(t, "[quantisation]\ngroup_size = 9999"),
		":2: quantisation.group_size is 9999: ")
	refusal(t, exitUsage, "pretrain --architecture llama --config "+written(t, begin+"block_layers = [\"swiglu\"]"),
		"--architecture llama: architecture llama cannot take "+
			"over block_layers [\"swiglu\"] and options [] of architecture synapnet")
}

// The pretraining configurations that come with the program can all be used; pretrain.toml is the reference recipe in
// full.
func TestConfigurationsOfTheProject(t *testing.T) {
	for _, name := range []string{"pretrain", "small", "demo"} {
		path := "../../configs/" + name + ".toml"
		c := curriculum.Default()
		if err := loadConfig(path, &c); err != nil {
			t.Error(err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	var c curriculum.Config // from nothing: the file must say it all
	if err := loadConfig("../../configs/pretrain.toml", &c); err != nil || !reflect.DeepEqual(c, curriculum.Default()) {
		t.Errorf("configs/pretrain.toml is\n%+v, want the defaults\n%+v (%v)", c, curriculum.Default(), err)
	}
	defaults := cajq.QATExperiment().Settings(lab.Full).(cajq.Settings).Config
	q := defaults
	if err := loadConfig("../../configs/cajq-qat.toml", &q); err != nil || !reflect.DeepEqual(q, defaults) {
		t.Errorf("configs/cajq-qat.toml is\n%+v, want the defaults\n%+v (%v)", q, defaults, err)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/experiments/stream"
	"github.com/synapnet/synapnet-train/layers"
)

// ids are n token ids below 64 as text, some on lines of their own.
func ids(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprint(&b, (i*i+7*i)%64, []string{" ", "\n", "\t "}[i%3])
	}
	return b.String()
}

func textFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ids.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// piped runs a command line with the given standard input.
func piped(ctx context.Context, in io.Reader, words ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	app := newApp(&out, &errs)
	app.Reader = in
	code = runApp(ctx, app, append([]string{program}, words...))
	return code, out.String(), errs.String()
}

// A stream reports its memory within the budget, and the most likely outputs in order.
func TestStream(t *testing.T) {
	model, input := smallModelFile(t, func(*layers.Config) {}), textFile(t, ids(1000))
	line := []string{"stream", model, input, "--chunk-size", "16", "--budget-mb", "0.002", "--top", "3"}
	r := decode[streamSummary](t, append(line, "--json")...)
	if r.Tokens != 1000 || r.Chunks != 63 || r.ChunkSize != 16 || r.Policy != "baee_salience" || r.BudgetBytes != 2097 {
		t.Errorf("%+v", r)
	}
	if r.Bytes == 0 || r.Bytes >= r.TotalBytes || r.TotalBytes > r.BudgetBytes || r.Merged == 0 ||
		r.Hot+r.Warm+r.Summaries == 0 {
		t.Errorf("the memory is not that of a full one: %+v", r)
	}
	if len(r.Top) != 3 || r.Top[0].Logit < r.Top[1].Logit || r.Top[1].Logit < r.Top[2].Logit || r.Top[0].Probability <= 0 {
		t.Errorf("%+v", r.Top)
	}
	stdout := success(t, line...)
	if lines := strings.Split(strings.TrimSpace(stdout), "\n"); len(lines) != 6 ||
		!strings.HasPrefix(lines[0], "1,000 tokens in 63 chunks of 16, policy baee_salience, ") ||
		!strings.HasPrefix(lines[1], "memory: HOT ") || !strings.Contains(lines[1], " of 0.002 MB (contents 0.000") ||
		strings.Join(strings.Fields(lines[2]), " ") != "class logit probability" {
		t.Errorf("got\n%s", stdout)
	}
}

// A model's logits at the end are those of package baee, from a file as from standard input, for language models too.
func TestStreamGivesTheLogits(t *testing.T) {
	for _, classes := range []int{16, 0} {
		model := smallModelFile(t, func(c *layers.Config) { c.NumClasses = classes })
		m, err := layers.Load(model)
		if err != nil {
			t.Fatal(err)
		}
		memory, err := baee.New(baee.Config{Dim: 8, Layers: 2, Slots: 32, Policy: "fifo", Protocol: baee.Strict,
			BudgetBytes: 1 << 20, Window: baee.DefaultWindow})
		if err != nil {
			t.Fatal(err)
		}
		s, err := baee.NewStream(m, memory, 16)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var last []float32
		keep := func(l []float32) error { last = append(last[:0], l[len(l)-m.Outputs():]...); return nil }
		reader := newTokenReader("test", strings.NewReader(ids(70)), 64, 16)
		for {
			id, err := reader.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Push([]int32{id}, keep); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Flush(keep); err != nil {
			t.Fatal(err)
		}
		want := topLogits(last, 1)[0]
		line := []string{"stream", model, "--chunk-size", "16", "--policy", "fifo", "--budget-mb", "1", "--json"}
		code, stdout, stderr := piped(t.Context(), strings.NewReader(ids(70)), line...)
		if code != exitOK || !strings.Contains(stdout, fmt.Sprintf("\"logit\": %v", want.Logit)) {
			t.Errorf("%d classes: %d %s %s, want %+v", classes, code, stdout, stderr, want)
		}
		if got := decode[streamSummary](t, append(line, textFile(t, ids(70)))...); got.Top[0] != want {
			t.Errorf("%d classes: from a file %+v, want %+v", classes, got.Top[0], want)
		}
	}
}

// A stream that is cut anywhere and restored ends as one that never was.
func TestStreamRestores(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	all := strings.Fields(ids(300))
	flags := []string{"--chunk-size", "16", "--budget-mb", "0.002", "--policy", "random", "--seed", "3"}
	want := decode[streamSummary](t, append([]string{"stream", model, textFile(t, ids(300)), "--json"}, flags...)...)
	for _, cut := range []int{5, 16, 147} {
		snapshot := filepath.Join(t.TempDir(), "snapshot.safetensors")
		success(t, append([]string{"stream", model, textFile(t, strings.Join(all[:cut], " ")), "--snapshot", snapshot,
			"--snapshot-every", "2"}, flags...)...)
		parts := map[string][]string{
			"the rest":          {textFile(t, strings.Join(all[cut:], " "))},
			"the same, skipped": {textFile(t, ids(300)), "--skip", fmt.Sprint(cut)},
		}
		for name, rest := range parts {
			got := decode[streamSummary](t, append([]string{"stream", model, "--json", "--restore", snapshot}, rest...)...)
			if got.Tokens != 300 || got.InputTokens != int64(300-cut) || got.Evicted != want.Evicted || want.Evicted == 0 ||
				fmt.Sprint(got.Top) != fmt.Sprint(want.Top) {
				t.Errorf("cut at %d, %s: %+v, want %+v", cut, name, got, want)
			}
		}
	}
}

// kill -9 in mid-stream loses nothing but what came after the last snapshot: restored, the stream ends in the same
// logits and the same snapshot as one that was never killed.
func TestKilledStreamRestores(t *testing.T) {
	t.Chdir(t.TempDir())
	model := smallModelFile(t, func(*layers.Config) {})
	line := "stream " + model + " --random-tokens 9600 --input-seed 5 --chunk-size 16 --budget-mb 0.002 --policy " +
		"random --seed 3 --snapshot-every 3 --json"
	want := decode[streamSummary](t, strings.Fields(line+" --snapshot whole.safetensors")...)
	killed := 0
	for _, after := range []time.Duration{0, 3 * time.Millisecond, 40 * time.Millisecond} {
		if err := os.RemoveAll("killed.safetensors"); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), killable+"="+line+" --snapshot killed.safetensors")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if _, err := os.Stat("killed.safetensors"); err == nil {
				break
			}
		}
		time.Sleep(after)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err == nil {
			continue // it ended before it could be killed
		}
		killed++
		rest := "stream " + model + " --random-tokens 9600 --input-seed 5 --restore killed.safetensors --same-input --json " +
			"--snapshot killed.safetensors"
		got := decode[streamSummary](t, strings.Fields(rest)...)
		if got.InputTokens == 0 || got.InputTokens >= 9600 {
			t.Errorf("killed %v after the first snapshot: restored with %d of 9600 tokens to go", after, got.InputTokens)
		}
		got.InputTokens, got.Seconds, got.PerSecond, got.Snapshot = want.InputTokens, want.Seconds, want.PerSecond,
			want.Snapshot
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("killed %v after the first snapshot: %+v, want %+v", after, got, want)
		}
		if read(t, "killed.safetensors") != read(t, "whole.safetensors") {
			t.Errorf("killed %v after the first snapshot: it ends in another snapshot", after)
		}
	}
	if killed == 0 {
		t.Skip("the streams ended before they could be killed")
	}
}

// A report samples resident memory and the store, and says what was run, with what, where.
func TestStreamReport(t *testing.T) {
	t.Chdir(t.TempDir())
	model := smallModelFile(t, func(*layers.Config) {})
	line := "stream " + model + " --random-tokens 1000 --input-seed 9 --chunk-size 16 --budget-mb 0.002 --json " +
		"--report r.json --report-every 100"
	got := decode[streamSummary](t, strings.Fields(line)...)
	r, err := result.Read("r.json") // it is valid under the schema
	if err != nil {
		t.Fatal(err)
	}
	var settings stream.Settings
	var details stream.Details
	if err := errors.Join(json.Unmarshal(r.Config, &settings), json.Unmarshal(r.Details, &details)); err != nil {
		t.Fatal(err)
	}
	if !r.Complete || r.Experiment != "stream" || r.Profile != "custom" || r.Inputs["model"] == "" ||
		!slices.Equal(r.Seeds, []uint64{0, 9}) || r.Environment.CPU == "" || r.Cost.WallSeconds <= 0 {
		t.Errorf("%+v", r)
	}
	if settings.RandomTokens != 1000 || settings.ChunkSize != 16 || settings.Memory.BudgetBytes != 2097 {
		t.Errorf("%+v", settings)
	}
	if len(r.Measurements) != 2+3*len(details.Samples) || r.Measurements[0].Metric != "rss_change" ||
		r.Measurements[1].Mean <= 0 {
		t.Errorf("%+v", r.Measurements)
	}
	var at []int64
	for _, x := range details.Samples {
		if at = append(at, x.Tokens); x.RSSBytes < 1<<20 || x.Bytes >= x.Counted || x.Counted > 2097 ||
			x.Hot+x.Warm+x.Summaries == 0 {
			t.Errorf("%+v", x)
		}
	}
	if want := []int64{112, 208, 304, 400, 512, 608, 704, 800, 912, 1000}; !slices.Equal(at, want) {
		t.Errorf("samples at %v, want %v", at, want)
	}
	if last := details.Samples[len(details.Samples)-1]; last.Bytes != got.Bytes || last.Merged != got.Merged {
		t.Errorf("the last sample is %+v, the end %+v", last, got)
	}
	again := decode[streamSummary](t,
		strings.Fields("stream "+model+" --random-tokens 1000 --input-seed 9 --chunk-size 16 --budget-mb 0.002 --json")...)
	other := decode[streamSummary](t,
		strings.Fields("stream "+model+" --random-tokens 1000 --input-seed 8 --chunk-size 16 --budget-mb 0.002 --json")...)
	if fmt.Sprint(again.Top) != fmt.Sprint(got.Top) || fmt.Sprint(other.Top) == fmt.Sprint(got.Top) {
		t.Errorf("seed 9 gave %v and %v, seed 8 %v", got.Top, again.Top, other.Top)
	}
	if code, _, stderr := real(t, "stream", model, "--random-tokens", "10", "--report",
		"no/such/folder/r.json"); code != exitUsage || !strings.Contains(stderr, "no/such/folder/r.json") ||
		strings.Count(stderr, "\n") != 1 {
		t.Errorf("%d %s", code, stderr)
	}
}

// endless gives ids for ever and ends the context after a while, as Ctrl-C does.
type endless struct {
	left int
	stop context.CancelFunc
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left--; e.left == 0 {
		e.stop()
	}
	return copy(p, "1 2 3 4 "), nil
}

// Ctrl-C leaves a snapshot, says how to go on, and ends with the status of an interrupted program, even while it waits.
func TestStreamIsInterrupted(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	snapshot := filepath.Join(t.TempDir(), "s.safetensors")
	ctx, cancel := context.WithCancel(t.Context())
	code, stdout, stderr := piped(ctx, &endless{100, cancel}, "stream", model, "--chunk-size", "16", "--snapshot",
		snapshot)
	if code != exitInterrupted || stdout != "" || !strings.Contains(stderr, "--restore "+snapshot+" --skip ") ||
		strings.Count(stderr, "\n") != 1 {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
	var taken int64
	_, after, _ := strings.Cut(stderr, "after ")
	if _, err := fmt.Sscanf(after, "%d tokens", &taken); err != nil {
		t.Fatal(err)
	}
	if got := decode[streamSummary](t, "stream", model, textFile(t, "1"), "--restore", snapshot,
		"--json"); got.Tokens != taken+1 {
		t.Errorf("restored at %d tokens, want %d", got.Tokens-1, taken)
	}
	_, command, _ := strings.Cut(strings.TrimSpace(stderr), "continue with the same input: "+program+" ")
	whole := strings.Repeat("1 2 3 4 ", 500)
	if code, _, stderr := piped(t.Context(), strings.NewReader(whole), strings.Fields(command)...); code != exitOK {
		t.Errorf("the command that is given: %s: %d %s", command, code, stderr)
	}
	silent, _ := io.Pipe()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if code, _, stderr := piped(ctx, silent, "stream", model); code == exitOK ||
		!strings.Contains(stderr, "interrupted after 0 tokens") {
		t.Errorf("waiting: %d %s", code, stderr)
	}
}

func TestStreamMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	model, input := smallModelFile(t, func(*layers.Config) {}), textFile(t, ids(40))
	start := "stream " + model + " " + input + " "
	mistakes(t, map[string]string{
		"stream":            "name a MODEL.safetensors",
		"stream a b c":      "unexpected argument c",
		start + "--top 0":   "--top 0: must be at least 1",
		start + "--skip -1": "--skip -1: must be at least 0",
		start + "--budget-mb 0.00001": "--budget-mb 1e-05: it must be at least 0.000260, one entry of 136 bytes in each of " +
			"2 layers",
		start + "--budget-mb -1":                    "--budget-mb -1: it must be at least",
		start + "--budget-mb NaN":                   "--budget-mb NaN: it must be at least",
		start + "--chunk-size 65":                   "--chunk-size 65: it must be from 1 to the model's 64 positions",
		start + "--chunk-size 0":                    "--chunk-size 0: it must be from 1",
		start + "--policy fifi":                     `did you mean "fifo"?`,
		start + "--policy baee":                     "--classifier FILE",
		start + "--policy locret_proxy":             "Locret-style head: give --classifier FILE",
		start + "--snapshot-every 2":                "goes with --snapshot FILE",
		start + "--restore s --policy fifo":         "--policy goes with a new stream",
		start + "--random-tokens 5":                 "--random-tokens 5 takes the place of an input",
		"stream m --random-tokens 0":                "--random-tokens 0: must be at least 1",
		start + "--input-seed 3":                    "--input-seed 3: it goes with --random-tokens N",
		start + "--same-input":                      "--same-input goes with --restore FILE",
		start + "--restore s --same-input --skip 3": "--same-input and --skip 3 both",
		start + "--report-every 3":                  "--report-every 3: it goes with --report FILE",
		start + "--report r --report-every 0":       "--report-every 0: must be at least 1",
	})
	for name, c := range map[string]struct{ text, want string }{
		"letters":  {"1 2\n3 x4 5", "ids.txt:2: x4 is not a token id: ids are whole numbers from 0 to 63"},
		"negative": {"1\n\n-2", "ids.txt:3: -2 is not a token id"},
		"large":    {"64", "ids.txt:1: 64 is no token of the model"},
		"very long": {strings.Repeat("9", 1<<20),
			"9999999999999999999999999999999999999999…9999999999999999999999999999999999999999 is no token"},
		"empty": {" \n", "ids.txt holds no token ids"},
	} {
		code, stdout, stderr := real(t, "stream", model, textFile(t, c.text))
		if code != exitFailure || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: %d %s %s", name, code, stdout, stderr)
		}
	}
	if code, _, stderr := real(t, "stream", model, "missing.txt"); code != exitFailure ||
		!strings.Contains(stderr, "missing.txt: no such file") {
		t.Errorf("%d %s", code, stderr)
	}
}

// A damaged snapshot, and one of another model, are one line each. Ids before a mistake are not lost.
func TestStreamSnapshotMistakes(t *testing.T) {
	model, input := smallModelFile(t, func(*layers.Config) {}), textFile(t, ids(40))
	snapshot := filepath.Join(t.TempDir(), "s.safetensors")
	code, _, stderr := real(t, "stream", model, textFile(t, "1 2 3 x"), "--snapshot", snapshot)
	if code != exitFailure || !strings.Contains(stderr, "the 3 tokens before it are in the snapshot "+snapshot) {
		t.Errorf("%d %s", code, stderr)
	}
	if got := decode[streamSummary](t, "stream", model, input, "--restore", snapshot, "--json"); got.Tokens != 43 {
		t.Errorf("%+v", got)
	}
	other := smallModelFile(t, func(c *layers.Config) { c.KFrac = 0.5 })
	if code, _, stderr := real(t, "stream", other, input, "--restore", snapshot); code != exitFailure ||
		!strings.Contains(stderr, "made with another model") {
		t.Errorf("%d %s", code, stderr)
	}
	b, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{"cut": b[:len(b)/2],
		"flipped": append(bytes.Clone(b[:len(b)-1]), b[len(b)-1]^1), "empty": {}} {
		if err := os.WriteFile(snapshot, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := real(t, "stream", model, input, "--restore", snapshot, "--snapshot", snapshot)
		if code != exitFailure || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, snapshot) {
			t.Errorf("%s: %d %s", name, code, stderr)
		}
		if now, err := os.ReadFile(snapshot); err != nil || !bytes.Equal(now, damaged) {
			t.Errorf("%s: the damaged file was changed (%v)", name, err)
		}
	}
}

// Off a terminal the live report is a line every ten seconds; on one it is a single line, cut to its width.
func TestStreamLive(t *testing.T) {
	m, err := layers.Load(smallModelFile(t, func(*layers.Config) {}))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := baee.New(baee.Default(8, 2, 32, classifierOf(t, 8)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := baee.NewStream(m, memory, 16)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	l, clock := newDisplay(&out), time.Unix(0, 0)
	run := &streamRun{stream: s, live: l}
	l.now = func() time.Time { return clock }
	l.last = clock
	for range 30 {
		clock = clock.Add(time.Second)
		run.tell(time.Second, 16)
	}
	l.clear()
	want := "0 tokens  HOT 0  WARM 0  COLD 0  0 of 256 MB  evicted 0  merged 0  demoted 0  16 tok/s\n"
	if out.String() != strings.Repeat(want, 3) {
		t.Errorf("got %q", out.String())
	}
	out.Reset()
	l.terminal, l.columns = &out, func() int { return 27 }
	clock = clock.Add(time.Second)
	run.tell(time.Second, 16)
	l.clear()
	if got := out.String(); got != "\r| 0 tokens  HOT 0 …  \x1b[0K\x1b[2K\r" {
		t.Errorf("got %q", got)
	}
}

func classifierOf(t *testing.T, dim int) *baee.Classifier {
	t.Helper()
	c, err := baee.NewClassifier(dim, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The classifier's file decides the policy: a retention classifier is baee, a Locret-style head locret_proxy.
func TestStreamWithClassifier(t *testing.T) {
	model, input := smallModelFile(t, func(*layers.Config) {}), textFile(t, ids(200))
	path := filepath.Join(t.TempDir(), "c.safetensors")
	if err := classifierOf(t, 8).Save(path); err != nil {
		t.Fatal(err)
	}
	if r := decode[streamSummary](t, "stream", model, input, "--classifier", path, "--chunk-size", "16",
		"--json"); r.Policy != "baee" || r.Hot == 0 || r.Warm+r.Summaries != 0 || r.Demoted+r.Merged+r.Evicted != 0 {
		t.Errorf("all fits into the budget, and this became of it: %+v", r)
	}
	if r := decode[streamSummary](t, "stream", model, input, "--classifier", path, "--chunk-size", "16", "--json",
		"--budget-mb", "0.002"); r.TotalBytes > r.BudgetBytes || r.Warm == 0 || r.Merged+r.Evicted == 0 {
		t.Errorf("there is no room for all, and this became of it: %+v", r)
	}
	head, err := baee.NewHead(8, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := head.Save(path); err != nil {
		t.Fatal(err)
	}
	if r := decode[streamSummary](t, "stream", model, input, "--classifier", path, "--json"); r.Policy != "locret_proxy" {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := real(t, "stream", model, input, "--classifier", path); code != exitFailure ||
		!strings.Contains(stderr, path) {
		t.Errorf("%d %s", code, stderr)
	}
}

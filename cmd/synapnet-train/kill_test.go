package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/synapnet/synapnet-train/internal/metrics"
)

// killsVariable is how many kills of each command TestKills takes; a few without it.
const killsVariable = "SYNAPNET_TEST_KILLS"

// killed runs a command line in a process of its own and kills it after the given time, unless it ends before.
func killed(t *testing.T, line string, after time.Duration) (ended bool) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), killable+"="+line)
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	switch err := c.Wait(); {
	case err == nil:
		return true
	case c.ProcessState.Exited():
		t.Fatalf("%s: %v: %s", line, err, stderr.String())
	}
	return false
}

// killCase is a command with what it is continued by, the file by which it can be, and the one that it is for.
type killCase struct{ begin, again, continues, product string }

const smallTable = "[model]\ndim = 16\ndepth = 1\nheads = 2\nvocab_size = 64\nmax_len = 64\nnum_classes = 16\n" +
	"episodic_slots = 2\n"

// killFiles writes own.jsonl, own.parquet and held.parquet.
func killFiles(t *testing.T) {
	t.Helper()
	visits(t, "own.jsonl", 0, 60)
	type row struct {
		IDs   []int64 `parquet:"ids,list"`
		Label int64   `parquet:"label"`
	}
	for name, from := range map[string]int64{"own.parquet": 0, "held.parquet": 100} {
		var rows []row
		for i := from; i < from+60; i++ {
			rows = append(rows, row{[]int64{i % 7, i % 11, i % 13, i % 3, i, 1, 2, 3, i % 5, 4}[:5+i%6], i % 3})
		}
		if err := parquet.WriteFile(name, rows); err != nil {
			t.Fatal(err)
		}
	}
}

// Killed at any moment, as often as one likes, and continued, pretrain, cajq-3phase and stream end in the same bytes as
// if they had never been, and leave nothing else in the folder. What is the user's stays there.
func TestKills(t *testing.T) {
	t.Chdir(t.TempDir())
	kills := 2
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("three.toml", []byte(tinyThreePhase), 0o600); err != nil {
		t.Fatal(err)
	}
	killFiles(t)
	staged := smallTable + "\n[[stage]]\ncontext = 24\nsamples = 32\nepochs = 3\nuntil = \"overall > 0.01\"\n" +
		"\n[[stage]]\ncontext = 32\ntokens = 1024\nepochs = 2\nfresh = true\n"
	if err := os.WriteFile("staged.toml", []byte(staged), 0o600); err != nil {
		t.Fatal(err)
	}
	again := "pretrain --resume --checkpoint-every 1 --output-dir DIR"
	pretrained := func(flags string) killCase {
		return killCase{"pretrain " + flags + " --checkpoint-every 1 --output-dir DIR", again, "checkpoint.safetensors",
			"model.safetensors"}
	}
	model := pressureModelFile(t)
	start := "stream " + model + " --random-tokens 2400 --input-seed 5 "
	for name, c := range map[string]killCase{
		"pretrain": pretrained("--curriculum 32 64 " + tiny),
		"chunks":   pretrained("--curriculum 32 96 --chunks 2 " + tiny),
		"jsonl":    pretrained("--data own.jsonl --tokenizer words --eval-share 0.2" + smallRun),
		"parquet":  pretrained("--data own.parquet --eval-data held.parquet --long-samples middle --curriculum 8" + smallRun),
		"mixture":  pretrained("--curriculum 32 --tasks niah_single=0.5 fa=0.5 " + tiny),
		"gated":    pretrained("--config staged.toml --eval-samples 16 --batch-size 8 --warmup-steps 2"),
		"cajq-3phase": {"cajq-3phase --config three.toml --checkpoint-every 1 --output-dir DIR",
			"cajq-3phase --resume --checkpoint-every 1 --output-dir DIR", "checkpoint.safetensors", "model.safetensors"},
		"stream": {start + "--chunk-size 16 --budget-mb 0.002 --policy random --seed 3 --snapshot-every 2 --snapshot " +
			"DIR/s.safetensors",
			start + "--snapshot-every 2 --same-input --restore DIR/s.safetensors --snapshot DIR/s.safetensors", "s.safetensors",
			"s.safetensors"},
	} {
		in := func(line, dir string) string { return strings.ReplaceAll(line, "DIR", dir) }
		whole := name + "-whole"
		if err := os.Mkdir(whole, 0o755); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if !killed(t, in(c.begin, whole), time.Minute) {
			t.Fatalf("%s takes more than a minute", name)
		}
		took := time.Since(began)
		rng := rand.New(rand.NewPCG(1, uint64(len(name))))
		moment := func() time.Duration { return time.Duration((0.1 + 0.9*rng.Float64()) * float64(took)) }
		for done, run := 0, 0; done < kills; run++ {
			dir := fmt.Sprintf("%s-%d", name, run)
			users := filepath.Join(dir, ".notes123456")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(users, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for ended := false; !ended; {
				line := c.begin
				if _, err := os.Stat(filepath.Join(dir, c.continues)); err == nil {
					line = c.again
				} else if _, err := os.Stat(filepath.Join(dir, c.product)); err == nil {
					if code, _, stderr := synapnet(t.Context(), t, in(c.again, dir)); code != exitFailure ||
						!strings.Contains(stderr, "has ended") {
						t.Errorf("%s: %d %s", dir, code, stderr)
					}
					break
				}
				after := moment()
				if done >= kills {
					after = time.Minute
				}
				if ended = killed(t, in(line, dir), after); !ended {
					done++
				}
			}
			if read(t, filepath.Join(dir, c.product)) != read(t, filepath.Join(whole, c.product)) {
				t.Errorf("%s: killed and continued, it ends in another %s", dir, c.product)
			}
			if got, want := present(t, dir), strings.TrimSpace(".notes123456 "+present(t, whole)); got != want {
				t.Errorf("%s holds %s, want %s", dir, got, want)
			}
			if name != "stream" && untimed(t, dir) != untimed(t, whole) {
				t.Errorf("%s: killed and continued, it ends in other events", dir)
			}
		}
	}
}

// untimed are the events for TensorBoard of the run in dir, each with zeros for its time.
func untimed(t *testing.T, dir string) (events string) {
	t.Helper()
	file := []byte(read(t, filepath.Join(dir, metrics.EventsName)))
	for len(file) > 0 {
		end := 12 + binary.LittleEndian.Uint64(file)
		clear(file[13:21])
		events += string(file[12:end])
		file = file[end+4:]
	}
	return events
}

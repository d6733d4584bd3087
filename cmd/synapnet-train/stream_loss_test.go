package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// source is a pipe of the shell's: what is read of it is gone. The stream is interrupted at the given read.
type source struct {
	text   string
	at     int // next byte
	reads  int
	stop   context.CancelFunc
	piece  int // bytes a read gives at most
	silent bool
}

func (s *source) Read(p []byte) (int, error) {
	if s.reads--; s.reads == 0 {
		s.stop()
		if s.silent {
			select {} // the writer has nothing more to say
		}
	}
	n := copy(p, s.text[s.at:min(len(s.text), s.at+s.piece)])
	if s.at += n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// What Ctrl-C finds read of a pipe is in the snapshot, wherever it comes: who goes on with the rest of the pipe ends as
// who was never interrupted.
func TestInterruptedStreamLosesNothing(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	text := ids(300)
	flags := []string{"--chunk-size", "16", "--budget-mb", "0.002", "--policy", "random", "--seed", "3"}
	want := decode[streamSummary](t, append([]string{"stream", model, textFile(t, text), "--json"}, flags...)...)
	cut := 0
	for _, reads := range []int{1, 8, 15, 29} {
		for _, s := range []source{{piece: 1 << 10}, {piece: 7}, {piece: 1 << 10, silent: true}} {
			snapshot := filepath.Join(t.TempDir(), "s.safetensors")
			ctx, cancel := context.WithCancel(t.Context())
			s.text, s.reads, s.stop = text, reads, cancel
			code, _, stderr := piped(ctx, &s, append([]string{"stream", model, "--snapshot", snapshot}, flags...)...)
			cancel()
			if code != exitInterrupted {
				t.Fatalf("%d reads of %d: %d %s", reads, s.piece, code, stderr)
			}
			if s.silent {
				s.reads = 0
			}
			rest := text[s.at:]
			if strings.Contains(stderr, "beginning of an id") { // it is said, and then it is in neither
				rest = text[strings.LastIndexAny(text[:s.at], " \n")+1:]
				cut++
			}
			got := decode[streamSummary](t, "stream", model, textFile(t, rest), "--restore", snapshot, "--json")
			if got.Tokens != 300 || fmt.Sprint(got.Top) != fmt.Sprint(want.Top) {
				t.Errorf("%d reads of %d: %d tokens, %v; want 300, %v\n%s", reads, s.piece, got.Tokens, got.Top, want.Top, stderr)
			}
			var skip string
			_, after, _ := strings.Cut(stderr, "--skip ")
			if _, err := fmt.Sscan(after, &skip); err != nil {
				t.Fatal(err)
			}
			again := decode[streamSummary](t, "stream", model, textFile(t, text), "--restore", snapshot, "--skip", skip,
				"--json")
			if again.Tokens != 300 || fmt.Sprint(again.Top) != fmt.Sprint(want.Top) {
				t.Errorf("%d reads of %d, the same input: %d tokens, %v; want 300, %v", reads, s.piece, again.Tokens, again.Top,
					want.Top)
			}
		}
	}
	if cut == 0 {
		t.Error("no id was cut: the test does not try what it is for")
	}
}

// No more is read than a chunk ahead of what is used.
func TestStreamReadsNoFurtherThanAChunkAhead(t *testing.T) {
	r := strings.NewReader(strings.Repeat("1 ", 10_000))
	tokens := newTokenReader("test", newPatient(t.Context(), r), 64, 100)
	for used := 0; used < 5_000; {
		all, err := tokens.some(100)
		if err != nil {
			t.Fatal(err)
		}
		used += len(all)
		if read := 10_000 - r.Len()/2; read-used > 100 {
			t.Fatalf("%d ids are read, %d used", read, used)
		}
	}
}

// A stream that is complete has its answer, whether its length divides by the chunk or not.
func TestCompleteStreamHasItsAnswer(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	for _, n := range []int{16, 64, 70} {
		snapshot, input := filepath.Join(t.TempDir(), "s.safetensors"), textFile(t, ids(n))
		want := decode[streamSummary](t, "stream", model, input, "--chunk-size", "16", "--snapshot", snapshot,
			"--snapshot-every", "1", "--json")
		saved := read(t, snapshot)
		for range 2 { // a second time from the snapshot that the first one leaves
			got := decode[streamSummary](t, "stream", model, input, "--restore", snapshot, "--same-input", "--snapshot",
				snapshot, "--json")
			if got.Tokens != int64(n) || got.InputTokens != 0 || fmt.Sprint(got.Top) != fmt.Sprint(want.Top) {
				t.Errorf("of %d tokens: %+v, want %+v", n, got, want)
			}
			if read(t, snapshot) != saved {
				t.Errorf("of %d tokens: the complete stream leaves another snapshot", n)
			}
		}
	}
	// Snapshots of before there was an answer in them are read, and say what they lack.
	snapshot, input := filepath.Join(t.TempDir(), "s.safetensors"), textFile(t, ids(32))
	success(t, "stream", model, input, "--chunk-size", "16", "--snapshot", snapshot)
	f, err := safetensors.Read(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	old := &safetensors.File{Metadata: f.Metadata}
	for _, key := range []string{"sha256", "sha256_header"} {
		delete(old.Metadata, key)
	}
	for _, x := range f.Tensors {
		if !strings.Contains(x.Name, "last_logits") {
			old.Tensors = append(old.Tensors, x)
		}
	}
	if len(old.Tensors) != len(f.Tensors)-1 {
		t.Fatalf("the snapshot holds %v", f.Names())
	}
	if err := safetensors.Write(snapshot, old); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := real(t, "stream", model, input, "--restore", snapshot, "--same-input"); code != exitFailure ||
		!strings.Contains(stderr, "of an older version") {
		t.Errorf("%d %s", code, stderr)
	}
	if got := decode[streamSummary](t, "stream", model, textFile(t, ids(33)), "--restore", snapshot, "--same-input",
		"--json"); got.Tokens != 33 {
		t.Errorf("%+v", got)
	}
}

// --same-input is the same input, id by id, not one of the same length.
func TestSameInputIsTheSame(t *testing.T) {
	model, snapshot := smallModelFile(t, func(*layers.Config) {}), filepath.Join(t.TempDir(), "s.safetensors")
	text := ids(70)
	success(t, "stream", model, textFile(t, text), "--chunk-size", "16", "--snapshot", snapshot)
	before := read(t, snapshot)
	words := strings.Fields(text)
	for _, at := range []int{0, 33, 69} {
		other := slices.Clone(words)
		other[at] = map[bool]string{true: "7", false: "8"}[other[at] == "8"]
		input := textFile(t, strings.Join(other, " ")+" 9")
		code, stdout, stderr := real(t, "stream", model, input, "--restore", snapshot, "--same-input", "--snapshot", snapshot)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 ||
			!strings.Contains(stderr, "the first 70 token ids of "+input+" are not those") {
			t.Errorf("id %d changed: %d %s%s", at, code, stdout, stderr)
		}
	}
	if read(t, snapshot) != before {
		t.Error("the snapshot was replaced")
	}
	if got := decode[streamSummary](t, "stream", model, textFile(t, text+" 9"), "--restore", snapshot, "--same-input",
		"--json"); got.Tokens != 71 {
		t.Errorf("%+v", got)
	}
}

// An input that ends before what is to be passed over is not the one that is meant.
func TestStreamRefusesAShortInput(t *testing.T) {
	model, short, long := smallModelFile(t, func(*layers.Config) {}), textFile(t, ids(33)), textFile(t, ids(64))
	snapshot := filepath.Join(t.TempDir(), "s.safetensors")
	success(t, "stream", model, long, "--chunk-size", "16", "--snapshot", snapshot)
	before := read(t, snapshot)
	for want, line := range map[string][]string{
		"the stream of " + snapshot + " has taken 64 token ids, and " + short +
			" holds 33": {"--restore", snapshot, "--same-input", "--snapshot", snapshot},
		"--skip 1000: " + short + " holds 33 token ids":                 {"--skip", "1000"},
		"--skip 34: " + short + " holds 33 token ids":                   {"--skip", "34", "--restore", snapshot},
		short + " holds no token ids after the 33 that are passed over": {"--skip", "33"},
	} {
		code, stdout, stderr := real(t, append([]string{"stream", model, short}, line...)...)
		if code == exitOK || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%v: %d %s%s, want %s", line, code, stdout, stderr, want)
		}
	}
	if read(t, snapshot) != before {
		t.Error("the snapshot was replaced")
	}
}

// saboteur makes a file's folder impossible to write to after some reads of the input: even for root, by a file in its
// place.
type saboteur struct {
	io.Reader
	after int
	dir   string
}

func (s *saboteur) Read(p []byte) (int, error) {
	if s.after--; s.after == 0 {
		if err := errors.Join(os.RemoveAll(s.dir), os.WriteFile(s.dir, nil, 0o644)); err != nil {
			return 0, err
		}
	}
	return s.Reader.Read(p)
}

// A report or a snapshot that cannot be written any more does not end the stream: it is said, and what can be written
// is.
func TestStreamOutlivesAFailedWrite(t *testing.T) {
	model := smallModelFile(t, func(*layers.Config) {})
	want := decode[streamSummary](t, "stream", model, textFile(t, ids(300)), "--chunk-size", "16", "--json")
	for _, failing := range []string{"report", "snapshot"} {
		dir := t.TempDir()
		paths := map[string]string{"report": filepath.Join(dir, "r.json"), "snapshot": filepath.Join(dir, "s.safetensors")}
		lost := filepath.Join(dir, "lost")
		if err := os.Mkdir(lost, 0o755); err != nil {
			t.Fatal(err)
		}
		paths[failing] = filepath.Join(lost, "x")
		code, stdout, stderr := piped(t.Context(), &saboteur{strings.NewReader(ids(300)), 10, lost}, "stream", model,
			"--chunk-size", "16",
			"--report", paths["report"], "--report-every", "1", "--snapshot", paths["snapshot"], "--snapshot-every", "1")
		if code != exitFailure || !strings.Contains(stdout, "300 tokens") ||
			!strings.Contains(stderr, "warning: the "+failing+" failed") ||
			!strings.Contains(stderr, "the stream is complete, but the "+failing+" failed: cannot ") ||
			strings.Count(stderr, "\n") != 2 {
			t.Errorf("%s: %d %s%s", failing, code, stdout, stderr)
		}
		if failing == "report" {
			got := decode[streamSummary](t, "stream", model, textFile(t, ids(300)), "--restore", paths["snapshot"],
				"--same-input", "--json")
			if fmt.Sprint(got.Top) != fmt.Sprint(want.Top) {
				t.Errorf("the snapshot answers %v, want %v", got.Top, want.Top)
			}
		}
	}
}

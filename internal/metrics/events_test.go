package metrics

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// readEvents is an independent reader: "STEP TAG=VALUE …" of each event behind the first, and the wall times.
func readEvents(t testing.TB, path string) (all []string, times []float64) {
	t.Helper()
	sum := func(b []byte) uint32 {
		c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
		return (c>>15 | c<<17) + 0xa282ead8
	}
	file := must[[]byte](t)(os.ReadFile(path))
	for len(file) > 0 {
		n := binary.LittleEndian.Uint64(file)
		event := file[12 : 12+n]
		if sum(file[:8]) != binary.LittleEndian.Uint32(file[8:]) || sum(event) != binary.LittleEndian.Uint32(file[12+n:]) {
			t.Fatalf("event %d has a wrong sum", len(all))
		}
		file = file[12+n+4:]
		text := "0"
		fields(t, event, func(field protowire.Number, number uint64, bytes []byte) {
			switch field {
			case 1:
				times = append(times, math.Float64frombits(number))
			case 2:
				text = fmt.Sprint(number)
			case 3:
				text += " " + string(bytes)
			case 5:
				fields(t, bytes, func(_ protowire.Number, _ uint64, value []byte) {
					fields(t, value, func(field protowire.Number, number uint64, tag []byte) {
						if field == 1 {
							text += " " + string(tag)
						} else {
							text += fmt.Sprint("=", math.Float32frombits(uint32(number)))
						}
					})
				})
			}
		})
		all = append(all, text)
	}
	return all, times
}

func fields(t testing.TB, message []byte, see func(field protowire.Number, number uint64, bytes []byte)) {
	t.Helper()
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		message = message[max(n, 0):]
		var number uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(message)
			number = uint64(v)
		default:
			bytes, n = protowire.ConsumeBytes(message)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		see(field, number, bytes)
		message = message[n:]
	}
}

// Lines of each kind there is, of pretrain and of cajq-3phase.
func addRun(t testing.TB, l *Log, from, to int) {
	t.Helper()
	type accuracy struct {
		Mean float64 `json:"mean"`
	}
	type evaluation struct {
		Overall accuracy            `json:"overall"`
		PerTask map[string]accuracy `json:"per_task"`
	}
	for i := from; i <= to; i++ {
		scores := evaluation{accuracy{0.5}, map[string]accuracy{"fa": {0.25}, "niah": {float64(i)}}}
		var v any
		kind := EvaluationKind
		switch i % 5 {
		case 3:
			v = struct {
				Step int `json:"step"`
				evaluation
			}{i - 1, scores}
		case 4:
			v = struct {
				Phase    string     `json:"phase"`
				Accuracy evaluation `json:"accuracy"`
			}{"qat", scores}
		default:
			kind, v = StepKind, map[string]any{"step": i, "stage": 1, "context": 512, "epoch": 0, "loss": 1 / float64(i),
				"lr": 0.5, "grad_norm": 2, "phase": "qat"}
		}
		if err := l.Add(kind, v); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsShowTheHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), Name)
	l := New(path)
	if err := l.Add(LostKind, map[string]int{"steps": 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(eventsOf(path)); err == nil {
		t.Error("there is a file without an event")
	}
	before := time.Now()
	addRun(t, l, 2, 5)
	got, times := readEvents(t, eventsOf(path)) // while the log is open
	want := []string{
		"0 brain.Event:2",
		"2 train/grad_norm=2 train/loss=0.5 train/lr=0.5",
		"2 accuracy/overall=0.5 accuracy/fa=0.25 accuracy/niah=3",
		"2 accuracy/overall=0.5 accuracy/fa=0.25 accuracy/niah=4",
		"5 train/grad_norm=2 train/loss=0.2 train/lr=0.5",
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	for i, at := range times {
		if d := at - float64(before.UnixMicro())/1e6; d < 0 || d > 60 || i > 0 && at < times[i-1] {
			t.Errorf("event %d came at %f, %f s after the beginning", i, at, d)
		}
	}
}

// Wherever a run is cut off, and whatever its file of events holds then, one that continues has those of a run that
// never stopped; those that were right keep their times.
func TestContinuedEventsAreWhole(t *testing.T) {
	whole := filepath.Join(t.TempDir(), Name)
	addRun(t, New(whole), 1, 12)
	want, _ := readEvents(t, eventsOf(whole))
	for at := range 12 {
		for name, damage := range map[string]func(events []byte) []byte{
			"as it was":        func(b []byte) []byte { return b },
			"gone":             func([]byte) []byte { return nil },
			"empty":            func([]byte) []byte { return []byte{} },
			"cut off":          func(b []byte) []byte { return b[:len(b)*2/3] },
			"a bit changed":    func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
			"zeros behind":     func(b []byte) []byte { return append(b, make([]byte, 99)...) },
			"an endless event": func(b []byte) []byte { return append(b, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0) },
		} {
			path := filepath.Join(t.TempDir(), Name)
			l := New(path)
			addRun(t, l, 1, at)
			mark := must[Mark](t)(l.Mark())
			addRun(t, l, at+1, at+4) // after the checkpoint
			held := must[[]byte](t)(os.ReadFile(eventsOf(path)))
			_, before := readEvents(t, eventsOf(path))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(eventsOf(path)); err != nil {
				t.Fatal(err)
			}
			if left := damage(held); left != nil {
				if err := os.WriteFile(eventsOf(path), left, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			again := Continue(path, mark)
			addRun(t, again, at+1, 12)
			got, times := readEvents(t, eventsOf(path))
			if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
				t.Errorf("cut at %d, %s: got\n%s\nwant\n%s", at, name, a, b)
			}
			for i := range at {
				if name == "as it was" && times[i] != before[i] {
					t.Errorf("cut at %d: event %d came at %f, now at %f", at, i, before[i], times[i])
				}
			}
		}
	}
}

// A file that no log wrote stays, and the history with it.
func TestOtherFilesInPlaceOfEventsAreLeft(t *testing.T) {
	for _, text := range []string{"my notes", strings.Repeat("\x00", 200), "\x19\x00\x00\x00\x00\x00\x00\x00more"} {
		path := filepath.Join(t.TempDir(), Name)
		if err := os.WriteFile(eventsOf(path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, l := range []*Log{New(path), Continue(path, Mark{})} {
			err := l.Add("step", line{1, 1})
			if err == nil || !strings.HasSuffix(err.Error(), eventsOf(path)+", where TensorBoard's view of the run goes, is a "+
				"file of another kind: move it away") {
				t.Errorf("%q: %v", text, err)
			}
		}
		if got := must[[]byte](t)(os.ReadFile(eventsOf(path))); string(got) != text {
			t.Errorf("%q is now %q", text, got)
		}
	}
	path := filepath.Join(t.TempDir(), Name)
	if err := os.Mkdir(eventsOf(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := New(path).Add("step", line{1, 1}); err == nil || !strings.HasSuffix(err.Error(), ": move it away") {
		t.Errorf("a folder: %v", err)
	}
}

func TestEventsBeside(t *testing.T) {
	for checkpoint, want := range map[string]string{
		"run/checkpoint.safetensors":   filepath.Join("run", EventsName),
		"work/cajq_qat-42.safetensors": filepath.Join("work", "cajq_qat-42.metrics.tfevents"),
	} {
		if got := EventsBeside(checkpoint); got != want {
			t.Errorf("%s: %s, want %s", checkpoint, got, want)
		}
	}
}

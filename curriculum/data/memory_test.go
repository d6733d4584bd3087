package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/internal/host"
)

// generate writes JSON lines of about size bytes, samples of 20 to 120 ids or words.
func generate(t testing.TB, path string, size int64, text bool) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for written, n := int64(0), uint64(0); written < size; n++ {
		line = append(line[:0], `{"ids":[`...)
		if text {
			line = append(line[:0], `{"text":"`...)
		}
		for k := range 20 + mix(n)%100 {
			word := mix(n<<8 + k)
			switch {
			case text:
				line = append(append(line, alphabet[word%26], alphabet[word>>8%26], alphabet[word>>16%26]), ' ')
			case k > 0:
				line = strconv.AppendUint(append(line, ','), word%4096, 10)
			default:
				line = strconv.AppendUint(line, word%4096, 10)
			}
		}
		if text {
			line = append(line, `.","label":`...)
		} else {
			line = append(line, `],"label":`...)
		}
		line = append(strconv.AppendUint(line, n%10, 10), "}\n"...)
		if _, err := out.Write(line); err != nil {
			t.Fatal(err)
		}
		written += int64(len(line))
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMemoryDoesNotGrowWithTheData prepares and reads data in processes of their own. With SYNAPNET_TEST_LARGE=1, as
// the step data of .ci/run has it, they are of 10 MB and of 1 GB.
func TestMemoryDoesNotGrowWithTheData(t *testing.T) {
	const of = "SYNAPNET_TEST_DATA"
	if path := os.Getenv(of); path != "" {
		s := prepare(t, Options{Train: []string{path}, EvalShare: 0.05, Dir: t.TempDir(), Long: CutLeft})
		d, err := s.Train(64)
		if err != nil {
			t.Fatal(err)
		}
		order := Shuffle{Seed: 1, Purpose: tasks.Training}.Order(d.Len(), d.Len(), 32)
		for step := range 300 {
			for _, i := range order(step) {
				if _, err := d.Sample(i); err != nil {
					t.Fatal(err)
				}
			}
		}
		fmt.Printf("peak %d samples %d\n", host.PeakRSS(), d.Len())
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("peak memory of a process is read on Linux")
	}
	sizes := [2]int64{4 << 20, 48 << 20}
	if os.Getenv("SYNAPNET_TEST_LARGE") != "" {
		sizes = [2]int64{10 << 20, 1 << 30}
	}
	var peaks [2]uint64
	for i, size := range sizes {
		path := generate(t, filepath.Join(t.TempDir(), "a.jsonl"), size, false)
		c := exec.Command(os.Args[0], "-test.run=^TestMemoryDoesNotGrowWithTheData$")
		c.Env = append(os.Environ(), of+"="+path)
		text, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		var samples int
		if _, err := fmt.Sscanf(string(text), "peak %d samples %d", &peaks[i], &samples); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		t.Logf("%d MB of data, %d samples for training: at most %.1f MB resident", size>>20, samples, float64(peaks[i])/1e6)
	}
	if peaks[1] > peaks[0]+20<<20 {
		t.Errorf("%d MB of data take %d bytes, %d MB take %d", sizes[0]>>20, peaks[0], sizes[1]>>20, peaks[1])
	}
}

// BenchmarkOpen is how fast JSON lines are read.
func BenchmarkOpen(b *testing.B) {
	benchmark(b, func(path string) error {
		r, err := Open(path)
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		return r.Close()
	})
}

// bytesOf is a tokenizer that costs nothing.
type bytesOf struct{ ids []int32 }

func (t *bytesOf) Encode(text string) ([]int32, error) {
	t.ids = t.ids[:0]
	for i := range len(text) {
		t.ids = append(t.ids, int32(text[i]))
	}
	return t.ids, nil
}

func (t *bytesOf) Size() int  { return 256 }
func (t *bytesOf) Pad() int32 { return 0 }

// BenchmarkPrepare is BenchmarkOpen with all else that the pass does.
func BenchmarkPrepare(b *testing.B) {
	dir := b.TempDir()
	benchmark(b, func(path string) error {
		if err := os.RemoveAll(filepath.Join(dir, storeName)); err != nil {
			return err
		}
		s, err := Prepare(background, Options{Train: []string{path}, Dir: dir, Tokenizer: new(bytesOf), Vocab: 4096})
		if err != nil {
			return err
		}
		return s.Close()
	})
}

func benchmark(b *testing.B, read func(path string) error) {
	const size = 16 << 20
	for _, kind := range []string{"ids", "text"} {
		path := generate(b, in(b, "a.jsonl"), size, kind == "text")
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if err := read(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSample(b *testing.B) {
	path := generate(b, in(b, "a.jsonl"), 16<<20, false)
	s, err := Prepare(background, Options{Train: []string{path}, Dir: b.TempDir(), Long: CutLeft})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	d, err := s.Train(128)
	if err != nil {
		b.Fatal(err)
	}
	order, step := Shuffle{}.Order(d.Len(), d.Len(), 1), 0
	for b.Loop() {
		if _, err := d.Sample(order(step)[0]); err != nil {
			b.Fatal(err)
		}
		step++
	}
}

package baee

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// used is a memory of every kind of content after some chunks.
func used(t testing.TB, name string, seed uint64) *Manager {
	c := networks(t, Default(6, 2, 5, nil))
	c.Policy, c.Tiers, c.BudgetBytes, c.Seed = name, name == "baee", 2*100, seed
	m := newManager(t, c)
	r := rand.New(rand.NewPCG(seed, 2))
	for range 20 {
		step(t, r, m)
	}
	return m
}

func save(t testing.TB, m *Manager) []byte {
	t.Helper()
	f, err := m.file()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := safetensors.Write(path, f); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func restore(data []byte) (*Manager, error) {
	f, err := safetensors.Parse(data)
	if err != nil {
		return nil, err
	}
	return memoryFrom(f)
}

// A restored memory saves to the same bytes and, fed the same reads, becomes the same memory.
func TestSnapshotsRoundTrip(t *testing.T) {
	for _, name := range builtin {
		check := func(seed uint64) bool {
			m := used(t, name, seed)
			data := save(t, m)
			back, err := restore(data)
			if err != nil {
				t.Log(name, err)
				return false
			}
			if !bytes.Equal(save(t, back), data) || back.Total() != m.Total() {
				t.Logf("%s: %+v became %+v", name, m.Total(), back.Total())
				return false
			}
			for _, x := range []*Manager{m, back} {
				r := rand.New(rand.NewPCG(seed, 3))
				for range 3 {
					step(t, r, x)
				}
			}
			return bytes.Equal(save(t, back), save(t, m)) && slices.Equal(back.Entries(1), m.Entries(1))
		}
		if err := quick.Check(check, &quick.Config{MaxCount: 2}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rewrite changes a snapshot and gives it checksums that fit, as damage before writing would.
func rewrite(t testing.TB, data []byte, change func(f *safetensors.File)) []byte {
	t.Helper()
	f, err := safetensors.Parse(slices.Clone(data))
	if err != nil {
		t.Fatal(err)
	}
	change(f)
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := safetensors.Write(path, f); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDamagedSnapshotsAreRefused(t *testing.T) {
	m := used(t, "baee", 1)
	for i := range 2 { // there is something of every kind to damage
		if c := m.Layer(i); c.Warm == 0 || c.Summaries == 0 {
			t.Fatalf("layer %d: %+v", i, c)
		}
	}
	data := save(t, m)
	at := func(f *safetensors.File, name string) *safetensors.Tensor {
		for i := range f.Tensors {
			if f.Tensors[i].Name == name {
				return &f.Tensors[i]
			}
		}
		t.Fatalf("no tensor %s", name)
		return nil
	}
	memory := func(f *safetensors.File, change func(h *memoryHeader)) {
		var h memoryHeader
		if err := json.Unmarshal([]byte(f.Metadata[memoryKey]), &h); err != nil {
			t.Fatal(err)
		}
		change(&h)
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		f.Metadata[memoryKey] = string(text)
	}
	for want, change := range map[string]func(f *safetensors.File){
		"not a snapshot":      func(f *safetensors.File) { delete(f.Metadata, memoryKey) },
		"is not valid":        func(f *safetensors.File) { f.Metadata[memoryKey] = "{" },
		"unknown field":       func(f *safetensors.File) { f.Metadata[memoryKey] = `{"version":2,"colour":1}` },
		"reads version 2":     func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Version = 3 }) },
		"has version 1, this": func(f *safetensors.File) { f.Metadata[memoryKey] = `{"version":1,"hot_threshold":0.6}` },
		"its configuration 3": func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Config.Layers = 3 }) },
		"dim is 0":            func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Config.Dim = 0 }) },
		"random numbers":      func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Random = nil }) },
		"chunk -1":            func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Chunk = -1 }) },
		"chunk 9223":          func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Chunk = math.MaxInt64 }) },
		"a count is -1,":      func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Layers[1].Queries = -1 }) },
		"a count is -2,":      func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Layers[0].Evicted = -2 }) },
		"a count is -3,":      func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Layers[0].Merged = -3 }) },
		"a count is -4,":      func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Layers[0].Demoted = -4 }) },
		"a count is 9223": func(f *safetensors.File) {
			memory(f,
				func(h *memoryHeader) { h.Layers[0].Queries = math.MaxInt64 })
		},
		"has the number 1844": func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.NextID = math.MaxUint64 }) },
		"bytes are held": func(f *safetensors.File) {
			memory(f, func(h *memoryHeader) { h.Config.BudgetBytes = 96 })
		},
		"net.0.weight is missing": func(f *safetensors.File) {
			memory(f,
				func(h *memoryHeader) { h.Classifier.Hidden = 1 << 15 })
		},
		"needs a trained retention": func(f *safetensors.File) { memory(f, func(h *memoryHeader) { h.Classifier = nil }) },
		"layer.0.id has 0 bytes":    func(f *safetensors.File) { x := at(f, "layer.0.id"); x.Shape, x.Data = []int{0}, nil },
		"layer.1.tier is missing":   func(f *safetensors.File) { at(f, "layer.1.tier").Name = "other" },
		"has tier 7": func(f *safetensors.File) {
			x := at(f,
				"layer.0.tier")
			x.Data = slices.Clone(x.Data)
			x.Data[0] = 7
		},
		"out of order": func(f *safetensors.File) { x := at(f, "layer.0.id"); x.Data = make([]byte, len(x.Data)) },
		"impossible history": func(f *safetensors.File) {
			x := at(f,
				"layer.0.age")
			x.Data = bytes.Repeat([]byte{0xff}, len(x.Data))
		},
		"impossible salience": func(f *safetensors.File) {
			x := at(f, "layer.0.salience")
			x.Data = bytes.Repeat([]byte{0x7f}, len(x.Data))
		},
		"values that are not finite": func(f *safetensors.File) {
			x := at(f, "layer.0.warm")
			x.Data = bytes.Repeat([]byte{0x7f}, len(x.Data))
		},
		"summary 0 is not valid": func(f *safetensors.File) {
			x := at(f,
				"layer.0.summary_counts")
			x.Data = make([]byte, len(x.Data))
		},
		"summaries are held where": func(f *safetensors.File) {
			memory(f,
				func(h *memoryHeader) { h.Config.SummarySlots = 0 })
		},
		"layer.1.summaries has 0 byte": func(f *safetensors.File) {
			x := at(f, "layer.1.summaries")
			x.Shape,
				x.Data = []int{0, 6}, nil
		},
	} {
		if _, err := restore(rewrite(t, data, change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than a line: %v", err)
		}
	}
	for _, i := range []int{3, 100, len(data) - 5} {
		bad := slices.Clone(data)
		bad[i] ^= 4
		if _, err := restore(bad); err == nil {
			t.Errorf("byte %d was changed without an error", i)
		}
	}
	for n := 0; n < len(data); n += 97 {
		if _, err := restore(data[:n]); err == nil {
			t.Errorf("the first %d bytes were taken for a snapshot", n)
		}
	}
}

// FuzzRestore: whatever the header and the contents, restoring ends with an error or with a memory that can be saved,
// restored and used. An input is a change to the snapshot of a policy: which, its header, and bytes from a place on.
// That keeps inputs small and no checksum in the way. Run it with -fuzzminimizetime 1x: Go shortens each new input byte
// by byte, for a minute, in which it tries nothing new.
func FuzzRestore(f *testing.F) {
	var snapshots []*safetensors.File
	for i, name := range policy.Names() { // the state of every one
		file, err := used(f, name, 1).file()
		if err != nil {
			f.Fatal(err)
		}
		if _, err := memoryFrom(file); err != nil {
			f.Fatal(err)
		}
		snapshots = append(snapshots, file)
		f.Add(uint8(i), file.Metadata[memoryKey], uint16(0), []byte{})
		f.Add(uint8(i), file.Metadata[memoryKey], uint16(500), []byte{255, 255, 255, 255, 255, 255, 255, 127})
	}
	f.Fuzz(func(t *testing.T, which uint8, text string, at uint16, change []byte) {
		from := snapshots[int(which)%len(snapshots)]
		changed := &safetensors.File{Metadata: map[string]string{memoryKey: text}}
		for _, x := range from.Tensors {
			x.Data = slices.Clone(x.Data)
			if skip := min(int(at), len(x.Data)); len(change) > 0 {
				change = change[copy(x.Data[skip:], change):]
				at -= uint16(skip)
			}
			changed.Tensors = append(changed.Tensors, x)
		}
		m, err := memoryFrom(changed)
		if err != nil {
			return
		}
		f, err := m.file()
		if err != nil {
			t.Fatal(err)
		}
		again, err := memoryFrom(f)
		if err != nil {
			t.Fatalf("what was restored and saved is refused: %v", err)
		}
		if again.Total() != m.Total() {
			t.Fatalf("%+v became %+v", m.Total(), again.Total())
		}
		c := m.Config()
		if c.Protocol != Strict || c.Dim*c.Slots*c.Layers > 1<<12 {
			return
		}
		if err := m.Update(0, fake(rand.New(rand.NewPCG(1, 1)), m, 0, 0)); err != nil {
			t.Fatalf("a restored memory cannot be used: %v", err)
		}
	})
}

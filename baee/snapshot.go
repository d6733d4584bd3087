package baee

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/graph/vec"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// A snapshot is a safetensors file (versioned, with checksums over header and data, written beside its place and
// renamed). Contents are stored as they are held, so what is restored is what was saved, to the bit. Under the header's
// key "memory" stands what is not a tensor.
const (
	snapshotVersion = 2 // version 1 stored entries in tiers by thresholds of their scores
	memoryKey       = "memory"
	streamKey       = "stream"
	lastLogits      = "stream.last_logits"
)

type memoryHeader struct {
	Version    int              `json:"version"`
	Config     Config           `json:"config"`
	Chunk      int64            `json:"chunk"`
	NextID     uint64           `json:"next_id"`
	Random     []byte           `json:"random"`
	Classifier *classifierShape `json:"classifier,omitempty"`
	Head       *classifierShape `json:"head,omitempty"`
	Layers     []layerHeader    `json:"layers"`
}

type layerHeader struct {
	Evicted int64 `json:"evicted"`
	Merged  int64 `json:"merged"`
	Demoted int64 `json:"demoted"`
	Queries int64 `json:"queries"`
}

// mostCount bounds what is counted, so that going on counting cannot overflow; no stream comes near.
const mostCount = 1 << 53

// file is the memory as a file.
func (m *Manager) file() (*safetensors.File, error) {
	if m.config.Keep != nil {
		return nil, errors.New("memory: its rule is a function of the program (Config.Keep), which no snapshot can hold")
	}
	random, err := m.source.MarshalBinary()
	if err != nil {
		return nil, err
	}
	h := memoryHeader{Version: snapshotVersion, Config: m.config, Chunk: m.chunk, NextID: m.nextID, Random: random}
	f := &safetensors.File{Metadata: map[string]string{}}
	for _, n := range []struct {
		network *Classifier
		prefix  string
		shape   **classifierShape
	}{{m.config.Classifier, "classifier.", &h.Classifier}, {m.config.Head, "head.", &h.Head}} {
		if n.network != nil {
			s := n.network.shape()
			*n.shape = &s
			f.Tensors = append(f.Tensors, n.network.tensors(n.prefix)...)
		}
	}
	for i, l := range m.layers {
		h.Layers = append(h.Layers, layerHeader{l.evicted, l.merged, l.demoted, l.queries.n})
		f.Tensors = append(f.Tensors, l.tensors(fmt.Sprintf("layer.%d.", i), m.config.Dim)...)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	f.Metadata[memoryKey] = string(text)
	return f, nil
}

// column is one property of all entries as a tensor.
type column struct {
	name string
	get  func(e *policy.Entry) int64
	set  func(e *policy.Entry, v int64)
}

// columns hold whole numbers as they are and floating-point ones as their bits.
var columns = []column{
	{"id", func(e *policy.Entry) int64 { return int64(e.ID) }, func(e *policy.Entry, v int64) { e.ID = uint64(v) }},
	{"position", func(e *policy.Entry) int64 { return e.Position }, func(e *policy.Entry, v int64) { e.Position = v }},
	{"salience", func(e *policy.Entry) int64 { return bits32(e.Salience) },
		func(e *policy.Entry, v int64) { e.Salience = from32(v) }},
	{"slot", func(e *policy.Entry) int64 { return int64(e.Slot) }, func(e *policy.Entry, v int64) { e.Slot = int(v) }},
	{"age", func(e *policy.Entry) int64 { return int64(e.Age) }, func(e *policy.Entry, v int64) { e.Age = int(v) }},
	{"reads", func(e *policy.Entry) int64 { return int64(e.Reads) }, func(e *policy.Entry, v int64) { e.Reads = int(v) }},
	{"uses", func(e *policy.Entry) int64 { return int64(e.Uses) }, func(e *policy.Entry, v int64) { e.Uses = int(v) }},
	{"last_use", func(e *policy.Entry) int64 { return e.LastUse }, func(e *policy.Entry, v int64) { e.LastUse = v }},
	{"pivotal", func(e *policy.Entry) int64 { return int64(e.Pivotal) },
		func(e *policy.Entry, v int64) { e.Pivotal = uint64(v) }},
	{"attention", func(e *policy.Entry) int64 { return int64(math.Float64bits(e.Attention)) },
		func(e *policy.Entry, v int64) { e.Attention = math.Float64frombits(uint64(v)) }},
	{"window", func(e *policy.Entry) int64 { return bits32(e.Window) },
		func(e *policy.Entry, v int64) { e.Window = from32(v) }},
	{"last", func(e *policy.Entry) int64 { return bits32(e.Last) }, func(e *policy.Entry, v int64) { e.Last = from32(v) }},
}

func bits32(x float32) int64 { return int64(math.Float32bits(x)) }
func from32(v int64) float32 { return math.Float32frombits(uint32(v)) }

// tensors are the layer's entries by column, their contents by tier, and the summaries.
func (l *layer) tensors(prefix string, d int) []safetensors.Tensor {
	n := len(l.entries)
	var all []safetensors.Tensor
	for _, c := range columns {
		values := make([]int64, n)
		for j := range l.entries {
			values[j] = c.get(&l.entries[j])
		}
		all = append(all, safetensors.FromInt64(prefix+c.name, []int{n}, values))
	}
	tiers := make([]uint8, n)
	var hot, warm, cold []byte
	var counts []int64
	for j, c := range l.contents {
		tiers[j] = uint8(c.tier)
		if c.tier == Hot {
			hot = append(hot, c.data...)
		} else {
			warm = append(warm, c.data...)
		}
	}
	for _, s := range l.summaries {
		cold, counts = append(cold, s.data...), append(counts, s.count)
	}
	all = append(all,
		safetensors.FromUint8(prefix+"tier", []int{n}, tiers),
		safetensors.Tensor{Name: prefix + "hot", DType: safetensors.F16, Shape: []int{len(hot) / hotBytes(d), d},
			Data: nonNil(hot)},
		safetensors.FromUint8(prefix+"warm", []int{len(warm) / warmBytes(d), warmBytes(d)}, warm),
		safetensors.Tensor{Name: prefix + "summaries", DType: safetensors.F16, Shape: []int{len(counts), d},
			Data: nonNil(cold)},
		safetensors.FromInt64(prefix+"summary_counts", []int{len(counts)}, counts))
	if len(l.head) > 0 {
		all = append(all, safetensors.FromFloat32(prefix+"head", []int{n}, l.head))
	}
	if l.queries.n > 0 {
		all = append(all, safetensors.FromFloat32(prefix+"query_mean", []int{d}, l.queries.mean),
			safetensors.FromFloat32(prefix+"query_cov", []int{d, d}, l.queries.cov))
	}
	return all
}

func nonNil(b []byte) []byte { return append([]byte{}, b...) }

// memoryFrom is the memory of a file, with its configuration, its classifier and its random numbers.
func memoryFrom(f *safetensors.File) (*Manager, error) {
	var h memoryHeader
	if err := checkVersion(f.Metadata[memoryKey]); err != nil {
		return nil, err
	}
	if err := header(f, memoryKey, &h); err != nil {
		return nil, err
	}
	if len(h.Layers) != h.Config.Layers {
		return nil, fmt.Errorf("the snapshot has %d layers, its configuration %d: the file is corrupt", len(h.Layers),
			h.Config.Layers)
	}
	var err error
	if h.Classifier != nil {
		if h.Config.Classifier, err = classifierFrom(f, *h.Classifier, "classifier."); err != nil {
			return nil, err
		}
	}
	if h.Head != nil {
		if h.Config.Head, err = classifierFrom(f, *h.Head, "head."); err != nil {
			return nil, err
		}
	}
	m, err := New(h.Config)
	if err != nil {
		return nil, err
	}
	if h.Chunk < 0 || h.Chunk > mostCount || h.NextID > mostCount {
		return nil, fmt.Errorf("the snapshot is of chunk %d, its next entry has the number %d: the file is corrupt", h.Chunk,
			h.NextID)
	}
	m.chunk, m.nextID = h.Chunk, h.NextID
	if err := m.source.UnmarshalBinary(h.Random); err != nil {
		return nil, fmt.Errorf("the state of the random numbers is not valid: %w", err)
	}
	for i, l := range m.layers {
		if err := m.restoreLayer(f, i, l, h.Layers[i]); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return m, nil
}

// checkVersion refuses a memory of another version, of which other fields may be expected. What is no memory at all is
// told by header.
func checkVersion(text string) error {
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Version == snapshotVersion {
		return nil
	}
	return fmt.Errorf("the snapshot has version %d, this program reads version %d: begin the stream anew, or go on with "+
		"the program that wrote it", v.Version, snapshotVersion)
}

// header decodes an entry of the metadata.
func header(f *safetensors.File, key string, to any) error {
	text, ok := f.Metadata[key]
	if err := layers.WantKind(f, "a snapshot", layers.SnapshotFile); !ok && err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("not a snapshot: the header has no key %q", key)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("the header's %q is not valid: %w", key, foreign.JSON(err))
	}
	return nil
}

func (m *Manager) restoreLayer(f *safetensors.File, i int, l *layer, h layerHeader) error {
	r := &reader{file: f, prefix: fmt.Sprintf("layer.%d.", i)}
	d := m.config.Dim
	tiers := r.bytes("tier", safetensors.U8, -1)
	n := len(tiers)
	for _, c := range columns { // an entry takes a hundred bytes, its tier one: all of it must be there first
		r.bytes(c.name, safetensors.I64, 8*n)
	}
	if r.err != nil {
		return r.err
	}
	entries := make([]policy.Entry, n)
	for _, c := range columns {
		for j, v := range r.ints(c.name, n) {
			c.set(&entries[j], v)
		}
	}
	counts := r.ints("summary_counts", -1)
	cold := r.bytes("summaries", safetensors.F16, len(counts)*hotBytes(d))
	warms := 0
	for j, t := range tiers {
		if Tier(t) > Warm {
			r.fail("entry %d has tier %d", j, t)
		}
		warms += int(t)
	}
	hot := r.bytes("hot", safetensors.F16, (n-warms)*hotBytes(d))
	warm := r.bytes("warm", safetensors.U8, warms*warmBytes(d))
	if r.err != nil {
		return r.err
	}
	for j, t := range tiers {
		source, size := &hot, hotBytes(d)
		if Tier(t) == Warm {
			source, size = &warm, warmBytes(d)
		}
		l.entries = append(l.entries, entries[j])
		l.contents = append(l.contents, content{Tier(t), slices.Clone((*source)[:size])})
		*source = (*source)[size:]
	}
	for j, n := range counts {
		l.summaries = append(l.summaries, summary{n, slices.Clone(cold[j*hotBytes(d) : (j+1)*hotBytes(d)])})
	}
	for _, n := range append([]int64{h.Evicted, h.Merged, h.Demoted, h.Queries}, counts...) {
		if n < 0 || n > mostCount {
			r.fail("a count is %d, where it is from 0 to %d", n, int64(mostCount))
		}
	}
	l.evicted, l.merged, l.demoted = h.Evicted, h.Merged, h.Demoted
	if m.scored() {
		l.projected = make([]float32, n*m.config.Classifier.Hidden)
		for j := range l.entries {
			m.project(l, j)
		}
	}
	if m.headed() && n > 0 {
		l.head = r.floats("head", n)
	}
	if l.queries.n = h.Queries; h.Queries > 0 {
		l.queries.mean, l.queries.cov = r.floats("query_mean", d), r.floats("query_cov", d*d)
	}
	if r.err != nil {
		return r.err
	}
	return m.plausible(i, l)
}

// plausible refuses what no run can have left behind.
func (m *Manager) plausible(i int, l *layer) error {
	d := m.config.Dim
	x := make([]float32, d)
	for j, e := range l.entries {
		decode(x, l.contents[j].tier, l.contents[j].data)
		switch {
		case vec.HasNonFinite(x):
			return fmt.Errorf("entry %d has values that are not finite: the file is corrupt", j)
		case e.ID >= m.nextID || j > 0 && m.config.Protocol == Strict && e.ID <= l.entries[j-1].ID:
			return fmt.Errorf("entry %d has the number %d, out of order: the file is corrupt", j, e.ID)
		case e.Position < -1 || e.Slot < 0 || e.Slot >= m.config.Slots || e.Age < 0 || int64(e.Age) > mostCount ||
			e.Reads < 0 || int64(e.Reads) > mostCount || e.Uses < 0 || e.Uses > e.Reads || e.LastUse < 0 || e.LastUse > m.chunk:
			return fmt.Errorf("entry %d has an impossible history: the file is corrupt", j)
		case !(e.Salience >= 0 && e.Salience <= 1) || !(e.Attention >= 0) || !(e.Window >= 0) || !(e.Last >= 0) ||
			math.IsInf(e.Attention+float64(e.Window)+float64(e.Last), 0):
			return fmt.Errorf("entry %d has impossible salience or attention: the file is corrupt", j)
		}
	}
	for j, s := range l.summaries {
		decode(x, Cold, s.data)
		if s.count < 1 || vec.HasNonFinite(x) {
			return fmt.Errorf("summary %d is not valid: the file is corrupt", j)
		}
	}
	if l.bytes > 0 && l.held() > l.bytes {
		return fmt.Errorf("%d bytes are held where %d are allowed: the file is corrupt", l.held(), l.bytes)
	}
	if len(l.summaries) > m.summarySlots(l) {
		return fmt.Errorf("%d summaries are held where %d are allowed: the file is corrupt", len(l.summaries),
			m.summarySlots(l))
	}
	if most := m.MostRows(i); m.config.Protocol == Strict && most > 0 && len(l.entries)+len(l.summaries) > most {
		return fmt.Errorf("%d rows are held where %d are allowed: the file is corrupt", len(l.entries)+len(l.summaries), most)
	}
	return nil
}

// reader takes tensors from a file. The first error sticks.
type reader struct {
	file   *safetensors.File
	prefix string
	err    error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format+": the file is corrupt", args...)
	}
}

// bytes are a tensor's, `size` of them; -1: any number. There are none if it has not that many: the size is what a
// header asks for, and no memory is taken for what the file does not hold.
func (r *reader) bytes(name string, dtype safetensors.DType, size int) []byte {
	t, ok := r.file.Lookup(r.prefix + name)
	if !ok || t.DType != dtype {
		r.fail("tensor %s is missing or not %s", r.prefix+name, dtype)
		return nil
	}
	if size >= 0 && len(t.Data) != size {
		r.fail("tensor %s has %d bytes, want %d", r.prefix+name, len(t.Data), size)
		return nil
	}
	return t.Data
}

// ints are a tensor's whole numbers, n of them; -1: any number.
func (r *reader) ints(name string, n int) []int64 {
	size := -1
	if n >= 0 {
		size = 8 * n
	}
	b := r.bytes(name, safetensors.I64, size)
	out := make([]int64, len(b)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}

func (r *reader) floats(name string, n int) []float32 {
	b := r.bytes(name, safetensors.F32, 4*n)
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	if vec.HasNonFinite(out) {
		r.fail("tensor %s has values that are not finite", r.prefix+name)
	}
	return out
}

type streamHeader struct {
	Chunk    int     `json:"chunk"` // tokens of a chunk
	Position int64   `json:"position"`
	Pending  []int32 `json:"pending"`
	Capacity []int   `json:"capacity"`
	Model    string  `json:"model"` // fingerprint
	// Kernels are those of the tokens; none in old snapshots.
	Kernels graph.KernelHistory `json:"kernels,omitempty"`
	// Taken is the digest of the tokens, those that wait included; none in old snapshots.
	Taken Digest `json:"taken,omitzero"`
}

// Save writes a snapshot of the stream: its memory, the tokens that wait, its position. A stream restored from it gives
// the same logits for the same further tokens, to the bit on the same kernels.
func (s *Stream) Save(path string) error {
	if s.broken != nil {
		return fmt.Errorf("cannot write %s: the stream failed before: %w", path, s.broken)
	}
	f, err := s.memory.file()
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if s.print == "" { // once: it takes longer than all else, and a stream's model does not change
		if s.print, err = fingerprint(s.model); err != nil {
			return fmt.Errorf("cannot write %s: %w", path, err)
		}
	}
	pending := append([]int32{}, s.pending...) // [], not null
	text, err := json.Marshal(streamHeader{s.chunk, s.position, pending, s.capacity, s.print, s.kernels, s.taken})
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	f.Metadata[streamKey] = string(text)
	if len(s.last) > 0 {
		f.Tensors = append(f.Tensors, safetensors.FromFloat32(lastLogits, []int{len(s.last)}, s.last))
	}
	return safetensors.Write(path, f)
}

// RestoreStream continues the stream of a snapshot with the model that it was made with.
func RestoreStream(model *layers.Model, path string) (*Stream, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	s, err := streamFrom(model, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// maxCapacity bounds what a file may ask for beyond the rows that it holds: capacities are twice those at most.
func maxCapacity(rows, most int) int { return max(2*rows, most, leastCapacity) }

func streamFrom(model *layers.Model, f *safetensors.File) (*Stream, error) {
	m, err := memoryFrom(f)
	if err != nil {
		return nil, err
	}
	var h streamHeader
	if err := header(f, streamKey, &h); err != nil {
		return nil, err
	}
	s, err := NewStream(model, m, h.Chunk)
	if err != nil {
		return nil, err
	}
	print, err := fingerprint(model)
	if err != nil {
		return nil, err
	}
	if h.Model != print {
		return nil,
			fmt.Errorf("the snapshot was made with another model or another packing of it (fingerprint %.12s, this one has "+
				"%.12s): restore it with the same file of weights", h.Model, print)
	}
	for _, id := range h.Pending {
		if id < 0 || int(id) >= model.Config.VocabSize {
			return nil, fmt.Errorf("the token id %d waits, and the model's vocabulary is 0..%d: the file is corrupt", id,
				model.Config.VocabSize-1)
		}
	}
	if len(h.Pending) >= h.Chunk || h.Position < 0 || h.Position > mostCount || len(h.Capacity) != len(m.layers) {
		return nil,
			fmt.Errorf("%d tokens wait at position %d for a chunk of %d, with room for %d layers: the file is corrupt",
				len(h.Pending), h.Position, h.Chunk, len(h.Capacity))
	}
	for i, c := range h.Capacity {
		if c != 0 && (c < m.Rows(i) || c > maxCapacity(m.Rows(i), m.MostRows(i))) {
			return nil, fmt.Errorf("layer %d has room for %d rows and holds %d: the file is corrupt", i, c, m.Rows(i))
		}
	}
	s.position, s.pending, s.capacity, s.print = h.Position, append(s.pending, h.Pending...), h.Capacity, print
	s.taken = h.Taken
	if _, ok := f.Lookup(lastLogits); ok { // older snapshots have none
		r := &reader{file: f}
		if s.last = r.floats(lastLogits, model.Outputs()); r.err != nil {
			return nil, r.err
		}
	}
	s.kernels, s.Warning = h.Kernels.Continue(int(h.Position), graph.CurrentKernels())
	return s, nil
}

// fingerprint tells models apart: a hash of the configuration, all weights, and how those of a packed model are packed.
func fingerprint(m *layers.Model) (string, error) {
	config, err := json.Marshal(m.Config)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	hash.Write(config)
	for _, p := range m.Params.All() {
		hashFloats(hash, p.Data())
	}
	byName := func(a, b *layers.Weight) int { return strings.Compare(a.Name, b.Name) }
	for _, w := range slices.SortedFunc(slices.Values(m.Params.Weights()), byName) {
		if w.Packed == nil {
			continue
		}
		spec, err := json.Marshal(w.Packed.Spec())
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(hash, "%s %s %d ", w.Name, spec, len(w.Packed.Bytes())) // a hash takes everything
		hash.Write(w.Packed.Bytes())
	}
	for i, b := range m.Blocks {
		if b.Attention.Smooth != nil {
			_, _ = fmt.Fprintf(hash, "smooth %d ", i)
			hashFloats(hash, b.Attention.Smooth.Data())
		}
		if b.Memory.EntryQuant != nil {
			_, _ = fmt.Fprintf(hash, "entries of %d in INT8 ", i)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func hashFloats(hash io.Writer, x []float32) {
	block := make([]byte, 0, 1<<16)
	for _, v := range x {
		if block = binary.LittleEndian.AppendUint32(block, math.Float32bits(v)); len(block) == cap(block) {
			_, _ = hash.Write(block)
			block = block[:0]
		}
	}
	_, _ = hash.Write(block)
}

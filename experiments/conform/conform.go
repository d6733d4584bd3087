// Package conform holds our numbers against files of golden tensors: weights, inputs, outputs and gradients that the
// reference implementation made. The header of each file carries its configuration as JSON under "case"; what the file
// contains says what to run, so files of any width, depth, heads or vocabulary can be held against the graph.
package conform

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/synapnet/synapnet-train/graph"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// Tolerances of the golden tensors: |ours - theirs| ≤ Relative·|theirs| + Absolute. After several optimiser steps the
// relative tolerance is TrainedRelative.
const (
	Relative        = 1e-4
	Absolute        = 1e-5
	TrainedRelative = 1e-3
)

// Result is the comparison of one tensor.
type Result struct {
	Name  string
	Worst float64 // the largest |ours - theirs|
	At    int     // where, as a flat index
	Got   float64 // ours there
	Want  float64 // theirs there
	OK    bool    // every element is within tolerance
	Note  string  // why the tolerance is another than usual, if it is
}

// Report is the comparison of one file.
type Report struct {
	Case    string // what was run
	Results []Result
}

// OK says whether every tensor is within tolerance.
func (r *Report) OK() bool {
	for _, t := range r.Results {
		if !t.OK {
			return false
		}
	}
	return len(r.Results) > 0
}

// kinds of files, told apart by a tensor that only they have.
var kinds = []struct {
	marker, name string
	run          func(*check) error
}{
	{"out.losses", "optimiser steps", (*check).train},
	{"out.streaming_logits", "external memory and streaming", (*check).external},
	{"out.salience.0", "forward and gradients", (*check).gradients},
	{"q.blocks.0.attn.smooth_scale", "SmoothQuant and INT4 attention", (*check).attention},
	{"int4.w", "quantisers", (*check).quantisers},
	{"int8.bank", "quantisers", (*check).quantisers},
	{"seq2.w", "quantisers", (*check).quantisers},
	{"in.attn_weight", "retention classifier", (*check).retention},
	{"out.loss", "forward and gradients of a baseline", (*check).gradients},
}

// File runs what the file at path describes and compares every tensor of its results: golden tensors in a safetensors
// file, or decisions of eviction policies in a JSON file.
func File(path string) (*Report, error) {
	if filepath.Ext(path) == ".json" {
		return policies(path)
	}
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	c := &check{file: f, report: &Report{}}
	for _, k := range kinds {
		if _, ok := f.Lookup(k.marker); !ok {
			continue
		}
		c.report.Case = k.name
		if err := c.readCase(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if err := k.run(c); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return c.report, nil
	}
	var known []string
	for _, k := range kinds {
		known = append(known, fmt.Sprintf("%s (%s)", k.name, k.marker))
	}
	return nil, fmt.Errorf("%s: not a file of golden tensors: it has none of the tensors that tell what to run: %s", path, strings.Join(known, ", "))
}

// check is the comparison of one file under way. The first error of a look-up sticks.
type check struct {
	file   *safetensors.File
	report *Report
	conf   caseConfig
	err    error
}

// caseConfig is the header's "case".
type caseConfig struct {
	layers.Config
	StreamChunk int        `json:"stream_chunk"`
	LR          float64    `json:"lr"`
	WeightDecay float64    `json:"weight_decay"`
	Betas       [2]float64 `json:"betas"`
	GradClip    float64    `json:"grad_clip"`
	Eps         float64    `json:"eps"`
	Alpha       float64    `json:"alpha"`
	GroupSize   int        `json:"group_size"`
	SalientFrac float64    `json:"salient_frac"`
	Int4Group   int        `json:"int4_group"`
}

func (c *check) readCase() error {
	text, ok := c.file.Metadata["case"]
	if !ok {
		return fmt.Errorf(`no configuration in the header (key "case")`)
	}
	c.conf = caseConfig{Config: layers.Reference()}
	c.conf.NumClasses = 0 // unset, or null, is a language model
	if err := json.Unmarshal([]byte(text), &c.conf); err != nil {
		return fmt.Errorf(`the header's "case" is not valid: %w`, err)
	}
	return nil
}

func (c *check) model(prefix string) (*layers.Model, error) {
	m, err := layers.NewModel(c.conf.Config, 0)
	if err != nil {
		return nil, err
	}
	return m, m.SetWeights(c.file, prefix)
}

func (c *check) floats(name string) []float32 {
	t, ok := c.file.Lookup(name)
	if !ok {
		c.fail("tensor %s is missing", name)
		return nil
	}
	v, err := t.Float32s()
	if err != nil {
		c.fail("%v", err)
	}
	return v
}

// ints reads whole numbers that must fit int32: ids, labels, positions.
func (c *check) ints(name string) ([]int32, []int) {
	t, ok := c.file.Lookup(name)
	if !ok {
		c.fail("tensor %s is missing", name)
		return nil, nil
	}
	v, err := t.Int64s()
	if err != nil {
		c.fail("%v", err)
	}
	out := make([]int32, len(v))
	for i, x := range v {
		if x < math.MinInt32 || x > math.MaxInt32 {
			c.fail("tensor %s: %d at %d is out of range", name, x, i)
		}
		out[i] = int32(x)
	}
	return out, t.Shape
}

func (c *check) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// compare adds a result; got nil stands for zeros (a gradient that does not exist).
func (c *check) compare(name string, got []float32, relative float64) {
	want := c.floats(name)
	if c.err != nil {
		return
	}
	if got == nil {
		got = make([]float32, len(want))
	}
	if len(got) != len(want) {
		c.fail("tensor %s has %d elements, ours has %d", name, len(want), len(got))
		return
	}
	r := Result{Name: name, OK: true}
	for i, w := range want {
		g, w := float64(got[i]), float64(w)
		diff := math.Abs(g - w)
		if !(diff <= relative*math.Abs(w)+Absolute) { // also catches NaN
			r.OK = false
		}
		if diff > r.Worst || math.IsNaN(diff) || i == 0 {
			r.Worst, r.At, r.Got, r.Want = diff, i, g, w
		}
	}
	c.report.Results = append(c.report.Results, r)
}

// compareInts adds a result for whole numbers, which must be equal.
func (c *check) compareInts(name string, got []int32) {
	want, _ := c.ints(name)
	if c.err != nil {
		return
	}
	if len(got) != len(want) {
		c.fail("tensor %s has %d elements, ours has %d", name, len(want), len(got))
		return
	}
	r := Result{Name: name, OK: true}
	for i, w := range want {
		if diff := math.Abs(float64(got[i]) - float64(w)); diff > r.Worst {
			r.OK = false
			r.Worst, r.At, r.Got, r.Want = diff, i, float64(got[i]), float64(w)
		}
	}
	c.report.Results = append(c.report.Results, r)
}

// gradients runs the model forward and backward once.
func (c *check) gradients() error {
	m, err := c.model("w.")
	if err != nil {
		return err
	}
	ids, shape := c.ints("in.ids")
	labels, _ := c.ints("in.labels")
	if c.err != nil {
		return c.err
	}
	if len(shape) != 2 {
		return fmt.Errorf("tensor in.ids has shape %v, want [B, T]", shape)
	}
	t, err := m.Gradients(shape[0], shape[1])
	if err != nil {
		return err
	}
	loss, err := t.Run(ids, labels)
	if err != nil {
		return err
	}
	c.compare("out.logits", t.Logits(), Relative)
	c.compare("out.loss", []float32{loss}, Relative)
	inf, err := m.Infer(shape[0], shape[1], 0)
	if err != nil {
		return err
	}
	if _, err := inf.Run(ids, nil); err != nil {
		return err
	}
	for i := range m.Blocks {
		c.compare(fmt.Sprintf("out.salience.%d", i), inf.Salience(i), Relative)
		c.compare(fmt.Sprintf("out.membank.%d", i), inf.Bank(i), Relative)
		c.topK(fmt.Sprintf("out.topk.%d", i), inf.Top(i), shape[0])
	}
	for _, p := range m.Params.All() {
		name := "g." + p.Name
		if _, ok := c.file.Lookup(name); ok {
			c.compare(name, t.Program.Grad(p), Relative)
		} else if g := t.Program.Grad(p); g != nil {
			c.noGradient(name, g)
		}
	}
	return c.err
}

// noGradient compares our gradient of a parameter for which the reference has none with zero.
func (c *check) noGradient(name string, got []float32) {
	r := Result{Name: name + " (none)", OK: true}
	for i, g := range got {
		if d := math.Abs(float64(g)); d > r.Worst {
			r.OK = false
			r.Worst, r.At, r.Got = d, i, float64(g)
		}
	}
	c.report.Results = append(c.report.Results, r)
}

// topK compares the first positions of each row: ours holds all that any reader needs.
func (c *check) topK(name string, top []int32, batch int) {
	t, ok := c.file.Lookup(name)
	if !ok || len(t.Shape) != 2 || t.Shape[0] != batch || len(top)/batch < t.Shape[1] {
		c.fail("tensor %s is missing or not [%d, up to %d]", name, batch, len(top)/batch)
		return
	}
	var got []int32
	for b := range batch {
		row := top[b*len(top)/batch:]
		got = append(got, row[:t.Shape[1]]...)
	}
	c.compareInts(name, got)
}

// train runs the optimiser for as many steps as the file has batches.
func (c *check) train() error {
	m, err := c.model("w0.")
	if err != nil {
		return err
	}
	ids, shape := c.ints("in.ids")
	labels, _ := c.ints("in.labels")
	if c.err != nil {
		return c.err
	}
	perStep := 0 // labels
	if len(shape) == 3 {
		perStep = shape[1] // one a sample; for a language model one a token
		if m.Config.LanguageModel() {
			perStep *= shape[2]
		}
	}
	if perStep == 0 || len(labels) != shape[0]*perStep {
		return fmt.Errorf("tensor in.ids has shape %v and there are %d labels, want [steps, B, T] and %d a step", shape, len(labels), perStep)
	}
	steps, batch, tokens := shape[0], shape[1], shape[2]
	t, err := m.Gradients(batch, tokens)
	if err != nil {
		return err
	}
	opt := graph.NewAdamW(c.conf.Betas[0], c.conf.Betas[1], c.conf.GradClip,
		&graph.Group{LR: c.conf.LR, WeightDecay: c.conf.WeightDecay, Params: m.Params.All()})
	opt.Eps = c.conf.Eps
	var losses, norms []float32
	noisy := map[*graph.Param][]int{} // by element, the steps in which its gradient was rounding noise
	for i := range steps {
		loss, err := t.Run(ids[i*batch*tokens:(i+1)*batch*tokens], labels[i*perStep:(i+1)*perStep])
		if err != nil {
			return err
		}
		if err := opt.Step(t.Program.Gradients()); err != nil {
			return err
		}
		losses, norms = append(losses, loss), append(norms, float32(opt.Norm()))
		for _, p := range m.Params.All() {
			noisy[p] = countNoise(noisy[p], t.Program.Grad(p), noiseFloor*opt.Norm())
		}
	}
	c.compare("out.losses", losses, TrainedRelative)
	c.compare("out.grad_norms", norms, TrainedRelative)
	for _, p := range m.Params.All() {
		c.compareTrained(fmt.Sprintf("w%d.%s", steps, p.Name), p.Data(), noisy[p])
	}
	return c.err
}

// noiseFloor is the size of a gradient element, relative to the norm of the whole gradient, below which it is rounding
// noise of float32 arithmetic.
const noiseFloor = 1e-7

// countNoise adds 1 for every element whose gradient is below the floor but not exactly zero.
func countNoise(counts []int, grad []float32, floor float64) []int {
	if counts == nil {
		counts = make([]int, len(grad))
	}
	for i, g := range grad {
		if g != 0 && math.Abs(float64(g)) < floor {
			counts[i]++
		}
	}
	return counts
}

// compareTrained is compare for weights after AdamW steps. Adam divides a gradient by its own size, so where a gradient is
// zero in exact arithmetic (the last bias of the salience MLP: r and its threshold move together) or happens to pass
// through zero, each implementation's rounding noise decides whether the weight goes up or down by the learning rate.
// Such an element may differ by that much for each such step; a run in float64 shows both float32 implementations
// straying from it.
func (c *check) compareTrained(name string, got []float32, noisy []int) {
	want := c.floats(name)
	before := len(c.report.Results)
	c.compare(name, got, TrainedRelative)
	if len(c.report.Results) == before {
		return
	}
	r := &c.report.Results[before]
	if r.OK {
		return
	}
	r.OK = true
	widened := 0
	for i, w := range want {
		diff := math.Abs(float64(got[i]) - float64(w))
		if diff <= TrainedRelative*math.Abs(float64(w))+Absolute {
			continue
		}
		widened++
		if noisy == nil || !(diff <= 2*c.conf.LR*float64(noisy[i])) {
			r.OK = false
		}
	}
	if r.OK {
		r.Note = fmt.Sprintf("%d of %d elements compared within 2·lr for each step in which their gradient was rounding noise", widened, len(want))
	}
}

// external runs the model with external memory, and row 0 as a stream.
func (c *check) external() error {
	m, err := c.model("w.")
	if err != nil {
		return err
	}
	ids, shape := c.ints("in.ids")
	var banks [][]float32
	entries := 0
	for i := range m.Blocks {
		name := fmt.Sprintf("in.ext.%d", i)
		banks = append(banks, c.floats(name))
		if t, ok := c.file.Lookup(name); ok && len(t.Shape) == 3 {
			entries = t.Shape[1]
		}
	}
	if c.err != nil {
		return c.err
	}
	if len(shape) != 2 || entries == 0 {
		return fmt.Errorf("want in.ids [B, T] and in.ext.i [B, E, D], got in.ids %v", shape)
	}
	inf, err := m.Infer(shape[0], shape[1], entries)
	if err != nil {
		return err
	}
	logits, err := inf.Run(ids, banks)
	if err != nil {
		return err
	}
	c.compare("out.logits", logits, Relative)
	s, err := layers.NewStream(m, c.conf.StreamChunk)
	if err != nil {
		return err
	}
	var streamed []float32
	keep := func(logits []float32) error {
		if m.Config.LanguageModel() {
			streamed = append(streamed, logits...)
		} else {
			streamed = append(streamed[:0], logits...)
		}
		return nil
	}
	if err := s.Push(ids[:shape[1]], keep); err != nil {
		return err
	}
	if err := s.Flush(keep); err != nil {
		return err
	}
	c.compare("out.streaming_logits", streamed, Relative)
	return c.err
}

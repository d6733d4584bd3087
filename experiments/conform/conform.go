// Package conform holds our numbers against files of golden tensors: weights, inputs, outputs and gradients that the
// reference implementation made. The header of each file carries its configuration as JSON under "case"; what the file
// contains says what to run, so files of any width, depth, heads or vocabulary can be held against the graph.
package conform

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/internal/rounding"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/layers/safetensors"
)

// Relative is what an element may be off relative to the file's whatever the sums behind it: exp, erf, tanh and
// reciprocals differ between two libraries by a few roundings each, in each of some dozen layers. The rest of a
// tolerance, |got - want| ≤ Relative·|want| + floor, is the tensor's own; see spread.go. The files' makers ask for
// no more than 1e-4 relative and 1e-5 absolute, with which a wrong ε in a norm would pass.
const Relative = 1e-5

// Result is the comparison of one tensor.
type Result struct {
	Name  string
	Worst float64 // |got - want| of one element; of policies, how many entries only one side keeps
	Limit float64 // what it may be there
	At    int     // where, as a flat index: the element that is the most beyond its tolerance, or the nearest to it
	Got   float64 // at that element
	Want  float64 // at that element, in the file
	OK    bool    // every element is within tolerance
	Note  string  // why the tolerance is another than usual, if it is
}

// Comparison is that of one file.
type Comparison struct {
	Case    string // what was run
	Results []Result
}

// OK says whether every tensor is within tolerance.
func (r *Comparison) OK() bool {
	return len(r.Results) > 0 && !slices.ContainsFunc(r.Results, func(t Result) bool { return !t.OK })
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
func File(path string) (*Comparison, error) {
	if filepath.Ext(path) == ".json" {
		return policies(path)
	}
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	c := &check{file: f, report: &Comparison{}, terms: 1, first: map[string][]float32{}, moved: map[string][]bool{},
		strayed: map[string][]float64{}, largest: map[string]float64{}}
	for _, k := range kinds {
		if _, ok := f.Lookup(k.marker); !ok {
			continue
		}
		c.report.Case = k.name
		if err := c.readCase(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if err := c.runAndJudge(k.run); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return c.report, nil
	}
	var known []string
	for _, k := range kinds {
		known = append(known, fmt.Sprintf("%s (%s)", k.name, k.marker))
	}
	return nil, fmt.Errorf("%s: not a file of golden tensors: it has none of the tensors that tell what to run: %s", path,
		strings.Join(known, ", "))
}

// check is the comparison of one file under way. The first error of a look-up sticks.
type check struct {
	file   *safetensors.File
	report *Comparison
	conf   caseConfig
	err    error

	draw      int                  // 0 is the run that is compared, the others measure its spread
	perturbed bool                 // the case has parameters, so there are others
	terms     int                  // of the case's longest sum
	first     map[string][]float32 // what run 0 gave
	moved     map[string][]bool    // the elements that another run gave otherwise
	strayed   map[string][]float64 // by tensor, how far each other run was from run 0
	largest   map[string]float64   // by kind of tensor, the largest element of run 0
	judge     []func()             // the comparisons, in the report's order, for when the spreads are known
}

// runAndJudge runs the case as it is, then as often with perturbed parameters as its spreads need, and compares.
func (c *check) runAndJudge(run func(*check) error) error {
	for c.draw = 0; c.draw == 0 || c.perturbed && c.draw <= rounding.Draws; c.draw++ {
		if err := run(c); err != nil {
			return err
		}
	}
	for _, judge := range c.judge {
		judge()
	}
	return c.err
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
		return fmt.Errorf(`the header's "case" is not valid: %w`, foreign.JSON(err))
	}
	return nil
}

// model is the file's, in all runs but the first with its parameters perturbed; rows is the number of tokens of a
// batch.
func (c *check) model(prefix string, rows int) (*layers.Model, error) {
	m, err := layers.NewModel(c.conf.Config, 0)
	if err != nil {
		return nil, err
	}
	if err := m.SetWeights(c.file, prefix); err != nil {
		return nil, err
	}
	c.perturb(m.Params.All(), rows)
	return m, nil
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

// compare holds got against the file's tensor, and measures how far got strays in the other runs; got nil stands for
// zeros (a gradient that does not exist).
func (c *check) compare(name string, got []float32) { c.compareAs(name, name, got, nil) }

// compareAs is compare under another name in the report. If slack is not nil, it is what each element may be off in
// place of the tensor's spread.
func (c *check) compareAs(name, label string, got []float32, slack func() []float64) {
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
	c.measure(label, got)
	if c.draw > 0 {
		return
	}
	c.judge = append(c.judge, func() {
		floor, further := c.floor(label), []float64(nil)
		if slack != nil {
			floor, further = c.roundingFloor(label), slack()
		}
		r := compared(c.first[label], want, floor, further)
		r.Name = label
		c.report.Results = append(c.report.Results, r)
	})
}

// compared is the comparison of one tensor. What it reports is the element that uses up the most of its tolerance.
func compared(got, want []float32, floor float64, slack []float64) Result {
	r := Result{OK: true}
	used := -1.0
	for i, w := range want {
		g, w := float64(got[i]), float64(w)
		diff, limit := math.Abs(g-w), Relative*math.Abs(w)+floor
		if len(slack) > 0 {
			limit += slack[i]
		}
		ok := diff <= limit // false for NaN
		share := 0.0
		if diff > 0 {
			share = diff / limit
		}
		if !ok && math.IsNaN(diff) {
			share = math.Inf(1)
		}
		r.OK = r.OK && ok
		if share > used {
			used = share
			r.Worst, r.Limit, r.At, r.Got, r.Want = diff, limit, i, g, w
		}
	}
	return r
}

// compareInts holds whole numbers against the file's, which must be equal but where equivalent says that both are
// right: got and want differ at i because rounding decides between them.
func (c *check) compareInts(name string, got []int32, equivalent func(i int, got, want int32) bool) {
	want, _ := c.ints(name)
	if c.err != nil || c.draw > 0 {
		return
	}
	if len(got) != len(want) {
		c.fail("tensor %s has %d elements, ours has %d", name, len(want), len(got))
		return
	}
	c.judge = append(c.judge, func() {
		r := Result{Name: name, OK: true}
		ties := 0
		for i, w := range want {
			diff := math.Abs(float64(got[i]) - float64(w))
			switch {
			case diff == 0:
				continue
			case equivalent != nil && equivalent(i, got[i], w):
				ties++
				continue
			}
			r.OK = false
			if diff > r.Worst {
				r.Worst, r.At, r.Got, r.Want = diff, i, float64(got[i]), float64(w)
			}
		}
		if ties > 0 {
			r.Note = fmt.Sprintf("%d of %d elements are ties, which rounding decides", ties, len(want))
		}
		c.report.Results = append(c.report.Results, r)
	})
}

// gradients runs the model forward and backward once.
func (c *check) gradients() error {
	ids, shape := c.ints("in.ids")
	labels, _ := c.ints("in.labels")
	m, err := c.model("w.", len(ids))
	if err != nil {
		return err
	}
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
	c.compare("out.logits", t.Logits())
	c.compare("out.loss", []float32{loss})
	inf, err := m.Infer(shape[0], shape[1], 0)
	if err != nil {
		return err
	}
	if _, err := inf.Run(ids, nil); err != nil {
		return err
	}
	for i := range m.Blocks {
		c.compare(fmt.Sprintf("out.salience.%d", i), inf.Salience(i))
		c.bank(i, inf.Bank(i), inf.Top(i), shape[0])
		c.topK(i, inf.Top(i), shape[0])
	}
	for _, p := range m.Params.All() {
		name := "g." + p.Name
		if _, ok := c.file.Lookup(name); ok {
			c.compare(name, t.Program.Grad(p))
		} else if g := t.Program.Grad(p); g != nil {
			c.noGradient(name, g)
		}
	}
	return c.err
}

// noGradient compares our gradient of a parameter for which the reference has none with zero.
func (c *check) noGradient(name string, got []float32) {
	if c.draw > 0 {
		return
	}
	r := Result{Name: name + " (none)", OK: true}
	for i, g := range got {
		if d := math.Abs(float64(g)); d > r.Worst {
			r.OK = false
			r.Worst, r.At, r.Got = d, i, float64(g)
		}
	}
	c.judge = append(c.judge, func() { c.report.Results = append(c.report.Results, r) })
}

// external runs the model with external memory, and row 0 as a stream.
func (c *check) external() error {
	ids, shape := c.ints("in.ids")
	m, err := c.model("w.", len(ids))
	if err != nil {
		return err
	}
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
	c.compare("out.logits", logits)
	var streamed []float32
	keep := func(logits []float32) error {
		if m.Config.LanguageModel() {
			streamed = append(streamed, logits...)
		} else {
			streamed = append(streamed[:0], logits...)
		}
		return nil
	}
	if err := m.Stream(ids[:shape[1]], c.conf.StreamChunk, keep); err != nil {
		return err
	}
	c.compare("out.streaming_logits", streamed)
	return c.err
}

package eviction

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/results/published"
)

// GridConfig is the retention experiment (SPEC section 5, Grid): every policy on memory-pressure samples, over lengths,
// budgets, places of the target and seeds.
type GridConfig struct {
	Policies  []string        `json:"policies"`
	Budgets   []float64       `json:"budgets"` // parts of all slots that are written
	Positions []string        `json:"positions"`
	Seeds     []uint64        `json:"seeds"`
	Contexts  []int           `json:"contexts"` // tokens
	Protocols []baee.Protocol `json:"protocols"`
	Samples   int             `json:"samples"`           // a cell
	Chunk     int             `json:"chunk"`             // tokens
	Needles   int             `json:"needles,omitempty"` // keys with a fact in a sample; 0: 16
	Headline  bool            `json:"headline"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// DefaultGrid is the published grid in both protocols, with the policies that it does not have and the headline case.
func DefaultGrid() GridConfig {
	return GridConfig{
		Policies: Policies(), Budgets: []float64{0.1, 0.2, 0.3, 0.5}, Positions: []string{string(tasks.Early), string(tasks.Late)},
		Seeds: []uint64{42, 43, 44}, Contexts: []int{1024, 2048}, Protocols: []baee.Protocol{baee.Paper, baee.Strict},
		Samples: 24, Chunk: 512, Headline: true, SampleKeys: tasks.CurrentKeys,
	}
}

// Policies lists the built-in policies in the order of reports: ours, the nine of the published grid, newer rivals.
func Policies() []string {
	return []string{"baee", "baee_salience", "fifo", "lru", "random", "h2o", "scissorhands", "snapkv", "pyramidkv", "locret_proxy",
		"tova", "keydiff", "knorm", "expected_attention"}
}

// The headline case of the reference's README: 8,192-token streams, 90% forced eviction, target early (SPEC section 6).
const (
	HeadlineContext = 8192
	headlineBudget  = 0.1
)

// GridCase is what a cell is about besides its policy.
type GridCase struct {
	Protocol baee.Protocol `json:"protocol"`
	Context  int           `json:"context"`
	Budget   float64       `json:"budget"`
	Position string        `json:"position"`
	Seed     uint64        `json:"seed"`
}

// GridCell is the result of one policy in one case.
type GridCell struct {
	GridCase
	Policy        string              `json:"policy"`
	EntriesALayer int                 `json:"entries_per_layer"` // the budget
	Retention     curriculum.Accuracy `json:"retention"`         // samples whose target is still held, with the 95% interval
	Accuracy      curriculum.Accuracy `json:"accuracy"`          // of the answers
	Rows          float64             `json:"rows,omitempty"`    // held at the end over all layers, summaries included, a sample
	Bytes         float64             `json:"bytes,omitempty"`   // of their contents
	NetworkSHA256 string              `json:"network_sha256,omitempty"`
}

// GridSummary is a policy over the seeds of one case.
type GridSummary struct {
	Protocol  baee.Protocol       `json:"protocol"`
	Context   int                 `json:"context"`
	Budget    float64             `json:"budget"`
	Position  string              `json:"position"`
	Policy    string              `json:"policy"`
	Seeds     int                 `json:"seeds"`
	Mean      float64             `json:"mean"` // retention over seeds
	Std       float64             `json:"std"`  // n-1
	Pooled    curriculum.Accuracy `json:"pooled"`
	Accuracy  curriculum.Accuracy `json:"accuracy"`
	Published *result.MeanStd     `json:"published,omitempty"` // retention
}

// GridOverall is a policy's retention over all cells of the grid, the headline case apart.
type GridOverall struct {
	Protocol  baee.Protocol       `json:"protocol"`
	Policy    string              `json:"policy"`
	Position  string              `json:"position"`
	Cells     int                 `json:"cells"`
	Retention curriculum.Accuracy `json:"retention"`
}

// GridResult is what the experiment writes, anew after every case.
type GridResult struct {
	Experiment  string             `json:"experiment"`
	Config      GridConfig         `json:"config"`
	Model       layers.Config      `json:"model"`
	Base        string             `json:"base"`
	BaseSHA256  string             `json:"base_sha256"`
	Protocol    string             `json:"protocol"`
	Environment result.Environment `json:"environment"` // of the last cell that was measured
	Cost        result.Cost        `json:"cost"`        // of all calls
	Cells       []GridCell         `json:"cells"`
	Summary     []GridSummary      `json:"summary"`
	Overall     []GridOverall      `json:"overall"`
}

const gridProtocol = "paper: the reference's scoring rules; padding is stored and counts, the first chunk reads a row of zeros, attention " +
	"is not accumulated. strict: each method's own algorithm on attention really received; padding is not stored. Both: budget a layer = " +
	"floor(chunks x slots x fraction), retained = at the end any layer holds an entry written at a target's key; policies of a case share a chunk's forward while their memories are equal"

// Grid is the experiment under way.
type Grid struct {
	Config      GridConfig
	Base        *layers.Model
	Classifier  *baee.Classifier // for baee, strict
	Head        *baee.Classifier // for locret_proxy, strict
	Output      string
	Environment result.Environment
	// Report, if set, is called with each cell as it is done, and with those done by an earlier call. It is not called concurrently.
	Report func(cell GridCell, before bool, done, total int)

	// Note, if any, is a line for users about what an earlier call began with.
	Note string

	purpose tasks.Purpose
	job     *lab.Job
	file    *lab.ResultFile
	result  GridResult
	done    int
	shas    map[string]string // of the networks, by policy
}

// NewGrid prepares the experiment on the pretrained model at basePath. classifier and head may be "" if no strict cell
// needs one. What the output file holds already is kept if it was made with the same model and settings, and refused otherwise.
func NewGrid(c GridConfig, basePath, classifier, head, output string, env result.Environment) (*Grid, error) {
	e, err := newGrid(c, basePath, classifier, head, output, env)
	if err != nil {
		return nil, err
	}
	inputs := lab.ModelInputs(basePath)
	if e.Classifier != nil {
		inputs["baee-train/"+lab.ClassifierFile] = classifier
	}
	if e.Head != nil {
		inputs["baee-train/"+lab.HeadFile] = head
	}
	// Of a training in one folder the rest is an input too, as it is of the registered run.
	if dir := filepath.Dir(classifier); e.Classifier != nil && filepath.Base(classifier) == lab.ClassifierFile && (e.Head == nil || filepath.Dir(head) == dir) {
		for name, path := range map[string]string{"baee-train": filepath.Join(dir, TrainFile), "baee-train/" + AttentionClassifierFile: filepath.Join(dir, AttentionClassifierFile)} {
			if _, err := os.Stat(path); err == nil {
				inputs[name] = path
			}
		}
	}
	c.SampleKeys, e.Note = lab.BegunKeys(output, "baee-grid", c.SampleKeys)
	e.Config.SampleKeys, e.result.Config.SampleKeys = c.SampleKeys, c.SampleKeys
	if e.job, e.file, err = lab.Standalone(GridExperiment(), c, inputs, output, env); err != nil {
		return nil, err
	}
	e.Note = lab.JoinNotes(e.Note, e.file.Note)
	return e, e.load()
}

func newGrid(c GridConfig, basePath, classifier, head, output string, env result.Environment) (*Grid, error) {
	base, err := measure.LoadBase(basePath)
	if err != nil {
		return nil, err
	}
	e := &Grid{Config: c, Base: base, purpose: tasks.Eviction, Output: output, Environment: env, shas: map[string]string{}}
	if err := e.validate(); err != nil {
		return nil, err
	}
	if err := e.networks(classifier, head); err != nil {
		return nil, err
	}
	e.result = GridResult{
		Experiment: "baee-grid", Config: c, Model: base.Config, Base: filepath.Base(basePath), BaseSHA256: base.WeightsSHA256(),
		Protocol: gridProtocol, Environment: env,
	}
	return e, nil
}

func (e *Grid) validate() error {
	c, m := e.Config, e.Base.Config
	if m.LanguageModel() {
		return fmt.Errorf("the model predicts tokens (num_classes 0): the grid needs a model with a classification head")
	}
	if len(c.Policies) == 0 || len(c.Budgets) == 0 || len(c.Positions) == 0 || len(c.Seeds) == 0 || len(c.Contexts) == 0 || len(c.Protocols) == 0 || c.Samples < 1 {
		return fmt.Errorf("policies %v, budgets %v, positions %v, seeds %v, contexts %v, protocols %v, samples %d: give at least one of each",
			c.Policies, c.Budgets, c.Positions, c.Seeds, c.Contexts, c.Protocols, c.Samples)
	}
	if c.Chunk < layers.MinContext || c.Chunk > m.MaxLen {
		return fmt.Errorf("chunk of %d tokens: it must be from %d to the model's max_len %d", c.Chunk, layers.MinContext, m.MaxLen)
	}
	if err := errors.Join(lab.Once("policy", c.Policies), lab.Once("budget", c.Budgets), lab.Once("position", c.Positions), lab.Once("seed", c.Seeds),
		lab.Once("context length", c.Contexts), lab.Once("protocol", c.Protocols)); err != nil {
		return err
	}
	for _, p := range c.Protocols {
		if p != baee.Paper && p != baee.Strict {
			return fmt.Errorf("protocol is %q: it must be %q or %q", p, baee.Paper, baee.Strict)
		}
		if len(e.policies(p)) == 0 {
			return fmt.Errorf("none of the policies %v is in the %s protocol: the reference does not have them", c.Policies, p)
		}
	}
	for _, k := range e.cases() {
		switch {
		case !(k.Budget > 0 && k.Budget <= 1):
			return fmt.Errorf("budget %g: it must be above 0 and at most 1, a part of all slots written", k.Budget)
		case k.Position != string(tasks.Early) && k.Position != string(tasks.Late) && k.Position != string(tasks.Anywhere):
			return fmt.Errorf("position %q: it must be %s, %s or %s", k.Position, tasks.Early, tasks.Late, tasks.Anywhere)
		case k.Context%c.Chunk != 0:
			return fmt.Errorf("context length %d: it must be a whole number of chunks of %d", k.Context, c.Chunk)
		}
		if err := tasks.Check(pressureTask, e.params(k)); err != nil {
			return err
		}
	}
	for _, name := range c.Policies {
		if _, err := policy.Lookup(name); err != nil {
			return err
		}
	}
	return nil
}

const pressureTask = "memory_pressure_niah"

func (e *Grid) params(k GridCase) tasks.Params {
	m := e.Base.Config
	return tasks.Params{Length: k.Context, Vocab: m.VocabSize, Classes: m.NumClasses, Position: tasks.Position(k.Position), Needles: e.Config.Needles}
}

// policies are those that a protocol has.
func (e *Grid) policies(protocol baee.Protocol) []string {
	return slices.DeleteFunc(slices.Clone(e.Config.Policies), func(name string) bool {
		p, err := policy.Lookup(name)
		return err == nil && protocol == baee.Paper && p.Paper == nil
	})
}

// networks loads what the strict policies need.
func (e *Grid) networks(classifier, head string) error {
	if !slices.Contains(e.Config.Protocols, baee.Strict) {
		return nil
	}
	for _, name := range e.Config.Policies {
		p, err := policy.Lookup(name)
		if err != nil {
			return err
		}
		for _, n := range []struct {
			needed bool
			what   string
			path   string
			into   **baee.Classifier
		}{{p.Needs.Retention, "retention classifier", classifier, &e.Classifier}, {p.Needs.Head, "Locret-style head", head, &e.Head}} {
			if !n.needed {
				continue
			}
			sum, err := lab.HashFile(n.path)
			if err != nil {
				return fmt.Errorf("policy %s needs a trained %s (%w): make one with baee-train, or leave the policy out", name, n.what, err)
			}
			if *n.into, err = baee.LoadClassifier(n.path); err != nil {
				return err
			}
			e.shas[name] = sum
			if (*n.into).Dim != e.Base.Config.Dim {
				return fmt.Errorf("%s is for entries of width %d, the model has %d: train one for this model", n.path, (*n.into).Dim, e.Base.Config.Dim)
			}
		}
	}
	return nil
}

// cases lists them in the order of reports.
func (e *Grid) cases() []GridCase {
	var all []GridCase
	c := e.Config
	for _, protocol := range c.Protocols {
		for _, t := range c.Contexts {
			for _, b := range c.Budgets {
				for _, p := range c.Positions {
					for _, s := range c.Seeds {
						all = append(all, GridCase{protocol, t, b, p, s})
					}
				}
			}
		}
		for _, s := range c.Seeds {
			k := GridCase{protocol, HeadlineContext, headlineBudget, string(tasks.Early), s}
			if c.Headline && !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	return all
}

func (e *Grid) load() error {
	var old GridResult
	found, err := e.job.Before(&old)
	if err != nil || !found {
		return err
	}
	if old.BaseSHA256 != e.result.BaseSHA256 || old.Config.Samples != e.Config.Samples || old.Config.Chunk != e.Config.Chunk || old.Config.Needles != e.Config.Needles {
		return fmt.Errorf("%s holds results of another base model, sample count, number of needles or chunk size: move it away or give another --output", e.Output)
	}
	e.result.Cells, e.result.Cost, e.result.Environment = old.Cells, old.Cost, old.Environment
	return nil
}

// find is the finished cell, nil if there is none that was made with the same network.
func (e *Grid) find(k GridCase, name string) *GridCell {
	for i := range e.result.Cells {
		if c := &e.result.Cells[i]; c.GridCase == k && c.Policy == name && c.NetworkSHA256 == e.sha(k, name) {
			return c
		}
	}
	return nil
}

func (e *Grid) sha(k GridCase, name string) string {
	if k.Protocol == baee.Paper {
		return ""
	}
	return e.shas[strings.TrimSuffix(name, inTiers)]
}

// inTiers behind a policy's name says that its memory has as many bytes as the budget's entries take in half precision, and
// stores each in the tier that its score calls for.
const inTiers = ", tiers"

// missing is a case with the policies that are to be run.
type missing struct {
	GridCase
	policies []string
}

// Run computes the cells that are missing, cases in parallel, and returns the whole result. When ctx ends, the finished
// cells are in the output file; a later call continues. Results do not depend on the number of cases at a time.
func (e *Grid) Run(ctx context.Context) (*GridResult, error) {
	release, err := e.file.Hold()
	if err != nil {
		return nil, err
	}
	defer release()
	watch, before := lab.StartWatch(), e.result.Cost
	total := 0
	var todo []missing
	for _, k := range e.cases() {
		m := missing{GridCase: k}
		for _, name := range e.policies(k.Protocol) {
			total++
			if c := e.find(k, name); c == nil {
				m.policies = append(m.policies, name)
			}
		}
		if len(m.policies) > 0 {
			todo = append(todo, m)
		}
	}
	for _, k := range e.cases() {
		for _, name := range e.policies(k.Protocol) {
			if c := e.find(k, name); c != nil {
				e.report(*c, true, total)
			}
		}
	}
	err = e.parallel(ctx, todo, func(cells []GridCell) error {
		e.result.Cost, e.result.Environment = before.Add(watch.Cost()), e.Environment
		for _, c := range cells {
			e.put(c)
			e.report(c, false, total)
		}
		return e.write(false)
	})
	if err != nil {
		return nil, err
	}
	return &e.result, e.write(true)
}

func (e *Grid) report(c GridCell, before bool, total int) {
	e.done++
	if e.Report != nil {
		e.Report(c, before, e.done, total)
	}
}

// put adds a cell in place of an older one of the same name.
func (e *Grid) put(c GridCell) {
	same := func(o GridCell) bool { return o.GridCase == c.GridCase && o.Policy == c.Policy }
	e.result.Cells = append(slices.DeleteFunc(e.result.Cells, same), c)
}

// parallel runs the cases on as many workers as there are processors, and save one at a time. The first error ends it.
func (e *Grid) parallel(ctx context.Context, todo []missing, save func([]GridCell) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan missing)
	var wg sync.WaitGroup
	var saving sync.Mutex
	for range min(runtime.GOMAXPROCS(0), len(todo)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := e.worker(ctx, queue, &saving, save); err != nil {
				cancel(err)
			}
		}()
	}
feed:
	for _, m := range todo {
		select {
		case queue <- m:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

func (e *Grid) worker(ctx context.Context, queue <-chan missing, saving *sync.Mutex, save func([]GridCell) error) (err error) {
	defer func() { // a panic in a goroutine would end the process without a word for the user
		if problem := recover(); problem != nil {
			err = &lab.Bug{Problem: problem, Stack: debug.Stack()}
		}
	}()
	model, err := e.Base.Clone() // compiling a graph writes to the parameters' tensors
	if err != nil {
		return err
	}
	shared, err := baee.NewShared(model, e.Config.Chunk)
	if err != nil {
		return err
	}
	defer shared.Close()
	for m := range queue {
		cells, err := e.one(ctx, shared, m)
		if err != nil {
			return err
		}
		saving.Lock()
		err = save(cells)
		saving.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// entries is the budget of a case: entries a layer.
func (e *Grid) entries(k GridCase) int {
	return max(1, int(float64(k.Context/e.Config.Chunk*e.Base.Config.EpisodicSlots)*k.Budget))
}

// source is that of the samples, the same for all policies (SPEC section 5).
func (e *Grid) source(k GridCase) tasks.Source {
	return tasks.Draw{Keys: e.Config.SampleKeys, Seed: k.Seed}.For(e.purpose, int(k.Budget*100))
}

// policySeed is that of a policy's random numbers for sample n.
func (k GridCase) policySeed(n uint64) uint64 { return (k.Seed*100+uint64(k.Budget*100))<<20 + n }

// one runs all missing policies of a case over its samples.
func (e *Grid) one(ctx context.Context, shared *baee.Shared, m missing) ([]GridCell, error) {
	samples, err := tasks.Generate(pressureTask, e.Config.Samples, e.params(m.GridCase), e.source(m.GridCase))
	if err != nil {
		return nil, err
	}
	kept, right := make([]int, len(m.policies)), make([]int, len(m.policies))
	rows, bytes := make([]int, len(m.policies)), make([]int, len(m.policies))
	for n, s := range samples {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		memories, err := e.memories(m, uint64(n))
		if err != nil {
			return nil, err
		}
		logits, err := shared.Run(s.IDs, memories)
		if err != nil {
			return nil, err
		}
		for i, memory := range memories {
			if retained(memory, s.Targets) {
				kept[i]++
			}
			if largest(logits[i]) == int(s.Label) {
				right[i]++
			}
			total := memory.Total()
			rows[i], bytes[i] = rows[i]+total.Rows(), bytes[i]+total.Bytes
		}
	}
	var cells []GridCell
	for i, name := range m.policies {
		cells = append(cells, GridCell{
			GridCase: m.GridCase, Policy: name, EntriesALayer: e.entries(m.GridCase), NetworkSHA256: e.sha(m.GridCase, name),
			Retention: curriculum.NewAccuracy(kept[i], len(samples)), Accuracy: curriculum.NewAccuracy(right[i], len(samples)),
			Rows: float64(rows[i]) / float64(len(samples)), Bytes: float64(bytes[i]) / float64(len(samples)),
		})
	}
	return cells, nil
}

// memories are empty ones for the missing policies, for sample n.
func (e *Grid) memories(m missing, n uint64) ([]*baee.Manager, error) {
	var all []*baee.Manager
	for _, name := range m.policies {
		c := e.Base.Config
		k := baee.Default(c.Dim, c.Depth, c.EpisodicSlots, e.Classifier)
		k.Policy, k.Tiers = strings.CutSuffix(name, inTiers)
		k.Protocol, k.Window, k.Seed, k.Head = m.Protocol, min(k.Window, e.Config.Chunk), m.policySeed(n), e.Head
		k.BudgetBytes, k.EntriesPerLayer = 0, e.entries(m.GridCase)
		if k.Tiers {
			k.BudgetBytes, k.EntriesPerLayer = k.EntriesPerLayer*k.Layers*k.EntryBytes(), 0
		}
		memory, err := baee.New(k)
		if err != nil {
			return nil, err
		}
		all = append(all, memory)
	}
	return all, nil
}

// retained says whether any layer holds an entry that was written at one of the positions.
func retained(m *baee.Manager, targets []int) bool {
	for i := range m.Config().Layers {
		for _, entry := range m.Entries(i) {
			if slices.Contains(targets, int(entry.Position)) {
				return true
			}
		}
	}
	return false
}

// largest is the index of the largest value, the first of equals.
func largest(x []float32) int {
	at := 0
	for i, v := range x {
		if v > x[at] {
			at = i
		}
	}
	return at
}

// write puts the cells in order, sums them up and replaces the output file.
func (e *Grid) write(complete bool) error {
	cases, policies := e.cases(), append(Policies(), e.Config.Policies...)
	rank := func(c GridCell) int {
		at := slices.Index(cases, c.GridCase)
		if at < 0 {
			at = len(cases) // of an earlier call with other settings
		}
		return at*len(policies) + slices.Index(policies, c.Policy)
	}
	slices.SortStableFunc(e.result.Cells, func(a, b GridCell) int { return rank(a) - rank(b) })
	paper, err := publishedGrid()
	if err != nil {
		return err
	}
	e.result.Summary = summariseGrid(e.result.Cells, paper)
	e.result.Overall = overallGrid(e.result.Cells)
	return e.file.Write(e.outcome(paper), complete)
}

// gridKey is a case over all seeds, with a policy.
type gridKey struct {
	protocol baee.Protocol
	context  int
	budget   float64
	position string
	policy   string
}

func (c GridCell) key() gridKey {
	return gridKey{c.Protocol, c.Context, c.Budget, c.Position, c.Policy}
}

// groupCells collects cells by a key, in the order of their first members.
func groupCells[K comparable](cells []GridCell, key func(GridCell) K) (keys []K, of map[K][]GridCell) {
	of = map[K][]GridCell{}
	for _, c := range cells {
		k := key(c)
		if of[k] == nil {
			keys = append(keys, k)
		}
		of[k] = append(of[k], c)
	}
	return keys, of
}

// pool adds up an accuracy over cells.
func pool(cells []GridCell, of func(GridCell) curriculum.Accuracy) curriculum.Accuracy {
	correct, n := 0, 0
	for _, c := range cells {
		correct, n = correct+of(c).Correct, n+of(c).N
	}
	return curriculum.NewAccuracy(correct, n)
}

func retentionOf(c GridCell) curriculum.Accuracy { return c.Retention }

func summariseGrid(cells []GridCell, paper map[gridKey]gridFigures) []GridSummary {
	keys, of := groupCells(cells, GridCell.key)
	var all []GridSummary
	for _, k := range keys {
		s := GridSummary{
			Protocol: k.protocol, Context: k.context, Budget: k.budget, Position: k.position, Policy: k.policy, Seeds: len(of[k]),
			Pooled: pool(of[k], retentionOf), Accuracy: pool(of[k], func(c GridCell) curriculum.Accuracy { return c.Accuracy }),
		}
		var values []float64
		for _, c := range of[k] {
			values = append(values, c.Retention.Mean)
		}
		s.Mean, s.Std = result.MeanAndStd(values)
		k.protocol = ""
		if p, ok := paper[k]; ok {
			s.Published = &p.retention
		}
		all = append(all, s)
	}
	return all
}

func overallGrid(cells []GridCell) []GridOverall {
	type key struct {
		protocol         baee.Protocol
		policy, position string
	}
	cells = slices.DeleteFunc(slices.Clone(cells), func(c GridCell) bool { return c.Context == HeadlineContext })
	keys, of := groupCells(cells, func(c GridCell) key { return key{c.Protocol, c.Policy, c.Position} })
	var all []GridOverall
	for _, k := range keys {
		all = append(all, GridOverall{k.protocol, k.policy, k.position, len(of[k]), pool(of[k], retentionOf)})
	}
	return all
}

// gridFigures are the published means over seeds of a case and policy.
type gridFigures struct{ retention, accuracy result.MeanStd }

// publishedGrid are the published figures by case (without a protocol) and policy.
func publishedGrid() (map[gridKey]gridFigures, error) {
	var file struct {
		Cells []struct {
			Context   int     `json:"seq_len"`
			Budget    float64 `json:"budget_mult"`
			Position  string  `json:"position"`
			Policy    string  `json:"policy"`
			Retention float64 `json:"target_retention"`
			Accuracy  float64 `json:"accuracy"`
		} `json:"cells"`
	}
	if err := published.Decode("exp_baee_grid_kv.json", &file); err != nil {
		return nil, err
	}
	retention, accuracy := map[gridKey][]float64{}, map[gridKey][]float64{}
	for _, c := range file.Cells {
		k := gridKey{"", c.Context, c.Budget, c.Position, c.Policy}
		retention[k], accuracy[k] = append(retention[k], c.Retention), append(accuracy[k], c.Accuracy)
	}
	all := map[gridKey]gridFigures{}
	for k := range retention {
		var f gridFigures
		f.retention.Mean, f.retention.Std = result.MeanAndStd(retention[k])
		f.accuracy.Mean, f.accuracy.Std = result.MeanAndStd(accuracy[k])
		all[k] = f
	}
	return all, nil
}

package experiments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	"github.com/synapnet/synapnet-train/layers"
	"github.com/synapnet/synapnet-train/results/published"
)

// BAEEGridConfig is the retention experiment (SPEC section 5, Grid): every policy on memory-pressure samples, over lengths,
// budgets, places of the target and seeds.
type BAEEGridConfig struct {
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

// DefaultBAEEGrid is the published grid in both protocols, with the policies that it does not have and the headline case.
func DefaultBAEEGrid() BAEEGridConfig {
	return BAEEGridConfig{
		Policies: BAEEPolicies(), Budgets: []float64{0.1, 0.2, 0.3, 0.5}, Positions: []string{string(tasks.Early), string(tasks.Late)},
		Seeds: []uint64{42, 43, 44}, Contexts: []int{1024, 2048}, Protocols: []baee.Protocol{baee.Paper, baee.Strict},
		Samples: 24, Chunk: 512, Headline: true, SampleKeys: tasks.CurrentKeys,
	}
}

// BAEEPolicies lists the built-in policies in the order of reports: ours, the nine of the published grid, newer rivals.
func BAEEPolicies() []string {
	return []string{"baee", "baee_salience", "fifo", "lru", "random", "h2o", "scissorhands", "snapkv", "pyramidkv", "locret_proxy",
		"tova", "keydiff", "knorm", "expected_attention"}
}

// The headline case of the reference's README: 8,192-token streams, 90% forced eviction, target early (SPEC section 6).
const (
	HeadlineContext = 8192
	headlineBudget  = 0.1
)

// BAEECase is what a cell is about besides its policy.
type BAEECase struct {
	Protocol baee.Protocol `json:"protocol"`
	Context  int           `json:"context"`
	Budget   float64       `json:"budget"`
	Position string        `json:"position"`
	Seed     uint64        `json:"seed"`
}

// BAEECell is the result of one policy in one case.
type BAEECell struct {
	BAEECase
	Policy        string              `json:"policy"`
	EntriesALayer int                 `json:"entries_per_layer"` // the budget
	Retention     curriculum.Accuracy `json:"retention"`         // samples whose target is still held, with the 95% interval
	Accuracy      curriculum.Accuracy `json:"accuracy"`          // of the answers
	Rows          float64             `json:"rows,omitempty"`    // held at the end over all layers, summaries included, a sample
	Bytes         float64             `json:"bytes,omitempty"`   // of their contents
	NetworkSHA256 string              `json:"network_sha256,omitempty"`
}

// BAEEGridSummary is a policy over the seeds of one case.
type BAEEGridSummary struct {
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
	Published *MeanStd            `json:"published,omitempty"` // retention
}

// BAEEGridOverall is a policy's retention over all cells of the grid, the headline case apart.
type BAEEGridOverall struct {
	Protocol  baee.Protocol       `json:"protocol"`
	Policy    string              `json:"policy"`
	Position  string              `json:"position"`
	Cells     int                 `json:"cells"`
	Retention curriculum.Accuracy `json:"retention"`
}

// BAEEGridResult is what the experiment writes, anew after every case.
type BAEEGridResult struct {
	Experiment  string            `json:"experiment"`
	Config      BAEEGridConfig    `json:"config"`
	Model       layers.Config     `json:"model"`
	Base        string            `json:"base"`
	BaseSHA256  string            `json:"base_sha256"`
	Protocol    string            `json:"protocol"`
	Environment Environment       `json:"environment"` // of the last cell that was measured
	Cost        Cost              `json:"cost"`        // of all calls
	Cells       []BAEECell        `json:"cells"`
	Summary     []BAEEGridSummary `json:"summary"`
	Overall     []BAEEGridOverall `json:"overall"`
}

const baeeGridProtocol = "paper: the reference's scoring rules; padding is stored and counts, the first chunk reads a row of zeros, attention " +
	"is not accumulated. strict: each method's own algorithm on attention really received; padding is not stored. Both: budget a layer = " +
	"floor(chunks x slots x fraction), retained = at the end any layer holds an entry written at a target's key; policies of a case share a chunk's forward while their memories are equal"

// BAEEGrid is the experiment under way.
type BAEEGrid struct {
	Config      BAEEGridConfig
	Base        *layers.Model
	Classifier  *baee.Classifier // for baee, strict
	Head        *baee.Classifier // for locret_proxy, strict
	Output      string
	Environment Environment
	// Report, if set, is called with each cell as it is done, and with those done by an earlier call. It is not called concurrently.
	Report func(cell BAEECell, before bool, done, total int)

	// Note, if any, is a line for users about what an earlier call began with.
	Note string

	purpose tasks.Purpose
	job     *Job
	file    *resultFile
	result  BAEEGridResult
	done    int
	shas    map[string]string // of the networks, by policy
}

// NewBAEEGrid prepares the experiment on the pretrained model at basePath. classifier and head may be "" if no strict cell
// needs one. What the output file holds already is kept if it was made with the same model and settings, and refused otherwise.
func NewBAEEGrid(c BAEEGridConfig, basePath, classifier, head, output string, env Environment) (*BAEEGrid, error) {
	e, err := newBAEEGrid(c, basePath, classifier, head, output, env)
	if err != nil {
		return nil, err
	}
	inputs := modelInputs(basePath)
	if e.Classifier != nil {
		inputs["baee-train/"+ClassifierFile] = classifier
	}
	if e.Head != nil {
		inputs["baee-train/"+HeadFile] = head
	}
	// Of a training in one folder the rest is an input too, as it is of the registered run.
	if dir := filepath.Dir(classifier); e.Classifier != nil && filepath.Base(classifier) == ClassifierFile && (e.Head == nil || filepath.Dir(head) == dir) {
		for name, path := range map[string]string{"baee-train": filepath.Join(dir, BAEETrainFile), "baee-train/" + AttentionClassifierFile: filepath.Join(dir, AttentionClassifierFile)} {
			if _, err := os.Stat(path); err == nil {
				inputs[name] = path
			}
		}
	}
	c.SampleKeys, e.Note = begunKeys(output, "baee-grid", c.SampleKeys)
	e.Config.SampleKeys, e.result.Config.SampleKeys = c.SampleKeys, c.SampleKeys
	if e.job, e.file, err = standaloneJob(baeeGridExperiment(), c, inputs, output, env); err != nil {
		return nil, err
	}
	e.Note = joinNotes(e.Note, e.file.note)
	return e, e.load()
}

func newBAEEGrid(c BAEEGridConfig, basePath, classifier, head, output string, env Environment) (*BAEEGrid, error) {
	base, err := loadBase(basePath)
	if err != nil {
		return nil, err
	}
	e := &BAEEGrid{Config: c, Base: base, purpose: tasks.Eviction, Output: output, Environment: env, shas: map[string]string{}}
	if err := e.validate(); err != nil {
		return nil, err
	}
	if err := e.networks(classifier, head); err != nil {
		return nil, err
	}
	e.result = BAEEGridResult{
		Experiment: "baee-grid", Config: c, Model: base.Config, Base: filepath.Base(basePath), BaseSHA256: base.WeightsSHA256(),
		Protocol: baeeGridProtocol, Environment: env,
	}
	return e, nil
}

// loadBase reads a model in floating point: packed weights can neither be cloned nor told apart by WeightsSHA256.
func loadBase(path string) (*layers.Model, error) {
	m, err := layers.Load(path)
	var other *layers.OtherKindError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case errors.As(err, &other):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w; if the file is damaged, delete it and pretrain again", err)
	case m.Packed():
		return nil, fmt.Errorf("%s: %w", path, layers.ErrPacked)
	}
	return m, nil
}

func (e *BAEEGrid) validate() error {
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
	if err := errors.Join(Once("policy", c.Policies), Once("budget", c.Budgets), Once("position", c.Positions), Once("seed", c.Seeds),
		Once("context length", c.Contexts), Once("protocol", c.Protocols)); err != nil {
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

func (e *BAEEGrid) params(k BAEECase) tasks.Params {
	m := e.Base.Config
	return tasks.Params{Length: k.Context, Vocab: m.VocabSize, Classes: m.NumClasses, Position: tasks.Position(k.Position), Needles: e.Config.Needles}
}

// policies are those that a protocol has.
func (e *BAEEGrid) policies(protocol baee.Protocol) []string {
	return slices.DeleteFunc(slices.Clone(e.Config.Policies), func(name string) bool {
		p, err := policy.Lookup(name)
		return err == nil && protocol == baee.Paper && p.Paper == nil
	})
}

// networks loads what the strict policies need.
func (e *BAEEGrid) networks(classifier, head string) error {
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
			sum, err := hashFile(n.path)
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
func (e *BAEEGrid) cases() []BAEECase {
	var all []BAEECase
	c := e.Config
	for _, protocol := range c.Protocols {
		for _, t := range c.Contexts {
			for _, b := range c.Budgets {
				for _, p := range c.Positions {
					for _, s := range c.Seeds {
						all = append(all, BAEECase{protocol, t, b, p, s})
					}
				}
			}
		}
		for _, s := range c.Seeds {
			k := BAEECase{protocol, HeadlineContext, headlineBudget, string(tasks.Early), s}
			if c.Headline && !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	return all
}

func (e *BAEEGrid) load() error {
	var old BAEEGridResult
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
func (e *BAEEGrid) find(k BAEECase, name string) *BAEECell {
	for i := range e.result.Cells {
		if c := &e.result.Cells[i]; c.BAEECase == k && c.Policy == name && c.NetworkSHA256 == e.sha(k, name) {
			return c
		}
	}
	return nil
}

func (e *BAEEGrid) sha(k BAEECase, name string) string {
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
	BAEECase
	policies []string
}

// Run computes the cells that are missing, cases in parallel, and returns the whole result. When ctx ends, the finished
// cells are in the output file; a later call continues. Results do not depend on the number of cases at a time.
func (e *BAEEGrid) Run(ctx context.Context) (*BAEEGridResult, error) {
	release, err := e.file.hold()
	if err != nil {
		return nil, err
	}
	defer release()
	watch, before := startWatch(), e.result.Cost
	total := 0
	var todo []missing
	for _, k := range e.cases() {
		m := missing{BAEECase: k}
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
	err = e.parallel(ctx, todo, func(cells []BAEECell) error {
		e.result.Cost, e.result.Environment = before.Add(watch.cost()), e.Environment
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

func (e *BAEEGrid) report(c BAEECell, before bool, total int) {
	e.done++
	if e.Report != nil {
		e.Report(c, before, e.done, total)
	}
}

// put adds a cell in place of an older one of the same name.
func (e *BAEEGrid) put(c BAEECell) {
	same := func(o BAEECell) bool { return o.BAEECase == c.BAEECase && o.Policy == c.Policy }
	e.result.Cells = append(slices.DeleteFunc(e.result.Cells, same), c)
}

// parallel runs the cases on as many workers as there are processors, and save one at a time. The first error ends it.
func (e *BAEEGrid) parallel(ctx context.Context, todo []missing, save func([]BAEECell) error) error {
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

func (e *BAEEGrid) worker(ctx context.Context, queue <-chan missing, saving *sync.Mutex, save func([]BAEECell) error) (err error) {
	defer func() { // a panic in a goroutine would end the process without a word for the user
		if problem := recover(); problem != nil {
			err = &Bug{problem, debug.Stack()}
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
func (e *BAEEGrid) entries(k BAEECase) int {
	return max(1, int(float64(k.Context/e.Config.Chunk*e.Base.Config.EpisodicSlots)*k.Budget))
}

// source is that of the samples, the same for all policies (SPEC section 5).
func (e *BAEEGrid) source(k BAEECase) tasks.Source {
	return tasks.Draw{Keys: e.Config.SampleKeys, Seed: k.Seed}.For(e.purpose, int(k.Budget*100))
}

// policySeed is that of a policy's random numbers for sample n.
func (k BAEECase) policySeed(n uint64) uint64 { return (k.Seed*100+uint64(k.Budget*100))<<20 + n }

// one runs all missing policies of a case over its samples.
func (e *BAEEGrid) one(ctx context.Context, shared *baee.Shared, m missing) ([]BAEECell, error) {
	samples, err := tasks.Generate(pressureTask, e.Config.Samples, e.params(m.BAEECase), e.source(m.BAEECase))
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
	var cells []BAEECell
	for i, name := range m.policies {
		cells = append(cells, BAEECell{
			BAEECase: m.BAEECase, Policy: name, EntriesALayer: e.entries(m.BAEECase), NetworkSHA256: e.sha(m.BAEECase, name),
			Retention: curriculum.NewAccuracy(kept[i], len(samples)), Accuracy: curriculum.NewAccuracy(right[i], len(samples)),
			Rows: float64(rows[i]) / float64(len(samples)), Bytes: float64(bytes[i]) / float64(len(samples)),
		})
	}
	return cells, nil
}

// memories are empty ones for the missing policies, for sample n.
func (e *BAEEGrid) memories(m missing, n uint64) ([]*baee.Manager, error) {
	var all []*baee.Manager
	for _, name := range m.policies {
		c := e.Base.Config
		k := baee.Default(c.Dim, c.Depth, c.EpisodicSlots, e.Classifier)
		k.Policy, k.Tiers = strings.CutSuffix(name, inTiers)
		k.Protocol, k.Window, k.Seed, k.Head = m.Protocol, min(k.Window, e.Config.Chunk), m.policySeed(n), e.Head
		k.BudgetBytes, k.EntriesPerLayer = 0, e.entries(m.BAEECase)
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
func (e *BAEEGrid) write(complete bool) error {
	cases, policies := e.cases(), append(BAEEPolicies(), e.Config.Policies...)
	rank := func(c BAEECell) int {
		at := slices.Index(cases, c.BAEECase)
		if at < 0 {
			at = len(cases) // of an earlier call with other settings
		}
		return at*len(policies) + slices.Index(policies, c.Policy)
	}
	slices.SortStableFunc(e.result.Cells, func(a, b BAEECell) int { return rank(a) - rank(b) })
	paper, err := publishedGrid()
	if err != nil {
		return err
	}
	e.result.Summary = summariseGrid(e.result.Cells, paper)
	e.result.Overall = overallGrid(e.result.Cells)
	return e.file.write(e.outcome(paper), complete)
}

// gridKey is a case over all seeds, with a policy.
type gridKey struct {
	protocol baee.Protocol
	context  int
	budget   float64
	position string
	policy   string
}

func (c BAEECell) key() gridKey {
	return gridKey{c.Protocol, c.Context, c.Budget, c.Position, c.Policy}
}

// groupCells collects cells by a key, in the order of their first members.
func groupCells[K comparable](cells []BAEECell, key func(BAEECell) K) (keys []K, of map[K][]BAEECell) {
	of = map[K][]BAEECell{}
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
func pool(cells []BAEECell, of func(BAEECell) curriculum.Accuracy) curriculum.Accuracy {
	correct, n := 0, 0
	for _, c := range cells {
		correct, n = correct+of(c).Correct, n+of(c).N
	}
	return curriculum.NewAccuracy(correct, n)
}

func retentionOf(c BAEECell) curriculum.Accuracy { return c.Retention }

func summariseGrid(cells []BAEECell, paper map[gridKey]gridFigures) []BAEEGridSummary {
	keys, of := groupCells(cells, BAEECell.key)
	var all []BAEEGridSummary
	for _, k := range keys {
		s := BAEEGridSummary{
			Protocol: k.protocol, Context: k.context, Budget: k.budget, Position: k.position, Policy: k.policy, Seeds: len(of[k]),
			Pooled: pool(of[k], retentionOf), Accuracy: pool(of[k], func(c BAEECell) curriculum.Accuracy { return c.Accuracy }),
		}
		var values []float64
		for _, c := range of[k] {
			values = append(values, c.Retention.Mean)
		}
		s.Mean, s.Std = meanStd(values)
		k.protocol = ""
		if p, ok := paper[k]; ok {
			s.Published = &p.retention
		}
		all = append(all, s)
	}
	return all
}

func overallGrid(cells []BAEECell) []BAEEGridOverall {
	type key struct {
		protocol         baee.Protocol
		policy, position string
	}
	cells = slices.DeleteFunc(slices.Clone(cells), func(c BAEECell) bool { return c.Context == HeadlineContext })
	keys, of := groupCells(cells, func(c BAEECell) key { return key{c.Protocol, c.Policy, c.Position} })
	var all []BAEEGridOverall
	for _, k := range keys {
		all = append(all, BAEEGridOverall{k.protocol, k.policy, k.position, len(of[k]), pool(of[k], retentionOf)})
	}
	return all
}

// gridFigures are the published means over seeds of a case and policy.
type gridFigures struct{ retention, accuracy MeanStd }

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
		f.retention.Mean, f.retention.Std = meanStd(retention[k])
		f.accuracy.Mean, f.accuracy.Std = meanStd(accuracy[k])
		all[k] = f
	}
	return all, nil
}

package eviction

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/layers"
)

// answersSettings are those of the experiment on answers over streams. Of a case, which is a task at a context with its
// target at a position, all memories have the same samples, those that cost much only the first of them.
type answersSettings struct {
	Tasks     []string `json:"tasks"` // with the target at each of Positions
	Positions []string `json:"positions"`
	Spread    []string `json:"spread"`   // tasks whose targets lie anywhere
	Contexts  []int    `json:"contexts"` // tokens
	// From so many tokens on a case costs minutes a sample: only these tasks are then asked, at the first of Positions. 0:
	// all are everywhere.
	LongFrom  int      `json:"long_from"`
	LongTasks []string `json:"long_tasks"`
	// By context, how many samples a case has; how many of them the policies that are not principal have at the first
	// budget; and how many all have at the other budgets. 0 is none.
	Samples      []int `json:"samples"`
	RivalSamples []int `json:"rival_samples"`
	GridSamples  []int `json:"grid_samples"`

	Policies  []string  `json:"policies"`
	Principal []string  `json:"principal"` // those of them that have all samples at the first budget
	Tiered    []string  `json:"tiered"`    // those that run in tiers, too
	Budgets   []float64 `json:"budgets"`   // parts of the entries that are written

	OnePassUpTo int    `json:"one_pass_up_to"` // tokens, up to which all are read at once, too
	Chunk       int    `json:"chunk"`          // tokens
	Needles     int    `json:"needles"`        // keys with a fact in a sample of memory_pressure_niah
	Seed        uint64 `json:"seed"`

	SampleKeys tasks.Keys `json:"sample_keys,omitempty"` // of samples' streams; 0 is 1
}

// AnswersExperiment asks what memories are worth to a model: whether it answers.
func AnswersExperiment() lab.Experiment {
	return lab.Planned[answersSettings](
		lab.Describe(descriptions, "answers", answersSettings{Policies: Policies()}, runAnswers))
}

// The rows besides policies, and one in tiers. The oracle keeps the entries that were written at class tokens, the
// newest ones if there is no room for all of them, and then the newest others: what can be had by knowing which tokens
// the tasks are made of.
const (
	noMemory    = "no memory"
	lastBank    = "last bank only"
	onePass     = "one pass over all tokens"
	classTokens = "keep class tokens"
)

// memoryRow is a row of the tables.
type memoryRow struct {
	name    string
	budget  float64 // part of the entries that are written; 0: it has none
	entries int     // a layer
	samples int     // the first ones of a case
}

// key is the row's name in a cell.
func (r memoryRow) key() string { return r.name + "@" + number(r.budget) }

// stores says whether the row holds entries.
func (r memoryRow) stores() bool { return r.name != noMemory && r.name != onePass }

// answersCase is what a row is measured on.
type answersCase struct {
	Task     string
	Position tasks.Position
	Context  int
}

// answersPart is a part of a case's samples: a cell.
type answersPart struct {
	answersCase
	from, to int
}

func (p answersPart) name() string {
	return fmt.Sprintf("%d-%s-%s-%d", p.Context, strings.ReplaceAll(p.Task, "/", "."), p.Position, p.from)
}

// tally is what a row did with the samples of a part that it has, in their order.
type tally struct {
	N     int             `json:"n"`
	Right result.Outcomes `json:"right"`
	Kept  result.Outcomes `json:"kept,omitempty"` // none of rows that hold nothing
	Rows  int             `json:"rows,omitempty"` // at the end, over all layers and samples
	Bytes int             `json:"bytes,omitempty"`
}

// cases are those of the settings, in the order of reports.
func (s answersSettings) cases() (all []answersCase) {
	for _, context := range s.Contexts {
		asked, positions, spread := s.Tasks, s.Positions, s.Spread
		if s.LongFrom > 0 && context >= s.LongFrom {
			asked, positions, spread = s.LongTasks, positions[:1], nil
		}
		for _, task := range asked {
			for _, position := range positions {
				all = append(all, answersCase{task, tasks.Position(position), context})
			}
		}
		for _, task := range spread {
			all = append(all, answersCase{task, tasks.Anywhere, context})
		}
	}
	return all
}

// partTokens bounds the tokens of the samples of a part, so that one that is cut off costs minutes. Parts that are done
// are of this number: another one is another version of the protocol.
const partTokens = 1 << 17

// parts are those of a case.
func (s answersSettings) parts(c answersCase) (all []answersPart) {
	n, size := s.Samples[slices.Index(s.Contexts, c.Context)], max(1, partTokens/c.Context)
	for from := 0; from < n; from += size {
		all = append(all, answersPart{c, from, min(from+size, n)})
	}
	return all
}

// entries is the budget of a layer: a part of the real entries that a model of configuration m writes to it.
func (s answersSettings) entries(m layers.Config, context int, budget float64) int {
	return max(1, int(budget*float64(context/s.Chunk*m.Written(s.Chunk))))
}

// rows are those of a context for a model of configuration m, in the order of reports.
func (s answersSettings) rows(m layers.Config, context int) []memoryRow {
	at := slices.Index(s.Contexts, context)
	all := []memoryRow{
		{name: noMemory, samples: s.Samples[at]},
		{name: lastBank, entries: m.Written(s.Chunk), samples: s.Samples[at]},
	}
	for i, b := range s.Budgets {
		row := memoryRow{budget: b, entries: s.entries(m, context, b)}
		add := func(name string, principal bool) {
			row.name, row.samples = name, s.GridSamples[at]
			if i == 0 && principal {
				row.samples = s.Samples[at]
			} else if i == 0 {
				row.samples = s.RivalSamples[at]
			}
			all = append(all, row)
		}
		for _, name := range s.Policies {
			add(name, slices.Contains(s.Principal, name))
		}
		for _, name := range s.Tiered {
			add(name+inTiers, true)
		}
		add(classTokens, true)
	}
	all = append(all, memoryRow{name: result.Unbounded, entries: s.entries(m, context, 1), samples: s.Samples[at]})
	if context <= min(s.OnePassUpTo, m.MaxLen) {
		all = append(all, memoryRow{name: onePass, samples: s.Samples[at]})
	}
	return all
}

// params are those of a case's samples for a model of configuration m.
func (s answersSettings) params(m layers.Config, c answersCase) tasks.Params {
	p := measure.TaskParams(m, c.Context)
	p.Position = c.Position
	if c.Task == pressureTask {
		p.Needles = s.Needles
	}
	return p
}

// mostDraws bounds the search for a sample whose targets lie at a position.
const mostDraws = 1000

// sampler gives the samples of a case one after the other. A task that does not place its targets itself has those of
// its samples whose targets all lie there.
func (s answersSettings) sampler(m layers.Config, c answersCase) (next func() (tasks.Sample, error), err error) {
	task, err := tasks.Lookup(c.Task)
	if err != nil {
		return nil, err
	}
	sampler, err := tasks.NewSampler(c.Task, s.params(m, c),
		tasks.Draw{Keys: s.SampleKeys, Seed: s.Seed}.For(tasks.Answers, 0))
	if err != nil {
		return nil, err
	}
	placed := task.Defaults.Position != ""
	return func() (tasks.Sample, error) {
		for range mostDraws {
			sample, err := sampler.Next()
			if err != nil || placed || c.holds(sample.Targets) {
				return sample, err
			}
		}
		return tasks.Sample{}, bounds.Wrong("tasks", c.Task, "none of %d samples of %d tokens has all that carries its "+
			"answer in the part called %s: put the task into `spread`", mostDraws, c.Context, c.Position)
	}, nil
}

// holds says whether all targets lie at the case's position: the first or the last 40% (SPEC section 2, Layout).
func (c answersCase) holds(targets []int) bool {
	lo, hi := 0, c.Context
	switch c.Position {
	case tasks.Early:
		hi = int(0.4 * float64(c.Context))
	case tasks.Late:
		lo = int(0.6 * float64(c.Context))
	}
	return !slices.ContainsFunc(targets, func(at int) bool { return at < lo || at >= hi })
}

// answers measures parts on a model.
type answers struct {
	grid     // the model and the networks
	settings answersSettings
}

// newAnswers is the experiment with the model and the networks of its job.
func newAnswers(j *lab.Job, s answersSettings) (*answers, error) {
	base, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	if err := s.Validate(base.Config); err != nil {
		return nil, err
	}
	c := GridConfig{Policies: s.Policies, Protocols: []baee.Protocol{baee.Strict}}
	a := &answers{grid: grid{GridConfig: c, base: base}, settings: s}
	return a, a.loadNetworks(j)
}

// runAnswers computes the parts that are missing, side by side: memories of a part share a chunk's forward.
func runAnswers(ctx context.Context, j *lab.Job, s answersSettings) (*lab.Outcome, error) {
	a, err := newAnswers(j, s)
	if err != nil {
		return nil, err
	}
	var all, todo []answersPart
	for _, c := range s.cases() {
		all = append(all, s.parts(c)...)
	}
	cells, err := lab.NewCells[map[string]tally](j, len(all))
	if err != nil {
		return nil, err
	}
	cells.Outcome = func() (*lab.Outcome, error) { return s.outcome(a.base.Config, cells.Done) }
	for _, p := range all {
		if _, ok := cells.Done[p.name()]; !ok {
			todo = append(todo, p)
		}
	}
	type done struct {
		answersPart
		rows map[string]tally
	}
	err = parallel(ctx, a.base, s.Chunk, todo, func(ctx context.Context, w *worker, p answersPart) (done, error) {
		rows, err := a.part(ctx, w, p)
		return done{p, rows}, err
	}, func(d done) error {
		j.Detail("%d tokens, %s, %s, samples %d to %d: %d rows", d.Context, d.Task, d.Position, d.from+1, d.to, len(d.rows))
		return cells.Put(d.name(), d.rows)
	})
	if err != nil {
		return nil, err
	}
	return cells.Finish()
}

// part runs the samples of a part through all rows that have them.
func (a *answers) part(ctx context.Context, w *worker, p answersPart) (map[string]tally, error) {
	next, err := a.settings.sampler(a.base.Config, p.answersCase)
	if err != nil {
		return nil, err
	}
	rows := a.settings.rows(a.base.Config, p.Context)
	var whole *layers.Inference
	if slices.ContainsFunc(rows, func(r memoryRow) bool { return r.name == onePass }) {
		if whole, err = w.model.Infer(1, p.Context, 0); err != nil {
			return nil, err
		}
		defer whole.Program.Close()
	}
	found := make([]outcomes, len(rows))
	for n := range p.to {
		sample, err := next()
		if err != nil {
			return nil, err
		}
		if n < p.from {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := a.sample(w, whole, rows, found, sample, n); err != nil {
			return nil, err
		}
	}
	tallies := map[string]tally{}
	for i, r := range rows {
		if f := found[i]; len(f.right) > 0 {
			tallies[r.key()] = tally{len(f.right), result.NewOutcomes(f.right), result.NewOutcomes(f.kept), f.rows, f.bytes}
		}
	}
	return tallies, nil
}

// outcomes are those of a row's samples.
type outcomes struct {
	right, kept []bool
	rows, bytes int
}

// sample runs sample n through the rows that have it and adds what came out. whole reads all of its tokens at once; nil
// where no row does.
func (a *answers) sample(w *worker, whole *layers.Inference, rows []memoryRow, found []outcomes, s tasks.Sample,
	n int) error {
	var streams []int // rows that read the whole stream through a memory
	var memories []*baee.Manager
	for i, r := range rows {
		if n >= r.samples {
			continue
		}
		var logits []float32
		var err error
		switch r.name {
		case noMemory:
			logits, err = a.alone(w, s, n)
		case onePass:
			logits, err = whole.Run(s.IDs, nil)
		default:
			memory, err := a.memory(r, s, n)
			if err != nil {
				return err
			}
			streams, memories = append(streams, i), append(memories, memory)
			continue
		}
		if err != nil {
			return err
		}
		found[i].right = append(found[i].right, curriculum.Argmax(logits) == int(s.Label))
	}
	logits, err := w.shared.Run(s.IDs, memories)
	if err != nil {
		return err
	}
	for at, i := range streams {
		f, total := &found[i], memories[at].Total()
		f.right = append(f.right, curriculum.Argmax(logits[at]) == int(s.Label))
		f.kept = append(f.kept, retained(memories[at], s.Targets))
		f.rows, f.bytes = f.rows+total.Rows(), f.bytes+total.Bytes
	}
	return nil
}

// alone is the answer without a memory, for which the last chunk is all there is.
func (a *answers) alone(w *worker, s tasks.Sample, n int) ([]float32, error) {
	memory, err := a.memory(memoryRow{name: noMemory, entries: a.base.Config.EpisodicSlots}, s, n)
	if err != nil {
		return nil, err
	}
	logits, err := w.shared.Run(s.IDs[len(s.IDs)-a.settings.Chunk:], []*baee.Manager{memory})
	if err != nil {
		return nil, err
	}
	return logits[0], nil
}

// memory is an empty one for a row and sample n.
func (a *answers) memory(r memoryRow, s tasks.Sample, n int) (*baee.Manager, error) {
	c := a.base.Config
	k := baee.Default(c.Dim, c.Depth, c.EpisodicSlots, a.classifier)
	k.Policy, k.Tiers = strings.CutSuffix(r.name, inTiers)
	k.Window, k.Seed, k.Head = min(k.Window, a.settings.Chunk), a.settings.Seed<<20+uint64(n), a.head
	k.BudgetBytes, k.EntriesPerLayer = 0, r.entries
	switch r.name {
	case noMemory, lastBank, result.Unbounded: // what is written last stays
		k.Policy = "fifo"
	case classTokens:
		k.Policy, k.Keep = "fifo", keepClasses(s.IDs, c.NumClasses)
	}
	if k.Tiers {
		k.BudgetBytes, k.EntriesPerLayer = k.EntriesPerLayer*k.Layers*k.EntryBytes(), 0
	}
	return baee.New(k)
}

// keepClasses is the rule of the oracle for a stream.
func keepClasses(ids []int32, classes int) policy.Func {
	class := func(e policy.Entry) bool {
		id := ids[e.Position]
		return id >= tasks.KeyStart && id < tasks.KeyStart+int32(classes)
	}
	return func(_ *policy.Context, entries []policy.Entry, budget int) (kept []int) {
		for _, wanted := range []bool{true, false} {
			for i := len(entries) - 1; i >= 0 && len(kept) < budget; i-- {
				if class(entries[i]) == wanted {
					kept = append(kept, i)
				}
			}
		}
		slices.Sort(kept)
		return kept
	}
}

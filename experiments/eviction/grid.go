package eviction

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/measure"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
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

// Policies lists the built-in policies in the order of reports: ours, the nine of the published grid, newer rivals.
func Policies() []string {
	return []string{"baee", "baee_salience", "fifo", "lru", "random", "h2o", "scissorhands", "snapkv", "pyramidkv",
		"locret_proxy",
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
	Policy        string       `json:"policy"`
	EntriesALayer int          `json:"entries_per_layer"` // the budget
	Retention     result.Score `json:"retention"`         // samples whose target is still held, with the 95% interval
	Accuracy      result.Score `json:"accuracy"`          // of the answers
	Rows          float64      `json:"rows,omitempty"`    // held at the end over all layers, summaries included, a sample
	Bytes         float64      `json:"bytes,omitempty"`   // of their contents
	NetworkSHA256 string       `json:"network_sha256,omitempty"`
}

// grid measures cells on a model.
type grid struct {
	GridConfig
	base       *layers.Model
	classifier *baee.Classifier // for baee, strict
	head       *baee.Classifier // for locret_proxy, strict
	purpose    tasks.Purpose
	shas       map[string]string // of the networks, by policy
}

// newGrid is a grid with the networks that its job has.
func newGrid(j *lab.Job, c GridConfig, purpose tasks.Purpose) (*grid, error) {
	base, err := measure.LoadBase(j.Model())
	if err != nil {
		return nil, err
	}
	if err := c.Validate(base.Config); err != nil {
		return nil, err
	}
	g := &grid{GridConfig: c, base: base, purpose: purpose}
	return g, g.loadNetworks(j)
}

// loadNetworks reads those that the policies need.
func (g *grid) loadNetworks(j *lab.Job) error {
	g.shas = map[string]string{}
	for _, n := range g.networks(j.File("baee-train", lab.ClassifierFile), j.File("baee-train", lab.HeadFile)) {
		network, err := n.load(g.base.Config)
		if err != nil {
			return err
		}
		if g.shas[n.policy], err = files.HashFile(n.path); err != nil {
			return err
		}
		if n.head {
			g.head = network
		} else {
			g.classifier = network
		}
	}
	return nil
}

// Join implements lab.Joint: everything may be added to a result but what a case is made of.
func (c GridConfig) Join(held GridConfig) (whole, rest GridConfig) {
	whole = c
	whole.Policies, whole.Budgets = lab.Union(held.Policies, c.Policies), lab.Union(held.Budgets, c.Budgets)
	whole.Positions, whole.Seeds = lab.Union(held.Positions, c.Positions), lab.Union(held.Seeds, c.Seeds)
	whole.Contexts, whole.Protocols = lab.Union(held.Contexts, c.Contexts), lab.Union(held.Protocols, c.Protocols)
	whole.Headline = c.Headline || held.Headline
	rest = whole
	rest.Samples, rest.Chunk, rest.Needles = held.Samples, held.Chunk, held.Needles
	return whole, rest
}

const pressureTask = "memory_pressure_niah"

func (c GridConfig) params(m layers.Config, k GridCase) tasks.Params {
	return tasks.Params{Length: k.Context, Vocab: m.VocabSize, Classes: m.NumClasses, Position: tasks.Position(k.Position),
		Needles: c.Needles}
}

// policies are those that a protocol has.
func (c GridConfig) policies(protocol baee.Protocol) []string {
	return slices.DeleteFunc(slices.Clone(c.Policies), func(name string) bool {
		p, err := policy.Lookup(name)
		return err == nil && protocol == baee.Paper && p.Paper == nil
	})
}

// neededNetwork is a file that a strict policy needs.
type neededNetwork struct {
	policy, path string
	head         bool // or else it is a retention classifier
}

// load reads the network for a model of configuration m.
func (n neededNetwork) load(m layers.Config) (*baee.Classifier, error) {
	what, history := "retention classifier", baee.HistoryFeatures
	if n.head {
		what, history = "Locret-style head", 0
	}
	network, err := baee.LoadClassifier(n.path)
	if err == nil && (network.Dim != m.Dim || network.History != history) {
		err = fmt.Errorf("%s is for entries of width %d and %d history features, not %d and %d", n.path, network.Dim,
			network.History, m.Dim, history)
	}
	if err != nil {
		return nil, fmt.Errorf("policy %s needs a trained %s for this model (%w): make one with baee-train, or leave the "+
			"policy out", n.policy, what, err)
	}
	return network, nil
}

// networks are the files that the strict policies need.
func (c GridConfig) networks(classifier, head string) (all []neededNetwork) {
	if !slices.Contains(c.Protocols, baee.Strict) {
		return nil
	}
	for _, name := range c.Policies {
		p, err := policy.Lookup(name)
		if err != nil {
			continue // Validate refuses it
		}
		if p.Needs.Retention {
			all = append(all, neededNetwork{name, classifier, false})
		}
		if p.Needs.Head {
			all = append(all, neededNetwork{name, head, true})
		}
	}
	return all
}

// Inputs are the files that a run on the model at base reads, by their names among inputs, with these networks where a
// strict policy needs them. Networks that it cannot take are an error.
func (c GridConfig) Inputs(base, classifier, head string) (map[string]string, error) {
	m, err := layers.ReadConfig(base)
	if err != nil {
		return nil, err
	}
	inputs := lab.ModelInputs(base)
	beside := ""
	for _, n := range c.networks(classifier, head) {
		if _, err := n.load(m); err != nil {
			return nil, err
		}
		if n.head {
			inputs["baee-train/"+lab.HeadFile] = n.path
		} else {
			inputs["baee-train/"+lab.ClassifierFile] = n.path
			if filepath.Base(n.path) == lab.ClassifierFile {
				beside = filepath.Dir(n.path)
			}
		}
	}
	// Of a training in one folder the rest is an input too, as it is of the registered run.
	if used, ok := inputs["baee-train/"+lab.HeadFile]; beside != "" && (!ok || filepath.Dir(used) == beside) {
		for name, path := range map[string]string{
			"baee-train":                            filepath.Join(beside, TrainFile),
			"baee-train/" + AttentionClassifierFile: filepath.Join(beside, AttentionClassifierFile),
		} {
			if _, err := os.Stat(path); err == nil {
				inputs[name] = path
			}
		}
	}
	return inputs, nil
}

// cases lists them in the order of reports.
func (c GridConfig) cases() []GridCase {
	var all []GridCase
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

func (g *grid) sha(k GridCase, name string) string {
	if k.Protocol == baee.Paper {
		return ""
	}
	return g.shas[strings.TrimSuffix(name, inTiers)]
}

// inTiers behind a policy's name says that its memory has as many bytes as the budget's entries take in half precision,
// and holds more of them by lowering those with the lowest scores.
const inTiers = ", tiers"

// missing is a case with the policies that are to be run.
type missing struct {
	GridCase
	policies []string
}

// name is that of the cell of a case.
func (k GridCase) name() string {
	return fmt.Sprintf("%s-%d-%g-%s-%d", k.Protocol, k.Context, k.Budget, k.Position, k.Seed)
}

// find is the place of a policy among the cells of a case, -1 if it is not there.
func find(cells []GridCell, policy string) int {
	return slices.IndexFunc(cells, func(c GridCell) bool { return c.Policy == policy })
}

// checkNetworks refuses cells of an earlier call that stay, of a policy whose network is another one now: a row of the
// table would be over both.
func (g *grid) checkNetworks(done map[string][]GridCell, todo []missing, path string) error {
	anew := map[string][]string{} // policies, by case
	for _, m := range todo {
		anew[m.name()] = m.policies
	}
	for _, name := range slices.Sorted(maps.Keys(done)) {
		for _, c := range done[name] {
			now := g.sha(c.GridCase, c.Policy)
			if now == "" || c.NetworkSHA256 == now || slices.Contains(anew[name], c.Policy) {
				continue
			}
			return fmt.Errorf("%s holds cells of policy %s with another network (SHA-256 %.8s…, not %.8s…; seed %d): give that "+
				"one, or all of its seeds, contexts, budgets and positions, to measure them anew, or another --output",
				path, c.Policy, c.NetworkSHA256, now, c.Seed)
		}
	}
	return nil
}

// runGrid computes the cells that are missing, cases in parallel: policies of a case share a chunk's forward. Results
// do not depend on the number of cases at a time.
func runGrid(ctx context.Context, j *lab.Job, c GridConfig) (*lab.Outcome, error) {
	g, err := newGrid(j, c, tasks.Eviction)
	if err != nil {
		return nil, err
	}
	whole := j.Whole.(GridConfig)
	cells, err := lab.NewCells[[]GridCell](j, len(whole.cases()))
	if err != nil {
		return nil, err
	}
	cells.Outcome = func() (*lab.Outcome, error) { return gridOutcome(whole, g.base.Config, cells.Done) }
	var todo []missing
	var before []GridCell
	total := 0
	for _, k := range c.cases() {
		m := missing{GridCase: k}
		done := cells.Done[k.name()]
		for _, name := range c.policies(k.Protocol) {
			total++
			if i := find(done, name); i >= 0 && done[i].NetworkSHA256 == g.sha(k, name) {
				before = append(before, done[i])
			} else {
				m.policies = append(m.policies, name)
			}
		}
		if len(m.policies) > 0 {
			todo = append(todo, m)
		}
	}
	if err := g.checkNetworks(cells.Done, todo, j.Path); err != nil {
		return nil, err
	}
	at := 0
	tell := func(c GridCell, note string) {
		at++
		j.Detail("[%d/%d] %s  ctx %d  budget %g%%  %s  seed %d  %s  kept %d/%d%s", at, total, c.Protocol, c.Context,
			100*c.Budget,
			c.Position, c.Seed, c.Policy, c.Retention.Correct, c.Retention.N, note)
	}
	for _, c := range before {
		tell(c, "  done before")
	}
	err = g.parallel(ctx, todo, func(fresh []GridCell) error {
		k := fresh[0].GridCase
		kept := slices.DeleteFunc(slices.Clone(cells.Done[k.name()]),
			func(c GridCell) bool { return find(fresh, c.Policy) >= 0 })
		for _, c := range fresh {
			tell(c, "")
		}
		return cells.Put(k.name(), append(kept, fresh...))
	})
	if err != nil {
		return nil, err
	}
	return cells.Finish()
}

// parallel runs the cases side by side.
func (g *grid) parallel(ctx context.Context, todo []missing, save func([]GridCell) error) error {
	one := func(ctx context.Context, w *worker, m missing) ([]GridCell, error) { return g.one(ctx, w.shared, m) }
	return parallel(ctx, g.base, g.Chunk, todo, one, save)
}

// worker has what one goroutine runs streams with.
type worker struct {
	model  *layers.Model
	shared *baee.Shared
}

// parallel is lab.Parallel with workers that run streams of the base model.
func parallel[T, C any](ctx context.Context, base *layers.Model, chunk int, todo []T,
	compute func(ctx context.Context, w *worker, t T) (C, error), save func(c C) error) error {
	begin := func() (*worker, func(), error) {
		model, err := base.Clone() // compiling a graph writes to the parameters' tensors
		if err != nil {
			return nil, nil, err
		}
		shared, err := baee.NewShared(model, chunk)
		if err != nil {
			return nil, nil, err
		}
		return &worker{model, shared}, shared.Close, nil
	}
	return lab.Parallel(ctx, todo, begin, compute, save)
}

// entries is the budget of a case: entries a layer.
func (g *grid) entries(k GridCase) int {
	return max(1, int(float64(k.Context/g.Chunk*g.base.Config.EpisodicSlots)*k.Budget))
}

// source is that of the samples, the same for all policies (SPEC section 5).
func (g *grid) source(k GridCase) tasks.Source {
	return tasks.Draw{Keys: g.SampleKeys, Seed: k.Seed}.For(g.purpose, int(k.Budget*100))
}

// policySeed is that of a policy's random numbers for sample n.
func (k GridCase) policySeed(n uint64) uint64 { return (k.Seed*100+uint64(k.Budget*100))<<20 + n }

// one runs all missing policies of a case over its samples.
func (g *grid) one(ctx context.Context, shared *baee.Shared, m missing) ([]GridCell, error) {
	samples, err := tasks.Generate(pressureTask, g.Samples, g.params(g.base.Config, m.GridCase), g.source(m.GridCase))
	if err != nil {
		return nil, err
	}
	kept, right := make([][]bool, len(m.policies)), make([][]bool, len(m.policies))
	rows, bytes := make([]int, len(m.policies)), make([]int, len(m.policies))
	for n, s := range samples {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		memories, err := g.memories(m, uint64(n))
		if err != nil {
			return nil, err
		}
		logits, err := shared.Run(s.IDs, memories)
		if err != nil {
			return nil, err
		}
		for i, memory := range memories {
			kept[i] = append(kept[i], retained(memory, s.Targets))
			right[i] = append(right[i], curriculum.Argmax(logits[i]) == int(s.Label))
			total := memory.Total()
			rows[i], bytes[i] = rows[i]+total.Rows(), bytes[i]+total.Bytes
		}
	}
	var cells []GridCell
	for i, name := range m.policies {
		cells = append(cells, GridCell{
			GridCase: m.GridCase, Policy: name, EntriesALayer: g.entries(m.GridCase), NetworkSHA256: g.sha(m.GridCase, name),
			Retention: result.ScoreOf(kept[i]), Accuracy: result.ScoreOf(right[i]),
			Rows: float64(rows[i]) / float64(len(samples)), Bytes: float64(bytes[i]) / float64(len(samples)),
		})
	}
	return cells, nil
}

// memories are empty ones for the missing policies, for sample n.
func (g *grid) memories(m missing, n uint64) ([]*baee.Manager, error) {
	var all []*baee.Manager
	for _, name := range m.policies {
		c := g.base.Config
		k := baee.Default(c.Dim, c.Depth, c.EpisodicSlots, g.classifier)
		k.Policy, k.Tiers = strings.CutSuffix(name, inTiers)
		k.Protocol, k.Window, k.Seed, k.Head = m.Protocol, min(k.Window, g.Chunk), m.policySeed(n), g.head
		k.BudgetBytes, k.EntriesPerLayer = 0, g.entries(m.GridCase)
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

// gridKey is a case over all seeds, with a policy.
type gridKey struct {
	protocol baee.Protocol
	context  int
	budget   float64
	position string
	policy   string
}

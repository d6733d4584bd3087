package baee

import (
	"cmp"
	"errors"
	"fmt"
	"unsafe"

	"github.com/synapnet/synapnet-train/baee/policy"
	"github.com/synapnet/synapnet-train/internal/bounds"
)

// Protocol says by which rules a memory is run (SPEC section 6).
type Protocol string

// Strict is the memory as the methods' papers mean it: only real entries are stored, all reads are counted. Paper is
// the reference's published experiment: zero padding is stored and counted as entries (salience 0, position -1), the
// first chunk reads one row of zeros, attention received is never accumulated.
const (
	Strict Protocol = "strict"
	Paper  Protocol = "paper"
)

// DefaultBudget is the reference's budget: 256 MB over all layers.
const DefaultBudget = 256 << 20

// Config describes a Manager. Default gives sensible values for a model.
type Config struct {
	Dim    int `json:"dim"`    // width D of an entry
	Layers int `json:"layers"` // memories, one a block
	Slots  int `json:"slots"`  // rows S of the bank that a chunk writes

	Policy   string   `json:"policy"`
	Protocol Protocol `json:"protocol"`

	// BudgetBytes limits the bytes of all contents over all layers; 0: no limit. EntriesPerLayer limits the mean number of
	// rows a layer; 0: no limit. At least one must be set; the paper protocol takes EntriesPerLayer alone.
	BudgetBytes     int `json:"budget_bytes"`
	EntriesPerLayer int `json:"entries_per_layer"`
	// CountMetadata has BudgetBytes limit every byte that an entry costs: its content, and what is known of it besides
	// (position, salience, history, what the policy's network made of it). The published protocols count contents alone.
	CountMetadata bool `json:"count_metadata,omitempty"`

	// Tiers lowers the entries with the lowest scores, where there is no room for all, before any is lost: from HOT to
	// WARM, then into COLD summaries, of which a layer has at most SummarySlots; without summaries they are evicted. Only
	// for policies that have scores; otherwise all entries are HOT.
	Tiers        bool `json:"tiers"`
	SummarySlots int  `json:"summary_slots"`

	Window int    `json:"window"` // queries of the observation window, the last ones of a chunk
	Seed   uint64 `json:"seed"`   // of the policy's random numbers

	Classifier *Classifier `json:"-"` // for policies that need a retention classifier
	Head       *Classifier `json:"-"` // for policies that need a Locret-style head

	// Keep, if set, chooses in place of the policy's own rule: that of an oracle, which knows of one stream what no policy
	// can. A memory with it has no snapshots.
	Keep policy.Func `json:"-"`
}

// DefaultWindow is SnapKV's observation window.
const DefaultWindow = 32

// DefaultSummarySlots is the number of COLD summaries a layer in the reference.
const DefaultSummarySlots = 4

// Default is the configuration of BAEE in tiers within 256 MB, with the given classifier.
func Default(dim, layers, slots int, c *Classifier) Config {
	return Config{
		Dim: dim, Layers: layers, Slots: slots, Policy: "baee", Protocol: Strict, BudgetBytes: DefaultBudget,
		Tiers: true, SummarySlots: DefaultSummarySlots, Window: DefaultWindow, Classifier: c,
	}
}

// EntryBytes is what an entry in half precision takes of the budget: 2 D, and with CountMetadata what is known of it.
func (c Config) EntryBytes() int {
	entry, _ := c.counted()
	return hotBytes(c.Dim) + entry
}

// What is known of an entry, and a summary besides its content, bytes.
const (
	entryBytes   = int(unsafe.Sizeof(policy.Entry{}) + unsafe.Sizeof(content{}))
	summaryBytes = int(unsafe.Sizeof(summary{}))
)

// metadataBytes is what is known of an entry besides its content.
func (c Config) metadataBytes() int {
	n := entryBytes
	p, err := policy.Lookup(c.Policy) // New refuses one that there is not
	if err != nil || c.Protocol != Strict {
		return n
	}
	if p.Needs.Retention && c.Classifier != nil {
		n += 4 * c.Classifier.Hidden
	}
	if p.Needs.Head {
		n += 4
	}
	return n
}

// counted is what an entry and a summary take of the budget besides their contents.
func (c Config) counted() (entry, summaries int) {
	if !c.CountMetadata {
		return 0, 0
	}
	return c.metadataBytes(), summaryBytes
}

// rule is the policy's function under the protocol.
func (c *Config) rule(p policy.Policy) (policy.Func, error) {
	if c.Keep != nil {
		return c.Keep, nil
	}
	switch c.Protocol {
	case Strict:
		return p.Keep, nil
	case Paper:
		if p.Paper == nil {
			return nil,
				fmt.Errorf("policy %s has no rule in the paper protocol: the reference does not have it; use protocol %s", p.Name,
					Strict)
		}
		return p.Paper, nil
	}
	return nil, fmt.Errorf("protocol is %q: it must be %q or %q", c.Protocol, Strict, Paper)
}

// validate names the first setting that cannot work, its value and what is allowed.
func (c *Config) validate(p policy.Policy) error {
	if err := cmp.Or(bounds.Check("dim", c.Dim, 1, maxWidth), bounds.Check("layers", c.Layers, 1, 1<<12),
		bounds.Check("slots", c.Slots, 1, 1<<20), bounds.Check("window", c.Window, 1, 1<<24),
		bounds.Check("summary_slots", c.SummarySlots, 0, 1<<16), bounds.Check("budget_bytes", c.BudgetBytes, 0, 1<<46),
		bounds.Check("entries_per_layer", c.EntriesPerLayer, 0, 1<<28)); err != nil {
		return err
	}
	if err := c.validateBudget(); err != nil {
		return err
	}
	if c.Tiers && c.Keep != nil {
		return errors.New("a rule in place of the policy's own has no scores to choose tiers by: switch tiers off")
	}
	if c.Tiers && p.Score == nil {
		return fmt.Errorf("policy %s has no scores to choose tiers by: switch tiers off, or use baee or baee_salience",
			p.Name)
	}
	if c.Protocol == Paper {
		return nil
	}
	if err := c.validateNetwork(p.Name, "a trained retention classifier", p.Needs.Retention, c.Classifier,
		HistoryFeatures); err != nil {
		return err
	}
	return c.validateNetwork(p.Name, "a trained Locret-style head", p.Needs.Head, c.Head, 0)
}

func (c *Config) validateNetwork(name, what string, needed bool, n *Classifier, history int) error {
	switch {
	case !needed:
		return nil
	case n == nil:
		return fmt.Errorf("policy %s needs %s: give one", name, what)
	case n.Dim != c.Dim || n.History != history:
		return fmt.Errorf("policy %s needs %s for entries of width %d and %d history features: this one is for %d and %d",
			name, what, c.Dim, history, n.Dim, n.History)
	}
	return nil
}

func (c *Config) validateBudget() error {
	if c.Protocol == Paper && (c.BudgetBytes != 0 || c.EntriesPerLayer == 0 || c.Tiers) {
		return fmt.Errorf("the paper protocol budgets entries: set entries_per_layer (now %d), leave budget_bytes (now %d) "+
			"at 0 and tiers (now %t) off", c.EntriesPerLayer, c.BudgetBytes, c.Tiers)
	}
	if c.BudgetBytes == 0 && c.EntriesPerLayer == 0 {
		return fmt.Errorf("no budget: set budget_bytes or entries_per_layer above 0")
	}
	if least := c.Layers * c.EntryBytes(); c.BudgetBytes > 0 && c.BudgetBytes < least {
		return fmt.Errorf("budget_bytes is %d: too small for one entry of %d bytes in each of %d layers; it must be at "+
			"least %d", c.BudgetBytes, c.EntryBytes(), c.Layers, least)
	}
	return nil
}

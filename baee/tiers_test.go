package baee

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// Tiers are by need. Whatever the stores, the scores and the budgets, in bytes of contents or of all that an entry
// costs, in rows, or in both:
//
//   - nothing changes in a layer while what it holds and what is new fits into its share; layers that are written to
//     alike, as a model's are, keep everything in half precision while the whole does fit into the budget;
//   - after every update the memory is within its budget;
//   - in a layer, what leaves has no higher score than what stays; and of the entries that were in one tier before an
//     update, the new ones being HOT, none with a higher score is in a lower tier after it. Equal scores go by age;
//   - what is done is needed: with one departure less the layer would exceed its share if all others were WARM, and
//     with one entry less made WARM it would as it is.
func TestTiersByNeed(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 17))
		c := tieredConfig(r)
		m := newManager(t, c)
		alike, entered := r.IntN(2) == 0, 0
		for range 8 {
			written := r.IntN(c.Slots + 1)
			for i := range c.Layers {
				if !alike {
					written = r.IntN(c.Slots + 1)
				}
				entered += written
				for _, event := range checkedUpdate(t, r, m, i, written, fmt.Sprintf("seed %d, layer %d", seed, i)) {
					seen[event] = true
				}
			}
			m.EndChunk()
			total := m.Total()
			if c.BudgetBytes > 0 && total.Counted > c.BudgetBytes ||
				c.EntriesPerLayer > 0 && total.Rows() > c.Layers*c.EntriesPerLayer {
				t.Fatalf("seed %d: %+v of %+v", seed, total, c)
			}
			fits := (c.BudgetBytes == 0 || entered*c.EntryBytes() <= c.BudgetBytes) &&
				(c.EntriesPerLayer == 0 || entered <= c.Layers*c.EntriesPerLayer)
			if alike && fits && total.Hot != entered {
				t.Fatalf("seed %d: %d entries fit into the budget, and %d are HOT", seed, entered, total.Hot)
			}
			seen["all fits"] = seen["all fits"] || alike && fits && entered > 0
		}
	}
	for _, event := range []string{"all fits", "kept", "left", "demoted", "demoted and left", "tie", "NaN"} {
		if !seen[event] {
			t.Errorf("nothing was %q: the test shows nothing of it", event)
		}
	}
}

// tieredConfig is a memory in tiers with a budget that is tight or ample.
func tieredConfig(r *rand.Rand) Config {
	c := Default(1+r.IntN(24), 1+r.IntN(3), 1+r.IntN(8), nil)
	c.Policy, c.SummarySlots, c.CountMetadata = "test_scored", r.IntN(4), r.IntN(2) == 0
	c.BudgetBytes = 0
	if kind := r.IntN(4); kind != 0 {
		c.BudgetBytes = c.Layers*c.EntryBytes() + r.IntN(40*c.Layers*c.EntryBytes())
		if kind != 1 {
			return c
		}
	}
	c.EntriesPerLayer = 1 + r.IntN(30)
	return c
}

// state is what a layer holds, before or after an update.
type state struct {
	tiers     map[uint64]Tier
	order     []uint64
	contents  [][]byte
	summaries int
	held      int
}

func stateOf(l *layer) state {
	s := state{tiers: map[uint64]Tier{}, summaries: len(l.summaries), held: l.held()}
	for j, e := range l.entries {
		s.tiers[e.ID], s.order, s.contents = l.contents[j].tier, append(s.order, e.ID), append(s.contents, l.contents[j].data)
	}
	return s
}

// checkedUpdate writes entries to a layer and holds what becomes of it against the promises. It returns what happened.
func checkedUpdate(t *testing.T, r *rand.Rand, m *Manager, i, written int, where string) (events []string) {
	t.Helper()
	l := m.layers[i]
	scored.scores = drawnScores(r, len(l.entries)+written)
	var before state
	m.Observe = func(Observation) { before = stateOf(l) }
	f := fake(r, m, i, m.Chunk()*100)
	f.Positions, f.Salience = make([]int64, written), make([]float32, written)
	if err := m.Update(i, f); err != nil {
		t.Fatal(where, err)
	}
	after, n := stateOf(l), len(before.order)
	if !l.fits(len(l.entries), len(l.summaries), after.held) {
		t.Fatalf("%s: %d entries, %d summaries, %d bytes, where %d rows and %d bytes are allowed", where, len(l.entries),
			len(l.summaries), after.held, l.rows, l.bytes)
	}
	if l.fits(n, before.summaries, before.held) {
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%s: all fits, and %+v became %+v", where, before, after)
		}
		return []string{"kept"}
	}
	left, demoted := 0, 0
	for _, id := range before.order {
		tier, ok := after.tiers[id]
		if !ok {
			left++
		} else if tier != before.tiers[id] {
			demoted++
		}
	}
	events = checkOrder(t, before, after, where)
	hot, warm := hotBytes(m.config.Dim), warmBytes(m.config.Dim)
	if demoted > 0 && after.held+hot-warm <= l.bytes {
		t.Fatalf("%s: %d entries became WARM, and with one less %d bytes of %d are held", where, demoted,
			after.held+hot-warm, l.bytes)
	}
	if left > 0 {
		summaries := max(before.summaries, min(before.summaries+left-1, m.summarySlots(l)))
		if bytes := (n-left+1)*(min(hot, warm)+l.entry) + summaries*(hot+l.summary); l.fits(n-left+1, summaries, bytes) {
			t.Fatalf("%s: %d of %d entries left, and without the last %d bytes of %d would be held", where, left, n, bytes,
				l.bytes)
		}
		events = append(events, "left")
	}
	if demoted > 0 {
		events = append(events, "demoted")
	}
	if demoted > 0 && left > 0 {
		events = append(events, "demoted and left")
	}
	return events
}

// drawnScores are of any size, often equal, sometimes not a number.
func drawnScores(r *rand.Rand, n int) []float64 {
	scores, scale := make([]float64, n), math.Pow(10, float64(r.IntN(17)-8))
	for j := range scores {
		if scores[j] = scale * float64(r.IntN(12)-3); r.IntN(20) == 0 {
			scores[j] = math.NaN()
		}
	}
	return scores
}

// gone is the tier of what left.
const gone = Cold

// checkOrder holds the tiers of a layer after an update against the scores. It tells whether scores were equal or none
// where that mattered.
func checkOrder(t *testing.T, before, after state, where string) (events []string) {
	t.Helper()
	tier := func(id uint64) Tier {
		if tier, ok := after.tiers[id]; ok {
			return tier
		}
		return gone
	}
	for j, a := range before.order {
		for k, b := range before.order[:j] { // b is the older one
			low, high := b, a
			x, y := scored.scores[k], scored.scores[j]
			if x > y || math.IsNaN(y) && !math.IsNaN(x) {
				low, high = a, b
			}
			comparable := before.tiers[low] == before.tiers[high] || tier(high) == gone
			if comparable && tier(low) < tier(high) {
				t.Fatalf("%s: of scores %v and %v, in %v and %v before, the lower is in %v and the higher in %v", where, x, y,
					before.tiers[b], before.tiers[a], tier(low), tier(high))
			}
			if comparable && tier(low) != tier(high) && x == y {
				events = append(events, "tie")
			}
			if comparable && tier(low) != tier(high) && (math.IsNaN(x) || math.IsNaN(y)) {
				events = append(events, "NaN")
			}
		}
	}
	if !slices.IsSorted(after.order) {
		t.Fatalf("%s: the order of the entries became %v", where, after.order)
	}
	return events
}

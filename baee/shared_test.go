package baee

import (
	"math"
	"slices"
	"testing"

	"github.com/synapnet/synapnet-train/baee/policy"
)

// Memories that run side by side end as they would in a stream of their own, with fewer chunks computed.
func TestSharedRunsAreThoseOfSingleStreams(t *testing.T) {
	m := model(t, 3, 0.5, 3)
	ids := tokens(4, 8*6)
	for _, protocol := range []Protocol{Strict, Paper} {
		var memories []*Manager
		names := []string{"baee_salience", "fifo", "lru", "h2o", "pyramidkv", "keydiff", "random"}
		if protocol == Paper {
			names = slices.DeleteFunc(names, func(n string) bool { return n == "keydiff" })
		}
		for _, name := range names {
			c := forModel(m, name, 6)
			c.Protocol, c.Seed = protocol, 9
			memories = append(memories, newManager(t, c))
		}
		shared, err := NewShared(m, 8)
		if err != nil {
			t.Fatal(err)
		}
		defer shared.Close()
		for range 2 { // the second run reuses the compiled graph
			for _, memory := range memories {
				memory.Reset()
			}
			logits, err := shared.Run(ids, memories)
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				c := memories[i].Config()
				alone := stream(t, m, c, 8)
				want := push(t, alone, ids)
				for j, x := range want[len(want)-1] {
					if math.Abs(float64(x-logits[i][j])) > 1e-5 {
						t.Errorf("%s %s: logits %v, alone %v", protocol, name, logits[i], want[len(want)-1])
						break
					}
				}
				for l := range 2 {
					got, entries := memories[i].Entries(l), alone.Memory().Entries(l)
					if !slices.EqualFunc(got, entries, func(a, b policy.Entry) bool {
						return a.ID == b.ID &&
							a.Position == b.Position && a.Uses == b.Uses
					}) {
						t.Errorf("%s %s: layer %d holds %v, alone %v", protocol, name, l, got, entries)
					}
				}
			}
		}
		if shared.Chunks != int64(2*6*len(names)) || shared.Forwards >= shared.Chunks-int64(len(names)) ||
			shared.Forwards < 12 {
			t.Errorf("%s: %d of %d chunks were computed", protocol, shared.Forwards, shared.Chunks)
		}
	}
}

func TestSharedMistakes(t *testing.T) {
	m := model(t, 3, 0.5, 3)
	if _, err := NewShared(m, 65); err == nil {
		t.Error("a chunk beyond max-len is accepted")
	}
	s, err := NewShared(m, 8)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(tokens(1, 12), []*Manager{newManager(t, forModel(m, "fifo", 6))}); err == nil {
		t.Error("half a chunk is accepted")
	}
	if _, err := s.Run(tokens(1, 8), []*Manager{newManager(t, plain("fifo", 8, 2, 4, 6))}); err == nil {
		t.Error("a memory of another width is accepted")
	}
}

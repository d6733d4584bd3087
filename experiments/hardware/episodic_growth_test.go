package hardware

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/lab/labtest"
	"github.com/synapnet/synapnet-train/experiments/result"
)

func TestEpisodicGrowth(t *testing.T) {
	root, m := labtest.StreamRoot(t)
	s := growthSettings{Tokens: 128, Chunk: 16, Entries: 6, Seed: 1}
	o := labtest.CheckRuns(t, EpisodicGrowthExperiment(), root,
		func(ctx context.Context, j *lab.Job) (*lab.Outcome, error) {
			return runEpisodicGrowth(ctx, j, s)
		}, labtest.Always)
	at := func(protocol, policy string, tokens int) (bytes, entries float64) {
		l := result.Labels{result.PolicyLabel: policy, result.TokensLabel: strconv.Itoa(tokens)}
		return labtest.Find(t, o, protocol, "store_bytes", l).Mean, labtest.Find(t, o, protocol, "entries", l).Mean
	}
	full, free := float64(m.Config.Depth*s.Entries), 0.
	for tokens := 16; tokens <= 128; tokens += 16 {
		for _, k := range growthCases() {
			bytes, entries := at(string(k.protocol), k.name, tokens)
			switch {
			case k.free:
				if entries <= free {
					t.Errorf("%d tokens: %g entries without eviction, before %g", tokens, entries, free)
				}
				free = entries
			case k.tiers:
				if tokens > 64 && entries <= full || bytes > full*float64(2*m.Config.Dim) {
					t.Errorf("%d tokens: %g entries in tiers, %g bytes; in half precision there is room for %g", tokens, entries,
						bytes, full)
				}
			case entries > full || tokens > 64 && entries < full:
				t.Errorf("%s %s, %d tokens: %g entries, the budget is %g", k.protocol, k.name, tokens, entries, full)
			}
			if hot := entries * float64(2*m.Config.Dim); bytes > hot || !k.tiers && bytes != hot {
				t.Errorf("%s %s, %d tokens: %g bytes of %g entries", k.protocol, k.name, tokens, bytes, entries)
			}
		}
	}
	if free <= full {
		t.Errorf("%g entries without eviction, %g with", free, full)
	}
}

func TestEpisodicGrowthMistakes(t *testing.T) {
	bare := t.TempDir()
	_, model := labtest.StreamModel(t)
	labtest.Put(t, bare, "pretrain", lab.ModelFile, model)
	if _, err := runEpisodicGrowth(t.Context(), labtest.NewJob(t, EpisodicGrowthExperiment(), bare),
		growthSettings{Tokens: 32, Chunk: 16, Entries: 6}); err == nil || !strings.Contains(err.Error(), "baee-train") {
		t.Errorf("%v", err)
	}
}

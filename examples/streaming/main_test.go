package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/baee"
	"github.com/synapnet/synapnet-train/layers"
)

func small() settings {
	c := layers.Reference()
	c.Dim, c.Depth, c.Heads, c.VocabSize, c.MaxLen, c.NumClasses, c.EpisodicWriteFrac = 64, 2, 2, 64, 64, 16, 0.25
	s := settings{model: c, length: 200, chunk: 32, budget: 4000}
	s.calibration.batches, s.calibration.size, s.calibration.tokens = 2, 2, 64
	return s
}

// The example runs to an answer; its memory fills up and stays within the budget.
func TestStreaming(t *testing.T) {
	var out strings.Builder
	s := small()
	if err := run(&out, s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 8 || !strings.HasPrefix(lines[7], "most likely class: ") {
		t.Fatalf("got\n%s\nwant 7 chunks and an answer", out.String())
	}
	for _, line := range lines[:7] {
		var tokens, hot, warm, cold, held, evicted int
		if _, err := fmt.Sscanf(line, "%d tokens  HOT %d  WARM %d  COLD %d  %d bytes  evicted %d", &tokens, &hot, &warm,
			&cold, &held, &evicted); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if hot+warm+cold == 0 || held == 0 || held > s.budget {
			t.Errorf("%s: want rows, within %d bytes", line, s.budget)
		}
	}
}

// The model is quantised: what the attention computes with is not what it was.
func TestCompress(t *testing.T) {
	s := small()
	m, err := layers.NewModel(s.model, 42)
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Clone()
	if err != nil {
		t.Fatal(err)
	}
	q, err := compress(m, s)
	if err != nil {
		t.Fatal(err)
	}
	if len(q.Weights) == 0 {
		t.Error("nothing is quantised")
	}
	ids := make([]int32, 32)
	var logits [2]float32
	for i, model := range []*layers.Model{before, m} {
		f, err := model.Infer(1, len(ids), 0)
		if err != nil {
			t.Fatal(err)
		}
		l, err := f.Run(ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		logits[i] = l[0]
	}
	if logits[0] == logits[1] {
		t.Error("the quantised model computes the same")
	}
}

// The defaults are the reference model and 256 MB.
func TestReference(t *testing.T) {
	s := reference()
	if s.model.Parameters() != 8714950 || s.budget != 256<<20 {
		t.Errorf("%d parameters, %d bytes", s.model.Parameters(), s.budget)
	}
	if m, err := memory(s.model, s.budget); err != nil || m.Config().Policy != "baee" || !m.Config().Tiers ||
		m.Config().Protocol != baee.Strict {
		t.Errorf("%v", err)
	}
}

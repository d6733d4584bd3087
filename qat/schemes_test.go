package qat

import (
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/layers/scheme"
)

// Every scheme of the registry can be given to every target with weights: the model trains through it, and its
// checkpoint is read back; if the scheme has a packed form, the packed model computes what the converted one does.
func TestEverySchemeOfEveryTarget(t *testing.T) {
	targets := slices.DeleteFunc(AllTargets(), func(t Target) bool { return t == Memory })
	for _, of := range scheme.All() {
		t.Run(of.Name, func(t *testing.T) {
			o := tinyOptions(targets...)
			o.Schemes = map[Target]string{}
			for _, target := range targets {
				o.Schemes[target] = of.Name
			}
			q := prepareTiny(t, o)
			for _, w := range q.Weights {
				if w.Fake.Scheme != of {
					t.Errorf("%s has scheme %s", w.Name, w.Fake.Scheme.Name)
				}
			}
			before, c := logits(t, q.Model), tinyFinetune()
			c.Steps = 2
			if _, err := Finetune(t.Context(), q.Model, q, c, tasks.Seeded(1), Session{}); err != nil {
				t.Fatal(err)
			}
			trained := logits(t, q.Model)
			if slices.Equal(trained, before) {
				t.Error("training changed nothing")
			}
			f, err := q.File()
			if err != nil {
				t.Fatal(err)
			}
			back, err := FromFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(logits(t, back.Model), trained) {
				t.Error("read back from its checkpoint, the model computes something else")
			}
			if _, err := of.PackedForm(); err != nil {
				return
			}
			m := loadPacked(t, writePacked(t, q))
			convert(t, q)
			sameLogits(t, m, q.Model, 2, 40, 5)
		})
	}
}

func TestSchemesThatThereAreNotAreRefused(t *testing.T) {
	for want, schemes := range map[string]map[Target]string{
		`schemes of target ff: unknown scheme "int5": did you mean "int4"? There are seq2,`: {FF: "int5"},
		`schemes names "head", which is none of the targets ff, memory: add it to them`:     {Head: "int8"},
		`schemes names "memory", whose entries are no weights`:                              {Memory: "int8"},
	} {
		o := tinyOptions(FF, Memory)
		o.Schemes = schemes
		if err := o.Validate(tiny()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

package experiments

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// Every published figure in the committed results is what its declaration gives, and every declaration gives one.
func TestPublishedFigures(t *testing.T) {
	for _, e := range All() {
		r, err := result.Read(filepath.Join("..", "results", e.Folder, e.Name+".json"))
		if errors.Is(err, fs.ErrNotExist) && len(e.Published) == 0 {
			continue // not run yet, and nothing published to stand beside it
		}
		if err != nil {
			t.Fatal(err)
		}
		o := &lab.Outcome{Measurements: slices.Clone(r.Measurements)}
		for i := range o.Measurements {
			m := &o.Measurements[i]
			note, _, _ := strings.Cut(m.Note, "published")
			m.Published, m.Note = nil, strings.TrimSuffix(note, "; ")
		}
		for i, m := range e.WithPublished(o) {
			if want := r.Measurements[i]; !reflect.DeepEqual(m, want) {
				t.Errorf("%s, %s %v: the declarations give %+v %q, want %+v %q", e.Name, m.Metric, m.Labels, m.Published, m.Note,
					want.Published, want.Note)
			}
		}
		for i, p := range e.Published {
			for metric, path := range p.At {
				e := e // without it
				e.Published = slices.Clone(e.Published)
				e.Published[i].At = maps.Clone(p.At)
				delete(e.Published[i].At, metric)
				if reflect.DeepEqual(e.WithPublished(o), r.Measurements) {
					t.Errorf("%s: %s of %s gives no measurement a figure", e.Name, path, p.File)
				}
			}
		}
	}
}

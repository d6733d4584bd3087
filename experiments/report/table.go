package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// Table is a view of an experiment's measurements.
type Table struct {
	Title   string
	Labels  []string // columns that name a row
	Column  string   // label whose values the groups are; "" for metrics
	Groups  []Group
	Rows    []Row
	Remark  string   // of all measurements
	Notes   []string // of single measurements, as they are numbered in cells
	Figures []Figure
	Legend  []Series // of the figures
	Front   bool     // the figures show what no other point beats in both axes
}

// Group is a value of the view's column label, or a metric, with the columns under it.
type Group struct {
	Name string
	Unit string // in which its values are, "" for shares
	Kind []Kind
	Note []int // of all values of a column: its number, 0 for none
}

// Kind is what a column shows.
type Kind int

// The columns of a group, in their order.
const (
	PublishedColumn Kind = iota
	PaperColumn
	StrictColumn
	DifferenceColumn
	RatioColumn // in place of the difference, for what depends on the machine or on a definition
)

// String is the column's heading.
func (k Kind) String() string {
	return [...]string{"published", "ours (paper)", "ours (strict)", "difference", "ours / published"}[k]
}

// Row is a line of a table.
type Row struct {
	Labels []string
	Series int // of the figures, whose data the row has; -1 for none
	Cells  []Cell
}

// Cell is a value with what is said about it.
type Cell struct {
	Kind    Kind
	Main    string // "" where there is none
	Sub     string // interval
	Title   string // n, method, note: shown when pointed at
	Note    int    // number of a note, 0 for none
	Outside bool   // a difference whose interval does not hold 0, where that means something
	Sort    float64
}

// place is a cell's group and row before there are columns.
type place struct{ row, group string }

// pair holds the measurements of a place.
type pair struct{ paper, strict *result.Measurement }

// published is the paper's value with ours under the protocol that it is compared with.
func (p pair) published() (paper *result.MeanStd, measured *result.Measurement) {
	for _, m := range []*result.Measurement{p.paper, p.strict} {
		if m != nil && m.Published != nil {
			return m.Published, m
		}
	}
	return nil, nil
}

// selected are the measurements that a view shows, and the labels that name its rows: those of the metric that have
// exactly the view's labels; without any, those that have more, whose other labels then name rows, too.
func selected(v lab.View, all []result.Measurement) (rows []string, found []result.Measurement) {
	want := slices.Clone(v.Rows)
	if v.Column != "" {
		want = append(want, v.Column)
	}
	var loose []result.Measurement
	for _, m := range all {
		if v.Metric != "" && m.Metric != v.Metric {
			continue
		}
		if slices.ContainsFunc(want, func(l string) bool { _, ok := m.Labels[l]; return !ok }) {
			continue
		}
		m = within(m)
		if len(m.Labels) == len(want) {
			found = append(found, m)
		}
		loose = append(loose, m)
	}
	if len(found) > 0 || len(loose) == 0 {
		return v.Rows, found
	}
	more := map[string]map[string]bool{}
	for _, m := range loose {
		for l, value := range m.Labels {
			if !slices.Contains(want, l) {
				if more[l] == nil {
					more[l] = map[string]bool{}
				}
				more[l][value] = true
			}
		}
	}
	return append(slices.Clone(v.Rows), slices.Sorted(maps.Keys(more))...), loose
}

// ranges are what all values of some metrics lie in. A t-interval knows nothing of it.
var ranges = map[string][2]float64{"auc": {0, 1}, "baseline_auc": {0, 1}, "difference": {-1, 1}}

// within is m with its interval cut at the range of its metric, which a note says.
func within(m result.Measurement) result.Measurement {
	bounds, bounded := ranges[m.Metric]
	if !bounded || m.Unit != "1" || m.Interval == nil {
		return m
	}
	cut := *m.Interval
	cut.Low, cut.High = max(cut.Low, bounds[0]), min(cut.High, bounds[1])
	if cut != *m.Interval {
		note := fmt.Sprintf("interval cut at %g and %g, which no value is beyond", bounds[0], bounds[1])
		m.Interval, m.Note = &cut, strings.TrimPrefix(m.Note+"; "+note, "; ")
	}
	return m
}

// newTable makes the table of a view; nil if there is nothing to show.
func newTable(v lab.View, all []result.Measurement) *Table {
	labels, found := selected(v, all)
	if len(found) == 0 {
		return nil
	}
	t := &Table{Title: v.Title, Labels: labels, Column: v.Column}
	places := map[place]pair{}
	var rows, groups []string
	values := map[string][]string{}
	formats := map[string]format{}
	for i := range found {
		m := &found[i]
		group := m.Metric
		if v.Column != "" {
			group = m.Labels[v.Column]
		} else if v.Metric != "" {
			group = ""
		}
		var value []string
		for _, l := range labels {
			value = append(value, m.Labels[l])
		}
		row := strings.Join(value, "\x00")
		if _, ok := values[row]; !ok {
			rows, values[row] = append(rows, row), value
		}
		if _, ok := formats[group]; !ok {
			groups, formats[group] = append(groups, group), formatOf(m.Metric, found)
		}
		p := places[place{row, group}]
		if m.Protocol == result.Strict {
			p.strict = m
		} else {
			p.paper = m
		}
		places[place{row, group}] = p
	}
	if v.Column != "" {
		sortNumbers(groups)
	}
	for _, g := range groups {
		name := g
		if _, err := strconv.ParseFloat(g, 64); err == nil && v.Column != "" { // a number does not say of what
			name = v.Column + " " + g
		}
		k := kinds(places, g)
		t.Groups = append(t.Groups, Group{Name: name, Unit: formats[g].heading(), Kind: k, Note: make([]int, len(k))})
	}
	group(rows, values)
	for _, row := range rows {
		r := Row{Labels: values[row], Series: -1}
		for i, g := range groups {
			p := places[place{row, g}]
			for _, k := range t.Groups[i].Kind {
				r.Cells = append(r.Cells, t.cell(p, k, formats[g]))
			}
		}
		t.Rows = append(t.Rows, r)
	}
	t.liftNotes()
	return t
}

// liftNotes takes a note that is of all values of a column out of its cells, and out of the headings, too, if it is the
// only one and of all columns.
func (t *Table) liftNotes() {
	everywhere := true
	at := 0
	for _, g := range t.Groups {
		for i, k := range g.Kind {
			g.Note[i] = t.liftColumn(at)
			everywhere = everywhere && (k != PaperColumn && k != StrictColumn || g.Note[i] > 0)
			at++
		}
	}
	if len(t.Notes) != 1 || !everywhere {
		return
	}
	for _, g := range t.Groups {
		clear(g.Note)
	}
	t.Remark, t.Notes = t.Notes[0], nil
}

// liftColumn takes the note of all values of a column out of its cells and gives its number, 0 where they have no
// common one.
func (t *Table) liftColumn(column int) int {
	note := 0
	for _, r := range t.Rows {
		c := r.Cells[column]
		if c.Main == "" {
			continue
		}
		if c.Note == 0 || note > 0 && c.Note != note {
			return 0
		}
		note = c.Note
	}
	for _, r := range t.Rows {
		r.Cells[column].Note = 0
	}
	return note
}

// group puts rows of the same first label together, of these those of the same second one, and so on; labels stay in
// the order in which they came, but for guessing, which comes last.
func group(rows []string, values map[string][]string) {
	rank := []map[string]int{}
	for _, row := range rows {
		for i, label := range values[row] {
			if i == len(rank) {
				rank = append(rank, map[string]int{})
			}
			if _, ok := rank[i][label]; !ok {
				rank[i][label] = len(rank[i])
			}
		}
	}
	at := func(row string, i int) int {
		if values[row][i] == result.Guessing || i > 0 && slices.Contains(values[row], result.Guessing) {
			return math.MaxInt
		}
		return rank[i][values[row][i]]
	}
	slices.SortStableFunc(rows, func(a, b string) int {
		for i := range rank {
			if d := cmp.Compare(at(a, i), at(b, i)); d != 0 {
				return d
			}
		}
		return 0
	})
}

// sortNumbers puts values in the order of their numbers if all are numbers, and leaves them as they are otherwise.
func sortNumbers(values []string) {
	number := map[string]float64{}
	for _, v := range values {
		x, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return
		}
		number[v] = x
	}
	slices.SortStableFunc(values, func(a, b string) int { return cmp.Compare(number[a], number[b]) })
}

// kinds are the columns of a group that have a value in any row.
func kinds(places map[place]pair, group string) []Kind {
	var has [RatioColumn + 1]bool
	for at, p := range places {
		if at.group != group {
			continue
		}
		has[PaperColumn] = has[PaperColumn] || p.paper != nil
		has[StrictColumn] = has[StrictColumn] || p.strict != nil
		if paper, measured := p.published(); paper != nil {
			has[PublishedColumn] = true
			has[DifferenceColumn] = machineFree(measured)
			has[RatioColumn] = !machineFree(measured)
		}
	}
	var all []Kind
	for k, yes := range has {
		if yes {
			all = append(all, Kind(k))
		}
	}
	return all
}

// cell shows one value of a place.
func (t *Table) cell(p pair, k Kind, f format) Cell {
	none := Cell{Kind: k, Sort: math.Inf(-1)}
	paper, against := p.published()
	switch k {
	case PublishedColumn:
		if paper == nil {
			return none
		}
		return Cell{Kind: k, Main: f.withStd(paper.Mean, paper.Std), Sort: paper.Mean}
	case DifferenceColumn:
		if paper == nil {
			return none
		}
		return difference(paper, against, f)
	case RatioColumn:
		if paper == nil || paper.Mean <= 0 || against.Mean < 0 { // a cost that is lost in the noise is no multiple of another
			return none
		}
		r := against.Mean / paper.Mean
		return Cell{Kind: k, Main: "×" + significant(r, 3), Sort: r, Title: "ours (" + against.Protocol +
			") over the published mean"}
	}
	m := p.paper
	if k == StrictColumn {
		m = p.strict
	}
	if m == nil {
		return none
	}
	c := Cell{Kind: k, Main: f.withStd(m.Mean, m.Std), Sort: m.Mean,
		Title: fmt.Sprintf("n = %s", thousands(strconv.Itoa(m.N)))}
	if m.Std > 0 && m.Unit != "1" { // repetitions: the interval says enough
		c.Main = f.value(m.Mean)
		c.Title += ", standard deviation " + f.value(m.Std)
	}
	if iv := m.Interval; iv != nil {
		c.Sub = f.span(iv)
		c.Title += ", 95% interval: " + methodName(iv.Method)
	}
	if m.Note != "" {
		c.Title += "; " + m.Note
		at := slices.Index(t.Notes, m.Note)
		if at < 0 {
			t.Notes = append(t.Notes, m.Note)
			at = len(t.Notes) - 1
		}
		c.Note = at + 1
	}
	return c
}

// difference is ours minus theirs, with our interval about it.
func difference(paper *result.MeanStd, measured *result.Measurement, f format) Cell {
	d := measured.Mean - paper.Mean
	c := Cell{Kind: DifferenceColumn, Main: f.signed(d), Sort: d, Title: "ours (" + measured.Protocol +
		") minus the published mean"}
	if iv := measured.Interval; iv != nil {
		c.Sub = fmt.Sprintf("[%s, %s]", f.signed(iv.Low-paper.Mean), f.signed(iv.High-paper.Mean))
		c.Outside = judged(measured) && !inside(measured)
	}
	return c
}

func methodName(method string) string {
	return map[string]string{"wilson": "Wilson's", "bootstrap": "bootstrap", "t": "Student's t",
		"newcombe": "Newcombe's, of paired shares"}[method]
}

package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// Table is a view of an experiment's measurements.
type Table struct {
	Title   string
	Labels  []string // columns that name a row
	Groups  []Group
	Rows    []Row
	Remark  string   // of all measurements
	Notes   []string // of single measurements, as they are numbered in cells
	Figures []Figure
	Legend  []Series // of the figures
}

// Group is a value of the view's column label, or a metric, with the columns under it.
type Group struct {
	Name string
	Unit string // in which its values are, "" for shares
	Kind []Kind
}

// Kind is what a column shows.
type Kind int

// The columns of a group, in their order.
const (
	PublishedColumn Kind = iota
	PaperColumn
	StrictColumn
	DifferenceColumn
)

// String is the column's heading.
func (k Kind) String() string {
	return [...]string{"published", "ours (paper)", "ours (strict)", "difference"}[k]
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
	Outside bool   // a difference whose interval does not hold 0
	Sort    float64
}

// place is a cell's group and row before there are columns.
type place struct{ row, group string }

// pair holds the measurements of a place.
type pair struct{ paper, strict *result.Measurement }

// published is the paper's value with ours under the protocol that it is compared with.
func (p pair) published() (theirs *result.MeanStd, ours *result.Measurement) {
	for _, m := range []*result.Measurement{p.paper, p.strict} {
		if m != nil && m.Published != nil {
			return m.Published, m
		}
	}
	return nil, nil
}

// selected are the measurements that a view shows, and the labels that name its rows: those of the metric that have exactly
// the view's labels; without any, those that have more, whose other labels then name rows, too.
func selected(v experiments.View, all []result.Measurement) (rows []string, found []result.Measurement) {
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

// newTable makes the table of a view; nil if there is nothing to show.
func newTable(v experiments.View, all []result.Measurement) *Table {
	labels, found := selected(v, all)
	if len(found) == 0 {
		return nil
	}
	t := &Table{Title: v.Title, Labels: labels}
	places := map[place]pair{}
	var rows, groups []string
	values := map[string][]string{}
	units := map[string]string{}
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
		if _, ok := units[group]; !ok {
			groups, units[group] = append(groups, group), m.Unit
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
		t.Groups = append(t.Groups, Group{Name: name, Unit: unitName(units[g]), Kind: kinds(places, g)})
	}
	group(rows, values)
	for _, row := range rows {
		r := Row{Labels: values[row], Series: -1}
		for i, g := range groups {
			p := places[place{row, g}]
			for _, k := range t.Groups[i].Kind {
				r.Cells = append(r.Cells, t.cell(p, k))
			}
		}
		t.Rows = append(t.Rows, r)
	}
	t.liftNote()
	return t
}

// liftNote takes the number of a note out of the cells if it is of all of them.
func (t *Table) liftNote() {
	if len(t.Notes) != 1 {
		return
	}
	for _, r := range t.Rows {
		if slices.ContainsFunc(r.Cells, func(c Cell) bool {
			return c.Main != "" && (c.Kind == PaperColumn || c.Kind == StrictColumn) && c.Note == 0
		}) {
			return
		}
	}
	for _, r := range t.Rows {
		for i := range r.Cells {
			r.Cells[i].Note = 0
		}
	}
	t.Remark, t.Notes = t.Notes[0], nil
}

// group puts rows of the same first label together, of these those of the same second one, and so on; labels stay in the order
// in which they came, but for guessing, which comes last.
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
		if values[row][i] == experiments.Guessing || i > 0 && slices.Contains(values[row], experiments.Guessing) {
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
	var has [4]bool
	for at, p := range places {
		if at.group != group {
			continue
		}
		has[PaperColumn] = has[PaperColumn] || p.paper != nil
		has[StrictColumn] = has[StrictColumn] || p.strict != nil
		if theirs, _ := p.published(); theirs != nil {
			has[PublishedColumn], has[DifferenceColumn] = true, true
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
func (t *Table) cell(p pair, k Kind) Cell {
	none := Cell{Kind: k, Sort: math.Inf(-1)}
	theirs, against := p.published()
	switch k {
	case PublishedColumn:
		if theirs == nil {
			return none
		}
		return Cell{Kind: k, Main: withStd(theirs.Mean, theirs.Std, against.Unit), Sort: theirs.Mean}
	case DifferenceColumn:
		if theirs == nil {
			return none
		}
		d := against.Mean - theirs.Mean
		c := Cell{Kind: k, Main: signed(d, against.Unit), Sort: d, Title: "ours (" + against.Protocol + ") minus the published mean"}
		if iv := against.Interval; iv != nil {
			c.Sub = fmt.Sprintf("[%s, %s]", signed(iv.Low-theirs.Mean, against.Unit), signed(iv.High-theirs.Mean, against.Unit))
			c.Outside = !inside(against)
		}
		return c
	}
	m := p.paper
	if k == StrictColumn {
		m = p.strict
	}
	if m == nil {
		return none
	}
	c := Cell{Kind: k, Main: withStd(m.Mean, m.Std, m.Unit), Sort: m.Mean, Title: fmt.Sprintf("n = %s", thousands(strconv.Itoa(m.N)))}
	if m.Std > 0 && m.Unit != "1" { // repetitions: the interval says enough
		c.Main = value(m.Mean, m.Unit)
		c.Title += ", standard deviation " + value(m.Std, m.Unit)
	}
	if m.Interval != nil {
		c.Sub = span(m)
		c.Title += ", 95% interval: " + methodName(m.Interval.Method)
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

func methodName(method string) string {
	return map[string]string{"wilson": "Wilson's", "bootstrap": "bootstrap", "t": "Student's t"}[method]
}

func span(m *result.Measurement) string {
	return fmt.Sprintf("[%s, %s]", value(m.Interval.Low, m.Unit), value(m.Interval.High, m.Unit))
}

func withStd(mean, std float64, unit string) string {
	if std == 0 {
		return value(mean, unit)
	}
	return value(mean, unit) + " ± " + value(std, unit)
}

// unitName is a unit as headings show it; "" where values show it themselves or have none.
func unitName(unit string) string {
	switch unit {
	case "1", "bytes":
		return ""
	case "us":
		return "µs"
	case "x":
		return "×"
	}
	return unit
}

// value writes a number of a unit: shares with three decimals, bytes with a prefix, others, and counts, with four digits.
func value(x float64, unit string) string {
	switch {
	case unit == "1" && math.Abs(x) < 10:
		return minus(fmt.Sprintf("%.3f", x))
	case unit == "bytes":
		return bytesText(x)
	}
	return digits(x)
}

func bytesText(x float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	i := 0
	for i < len(units)-1 && math.Abs(x) >= 1000 {
		x, i = x/1000, i+1
	}
	if i == 0 {
		return minus(fmt.Sprintf("%.0f %s", x, units[i]))
	}
	return digits(x) + " " + units[i]
}

// digits writes a number with four significant digits, and all before the decimal point.
func digits(x float64) string {
	a := math.Abs(x)
	switch {
	case x == math.Trunc(x) && a < 1e15:
		return thousands(minus(fmt.Sprintf("%.0f", x)))
	case a >= 1000:
		return thousands(minus(fmt.Sprintf("%.0f", x)))
	case a >= 100:
		return minus(fmt.Sprintf("%.1f", x))
	case a >= 10:
		return minus(fmt.Sprintf("%.2f", x))
	case a >= 0.001:
		return minus(fmt.Sprintf("%.*f", 3-int(math.Floor(math.Log10(a))), x))
	}
	return minus(fmt.Sprintf("%.2e", x))
}

// thousands puts narrow spaces between groups of three digits of a whole number of more than four.
func thousands(s string) string {
	digits := strings.TrimPrefix(s, "−")
	sign := s[:len(s)-len(digits)]
	if len(digits) < 5 {
		return s
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

func signed(x float64, unit string) string {
	s := value(x, unit)
	if x >= 0 {
		return "+" + s
	}
	return s
}

// minus writes the sign as typographers do, and no sign before a zero.
func minus(s string) string {
	if strings.HasPrefix(s, "-") && strings.Trim(s[1:], "0.") == "" {
		return s[1:]
	}
	return strings.Replace(s, "-", "−", 1)
}

package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// share is a measurement of an accuracy.
func share(labels map[string]string, protocol string, correct, n int, published *result.MeanStd) result.Measurement {
	a := curriculum.NewAccuracy(correct, n)
	return result.Measurement{
		Labels: labels, Protocol: protocol, Metric: "accuracy", Unit: "1", N: n, Mean: a.Mean, Std: 0.01,
		Interval: &result.Interval{Low: a.Low, High: a.High, Method: "wilson"}, Published: published,
	}
}

func variantAt(variant, context string) map[string]string {
	return map[string]string{"variant": variant, "context": context}
}

func measurements() []result.Measurement {
	size := result.Measurement{Labels: map[string]string{"variant": "b|b"}, Protocol: result.Strict, Metric: "size",
		Unit: "bytes", N: 1, Mean: 1.5e6}
	return []result.Measurement{
		share(variantAt("a", "2048"), result.Paper, 10, 100, &result.MeanStd{Mean: 0.5}),
		share(variantAt("a", "512"), result.Paper, 50, 100, &result.MeanStd{Mean: 0.5, Std: 0.1}),
		share(variantAt("a", "512"), result.Strict, 40, 100, nil),
		share(variantAt("b|b", "512"), result.Strict, 20, 100, nil),
		size,
	}
}

var accuracyView = lab.View{
	Title: "Accuracy", Metric: "accuracy", Rows: []string{"variant"}, Column: "context",
	Figure: &lab.Figure{Kind: "line", X: "context", Series: "variant", LogX: true},
}

// A row for each variant, a group for each context in the order of numbers, only the columns that have values; the
// difference is taken to the paper protocol's value and marked where its interval leaves out 0.
func TestTable(t *testing.T) {
	got := newTable(accuracyView, measurements())
	var heads []string
	for _, g := range got.Groups {
		heads = append(heads, fmt.Sprint(g.Name, g.Kind))
	}
	if want := "context 512[published ours (paper) ours (strict) difference], context 2048[published ours (paper) " +
		"difference]"; strings.Join(heads, ", ") != want {
		t.Errorf("groups %s", heads)
	}
	var text []string
	for _, c := range got.Rows[0].Cells {
		text = append(text, strings.TrimSpace(c.Main+" "+c.Sub))
	}
	want := "0.500 ± 0.100; 0.500 ± 0.010 [0.404, 0.596]; 0.400 ± 0.010 [0.309, 0.498]; +0.000 [−0.096, +0.096]; 0.500; " +
		"0.100 ± 0.010 [0.055, 0.174]; −0.400 [−0.445, −0.326]"
	if strings.Join(text, "; ") != want {
		t.Errorf("cells\n%s\n%s", strings.Join(text, "; "), want)
	}
	if got.Rows[0].Cells[3].Outside || !got.Rows[0].Cells[6].Outside {
		t.Error("marked is the difference whose interval holds 0, or the other is not")
	}
	if c := got.Rows[1].Cells; c[0].Main != "" || c[2].Main == "" || c[5].Main != "" {
		t.Errorf("the second row: %+v", c)
	}
}

// Times and other quantities of a machine are held against the published ones as ratios, which no interval judges; a
// ratio of times is one of them, and what is not positive has no ratio.
func TestMachinesAreComparedByRatios(t *testing.T) {
	for _, c := range []struct {
		unit, metric    string
		measured, paper float64
		want            string
	}{
		{"ms", "latency", 31, 100, "×0.310"}, {"bytes", "size", 2e6, 1e6, "×2"},
		{"1", "relative_overhead", 0.0002, 2, "×0.000100"},
		{"us", "overhead_per_token", -1, 2, ""}, {"bytes", "rss_growth", 1, 0, ""},
	} {
		m := result.Measurement{
			Labels: map[string]string{"policy": "a"}, Protocol: result.Paper, Metric: c.metric, Unit: c.unit, N: 9,
			Mean:      c.measured,
			Interval:  &result.Interval{Low: c.measured - 1e-5, High: c.measured + 1e-5, Method: "t"},
			Published: &result.MeanStd{Mean: c.paper},
		}
		got := newTable(lab.View{Metric: c.metric, Rows: []string{"policy"}}, []result.Measurement{m})
		if fmt.Sprint(got.Groups[0].Kind) != "[published ours (paper) ours / published]" {
			t.Errorf("%s: columns %v", c.metric, got.Groups[0].Kind)
		}
		if last := got.Rows[0].Cells[2]; last.Main != c.want || last.Outside || last.Sub != "" {
			t.Errorf("%s: %+v, want %q", c.metric, last, c.want)
		}
	}
}

// A share whose interval has no width is not marked, wherever the published value lies.
func TestAnIntervalWithoutAWidthMarksNothing(t *testing.T) {
	m := share(variantAt("a", "512"), result.Paper, 0, 16, &result.MeanStd{Mean: 0.5})
	m.Interval = &result.Interval{Method: "bootstrap"}
	for _, c := range newTable(accuracyView, []result.Measurement{m}).Rows[0].Cells {
		if c.Outside {
			t.Errorf("marked: %+v", c)
		}
	}
}

// A note of all values stands once under the table; one of all values of a column in its heading; others in their
// cells.
func TestNotes(t *testing.T) {
	both := func(note map[string]string) *Table {
		var all []result.Measurement
		for _, variant := range []string{"a", "b"} {
			for _, protocol := range []string{result.Paper, result.Strict} {
				m := share(variantAt(variant, "512"), protocol, 50, 100, nil)
				m.Note = note[variant+protocol]
				all = append(all, m)
			}
		}
		return newTable(accuracyView, all)
	}
	cells := func(t *Table) string {
		var notes []int
		for _, r := range t.Rows {
			for _, c := range r.Cells {
				notes = append(notes, c.Note)
			}
		}
		return fmt.Sprintf("%v %v %v %s", t.Groups[0].Note, notes, t.Notes, t.Remark)
	}
	for name, c := range map[string]struct {
		note map[string]string
		want string
	}{
		"of all": {map[string]string{"apaper": "x", "bpaper": "x", "astrict": "x", "bstrict": "x"},
			"[0 0] [0 0 0 0] [] x"},
		"of one protocol": {map[string]string{"astrict": "x", "bstrict": "x"}, "[0 1] [0 0 0 0] [x] "},
		"of each": {map[string]string{"apaper": "x", "bpaper": "x", "astrict": "y", "bstrict": "y"},
			"[1 2] [0 0 0 0] [x y] "},
		"of one cell": {map[string]string{"bpaper": "x"}, "[0 0] [0 0 1 0] [x] "},
	} {
		if got := cells(both(c.note)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// No interval is shown beyond what the metric can be, and what is cut says so; what is measured stays as it is.
func TestIntervalsAreWithinTheRange(t *testing.T) {
	v := accuracyView
	v.Metric = "auc"
	all := []result.Measurement{
		result.MeanOf(variantAt("a", "512"), result.Paper, "auc", "1", []float64{0.5, 1}),
		result.MeanOf(variantAt("b", "512"), result.Paper, "auc", "1", []float64{0.5, 0.51}),
	}
	low := all[0].Interval.Low
	table := newTable(v, all)
	a, b := table.Rows[0].Cells[0], table.Rows[1].Cells[0]
	if low >= 0 || all[0].Interval.Low != low || a.Sub != "[0.000, 1.000]" || a.Note != 1 || b.Note != 0 ||
		!slices.Equal(table.Notes, []string{"interval cut at 0 and 1, which no value is beyond"}) {
		t.Errorf("%+v, %+v, %q; from %g", a, b, table.Notes, low)
	}
}

// Values of a metric are written alike: small energies all with the prefix that the largest needs, exact counts and
// answers yes or no without a fraction.
func TestColumnsAreWrittenAlike(t *testing.T) {
	exact := func(policy, metric, unit string, mean float64) result.Measurement {
		return result.ExactOf(result.Labels{"policy": policy}, result.Strict, metric, unit, mean)
	}
	for _, c := range []struct {
		metric, unit  string
		first, second float64
		want          string
	}{
		{"energy", "J/token", 0.001, 9.88e-4, "mJ/token: 1, 0.9880"}, {"energy", "J/token", 2e-5, 4e-6, "µJ/token: 20, 4"},
		{"energy", "J/token", 2, 1e-3, "J/token: 2, 0.001000"},
		{"efficient", "1", 1, 0, ": 1, 0"}, {"share", "1", 1, 0.5, ": 1.000, 0.500"},
	} {
		got := newTable(lab.View{Metric: c.metric, Rows: []string{"policy"}},
			[]result.Measurement{exact("a", c.metric, c.unit, c.first), exact("b", c.metric, c.unit, c.second)})
		if text := fmt.Sprintf("%s: %s, %s", got.Groups[0].Unit, got.Rows[0].Cells[0].Main,
			got.Rows[1].Cells[0].Main); text != c.want {
			t.Errorf("%s, want %s", text, c.want)
		}
	}
}

// Guessing, which the others are held against, comes last wherever it was measured, and has no colour of its own.
func TestGuessingComesLast(t *testing.T) {
	all := measurements()
	chance := all[0]
	chance.Labels = map[string]string{"variant": result.Guessing, "context": "512"}
	all = append([]result.Measurement{chance}, all...)
	table := newTable(accuracyView, all)
	if err := table.draw(accuracyView, all); err != nil {
		t.Fatal(err)
	}
	last := len(table.Rows) - 1
	if r := table.Rows[last]; last < 1 || r.Labels[0] != result.Guessing || r.Series != last {
		t.Errorf("%+v", table.Rows)
	}
	if s := table.Legend[last]; s.Name != result.Guessing || s.Class != "sg" || !s.Broken ||
		table.Legend[0].Class != "s0" {
		t.Errorf("%+v", table.Legend)
	}
	if !strings.Contains(table.Figures[0].SVG, `class="s sg d`) {
		t.Error("the figure has no line of guessing")
	}
}

// A view of several metrics has a group for each; measurements with labels that the view does not have are shown where
// there are no others, the labels naming rows.
func TestViewsOfOtherLabels(t *testing.T) {
	all := measurements()
	if got := newTable(lab.View{Rows: []string{"variant"}}, all); len(got.Groups) != 1 || got.Groups[0].Name != "size" ||
		got.Rows[0].Cells[0].Main != "1.500 MB" {
		t.Errorf("%+v", got)
	}
	got := newTable(lab.View{Metric: "accuracy", Rows: []string{"variant"}}, all)
	if strings.Join(got.Labels, " ") != "variant context" || len(got.Rows) != 3 {
		t.Errorf("%+v", got)
	}
	if newTable(lab.View{Metric: "absent", Rows: []string{"variant"}}, all) != nil {
		t.Error("a table without measurements")
	}
}

// Rows of one label stay together, in the order in which labels came.
func TestRowsAreGrouped(t *testing.T) {
	var all []result.Measurement
	for _, l := range [][2]string{{"b", "x"}, {"a", "y"}, {"b", "y"}, {"a", "x"}} {
		all = append(all, share(map[string]string{"task": l[0], "variant": l[1]}, result.Paper, 1, 2, nil))
	}
	var got []string
	for _, r := range newTable(lab.View{Metric: "accuracy", Rows: []string{"task", "variant"}}, all).Rows {
		got = append(got, strings.Join(r.Labels, ""))
	}
	if strings.Join(got, " ") != "bx by ax ay" {
		t.Errorf("rows %s", got)
	}
}

// A scatter of one metric against another shows both in its table, a panel for each value of the column label, and the
// intervals of both.
func TestScatter(t *testing.T) {
	v, all := scatter(result.Strict, result.Strict)
	table := newTable(v, all)
	if err := table.draw(v, all); err != nil {
		t.Fatal(err)
	}
	if len(table.Groups) != 2 || table.Groups[0].Name != "accuracy" || table.Groups[1].Name != "latency" ||
		len(table.Figures) != 1 {
		t.Fatalf("%+v", table)
	}
	svg := table.Figures[0].SVG
	if strings.Count(svg, "class=\"mark\"") != 2 ||
		!strings.Contains(svg, "b, 512: accuracy 0.550 [0.342, 0.742], latency 6 ms [5, 7], strict") {
		t.Errorf("marks: %s", svg)
	}
	horizontal := 0
	lines := regexp.MustCompile(`d="M\S+ (\S+)L\S+ (\S+)" fill="none" style="stroke:var\(--c\)"`)
	for _, line := range lines.FindAllStringSubmatch(svg, -1) {
		if line[1] == line[2] {
			horizontal++
		}
	}
	if horizontal != 2 {
		t.Errorf("%d intervals of the latency, want 2", horizontal)
	}
}

// scatter is a view of an accuracy against a latency, with a variant of each protocol.
func scatter(protocols ...string) (lab.View, []result.Measurement) {
	var all []result.Measurement
	for i, protocol := range protocols {
		m := share(variantAt(string(rune('a'+i)), "512"), protocol, 10+i, 20, nil)
		at := 5 + float64(i)
		x := result.Measurement{
			Labels: m.Labels, Protocol: protocol, Metric: "latency", Unit: "ms", N: 9, Mean: at,
			Interval: &result.Interval{Low: at - 1, High: at + 1, Method: "bootstrap"},
		}
		all = append(all, x, m)
	}
	return pairs(lab.View{Metric: "accuracy", Rows: []string{"variant"}, Column: "context",
		Figure: &lab.Figure{Kind: "scatter", X: "latency", Series: "variant"}}, all)
}

// No line, and no panel, joins values of two protocols, even where these share no place on the x axis.
func TestProtocolsHaveTheirOwnPanels(t *testing.T) {
	lines := []result.Measurement{share(variantAt("a", "128"), result.Paper, 10, 100, nil),
		share(variantAt("a", "512"), result.Strict, 10, 100, nil)}
	points, both := scatter(result.Paper, result.Strict)
	for name, c := range map[string]struct {
		view lab.View
		all  []result.Measurement
		want string
	}{
		"line":    {accuracyView, lines, "paper; strict"},
		"alone":   {accuracyView, lines[:1], ""},
		"scatter": {points, both, "context 512, paper; context 512, strict"},
	} {
		table := newTable(c.view, c.all)
		if err := table.draw(c.view, c.all); err != nil {
			t.Fatal(err)
		}
		var titles []string
		for _, f := range table.Figures {
			titles = append(titles, f.Title)
		}
		if got := strings.Join(titles, "; "); got != c.want {
			t.Errorf("%s: panels %q, want %q", name, got, c.want)
		}
	}
}

// Ticks have labels that differ, and none is a negative zero.
func TestTicks(t *testing.T) {
	for _, c := range []struct {
		unit      string
		low, high float64
		want      string
	}{
		{"bytes", 0, 1000, "0 kB, 0.2 kB, 0.4 kB, 0.6 kB, 0.8 kB, 1 kB"},
		{"bytes", 73720, 73740, "73.72 kB, 73.725 kB, 73.73 kB, 73.735 kB, 73.74 kB"},
		{"bytes", 0, 20, "0 B, 5 B, 10 B, 15 B, 20 B"}, {"1", -0.4, 0.4, "−0.4, −0.2, 0, 0.2, 0.4"},
	} {
		var labels []string
		for _, tick := range (even{c.unit}).Ticks(c.low, c.high) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, ", "); got != c.want {
			t.Errorf("from %g to %g: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

// times are measurements of variants a, b, ... in milliseconds.
func times(mean ...float64) []result.Measurement {
	var all []result.Measurement
	for i, x := range mean {
		all = append(all, result.ExactOf(variantAt(string(rune('a'+i)), "512"), result.Strict, "latency", "ms", x))
	}
	return all
}

// Bars begin at 0. Lines may begin higher, but not to make differences of nothing look large. An axis of powers says
// so, and what stands on it are dots, not bars.
func TestAxes(t *testing.T) {
	least := func(fromZero bool, mean ...float64) float64 {
		var data []datum
		all := times(mean...)
		for i := range all {
			data = append(data, datum{m: &all[i]})
		}
		p := newPlot()
		setValues(&p.Y, data, fromZero)
		return p.Y.Min
	}
	if bar, line, flat := least(true, 90, 100), least(false, 90, 100), least(false, 99.9, 100); bar != 0 || line <= 0 ||
		flat != 0 {
		t.Errorf("bars begin at %g, lines at %g, flat ones at %g", bar, line, flat)
	}
	v := lab.View{Metric: "latency", Rows: []string{"variant"}, Column: "context",
		Figure: &lab.Figure{Kind: "bar", X: "variant", Series: "context"}}
	for name, c := range map[string]struct {
		times    []float64
		log      bool
		bar, dot int
	}{"near": {[]float64{90, 100}, false, 2, 0}, "far": {[]float64{1, 1000}, true, 0, 2}} {
		table := newTable(v, times(c.times...))
		if err := table.draw(v, times(c.times...)); err != nil {
			t.Fatal(err)
		}
		svg := table.Figures[0].SVG
		if log, zero := strings.Contains(svg, "latency (ms), log scale<"), strings.Contains(svg, ">0</text>"); log != c.log ||
			zero == c.log {
			t.Errorf("%s: an axis of powers is named: %v, there is a tick at 0: %v", name, log, zero)
		}
		if bar, dot := strings.Count(svg, "style=\"fill:var(--c)\"/>"), strings.Count(svg, "class=\"dot\""); bar != c.bar ||
			dot != c.dot {
			t.Errorf("%s: %d bars, %d dots", name, bar, dot)
		}
	}
}

// Of many series no two look alike; the one that the view is about comes first, heavy, with its intervals; those of the
// others are drawn for when they are brought out.
func TestSeriesAreToldApart(t *testing.T) {
	var all []result.Measurement
	for i := range 14 {
		all = append(all, share(variantAt(string(rune('a'+i)), "512"), result.Strict, 50, 100, nil))
	}
	v := accuracyView
	v.Figure = &lab.Figure{Kind: "line", X: "context", Series: "variant", Heavy: "j"}
	table := newTable(v, all)
	if err := table.draw(v, all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, s := range table.Legend {
		key := fmt.Sprint(s.Class, s.Broken)
		if other, ok := seen[key]; ok {
			t.Errorf("%s looks like %s", s.Name, other)
		}
		seen[key] = s.Name
	}
	if first := table.Legend[0]; first.Name != "j" || first.Class != "s0 heavy" || first.Broken {
		t.Errorf("first is %+v", first)
	}
	svg := table.Figures[0].SVG
	if always, late := strings.Count(svg, `class="interval"`), strings.Count(svg, `class="interval late"`); always != 1 ||
		late != 13 {
		t.Errorf("%d intervals are always there, %d when brought out", always, late)
	}
	if squares := strings.Count(svg, `<rect class="dot"`); squares != 6 {
		t.Errorf("%d series have square marks, want 6", squares)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		x    float64
		unit string
		want string
	}{
		{0.12345, "1", "0.123"}, {-0.0001, "1", "0.000"}, {-0.5, "1", "−0.500"}, {288146, "1", "288\u202f146"},
		{2474.667, "1", "2475"}, {512, "bytes", "512 B"}, {15768076, "bytes", "15.77 MB"},
		{1234567, "", "1\u202f234\u202f567"}, {1234, "ms", "1234"}, {123.456, "ms", "123.5"}, {0.012345, "ms", "0.01235"},
		{0, "ms", "0"}, {1e-6, "s", "1.00e−06"}, {math.Copysign(0, -1), "bytes", "0 B"},
	} {
		if got := value(c.x, c.unit); got != c.want {
			t.Errorf("%g %s: %s, want %s", c.x, c.unit, got, c.want)
		}
	}
}

// folder is a results folder with an experiment that has a result, and one that has none.
func folder(t *testing.T) *lab.Driver {
	t.Helper()
	root := t.TempDir()
	all := experiments.All()
	names := []string{"pretrain", "scale-bridge-scratch"}
	d := &lab.Driver{Profile: lab.Full, Root: root, Jobs: 1}
	for _, e := range all {
		if e.Name == names[0] || e.Name == names[1] {
			d.Experiments = append(d.Experiments, e)
		}
	}
	e := &d.Experiments[0]
	kinds := []string{"line", "bar", "scatter"}
	e.Views = []lab.View{accuracyView}
	for _, kind := range kinds[1:] {
		v := accuracyView
		v.Title, v.Figure = "As a "+kind, &lab.Figure{Kind: kind, X: "variant", Series: "context"}
		if kind == "scatter" {
			v.Metric, v.Column, v.Rows, v.Figure = "", "", []string{"variant", "context"},
				&lab.Figure{Kind: kind, X: "latency", Series: "variant", LogX: true}
		}
		e.Views = append(e.Views, v)
	}
	ms := measurements()
	for i, m := range ms[:2] {
		m.Metric, m.Unit, m.Mean, m.Interval, m.Published, m.Note = "latency", "ms", 10.5*float64(i+1), nil, nil,
			"<b>note</b>"
		ms = append(ms, m)
	}
	r := &result.Result{
		Experiment: e.Name, Profile: "full", Complete: true, Key: strings.Repeat("0", 64), Version: 1, Config: []byte("{}"),
		Seeds: []uint64{42}, Protocol: "as <published>",
		Environment: result.Environment{Commit: "0123456789abcdef", Host: "h"}, Cost: result.Cost{WallSeconds: 90},
		Measurements: ms,
	}
	if err := result.Write(d.Path(*e), r); err != nil {
		t.Fatal(err)
	}
	return d
}

// The pages say of every experiment what state its result is in, escape what results hold, and need no other file.
func TestPages(t *testing.T) {
	d := folder(t)
	paths, r, err := Write(d, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if r.Compared != 2 || r.Inside != 1 || r.Sections[0].State != "stale" || r.Sections[1].State != "missing" {
		t.Errorf("%d %d %s %s", r.Compared, r.Inside, r.Sections[0].State, r.Sections[1].State)
	}
	page := read(t, paths[0])
	for _, want := range []string{"there is no result yet", "as &lt;published&gt;", "−0.400", "&lt;b&gt;note&lt;/b&gt;",
		"data-s=\"1\"", "<svg viewBox"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if found := regexp.MustCompile(`(?i)(src|href)="[^#"][^"]*"|url\(|@import|https?://`).FindString(page); found != "" {
		t.Errorf("the page refers to another file: %s", found)
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<published>") {
		t.Error("the page holds what is not escaped")
	}
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1) {
		wellFormed(t, svg)
	}
	// what is written for people does not sort
	for _, cell := range regexp.MustCompile(`<td class="num[^>]*>`).FindAllString(page, -1) {
		if !strings.Contains(cell, "data-sort=") {
			t.Errorf("%s has no value to sort by", cell)
		}
	}
	if !strings.Contains(page, `data-sort="90">1 min 30 s<`) {
		t.Error("the time that an experiment took does not sort by its seconds")
	}
	if n := strings.Count(page, "<svg"); n < 3 {
		t.Errorf("%d figures", n)
	}
	text := read(t, paths[1])
	for _, want := range []string{"| b\\|b |", "context 512: published", "**missing**"} {
		if !strings.Contains(text, want) {
			t.Errorf("the Markdown lacks %q in\n%s", want, text)
		}
	}
	again, _, err := Write(d, nil, false)
	if err != nil || read(t, again[0]) != page || read(t, again[1]) != text {
		t.Errorf("a second report of the same results differs (%v)", err)
	}
}

// A report of the quick profile compares nothing with the paper.
func TestQuickReportComparesNothing(t *testing.T) {
	d := folder(t)
	d.Profile = lab.Quick
	r, err := New(d, nil)
	if err != nil || r.Compared != 0 || r.Sections[0].Tables[0].Groups[0].Kind[0] == PublishedColumn {
		t.Errorf("%v %+v", err, r)
	}
}

// A report of the profile strong judges the claims on its model, and says what is true of it.
func TestStrongReport(t *testing.T) {
	d := folder(t)
	d.Profile = lab.Strong
	d.Experiments = d.Experiments[:1] // the other is not part of it
	paths, r, err := Write(d, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	says := d.Experiments[0].Says[lab.Strong]
	if r.Compared != 0 || says == "" || r.Sections[0].Says != says || len(r.Claims) != len(claimsIn(lab.Strong)) {
		t.Errorf("%d compared, says %q, %d claims", r.Compared, r.Sections[0].Says, len(r.Claims))
	}
	for _, v := range r.Claims {
		if v.Profile != lab.Strong || !strings.HasSuffix(v.Command, " --profile strong") {
			t.Errorf("%+v", v)
		}
	}
	if page := read(t, paths[0]); !strings.Contains(page, "strong profile: on the model of recipe strong") ||
		strings.Contains(page, "One run of the published recipe") {
		t.Error("the page does not say what it is of")
	}
}

// Counted is what an interval of ours can judge: shares, not ratios of times, with an interval that has a width.
func TestOnlyWhatAnIntervalJudgesIsCounted(t *testing.T) {
	good := share(variantAt("a", "512"), result.Paper, 50, 100, &result.MeanStd{Mean: 0.5})
	for name, spoil := range map[string]func(m *result.Measurement){
		"a time":           func(m *result.Measurement) { m.Unit = "ms" },
		"a ratio of times": func(m *result.Measurement) { m.Metric = "relative_overhead" },
		"an interval without a width": func(m *result.Measurement) {
			m.Interval = &result.Interval{Low: 0.5, High: 0.5, Method: "bootstrap"}
		},
		"no interval":        func(m *result.Measurement) { m.Interval = nil },
		"no published value": func(m *result.Measurement) { m.Published = nil },
	} {
		bad := good
		spoil(&bad)
		if n := len(counted("some", []result.Measurement{bad})); n != 0 {
			t.Errorf("%s is counted", name)
		}
	}
	if len(counted("some", []result.Measurement{good})) != 1 {
		t.Error("a share with an interval is not counted")
	}
}

// A published number is counted once: not again as the last point of a history, nor where repeated names it.
func TestPublishedNumbersAreCountedOnce(t *testing.T) {
	last := share(map[string]string{"task": "fa"}, result.Paper, 50, 100, &result.MeanStd{Mean: 0.5})
	point := last
	point.Labels = map[string]string{"task": "fa", "step": "2048"}
	if got := counted("some", []result.Measurement{point, last}); len(got) != 1 || len(got[0].Labels) != 1 {
		t.Errorf("of a history: %+v", got)
	}
	var pair []result.Measurement
	for _, policy := range []string{"baee_salience", "h2o"} {
		pair = append(pair, share(map[string]string{"policy": policy}, result.Paper, 50, 100, &result.MeanStd{Mean: 0.5}))
	}
	if got := counted("baee-grid", pair); len(got) != 1 || got[0].Labels["policy"] != "baee_salience" {
		t.Errorf("of one algorithm under two names: %+v", got)
	}
	if got := counted("pareto", pair); len(got) != 0 {
		t.Errorf("of an experiment that measures nothing: %+v", got)
	}
}

// Each entry of repeated is of a registered experiment, has published numbers, and all of these stand in the experiment
// that it names besides.
func TestRepeatedNumbersStandElsewhere(t *testing.T) {
	measured := func(name string) []result.Measurement {
		all := experiments.All()
		i := slices.IndexFunc(all, func(e lab.Experiment) bool { return e.Name == name })
		if i < 0 {
			t.Fatalf("there is no experiment %s", name)
		}
		e := all[i]
		r, err := result.Read(filepath.Join("..", "..", "results", e.Folder, e.Name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		return r.Measurements
	}
	for _, r := range covered.Repeated {
		elsewhere := map[result.MeanStd]bool{}
		for _, m := range measured(r.Of) {
			if m.Published != nil && !r.has(r.Of, &m) {
				elsewhere[*m.Published] = true
			}
		}
		n := 0
		for _, m := range measured(r.Experiment) {
			if !r.has(r.Experiment, &m) || !judged(&m) {
				continue
			}
			n++
			if !elsewhere[*m.Published] {
				t.Errorf("%+v: %v of %v does not stand in %s", r, *m.Published, m.Labels, r.Of)
			}
		}
		if n == 0 {
			t.Errorf("%+v: it leaves nothing out", r)
		}
	}
}

// Machines of one processor with other features are told apart, and each result names its own; what measures nothing
// names none.
func TestMachines(t *testing.T) {
	d := folder(t)
	d.Experiments = experiments.All()
	features := map[string][]string{"pretrain": {"AVX"}, "cajq-qat": {"AVX", "BF16"}, "ruler": {"AVX"},
		"pareto": {"AVX", "VNNI"}}
	for _, e := range d.Experiments {
		if features[e.Name] == nil {
			continue
		}
		r := &result.Result{
			Experiment: e.Name, Profile: "full", Complete: true, Key: strings.Repeat("0", 64), Version: 1, Config: []byte("{}"),
			Protocol: "some",
			Environment: result.Environment{Commit: "0123456789abcdef", Host: "vm", CPU: "Xeon", Platform: "linux/amd64",
				Features: features[e.Name]},
			Measurements: measurements(),
		}
		if err := result.Write(d.Path(e), r); err != nil {
			t.Fatal(err)
		}
	}
	r, err := New(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range r.Machines {
		texts = append(texts, m.Name+" "+m.Text)
	}
	if got, want := strings.Join(texts, "; "),
		"1 Xeon, linux/amd64, without BF16; 2 Xeon, linux/amd64, with BF16"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, s := range r.Sections {
		if want := map[string]string{"pretrain": "1", "cajq-qat": "2", "ruler": "1"}[s.Name]; s.Machine != want {
			t.Errorf("%s was measured on machine %q, want %q", s.Name, s.Machine, want)
		}
		if s.Machine == "2" && !slices.Contains(s.Facts, Fact{"CPU features", "AVX, BF16"}) {
			t.Errorf("facts %v", s.Facts)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
	}
}

// A page of somebody else's under the name of ours is kept.
func TestWriteKeepsOthersPages(t *testing.T) {
	for _, name := range []string{HTMLFile, MarkdownFile} {
		d := &lab.Driver{Profile: lab.Quick, Root: t.TempDir(), Experiments: experiments.All()}
		path := filepath.Join(d.Root, name)
		if err := os.WriteFile(path, []byte("# My report\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Write(d, nil, false); err == nil || err.Error() != path+
			" is not a report of this program: move it away, or give another --results" {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "# My report\n" {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for range 2 { // measured are replaced
			if _, _, err := Write(d, nil, false); err != nil {
				t.Error(err)
			}
		}
	}
}

// Of a figure's panels two are seen at first, one of each protocol where there are both; none is lost.
func TestShownPanels(t *testing.T) {
	for panels, want := range map[string]string{
		"paper": "paper;", "paper paper paper": "paper paper;paper", "paper paper strict strict": "paper strict;paper strict",
	} {
		table := &Table{}
		for p := range strings.FieldsSeq(panels) {
			table.Figures = append(table.Figures, Figure{Protocol: p})
		}
		protocols := func(all []Figure) string {
			var names []string
			for _, f := range all {
				names = append(names, f.Protocol)
			}
			return strings.Join(names, " ")
		}
		if got := protocols(table.Shown()) + ";" + protocols(table.Folded()); got != want {
			t.Errorf("%s: %s, want %s", panels, got, want)
		}
	}
}

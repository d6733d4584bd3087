package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
)

//go:embed report.tmpl
var page string

//go:embed report.css
var style string

//go:embed report.js
var script string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"css": func() template.CSS { return template.CSS(style) }, //nolint:gosec // our own file
	"js":  func() template.JS { return template.JS(script) },  //nolint:gosec // our own file
	//nolint:gosec // made by svg, which escapes all text
	"svg":         func(s string) template.HTML { return template.HTML(s) },
	"dash":        dash,
	"reading":     reading,
	"omissions":   Omissions,
	"chosenTitle": func() string { return chosenTitle },
	"chosenAbout": func() string { return chosenAbout },
	"columns":     func(g Group) int { return len(g.Kind) },
	"sort": func(x float64) string {
		if math.IsInf(x, 0) {
			return ""
		}
		return fmt.Sprint(x)
	},
	"inc": func(i int) int { return i + 1 },
	"class": func(k Kind) string {
		return [...]string{"published", "paper", "strict", "difference", "difference"}[k]
	},
}).Parse(page))

// HTML is the report as a page that needs no other file and no network.
func (r *Report) HTML() ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// All are the sections in their order, those of the strong model first.
func (r *Report) All() []Section { return slices.Concat(r.Strong, r.Sections) }

// Share is the part of the published values that lies in our intervals, in percent.
func (s Section) Share() int {
	if s.Compared == 0 {
		return 0
	}
	return 100 * s.Inside / s.Compared
}

// Plain says whether one line of headings does: every group has the same single column, or there is one group without a
// name.
func (t *Table) Plain() bool {
	if len(t.Groups) == 1 && t.Groups[0].Heading() == "" {
		return true
	}
	return !slices.ContainsFunc(t.Groups,
		func(g Group) bool { return len(g.Kind) != 1 || g.Kind[0] != t.Groups[0].Kind[0] })
}

// ColumnHeading is the heading of a column where there is one line of them.
func (g Group) ColumnHeading(k Kind) string {
	if g.Heading() == "" || len(g.Kind) > 1 {
		return k.String()
	}
	return g.Heading()
}

// Protocols says whose values the columns of a plain table are, if their headings do not.
func (t *Table) Protocols() string {
	if !t.Plain() || t.Groups[0].Heading() == "" {
		return ""
	}
	return t.Groups[0].Kind[0].String()
}

// Shown are the panels of a section's first figure that are seen before anything is unfolded: the first two, one of
// each protocol where there are both.
func (t *Table) Shown() []Figure {
	shown, _ := t.panels()
	return shown
}

// Folded are the others.
func (t *Table) Folded() []Figure {
	_, folded := t.panels()
	return folded
}

func (t *Table) panels() (shown, folded []Figure) {
	second := slices.IndexFunc(t.Figures, func(f Figure) bool { return f.Protocol != t.Figures[0].Protocol })
	if second < 0 {
		second = 1
	}
	for i, f := range t.Figures {
		if i == 0 || i == second {
			shown = append(shown, f)
		} else {
			folded = append(folded, f)
		}
	}
	return shown, folded
}

// Lead is the table whose figure opens the section; nil if there is no figure.
func (s Section) Lead() *Table {
	i := slices.IndexFunc(s.Tables, func(t *Table) bool { return len(t.Figures) > 0 })
	if i < 0 {
		return nil
	}
	return s.Tables[i]
}

// Rest are the tables that stand folded, with their figures: all but the lead.
func (s Section) Rest() []*Table {
	lead := s.Lead()
	return slices.DeleteFunc(slices.Clone(s.Tables), func(t *Table) bool { return t == lead })
}

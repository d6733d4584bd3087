package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/table"
)

// Text writes the tables of an experiment's views for a terminal.
func Text(w io.Writer, e lab.Experiment, r *result.Result) error {
	if _,
		err := fmt.Fprintln(w, "mean ± std over seeds (without ± it is of one, or they agree) [95% interval]"); err != nil {
		return err
	}
	for _, v := range e.Views {
		if t := newTable(v, r.Measurements); t != nil {
			if err := t.text(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// text writes the table with a line for each group of a row, so that it is no wider than a terminal however many there
// are.
func (t *Table) text(w io.Writer) error {
	var kinds []Kind
	for k := PublishedColumn; k <= RatioColumn; k++ {
		if t.has(k) {
			kinds = append(kinds, k)
		}
	}
	grouped := len(t.Groups) > 1 || t.Groups[0].Heading() != ""
	head := append([]string{}, t.Labels...)
	if grouped {
		head = append(head, cmp.Or(t.Column, "metric"))
	}
	left := len(head)
	for _, k := range kinds {
		head = append(head, k.String())
	}
	rows := [][]string{head}
	for _, r := range t.Rows {
		at := 0
		for _, g := range t.Groups {
			line := append([]string{}, r.Labels...)
			if grouped {
				line = append(line, strings.TrimPrefix(g.Heading(), t.Column+" "))
			}
			cells, any := g.texts(r.Cells[at:at+len(g.Kind)], kinds)
			at += len(g.Kind)
			if any {
				rows = append(rows, append(line, cells...))
			}
		}
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", t.Title); err != nil {
		return err
	}
	if err := table.Write(w, left, rows...); err != nil {
		return err
	}
	notes := []string{}
	if t.Remark != "" {
		notes = append(notes, t.Remark)
	}
	for i, n := range t.Notes {
		notes = append(notes, fmt.Sprintf("(%d) %s", i+1, n))
	}
	if len(notes) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(w, strings.Join(notes, "\n"))
	return err
}

// has says whether any group has the column.
func (t *Table) has(k Kind) bool {
	return slices.ContainsFunc(t.Groups, func(g Group) bool { return slices.Contains(g.Kind, k) })
}

// texts are a group's cells of a row, by kind; any says whether one of them has a value.
func (g Group) texts(cells []Cell, kinds []Kind) (all []string, any bool) {
	for _, k := range kinds {
		text := "-"
		for i, c := range cells {
			if c.Kind == k && c.Main != "" {
				text = strings.TrimSpace(c.Main+" "+c.Sub) + mark(c.Note+g.Note[i])
				any = true
			}
		}
		all = append(all, text)
	}
	return all, any
}

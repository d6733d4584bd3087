package report

import (
	"fmt"
	"strings"
)

// Markdown is the report's text and tables.
func (r *Report) Markdown() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("# Results, profile %s\n", r.Profile)
	line("## What was found\n")
	if len(r.StrongClaims) > 0 {
		line("%s\n", r.FoundStrong())
		claimsMarkdown(line, r.StrongClaims)
		line("")
	}
	line("%s\n", r.Found())
	claimsMarkdown(line, r.Claims)
	if not := r.NotYetRun(); not != "" {
		line("\n%s", not)
	}
	if len(r.Chosen) > 0 {
		chosenMarkdown(line, r.Chosen)
	}
	line("\n## All experiments\n\n%s\n", r.Summary())
	line("| experiment | result | published values inside our 95%% interval | measurements | took | machine | commit |")
	line("|---|---|--:|--:|--:|---|---|")
	for _, s := range r.All() {
		line("| [%s](#%s) | %s | %s | %d | %s | %s | %s |", s.ID, s.ID, s.State, s.ComparedText(), s.Measurements,
			dash(s.Wall), dash(s.Machine), dash(escape(s.Commit)))
	}
	line("")
	for _, m := range r.Machines {
		line("- machine %s: %s", m.Name, escape(m.Text))
	}
	for _, s := range r.All() {
		s.markdown(line)
	}
	if len(r.Custom) > 0 {
		line("\n# Results of other settings\n\nThey are no part of what is said above. Each is named by its experiment and " +
			"the key of its settings.")
		if len(r.CustomClaims) > 0 {
			line("")
			claimsMarkdown(line, r.CustomClaims)
		}
	}
	for _, s := range r.Custom {
		s.markdown(line)
	}
	line("\n## What answers the public README\n\n| list | row | experiments |\n|---|---|---|")
	for _, m := range r.Map {
		var names []string
		for _, a := range m.Answers {
			names = append(names, a.Name+" ("+a.State+")")
		}
		line("| %s | %s | %s |", m.List, m.Row, dash(strings.Join(names, ", ")))
	}
	line("\n## What is published and not here\n\n| file | what | why |\n|---|---|---|")
	for _, o := range Omissions() {
		line("| %s | %s | %s |", o.File, o.What, o.Why)
	}
	line("\n## How to read this\n")
	for _, text := range reading() {
		line("- %s", text)
	}
	return []byte(b.String())
}

// claimsMarkdown writes verdicts as a table.
func claimsMarkdown(line func(string, ...any), all []Verdict) {
	line("| claim | source | verdict | ours, 95%% interval | held against | why | shown in |")
	line("|---|---|---|---|---|---|---|")
	for _, v := range all {
		ours, shown := escape(v.Ours+v.Command), fmt.Sprintf("[%s](#%s)", v.Section, v.Section)
		if v.State != "" && v.State != "complete" {
			shown += " (" + v.State + ")"
		}
		line("| %s | %s | **%s** | %s | %s | %s | %s |", escape(v.Text), escape(v.Source), v.Word, ours,
			dash(escape(v.Beside)), escape(v.Why), shown)
	}
}

// reading says what the columns and the counts mean.
func reading() []string {
	return []string{
		"“±” is the standard deviation over seeds. Brackets are 95% intervals: Wilson's for shares, pooled over all " +
			"samples; bootstrap or Student's t for repetitions.",
		"“difference” is ours minus the published mean, under the paper's protocol where we have it. Its interval is that " +
			"of our value, with the published mean taken as exact: were both measured alike on as many samples, 83% of the " +
			"published values would lie in our interval, not 95%.",
		"Times, rates, memory, energy and sizes of ours and of the paper are of different machines or definitions. “ours / " +
			"published” says only how many times the published value ours is; no interval judges it.",
		"A verdict is computed from the measurement that its claim names (experiments/report/claims.toml). “reproduced”: " +
			"the published value lies in our interval, or ours is the published count or size. “holds”, “does not hold”: " +
			"the whole interval of a value or a difference lies on one side of what the claim says; “not shown”: it does not. " +
			"A claim on several measurements has the verdict of the one that speaks most against it. No rival is better where " +
			"no interval of a paired difference to ours lies above 0. " +
			"Intervals of two values are held against each other from end to end, which is stricter than one of their " +
			"difference.",
		"The counts of published values inside our interval are of shares alone. They leave out ratios of times, intervals " +
			"without a width (a bootstrap of equal values), and published numbers that stand in the results a second time: " +
			"for example policies that are one algorithm under two names, variants that are another experiment's under a new " +
			"name, and what only puts results of others together.",
	}
}

// Summary says in a sentence or two what is there.
func (r *Report) Summary() string {
	text := fmt.Sprintf("%d of %d experiments have a finished result, measured in %s.", r.Complete, len(r.Sections),
		r.Wall)
	if r.Compared > 0 {
		text += fmt.Sprintf(" Of %d published accuracies and other shares, each counted once, that have one of ours with "+
			"an interval beside them, %d lie in our 95%% interval; of two equal measurements with as many samples 83%% would.",
			r.Compared, r.Inside)
	}
	return text
}

// ComparedText is the share of published values in our intervals.
func (s Section) ComparedText() string {
	if s.Compared == 0 {
		return "–"
	}
	return fmt.Sprintf("%d of %d", s.Inside, s.Compared)
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func (s Section) markdown(line func(string, ...any)) {
	line("\n<a id=\"%s\"></a>\n## %s\n", s.ID, s.Title)
	line("%s — `%s`\n", s.Source, s.File)
	if s.State != "complete" {
		line("**%s** %s\n", s.State, escape(s.Reason))
	}
	if s.Measurements == 0 {
		return
	}
	if s.Says != "" {
		line("%s\n", escape(s.Says))
	}
	var facts []string
	for _, f := range s.Facts {
		facts = append(facts, escape(f.Name+" "+f.Value))
	}
	line("%s\n", strings.Join(facts, " · "))
	line("Protocol: %s", escape(s.Protocol))
	for _, t := range s.Tables {
		t.markdown(line)
	}
}

func (t *Table) markdown(line func(string, ...any)) {
	line("\n### %s\n", escape(t.Title))
	head, rule := []string{}, []string{}
	for _, l := range t.Labels {
		head, rule = append(head, escape(l)), append(rule, "---")
	}
	for _, g := range t.Groups {
		for i, k := range g.Kind {
			head, rule = append(head, escape(strings.TrimPrefix(g.Heading()+": ", ": ")+k.String())+mark(g.Note[i])),
				append(rule, "--:")
		}
	}
	line("| %s |\n|%s|", strings.Join(head, " | "), strings.Join(rule, "|"))
	for _, row := range t.Rows {
		cells := []string{}
		for _, l := range row.Labels {
			cells = append(cells, escape(l))
		}
		for _, c := range row.Cells {
			cells = append(cells, dash(escape(strings.TrimSpace(c.Main+" "+c.Sub)))+mark(c.Note))
		}
		line("| %s |", strings.Join(cells, " | "))
	}
	if t.Remark != "" {
		line("\n%s", escape(t.Remark))
	}
	for i, n := range t.Notes {
		line("\n(%d) %s", i+1, escape(n))
	}
}

// mark refers to a note; "" for none.
func mark(note int) string {
	if note == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d)", note)
}

// Heading is the group with its unit.
func (g Group) Heading() string {
	switch {
	case g.Unit == "":
		return g.Name
	case g.Name == "":
		return g.Unit
	}
	return g.Name + " (" + g.Unit + ")"
}

// escape keeps text from being taken for Markdown: a cell stays a cell, and no name of a result file begins a line, an
// element, code, a link or a picture.
func escape(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "*", "\\*", "_", "\\_", "`", "\\`", "](", "]\\(", "][", "]\\[",
		"<", "&lt;", "\n", " ", "\r", " ").Replace(s)
}

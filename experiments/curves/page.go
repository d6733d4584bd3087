package curves

import (
	"fmt"
	"html/template"
	"io"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Generator is in the head of each page.
const Generator = "synapnet-train plot"

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="` + Generator + `">
<title>Training curves</title>
<style>
body { font-family: sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
svg { height: auto; max-width: 100%; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #ccc; padding: 0.2rem 0.8rem; text-align: left; white-space: nowrap; }
</style>
</head>
<body>
<h1>Training curves</h1>
<div class="wide"><table>
<tr><th>run</th><th>steps</th><th>loss</th>{{range .Tasks}}<th>{{.}}</th>{{end}}</tr>
{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</table></div>
<p>Loss: mean of the last 26 batches. Accuracies: at the last evaluation, with 95% intervals.</p>
{{.Figure}}
</body>
</html>
`))

// page is the figure as a page of its own, under a table of how the runs stand.
func (f Figure) page(w io.Writer, runs []Run) error {
	var svg strings.Builder
	if err := f.on(vgsvg.New(plotWidth, plotHeight*vg.Length(len(f))), &svg); err != nil {
		return err
	}
	_, picture, _ := strings.Cut(svg.String(), "?>") // a page has no XML declaration
	tasks := tasksOf(runs)
	var rows [][]string
	for _, r := range runs {
		loss := smoothed(r)
		row := []string{r.Name, fmt.Sprint(r.Steps[len(r.Steps)-1].Step), fmt.Sprintf("%.4f", loss[len(loss)-1].Y)}
		for _, task := range tasks {
			row = append(row, cell(r, task))
		}
		rows = append(rows, row)
	}
	return pageTemplate.Execute(w, map[string]any{
		"Tasks": tasks, "Rows": rows,
		"Figure": template.HTML(picture), //nolint:gosec // of ours; the canvas escapes names
	})
}

// cell is a task's accuracy at a run's last evaluation.
func cell(r Run, task string) string {
	if len(r.Evaluations) == 0 {
		return ""
	}
	a, ok := accuracy(r.Evaluations[len(r.Evaluations)-1], task)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.3f [%.3f, %.3f]", a.Mean, a.Low, a.High)
}

package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
)

// updateVariable, if it is set, has the README written.
const updateVariable = "SYNAPNET_UPDATE_README"

// The README's verdicts on the strong model are those of the committed results, and what is not run yet is named.
func TestVerdictsOfTheReadme(t *testing.T) {
	root := filepath.Join("..", "..", "results")
	strong := &lab.Driver{Profile: lab.Strong, Root: filepath.Join(root, "strong"),
		Experiments: experiments.Of(lab.Strong)}
	r, err := New(&lab.Driver{Profile: lab.Full, Root: root, Experiments: experiments.Of(lab.Full)}, strong)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "README.md")
	text := read(t, path)
	const begins = "<!-- verdicts on the strong model: written by experiments/report/readme_test.go -->\n"
	before, rest, from := strings.Cut(text, begins)
	got, after, to := strings.Cut(rest, "<!-- end of verdicts -->")
	if !from || !to {
		t.Fatal("README.md has no place for the verdicts on the strong model")
	}
	want := strongVerdicts(r)
	if os.Getenv(updateVariable) != "" {
		if err := os.WriteFile(path, []byte(before+begins+want+"<!-- end of verdicts -->"+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("README.md says\n%s\nand the results\n%s\n: set %s=1 and run this test once more", got, want, updateVariable)
	}
}

// strongVerdicts are the verdicts as the README has them.
func strongVerdicts(r *Report) string {
	var b strings.Builder
	if len(r.StrongClaims) > 0 {
		b.WriteString("\n| claim | verdict | ours, 95% interval | held against |\n|---|---|---|---|\n")
		for _, v := range r.StrongClaims {
			_, _ = fmt.Fprintf(&b, "| %s | **%s** | %s | %s |\n", escape(v.Text), v.Word, escape(v.Ours+v.Command),
				dash(escape(v.Beside)))
		}
		b.WriteString("\n" + r.FoundStrong() + "\n")
	}
	if not := r.NotYetRun(); not != "" {
		line := ""
		for word := range strings.FieldsSeq(not) {
			if len(line)+len(word) > 118 {
				b.WriteString("\n" + line)
				line = ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		b.WriteString("\n" + line + "\n\n")
	}
	return b.String()
}

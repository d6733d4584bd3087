package report

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// Names in a result file are text in both pages, whatever they are: no element, no link, no cell or line of their own,
// and nothing that works the terminal on which the Markdown is shown.
func TestForeignNamesAreText(t *testing.T) {
	const hostile = "x\x1b[31m\n# forged\r| cell | <script>alert(1)</script> \"' ![p](http://example.com/p) `code` " +
		"\u202e\u009b\x00 \\|"
	d := folder(t)
	e := d.Experiments[0]
	r, err := result.Read(d.Path(e))
	if err != nil {
		t.Fatal(err)
	}
	r.Protocol, r.Environment.Commit, r.Environment.Host, r.Environment.CPU, r.Environment.BLAS = hostile, hostile+
		" dirty", hostile, hostile, hostile
	r.Environment.Features = []string{hostile}
	for i := range r.Measurements {
		m := &r.Measurements[i]
		m.Labels = map[string]string{"variant": hostile + m.Labels["variant"], "context": m.Labels["context"] + hostile}
		m.Note = hostile
		if m.Metric == "latency" {
			m.Unit = hostile
		}
	}
	if err := result.Write(d.Path(e), r); err != nil {
		t.Fatal(err)
	}
	paths, _, err := Write(d, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	page, text := read(t, paths[0]), read(t, paths[1])
	for name, s := range map[string]string{"page": page, "Markdown": text} {
		if at := strings.IndexFunc(s, func(r rune) bool {
			return r != '\n' &&
				unicode.In(r, unicode.Cc, unicode.Cf)
		}); at >= 0 {
			t.Errorf("the %s holds %q", name, s[max(0, at-20):at+20])
		}
		if strings.Contains(s, "<script>alert") || !strings.Contains(s, "forged") {
			t.Errorf("the %s holds an element from a name, or not the name", name)
		}
	}
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1) {
		wellFormed(t, svg)
	}
	if found := regexp.MustCompile(`\]\(http|(?m)^# forged|^\| cell`).FindString(text); found != "" {
		t.Errorf("the Markdown holds %q", found)
	}
	columns := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		bare := strings.NewReplacer(`\\`, "", `\|`, "").Replace(line)
		n := strings.Count(bare, "|")
		if columns == 0 {
			columns = n
		}
		if n != columns {
			t.Errorf("%d cells in a table of %d: %s", n-1, columns-1, line)
		}
		if strings.Contains(bare, "`") && !strings.Contains(bare, "\\`") {
			t.Errorf("code in a table: %s", line)
		}
	}
}

// Package docs_test holds the documents to the code that cites them.
package docs_test

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	heading  = regexp.MustCompile(`^(##|###) (?:(\d+)\. )?(.+)$`)
	citation = regexp.MustCompile(`SPEC(?: section (\d+)(?:, ([A-Z][A-Za-z]+))?)?`)
	fold     = regexp.MustCompile(`\s*\n\s*(?://|#)?\s*`) // a comment may break the line within a citation
)

// sections are the headings of the specification: "1", and below it "1, Block" by the heading's first word.
func sections(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("spec.md")
	if err != nil {
		t.Fatal(err)
	}
	found, number := map[string]bool{}, ""
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		match := heading.FindStringSubmatch(lines.Text())
		switch {
		case match == nil:
		case match[1] == "##":
			number = match[2]
			found[number] = true
		default:
			word, _, _ := strings.Cut(match[3], " ")
			found[number+", "+strings.TrimSuffix(word, ",")] = true
		}
	}
	return found
}

// cited lists what a text cites of the specification, as sections names it; "" is a citation without a section.
func cited(text string) []string {
	var all []string
	for _, match := range citation.FindAllStringSubmatch(fold.ReplaceAllString(text, " "), -1) {
		name := match[1]
		if match[2] != "" {
			name += ", " + match[2]
		}
		all = append(all, name)
	}
	return all
}

func TestEverySectionOfTheSpecificationThatIsCitedExists(t *testing.T) {
	known := sections(t)
	if len(known) < 7 {
		t.Fatalf("spec.md has %d sections", len(known))
	}
	count := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "bin", "runs", "docs"}, d.Name()) {
			return fs.SkipDir
		}
		if !slices.Contains([]string{".go", ".md", ".toml", ".py", ".sh"}, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range cited(string(text)) {
			if count++; !known[name] {
				t.Errorf("%s cites SPEC section %q, which docs/spec.md does not have", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count < 50 {
		t.Errorf("only %d citations found: the search is broken", count)
	}
}

func TestACitationIsFoundAcrossLines(t *testing.T) {
	got := cited("// as SPEC section\n// 7, Baselines has it (SPEC section 4; SPEC section 5), not SPEC alone")
	if want := []string{"7, Baselines", "4", "5", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// CONTRIBUTING.md names every door for other modules, and its links lead somewhere.
func TestContributingNamesEveryRegistry(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join("..", string(link[1]))); err != nil {
			t.Error(err)
		}
	}
	doors := regexp.MustCompile(`(?m)^func (Register\w*)\(`)
	count := 0
	for _, floor := range []string{"baee", "curriculum", "experiments", "graph", "layers", "qat"} {
		err := filepath.WalkDir(filepath.Join("..", floor), func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" {
				return err
			}
			source, err := os.ReadFile(path)
			for _, door := range doors.FindAllSubmatch(source, -1) {
				name := filepath.Base(filepath.Dir(path)) + "." + string(door[1])
				if count++; !bytes.Contains(text, []byte("`"+name+"`")) {
					t.Errorf("CONTRIBUTING.md does not name %s", name)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if count < 6 {
		t.Errorf("only %d functions found: the search is broken", count)
	}
}

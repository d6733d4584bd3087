// Package table writes rows of text in columns, for terminals.
package table

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/synapnet/synapnet-train/internal/foreign"
)

// cellLimit is how many bytes of a cell are shown: more than any text of the program's own has.
const cellLimit = 300

// Write prints rows in columns two spaces apart, the first `left` of them aligned to the left (names) and the others to the
// right (numbers). Rows may differ in length. Names from files are safe in it: a cell stays on its line, and one of them alone
// does not make the table wider than a screen or two.
func Write(w io.Writer, left int, rows ...[]string) error {
	var widths []int
	shown := make([][]string, len(rows))
	for i, row := range rows {
		for j, cell := range row {
			cell = foreign.Line(cell, cellLimit)
			shown[i] = append(shown[i], cell)
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range shown {
		if _, err := fmt.Fprintln(w, Line(left, widths, row)); err != nil {
			return err
		}
	}
	return nil
}

// Line is one row in columns of the given widths.
func Line(left int, widths []int, row []string) string {
	var line strings.Builder
	for i, cell := range row {
		space := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
		if i > 0 {
			line.WriteString("  ")
		}
		if i < left {
			line.WriteString(cell + space)
		} else {
			line.WriteString(space + cell)
		}
	}
	return strings.TrimRight(line.String(), " ")
}

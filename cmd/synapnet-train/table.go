package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// writeTable prints rows in columns two spaces apart, the first `left` of them
// aligned to the left (names) and the others to the right (numbers). Rows may
// differ in length.
func writeTable(w io.Writer, left int, rows ...[]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, tableLine(left, widths, row)); err != nil {
			return err
		}
	}
	return nil
}

func tableLine(left int, widths []int, row []string) string {
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

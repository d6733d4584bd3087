package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// printJSON writes what --json asks for, indented.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// firstError keeps the first error of a writer, for output that comes bit by bit.
type firstError struct {
	w   io.Writer
	err error
}

func (f *firstError) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(f, format, args...) // kept in err
}

func (f *firstError) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.w.Write(p)
	f.err = err
	return n, err
}

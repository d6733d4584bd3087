// Package published holds the figures of the SynapNet-Edge paper as its public repository ships them, so that reports
// can print them beside ours wherever the program runs.
package published

import (
	"embed"
	"encoding/json"
	"fmt"
)

//go:embed *.json 130m/*.json
var files embed.FS

// Decode reads the file of the given name, e.g. "eval_history.json", into v.
func Decode(name string, v any) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return fmt.Errorf("published figures: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("published figures %s: %w", name, err)
	}
	return nil
}

package files

import (
	"encoding/json"
	"fmt"
)

// WriteJSON replaces the file at path by v as indented JSON.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return Write(path, append(text, '\n'))
}

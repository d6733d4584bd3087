package qat

import (
	"encoding/json"
	"fmt"
)

// Kinds of the lines in the history of a run with a checkpoint, as in pretraining.
const (
	stepKind       = "step"
	evaluationKind = "evaluation" // an Epoch, of ThreePhase
)

// appendLine takes over a line of a history's file.
func appendLine[T any](all *[]T, text []byte) error {
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("the history is not valid: line after %d of its kind: %w", len(*all), err)
	}
	*all = append(*all, v)
	return nil
}

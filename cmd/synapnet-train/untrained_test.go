package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A run in which some parameters get no gradient at any length says so, once, with the first names; a run that trains
// them at one of its lengths, as the standard recipe does, says nothing.
func TestUntrainedParametersAreTold(t *testing.T) {
	config := filepath.Join(t.TempDir(), "sparse.toml")
	if err := os.WriteFile(config, []byte("[model]\nsparse_threshold = 30\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for curriculum, want := range map[string]int{"30,32": 0, "32": 1, "32,64": 1} {
		_, stderr := trained(t, "pretrain "+tiny+" --config "+config+" --curriculum "+curriculum+" --output-dir "+
			filepath.Join(t.TempDir(), "run"))
		if got := strings.Count(stderr, "no gradient reaches blocks.0.attn.salience_mlp."); got != want {
			t.Errorf("curriculum %s: told %d times, want %d:\n%s", curriculum, got, want, stderr)
		}
		if want > 0 && !strings.Contains(stderr, " and 1 more at any length of the curriculum") {
			t.Errorf("curriculum %s: the line is not cut: %s", curriculum, stderr)
		}
	}
}

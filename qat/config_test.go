package qat

import (
	"path/filepath"
	"testing"

	"github.com/BurntSushi/toml"
)

// The files under configs/ have no setting that nothing reads, and the long one lists the defaults.
func TestConfigurationFiles(t *testing.T) {
	for _, name := range []string{"cajq-3phase.toml", "cajq-3phase-small.toml"} {
		c := DefaultThreePhase()
		meta, err := toml.DecodeFile(filepath.Join("..", "configs", name), &c)
		if err != nil {
			t.Fatal(err)
		}
		if unknown := meta.Undecoded(); len(unknown) > 0 {
			t.Errorf("%s: unknown settings %v", name, unknown)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "cajq-3phase.toml" {
			continue
		}
		if a, b := encode(t, c), encode(t, DefaultThreePhase()); a != b {
			t.Errorf("%s is not the default:\n%s\nwant\n%s", name, a, b)
		}
	}
}

func encode(t *testing.T, c ThreePhaseConfig) string {
	t.Helper()
	text, err := toml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

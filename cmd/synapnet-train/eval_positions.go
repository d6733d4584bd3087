package main

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/internal/foreign"
	"github.com/synapnet/synapnet-train/layers"
)

// checkPositions checks what the flags say of positions and needs no model.
func checkPositions(c *cli.Context) error {
	mode := layers.PositionMode(c.String("positions"))
	switch {
	case !slices.Contains(layers.PositionModes(), mode):
		return usagef(c, "--positions %s: it must be plain, squeeze or wrap", printable(string(mode)))
	case mode == layers.PlainPositions && c.IsSet("trained-context"):
		return usagef(c, "--trained-context %d: it goes with --positions squeeze or wrap", c.Int("trained-context"))
	}
	return nil
}

// setPositions gives the model at path the positions that the flags ask for.
func setPositions(c *cli.Context, path string, m *layers.Model) error {
	p := layers.Positions{Mode: layers.PositionMode(c.String("positions")), Trained: c.Int("trained-context")}
	if p.Mode == layers.PlainPositions {
		m.Positions = p
		return nil
	}
	if !c.IsSet("trained-context") {
		r, err := curriculum.ReadingOf(m.Extra)
		if err != nil {
			return err
		}
		if r.Context == 0 {
			return usagef(c, "--positions %s: %s does not tell at which contexts it was trained: give --trained-context, the "+
				"tokens of the longest", p.Mode, foreign.Path(path))
		}
		p.Trained = min(r.Context, m.Config.MaxLen)
	}
	if p.Check(m.Config) != nil {
		return usagef(c, "--trained-context %d: it must be from %d to the model's %d positions (max_len)", p.Trained,
			layers.MinContext, m.Config.MaxLen)
	}
	m.Positions = p
	return nil
}

// positionsText is what the heading of an evaluation says of positions; nothing of plain ones.
func positionsText(p layers.Positions) string {
	switch p.Mode {
	case layers.SqueezePositions:
		return fmt.Sprintf(", positions squeezed into %d", p.Trained)
	case layers.WrapPositions:
		return fmt.Sprintf(", positions wrapped at %d", p.Trained)
	}
	return ""
}

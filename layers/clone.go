package layers

import "maps"

// Clone is a model of the same configuration with a copy of every weight. Hooks (fake-quant nodes, smoothing,
// observers) are not copied: they belong to the parameters of the model that they were made for.
func (m *Model) Clone() (*Model, error) {
	if m.Packed() {
		return nil, ErrPacked
	}
	c, err := modelFor(m.Config, 0, "free memory or raise that limit")
	if err != nil {
		return nil, err
	}
	from := m.Params.All()
	for i, p := range c.Params.All() {
		copy(p.Data(), from[i].Data())
		p.Frozen = from[i].Frozen
	}
	c.Extra = maps.Clone(m.Extra)
	return c, nil
}

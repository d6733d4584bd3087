package layers

import "maps"

// Clone is a model of the same configuration with a copy of every weight. Hooks (fake-quant nodes, smoothing,
// observers) are not copied: they belong to the parameters of the model that they were made for.
func (m *Model) Clone() (*Model, error) { return m.cloneAs(m.Config, 0) }

// cloneAs is a clone of configuration c, whose parameters are m's in their order and may be longer: what m does not
// have of them is drawn from the seed.
func (m *Model) cloneAs(c Config, seed uint64) (*Model, error) {
	if m.Packed() {
		return nil, ErrPacked
	}
	clone, err := modelFor(c, seed, "free memory or raise that limit")
	if err != nil {
		return nil, err
	}
	from := m.Params.All()
	for i, p := range clone.Params.All() {
		copy(p.Data(), from[i].Data())
		p.Frozen = from[i].Frozen
	}
	clone.Extra = maps.Clone(m.Extra)
	return clone, nil
}

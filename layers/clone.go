package layers

// Clone is a model of the same configuration with a copy of every weight. Hooks (fake-quant nodes, smoothing, observers)
// are not copied: they belong to the parameters of the model that they were made for.
func (m *Model) Clone() (*Model, error) {
	if len(m.Params.Packed()) > 0 {
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
	return c, nil
}

// Linears lists every Linear of the model in the order of its parameters, the head last.
func (m *Model) Linears() []*Linear {
	var all []*Linear
	for _, b := range m.Baseline {
		all = append(all, b.Linears()...)
	}
	for _, b := range m.Blocks {
		a, e := b.Attention, b.Memory
		all = append(all, b.SSM.Gate, a.Q, a.K, a.V, a.Out, a.Salience1, a.Salience2, e.Key, e.Val, e.Query, e.Out)
		if b.Bridge != nil {
			all = append(all, b.Bridge.Fuse)
		}
		all = append(all, b.Alpha, b.Beta, b.FF1, b.FF2)
	}
	return append(all, m.Head.Out)
}

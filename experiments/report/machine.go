package report

import (
	"slices"
	"strconv"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/experiments/result"
)

// Machine is one on which results were measured. Machines of the same name, processor and features count as one.
type Machine struct {
	Name string // in the report: numbered in the order in which results name them
	Text string // what tells it from the others

	environment result.Environment
}

// machineOf is the machine of an environment, which it adds to those that are known where it is new.
func (r *Report) machineOf(e result.Environment) string {
	for _, m := range r.Machines {
		if m.environment.Host == e.Host && m.environment.CPU == e.CPU && m.environment.Platform == e.Platform &&
			slices.Equal(m.environment.Features, e.Features) {
			return m.Name
		}
	}
	name := strconv.Itoa(len(r.Machines) + 1)
	r.Machines = append(r.Machines, Machine{Name: name, environment: e})
	return name
}

// describe says of each machine its processor, and what features tell it from the others.
func (r *Report) describe() {
	var all []string
	for _, m := range r.Machines {
		for _, f := range m.environment.Features {
			all = lab.AppendNew(all, f)
		}
	}
	for i := range r.Machines {
		m := &r.Machines[i]
		var own, lacking []string
		for _, f := range all {
			switch {
			case !m.has(f):
				lacking = append(lacking, f)
			case slices.ContainsFunc(r.Machines, func(o Machine) bool { return !o.has(f) }):
				own = append(own, f)
			}
		}
		m.Text = m.environment.CPU + ", " + m.environment.Platform
		if len(own) > 0 {
			m.Text += ", with " + strings.Join(own, ", ")
		}
		if len(lacking) > 0 {
			m.Text += ", without " + strings.Join(lacking, ", ")
		}
	}
}

func (m Machine) has(feature string) bool { return slices.Contains(m.environment.Features, feature) }

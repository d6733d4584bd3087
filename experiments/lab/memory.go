package lab

import (
	"fmt"

	"github.com/synapnet/synapnet-train/internal/host"
)

// Demand is the memory of an experiment as it grows with one of its settings, planned from the settings and the model's
// configuration alone.
type Demand struct {
	Setting string // in JSON: "sequences"
	Value   int
	What    string // that takes the memory: "collecting from sequences of 2048 tokens"
	// Need is in bytes, besides the weights. It is a bound from below where that exceeds all there could be.
	Need    func(value int) (uint64, error)
	Smaller []string // settings whose smaller values are the mend if no value of Setting fits
}

// fits is an error, in one line, if the demand does not fit.
func (d Demand) fits(room host.Room) error {
	need, err := d.Need(d.Value)
	if err != nil || !room.Known || need <= room.Bytes {
		return err
	}
	return fmt.Errorf("%s %d: %s takes at least %s of memory, and %s; it needs a machine with more memory, or a higher "+
		"limit", d.Setting, d.Value, d.What, host.Size(need), room)
}

// MostPlanned is the memory, in bytes, up to which graphs are planned tensor by tensor; beyond it sizes are counted in
// rough, since those of tensors could exceed an int.
const MostPlanned = 1 << 44

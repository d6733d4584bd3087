package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
)

// Conversion is a result whose file changes.
type Conversion struct {
	Experiment string
	Path       string
	Converted  int      // measurements that are equal to those computed from the new details; 0: the details stay
	Inputs     []string // whose new hashes it takes over
	text       []byte
}

// Convert brings the details of the named results, all without a name, into the form of today's program, and carries
// the new hashes of their files through to the results that depend on them, so that what was up to date still is.
// Nothing is measured: a result whose measurements are not those of its new details, each equal in every field, is
// refused, and then no file is changed.
func (d *Driver) Convert(names ...string) (all []Conversion, err error) {
	sorted, err := order(d.Experiments)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.Root); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %s: give another --results", d.Root)
	}
	release, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	sums := map[string][2]string{} // of changed results, before and after, by experiment
	for _, e := range sorted {     // what needs comes behind what is needed
		c, err := d.convert(e, len(names) == 0 || slices.Contains(names, e.Name), sums)
		var invalid *result.Invalid // which names the file itself
		if err != nil && !errors.As(err, &invalid) {
			err = fmt.Errorf("%s: %w", d.Path(e), err)
		}
		if err != nil {
			return nil, err
		}
		if c != nil {
			all = append(all, *c)
		}
	}
	// What needs is written before what is needed: after a failure the same again finds it with its new inputs and ends
	// well.
	for _, c := range slices.Backward(all) {
		if err := files.Write(c.Path, c.text); err != nil {
			return nil, fmt.Errorf("%w: the same command continues", err)
		}
	}
	return all, nil
}

// convert prepares the new file of one result; nil if it stays as it is. It adds its hashes to sums.
func (d *Driver) convert(e Experiment, wanted bool, sums map[string][2]string) (*Conversion, error) {
	path := d.Path(e)
	r, err := result.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.Experiment != e.Name {
		return nil, fmt.Errorf("it is a result of %s: move it away", r.Experiment)
	}
	e.Version = r.Version // of its key
	key, err := keyOf(e, r.Profile, r.Config, r.Inputs)
	if err != nil {
		return nil, err
	}
	c := &Conversion{Experiment: e.Name, Path: path}
	if wanted {
		if err := c.details(e, r); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if was, ok := r.Inputs[name]; ok && was == sums[name][0] {
			r.Inputs[name] = sums[name][1]
			c.Inputs = append(c.Inputs, name)
		}
	}
	if c.Converted == 0 && c.Inputs == nil {
		return nil, nil
	}
	if key == r.Key { // or else it is stale, and stays so
		if r.Key, err = keyOf(e, r.Profile, r.Config, r.Inputs); err != nil {
			return nil, err
		}
	}
	if c.text, err = result.Encode(r); err != nil {
		return nil, err
	}
	before, err := files.HashFile(path)
	if err != nil {
		return nil, err
	}
	after := sha256.Sum256(c.text)
	sums[e.Name] = [2]string{before, hex.EncodeToString(after[:])}
	return c, nil
}

// details brings those of r into today's form.
func (c *Conversion) details(e Experiment, r *result.Result) error {
	if e.Convert == nil || len(r.Details) == 0 {
		return nil
	}
	o, err := e.Convert(r.Config, r.Details)
	if err != nil || o == nil {
		return err
	}
	if err := equal(r.Measurements, e.WithPublished(o)); err != nil {
		return err
	}
	c.Converted = len(r.Measurements)
	r.Details, err = json.Marshal(o.Details)
	return err
}

// equal is an error unless both are the same measurements, in any order. Means of equal values, of which nothing is
// learnt of the spread, had a t-interval without width in the files of early programs; today they have none.
func equal(file, converted []result.Measurement) error {
	left := slices.Clone(converted)
	for _, m := range file {
		if iv := m.Interval; iv != nil && iv.Method == "t" && m.Std == 0 && iv.Low == m.Mean && iv.High == m.Mean {
			m.Interval = nil
		}
		i := slices.IndexFunc(left, func(o result.Measurement) bool { return reflect.DeepEqual(m, o) })
		if i < 0 {
			return fmt.Errorf("its details do not give the measurement that it has of %s %v (%s): mean %v, std %v, n %d; it "+
				"is not converted",
				m.Metric, m.Labels, m.Protocol, m.Mean, m.Std, m.N)
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		return fmt.Errorf("its details give %d measurements that it does not have, the first of %s %v (%s); it is not "+
			"converted",
			len(left), left[0].Metric, left[0].Labels, left[0].Protocol)
	}
	return nil
}

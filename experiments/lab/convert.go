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
	"path/filepath"
	"reflect"
	"slices"

	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
)

// Conversion is a result whose file changes.
type Conversion struct {
	Experiment string
	Path       string
	Converted  int      // measurements that are equal to those computed from the new details; 0: the details stay
	Added      int      // measurements that today's program computes from the cells besides those that were there
	Inputs     []string // whose new hashes it takes over
	text       []byte
}

// Convert brings the details of the named results, all without a name, into the form of today's program, and carries
// the new hashes of their files through to the results that depend on them, so that what was up to date still is. It
// adds what today's program computes from the cells of a complete result besides (Experiment.Recompute). Nothing is
// measured: a result whose measurements are not those of its details, each equal in every field, is refused, and then
// no file is changed.
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
		if err := c.add(e, r, d.modelConfig); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if was, ok := r.Inputs[name]; ok && was == sums[name][0] {
			r.Inputs[name] = sums[name][1]
			c.Inputs = append(c.Inputs, name)
		}
	}
	if c.Converted == 0 && c.Added == 0 && c.Inputs == nil {
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
	if err := c.take(r, e.WithPublished(o)); err != nil {
		return err
	}
	c.Converted = len(r.Measurements) - c.Added
	r.Details, err = json.Marshal(o.Details)
	return err
}

// add adds the measurements that today's program computes from the cells of a complete result and that it lacks.
func (c *Conversion) add(e Experiment, r *result.Result, model func() (layers.Config, error)) error {
	if e.Recompute == nil || len(r.Details) == 0 || !r.Complete {
		return nil
	}
	o, err := e.Recompute(r, model)
	if err != nil {
		return err
	}
	today := o.Measurements
	if r.Profile != string(Strong) {
		today = e.WithPublished(o)
	}
	return c.take(r, today)
}

// take gives r the computed measurements that it lacks, if all that it has are among them.
func (c *Conversion) take(r *result.Result, computed []result.Measurement) error {
	all, err := equal(r.Measurements, computed)
	if err != nil {
		return err
	}
	c.Added += len(all) - len(r.Measurements)
	r.Measurements = all
	return nil
}

// modelConfig is the configuration of the pretrained model.
func (d *Driver) modelConfig() (layers.Config, error) {
	i := slices.IndexFunc(d.Experiments, func(e Experiment) bool { return e.Name == "pretrain" })
	if i < 0 {
		return layers.Config{}, errors.New("there is no experiment pretrain, whose model it is of")
	}
	return layers.ReadConfig(filepath.Join(d.Root, d.Experiments[i].Folder, ModelFile))
}

// equal is an error unless all of the file's measurements are among the computed ones, each equal in every field. It
// gives all in the order of the latter. Means of equal values, of which nothing is learnt of the spread, had a
// t-interval without width in the files of early programs; today they have none.
func equal(file, computed []result.Measurement) ([]result.Measurement, error) {
	all, met := slices.Clone(computed), make([]bool, len(computed))
	for _, kept := range file {
		m := kept
		if iv := m.Interval; iv != nil && iv.Method == "t" && m.Std == 0 && iv.Low == m.Mean && iv.High == m.Mean {
			m.Interval = nil
		}
		i := 0
		for i < len(computed) && (met[i] || !reflect.DeepEqual(m, computed[i])) {
			i++
		}
		if i == len(computed) {
			return nil, fmt.Errorf("its details do not give the measurement that it has of %s %v (%s): mean %v, std %v, n %d; "+
				"it is not converted", m.Metric, m.Labels, m.Protocol, m.Mean, m.Std, m.N)
		}
		all[i], met[i] = kept, true
	}
	return all, nil
}

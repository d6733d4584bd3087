package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/BurntSushi/toml"

	"github.com/synapnet/synapnet-train/internal/bounds"
)

// Describe makes an experiment of its description, NAME.toml among files, and its run. A description has the fields of
// an [Experiment], and the settings of the profiles: [full] what differs from base, [quick] and [strong] what differs
// from full, by the same names as in a configuration of the user. It is part of the program: one that is wrong panics.
func Describe[S any](files fs.FS, name string, base S,
	run func(ctx context.Context, j *Job, s S) (*Outcome, error)) Experiment {
	return DescribeOn(files, name, func(Profile) S { return base }, run)
}

// DescribeOn is Describe of an experiment whose base depends on the profile: [full] and what the profile differs in are
// put into the profile's own.
func DescribeOn[S any](files fs.FS, name string, base func(p Profile) S,
	run func(ctx context.Context, j *Job, s S) (*Outcome, error)) Experiment {
	d := struct {
		Experiment
		Full, Quick, Strong map[string]any
	}{}
	meta, err := toml.DecodeFS(files, name+".toml", &d)
	for _, key := range meta.Undecoded() {
		if err == nil && !slices.Contains(Profiles(), Profile(key[0])) { // those of the settings are checked with them
			err = fmt.Errorf("unknown key %v", key)
		}
	}
	for _, p := range d.Profiles {
		err = cmp.Or(err, bounds.Known("profiles", Profiles(), p))
	}
	if err == nil && d.Strong != nil && !d.In(Strong) {
		err = errors.New("it has settings of profile strong, which it is not part of")
	}
	settings := map[Profile]S{}
	for p, changes := range map[Profile]map[string]any{Full: nil, Quick: d.Quick, Strong: d.Strong} {
		s, wrong := Changed(base(p), d.Full)
		if wrong == nil {
			s, wrong = Changed(s, changes)
		}
		settings[p], err = s, cmp.Or(err, wrong)
	}
	if err != nil {
		panic(fmt.Sprintf("%s.toml: %v", name, err))
	}
	d.Name = name
	return Define(d.Experiment, settings, run)
}

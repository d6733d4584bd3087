package lab

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/BurntSushi/toml"
)

// Describe makes an experiment of its description, NAME.toml among files, and its run. A description has the fields of
// an [Experiment], and the settings of the profiles: [full] what differs from base, and [quick] what differs from full,
// by the same names as in a configuration of the user. It is part of the program: one that is wrong panics.
func Describe[S any](files fs.FS, name string, base S,
	run func(ctx context.Context, j *Job, s S) (*Outcome, error)) Experiment {
	d := struct {
		Experiment
		Full, Quick map[string]any
	}{}
	meta, err := toml.DecodeFS(files, name+".toml", &d)
	for _, key := range meta.Undecoded() {
		if err == nil && key[0] != string(Full) && key[0] != string(Quick) { // those of the settings are checked with them
			err = fmt.Errorf("unknown key %v", key)
		}
	}
	full, quick := base, base
	if err == nil {
		full, err = changed(base, d.Full)
	}
	if err == nil {
		quick, err = changed(full, d.Quick)
	}
	if err != nil {
		panic(fmt.Sprintf("%s.toml: %v", name, err))
	}
	d.Name = name
	return Define(d.Experiment, full, quick, run)
}

// changed are settings with changes in them.
func changed[S any](settings S, changes map[string]any) (s S, err error) {
	text, err := merged(settings, changes)
	if err != nil {
		return s, err
	}
	decoded, err := decoder[S]()(text)
	if err != nil {
		return s, err
	}
	return decoded.(S), nil
}

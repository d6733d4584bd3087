package lab

import (
	"bytes"
	"cmp"
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
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
)

// customFolder is where results of other settings than the profile's are, in the results folder.
const customFolder = "custom"

// mostNumber is the most that a setting may be which is no seed: beyond what any run could count, and little enough for
// products of some of them to be numbers.
const mostNumber = 1_000_000_000

// Validate is the error of settings that no run could have on a pretrained model of configuration m: a *bounds.Error
// with the setting's key, or of the settings' own method Validate, which may take m, where it is no single setting's.
func Validate(settings any, m layers.Config) error {
	if err := plausible("", reflect.ValueOf(settings)); err != nil {
		return err
	}
	switch s := settings.(type) {
	case interface{ Validate(m layers.Config) error }:
		return s.Validate(m)
	case interface{ Validate() error }:
		return s.Validate()
	}
	return nil
}

// plausible checks what is true of every setting: numbers that are no seeds are from 0 to mostNumber.
func plausible(key string, v reflect.Value) error {
	if k, ok := reflect.TypeAssert[tasks.Keys](v); ok {
		return bounds.Check(key, int(k), 0, int(tasks.CurrentKeys))
	}
	below := func(name string) string { return strings.TrimPrefix(strings.TrimSuffix(key+"."+name, "."), ".") }
	var err error
	switch v.Kind() {
	case reflect.Struct:
		for f, x := range v.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			err = cmp.Or(err, plausible(below(name), x))
		}
	case reflect.Slice:
		for _, x := range v.Seq2() {
			err = cmp.Or(err, plausible(key, x))
		}
	case reflect.Map:
		for name, x := range v.Seq2() {
			err = cmp.Or(err, plausible(below(name.String()), x))
		}
	case reflect.Int:
		return bounds.Check(key, int(v.Int()), 0, mostNumber)
	case reflect.Float64:
		return bounds.Check(key, v.Float(), 0, mostNumber)
	}
	return err
}

// ID names the experiment and its settings: its name with the settings of a profile, NAME-KEY8 with others. KEY8 are
// the first 8 hex digits of the SHA-256 of the settings in canonical form.
func (e Experiment) ID() string { return cmp.Or(e.custom, e.Name) }

// profile is the profile of the experiment's results.
func (e Experiment) profile(p Profile) string {
	if e.custom != "" {
		return Custom
	}
	return string(p)
}

// model is the configuration of the pretrained model of the driver's profile, on which all run that need one.
func (d *Driver) model() layers.Config {
	for _, e := range d.Experiments {
		if s, ok := e.Settings(d.Profile).(interface{ Pretrained() layers.Config }); ok {
			return s.Pretrained()
		}
	}
	return layers.Reference()
}

// Change is an experiment with other settings than those of the driver's profile. The changes are values by their names
// in JSON, tables as maps. Its results have a folder of their own, custom/ID, and the profile Custom. An experiment
// whose settings the changes leave as they are is the same. What no run could have on the profile's model is an error
// of [Validate].
func (d *Driver) Change(e Experiment, changes map[string]any) (Experiment, error) {
	text, err := merged(e.Settings(d.Profile), changes)
	if err != nil {
		return e, fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	return d.with(e, text)
}

// with is the experiment with the settings that a text in JSON has.
func (d *Driver) with(e Experiment, text []byte) (Experiment, error) {
	s, err := e.decode(text)
	if err != nil {
		return e, fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	if err := Validate(s, d.model()); err != nil {
		return e, err
	}
	canonical := Canonical(s)
	if reflect.DeepEqual(canonical, Canonical(e.Settings(d.Profile))) {
		return e, nil
	}
	if text, err = json.Marshal(canonical); err != nil {
		return e, fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	sum := sha256.Sum256(text)
	e.custom = e.Name + "-" + hex.EncodeToString(sum[:4])
	e.Folder = filepath.Join(customFolder, e.custom)
	e.registered, e.settings = e.settings, func(Profile, tasks.Keys) any { return s }
	// Those of Custom, whatever profile the driver has.
	e.Says, e.Protocol = Texts{Full: e.Says.Of(d.Profile)}, Texts{Full: e.Protocol.Of(d.Profile)}
	return e, nil
}

// Changes are the settings that differ from those of p, as KEY=VALUE, the value in JSON; nil with the
// profile's own, and of a result whose settings cannot be read.
func (e Experiment) Changes(p Profile) ([]string, error) {
	if e.registered == nil {
		return nil, nil
	}
	all, err := differences(e.registered(p, tasks.CurrentKeys), e.Settings(p))
	var changes []string
	for _, d := range all {
		changes = append(changes, d.key+"="+d.now)
	}
	return changes, err
}

// changedSetting is a setting that differs, its values in JSON.
type changedSetting struct{ key, was, now string }

// differences are those between settings, in the order of their keys.
func differences(was, now any) (all []changedSetting, err error) {
	before, err := treeOf(was)
	if err != nil {
		return nil, err
	}
	after, err := treeOf(now)
	if err != nil {
		return nil, err
	}
	a, b, keys := map[string]string{}, map[string]string{}, map[string]string{}
	flatten(a, "", before)
	flatten(b, "", after)
	maps.Copy(keys, a)
	maps.Copy(keys, b)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		none := cmp.Or(map[byte]string{'t': "false", '"': `""`, '[': "[]"}[keys[key][0]], "0") // left out where it is zero
		if d := (changedSetting{key, cmp.Or(a[key], none), cmp.Or(b[key], none)}); d.was != d.now {
			all = append(all, d)
		}
	}
	return all, nil
}

// treeOf are settings as JSON has them, with numbers as they are written.
func treeOf(settings any) (map[string]any, error) {
	text, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree map[string]any
	return tree, d.Decode(&tree)
}

// Changed are settings with changes in them: values by their names in JSON, tables as maps. A name that S does not have
// is an error.
func Changed[S any](settings S, changes map[string]any) (s S, err error) {
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

// Put puts the value of a dotted key among changes, a table key by key.
func Put(changes map[string]any, key string, value any) {
	for _, name := range slices.Backward(strings.Split(key, ".")) {
		value = map[string]any{name: value}
	}
	merge(changes, value.(map[string]any))
}

// merged are settings with changes in them, as JSON.
func merged(settings any, changes map[string]any) ([]byte, error) {
	tree, err := treeOf(settings)
	if err != nil {
		return nil, err
	}
	merge(tree, changes)
	return json.Marshal(tree)
}

// merge puts changes into a tree of settings. A list is replaced as a whole.
func merge(tree, changes map[string]any) {
	for key, v := range changes {
		table, isTable := v.(map[string]any)
		into, hasTable := tree[key].(map[string]any)
		if isTable && hasTable {
			merge(into, table)
		} else {
			tree[key] = v
		}
	}
}

// flatten writes what is no table as JSON, by its dotted key.
func flatten(leaves map[string]string, prefix string, tree map[string]any) {
	for key, v := range tree {
		if table, ok := v.(map[string]any); ok {
			flatten(leaves, prefix+key+".", table)
		} else if text, err := json.Marshal(v); err == nil { // as JSON gave it
			leaves[prefix+key] = string(text)
		}
	}
}

// decoder reads settings of type S. A name that S does not have is an error.
func decoder[S any]() func(text []byte) (any, error) {
	return func(text []byte) (any, error) {
		var s S
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err := d.Decode(&s)
		return s, err
	}
}

// CustomResults are the results of other settings that are in the results folder, as steps with their states. plan has
// the steps of all registered experiments, which they need.
func (d *Driver) CustomResults(plan []*Step) ([]*Step, error) {
	folders, err := os.ReadDir(filepath.Join(d.Root, customFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(d.Root, customFolder), files.Cause(err))
	}
	states := map[string]State{}
	for _, s := range plan {
		states[s.Name] = s.State
	}
	var all []*Step
	for _, folder := range folders {
		i := slices.IndexFunc(d.Experiments, func(e Experiment) bool {
			key, ok := strings.CutPrefix(folder.Name(), e.Name+"-")
			_, err := hex.DecodeString(key)
			return ok && err == nil && len(key) == 8
		})
		if i < 0 {
			continue // not of a run of ours
		}
		s, err := d.customResult(d.Experiments[i], folder.Name(), states)
		if err != nil {
			return nil, err
		}
		if s != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// customResult is the result of e in a folder of custom results; nil if there is none yet.
func (d *Driver) customResult(e Experiment, folder string, states map[string]State) (*Step, error) {
	s := &Step{Experiment: e}
	s.custom, s.Folder = folder, filepath.Join(customFolder, folder)
	file := d.Path(s.Experiment)
	r, err := result.Read(file)
	var invalid *result.Invalid
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.As(err, &invalid):
		s.State, s.Reason = Unreadable, err.Error()
		return s, nil
	case err != nil:
		return nil, err
	}
	with, err := d.with(e, r.Config)
	switch {
	case err != nil:
		s.State, s.Reason = Unreadable, fmt.Sprintf("%s is of settings that are none any more (%v): move it away", file, err)
		return s, nil
	case with.ID() != folder:
		s.State, s.Reason = Foreign, fmt.Sprintf("%s is not of the settings that its folder names: move it away", file)
		return s, nil
	}
	s.Experiment = with
	return s, d.inspect(s, states)
}

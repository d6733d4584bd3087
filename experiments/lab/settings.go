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
	"math"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/curriculum/tasks"
	"github.com/synapnet/synapnet-train/experiments/result"
	"github.com/synapnet/synapnet-train/internal/files"
	"github.com/synapnet/synapnet-train/layers"
)

// customFolder is where results of other settings than the profile's are, in the results folder.
const customFolder = "custom"

// BadSetting is the error of a value that a setting cannot have.
type BadSetting struct {
	Key   string // as it is given: names with dots between them
	Value any
	Want  string // what it must be
}

// Error is one line that names the key, the value and what is allowed.
func (b *BadSetting) Error() string {
	return fmt.Sprintf("%s is %v: it must be %s", b.Key, b.Value, b.Want)
}

// AtLeast is a *BadSetting of the first value below least, nil without one.
func AtLeast[T cmp.Ordered](key string, least T, values ...T) error {
	for _, v := range values {
		if v < least {
			return &BadSetting{key, v, fmt.Sprintf("at least %v", least)}
		}
	}
	return nil
}

// Contexts is a *BadSetting of the first length that no pass can have, or that is given twice, nil without one.
func Contexts(key string, lengths ...int) error {
	return cmp.Or(AtLeast(key, layers.MinContext, lengths...), Distinct(key, lengths...))
}

// Within is a *BadSetting of the first value that is not above low and at most high, nil without one.
func Within(key string, low, high float64, values ...float64) error {
	for _, v := range values {
		if !(v > low && v <= high) {
			return &BadSetting{key, v, fmt.Sprintf("above %v and at most %v", low, high)}
		}
	}
	return nil
}

// Distinct is a *BadSetting of the first value that is in a list for a second time, nil without one.
func Distinct[T comparable](key string, values ...T) error {
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			return &BadSetting{key, values, fmt.Sprintf("a list with %v once", v)}
		}
	}
	return nil
}

// Known is a *BadSetting of the first value that is not among the known ones, or is given twice, nil without one.
func Known[T ~string](key string, known []T, values ...T) error {
	for _, v := range values {
		if !slices.Contains(known, v) {
			return &BadSetting{key, v, fmt.Sprintf("one of %v", known)}
		}
	}
	return Distinct(key, values...)
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

// Change is the experiment with other settings than those of p. The changes are values by their names in JSON, tables
// as maps. Its results have a folder of their own, custom/ID, and the profile Custom. An experiment whose settings the
// changes leave as they are is the same. A value that the experiment does not take is a *BadSetting, or the error of
// the settings' own Validate, if they have one.
func (e Experiment) Change(p Profile, changes map[string]any) (Experiment, error) {
	if err := plausible("", changes); err != nil {
		return e, err
	}
	tree, err := treeOf(e.Settings(p))
	if err != nil {
		return e, fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	merge(tree, changes)
	text, err := json.Marshal(tree)
	if err != nil {
		return e, fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	return e.with(p, text)
}

// with is the experiment with the settings that a text in JSON has.
func (e Experiment) with(p Profile, text []byte) (Experiment, error) {
	s, err := e.decode(text)
	if err != nil {
		return e, fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	if v, ok := s.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return e, err
		}
	}
	canonical := Canonical(s)
	if reflect.DeepEqual(canonical, Canonical(e.Settings(p))) {
		return e, nil
	}
	if text, err = json.Marshal(canonical); err != nil {
		return e, fmt.Errorf("%s: settings: %w", e.Name, err)
	}
	sum := sha256.Sum256(text)
	e.custom = e.Name + "-" + hex.EncodeToString(sum[:4])
	e.Folder = filepath.Join(customFolder, e.custom)
	e.registered, e.settings = e.settings, func(Profile, tasks.Keys) any { return s }
	return e, nil
}

// Changes are the settings that differ from those of p, as KEY=VALUE, the value in JSON; nil with the
// profile's own, and of a result whose settings cannot be read.
func (e Experiment) Changes(p Profile) ([]string, error) {
	if e.registered == nil {
		return nil, nil
	}
	now, err := treeOf(e.Settings(p))
	if err != nil {
		return nil, err
	}
	before, err := treeOf(e.registered(p, tasks.CurrentKeys))
	if err != nil {
		return nil, err
	}
	leaves, was := map[string]string{}, map[string]string{}
	flatten(leaves, "", now)
	flatten(was, "", before)
	for key, text := range was {
		if _, kept := leaves[key]; !kept { // JSON leaves it out where it is zero
			leaves[key] = cmp.Or(map[byte]string{'t': "false", '"': `""`, '[': "[]"}[text[0]], "0")
		}
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(leaves)) {
		if leaves[key] != was[key] {
			all = append(all, key+"="+leaves[key])
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

// plausible checks what is true of every setting: numbers are finite and not negative, and lists have values.
func plausible(key string, v any) error {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if err := plausible(strings.TrimPrefix(key+"."+name, "."), v[name]); err != nil {
				return err
			}
		}
	case int64:
		if path.Ext("."+key) == "."+sampleKeys && v > int64(tasks.CurrentKeys) {
			return &BadSetting{key, v, fmt.Sprintf("at most %d", tasks.CurrentKeys)}
		}
		return AtLeast(key, 0, v)
	case float64:
		if !(v >= 0) || math.IsInf(v, 0) {
			return &BadSetting{key, v, "a finite number, at least 0"}
		}
	case []map[string]any: // as the TOML library gives an array of tables
		for _, table := range v {
			if err := plausible(key, table); err != nil {
				return err
			}
		}
	case []any:
		if len(v) == 0 {
			return &BadSetting{key, "[]", "a list of at least one value"}
		}
		for _, x := range v {
			if err := plausible(key, x); err != nil {
				return err
			}
		}
	}
	return nil
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
	with, err := e.with(d.Profile, r.Config)
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

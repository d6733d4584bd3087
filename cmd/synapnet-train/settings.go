package main

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/experiments/lab"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/foreign"
)

// settingWords are the values of --set, in order. The flag is no list of urfave/cli's, which would take the experiments
// behind it, and cut values at commas.
type settingWords []string

// Set adds a value.
func (s *settingWords) Set(word string) error {
	*s = append(*s, word)
	return nil
}

// String is for help texts.
func (s *settingWords) String() string { return strings.Join(*s, " ") }

// Get makes it a flag.Getter.
func (s *settingWords) Get() any { return s }

// settingFlags are the flags that change experiments' settings.
func settingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "TOML `FILE` with settings in place of the profile's, a table an experiment"},
		&cli.GenericFlag{Name: "set", Value: new(settingWords),
			Usage: "`KEY=VALUE`, a setting, as often as needed; lists by commas; with several experiments NAME.KEY=VALUE"},
	}
}

// changes are settings that a command line changes, by experiment, and what gave them.
type changes struct {
	of     map[string]map[string]any
	file   string // of --config
	places *place // in it
	given  []givenSetting
}

// givenSetting is a value of --set: its key, as experiment.key, and the word.
type givenSetting struct{ key, word string }

// String is the flag as it was given.
func (g givenSetting) String() string { return "--set " + printable(g.word) }

// in says whether a key is another one or in the table of that name.
func in(key, table string) bool { return key == table || strings.HasPrefix(key, table+".") }

// origin says what gave the setting of an experiment: a flag, or a file and line; where nothing gave just this, all
// that was given of the experiment.
func (ch *changes) origin(experiment, setting string) string {
	var all []string
	for _, g := range ch.given {
		if in(experiment+"."+setting, g.key) {
			return g.String()
		}
		if in(g.key, experiment) {
			all = append(all, g.String())
		}
	}
	at, inFile := ch.places, ch.places != nil
	for name := range strings.SplitSeq(experiment+"."+setting, ".") {
		if inFile {
			inFile = at.keys[name] != nil
			at = at.of(name)
		}
	}
	if inFile || len(all) == 0 {
		return position(ch.file, at.line)
	}
	return strings.Join(all, " ")
}

// exactly is the --set that gave a value, and nothing else with it.
func (ch *changes) exactly(experiment string, bad *bounds.Error) (given givenSetting, ok bool) {
	i := slices.IndexFunc(ch.given, func(g givenSetting) bool {
		return g.key == experiment+"."+bad.Setting && strings.HasSuffix(g.word, "="+fmt.Sprint(bad.Value))
	})
	if i < 0 {
		return givenSetting{}, false
	}
	return ch.given[i], true
}

// customise gives a driver the experiments of the given names, all without a name, whose settings --config and --set
// change.
func customise(c *cli.Context, d *lab.Driver, names []string) error {
	if len(names) == 0 {
		names = d.Names()
	}
	ch := &changes{of: map[string]map[string]any{}}
	if path := c.String("config"); path != "" {
		if err := ch.read(path, d); err != nil {
			return usagef(c, "%v", err)
		}
	}
	for _, word := range *c.Generic("set").(*settingWords) {
		if err := ch.set(word, d, names); err != nil {
			return usagef(c, "--set %s: %v", printable(word), err)
		}
	}
	for _, e := range d.Experiments {
		if ch.of[e.Name] == nil {
			continue
		}
		changed, err := d.Change(e, ch.of[e.Name])
		if bad, ok := errors.AsType[*bounds.Error](err); ok {
			if g, ok := ch.exactly(e.Name, bad); ok {
				return usagef(c, "%v: %s", g, strings.ReplaceAll(bad.Problem, "`", ""))
			}
			from := ch.origin(e.Name, bad.Setting)
			if !strings.HasPrefix(from, "--set ") { // a line of a file, which has tables of several experiments
				err = bounds.In(e.Name, bad)
			}
			return usagef(c, "%s: %v", from, err)
		}
		if err != nil {
			return usagef(c, "%s: %s: %v", ch.origin(e.Name, ""), e.Name, err)
		}
		switch {
		case !slices.Contains(names, e.Name):
			_, _ = fmt.Fprintf(c.App.ErrWriter, "%s: %s is not among the experiments named: its settings are left out\n",
				position(foreign.Path(ch.file), ch.places.of(e.Name).line), e.Name)
		case changed.ID() != e.ID():
			d.Custom = append(d.Custom, changed)
		}
	}
	return nil
}

// read takes over the settings of a file. All of them must be right, also those of experiments that are not asked for.
func (ch *changes) read(path string, d *lab.Driver) error {
	text, err := readConfig(path)
	if err != nil {
		return err
	}
	values, places, err := checkedConfig(path, text, sectionsOf(d))
	if err != nil {
		return err
	}
	for name, v := range values {
		ch.of[name] = v.(map[string]any)
	}
	ch.file, ch.places = path, places
	return nil
}

// sectionsOf is the type of a file with the settings of a driver's experiments, each in a table of its name.
func sectionsOf(d *lab.Driver) reflect.Type {
	var fields []reflect.StructField
	for i, e := range d.Experiments {
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprint("E", i), Type: reflect.TypeOf(e.Settings(d.Profile)),
			Tag: reflect.StructTag(`toml:"` + e.Name + `"`),
		})
	}
	return reflect.StructOf(fields)
}

// set takes over a value of --set for one of the named experiments.
func (ch *changes) set(word string, d *lab.Driver, names []string) error {
	key, text, ok := strings.Cut(word, "=")
	if !ok || key == "" {
		return errors.New("it must be KEY=VALUE, e.g. seeds=42,43")
	}
	name, key, err := experimentOf(key, d, names)
	if err != nil {
		return err
	}
	whole := name + "." + key
	if slices.ContainsFunc(ch.given, func(g givenSetting) bool { return g.key == whole }) {
		return errors.New("the setting is given twice: give it once")
	}
	i := slices.IndexFunc(d.Experiments, func(e lab.Experiment) bool { return e.Name == name })
	value, err := parseSetting(key, text, reflect.TypeOf(d.Experiments[i].Settings(d.Profile)))
	if err != nil {
		return err
	}
	ch.given = append(ch.given, givenSetting{whole, word})
	if ch.of[name] == nil {
		ch.of[name] = map[string]any{}
	}
	lab.Put(ch.of[name], key, value)
	return nil
}

// experimentOf cuts the experiment from a key. Where one is asked for it may be left out.
func experimentOf(key string, d *lab.Driver, names []string) (name, rest string, err error) {
	first, rest, dotted := strings.Cut(key, ".")
	switch {
	case dotted && slices.Contains(names, first):
		return first, rest, nil
	case dotted && slices.Contains(d.Names(), first):
		return "", "", fmt.Errorf("%s is not among the experiments to run: name it, too", first)
	case len(names) == 1:
		return names[0], key, nil
	}
	about := "there are several experiments to run"
	if hint := didYouMean(first, names, asIs); dotted && hint != "" {
		about, key = printable(first)+" is no experiment"+hint, rest
	}
	for _, e := range d.Experiments {
		if _, err := settingType(key, reflect.TypeOf(e.Settings(d.Profile))); err == nil && slices.Contains(names, e.Name) {
			return "", "", fmt.Errorf("%s: say which the key belongs to, e.g. %s.%s", about, e.Name, key)
		}
	}
	return "", "", fmt.Errorf("unknown key %s, in each of the experiments to run", printable(key))
}

// parseSetting reads the text of the setting with a dotted key among settings of type t, as a TOML file would give it.
func parseSetting(key, text string, t reflect.Type) (any, error) {
	found, err := settingType(key, t)
	if err != nil {
		return nil, err
	}
	value, err := parseValue(text, found)
	if err != nil {
		return nil, err
	}
	tree := map[string]any{}
	lab.Put(tree, key, value)
	if _, problem := checkConfig(tree, &place{}, t); problem != "" {
		return nil, errors.New(problem)
	}
	return value, nil
}

// settingType is the type of the setting with a dotted key. Those of a map have any name.
func settingType(key string, t reflect.Type) (reflect.Type, error) {
	found := t
	for name := range strings.SplitSeq(key, ".") {
		for found.Kind() == reflect.Pointer {
			found = found.Elem()
		}
		var next reflect.Type // nil: there is none
		switch {
		case found.Kind() == reflect.Struct:
			next = configFields(found)[name]
		case found.Kind() == reflect.Map && name != "":
			next = found.Elem()
		}
		if next == nil {
			return nil, fmt.Errorf("unknown key %s%s", printable(key), nearestKey(key, configKeys(t, "")))
		}
		found = next
	}
	return found, nil
}

// parseValue reads a value for a setting of type t: text as it is, a list of values with commas between them, and what
// begins with a bracket as TOML has it.
func parseValue(text string, t reflect.Type) (any, error) {
	kind := t.Kind()
	_, own := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t))
	zero := reflect.Zero(t)
	switch {
	case own || kind == reflect.String:
		return text, nil
	case kind == reflect.Bool:
		if text != "true" && text != "false" {
			return nil, errors.New("the value must be true or false")
		}
		return text == "true", nil
	case zero.CanInt() || zero.CanUint():
		n, err := strconv.ParseInt(text, 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("the value must be from 0 to %d", math.MaxInt64)
		}
		if err != nil {
			return nil, errors.New("the value must be a whole number")
		}
		return n, nil
	case zero.CanFloat():
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, errors.New("the value must be a number")
		}
		return x, nil
	case strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{"):
		return parseTOML(text)
	case kind != reflect.Slice || !scalar(t.Elem()):
		return nil, fmt.Errorf("the value must be %s, as TOML has it: in brackets", kindOfType(t))
	}
	list := []any{}
	for word := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		v, err := parseValue(strings.TrimSpace(word), t.Elem())
		if err != nil {
			return nil, fmt.Errorf("%s in the list: %w", printable(word), err)
		}
		list = append(list, v)
	}
	return list, nil
}

// scalar says whether a type has values of one word.
func scalar(t reflect.Type) bool {
	_, own := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t))
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Interface, reflect.Pointer:
		return own
	}
	return true
}

// parseTOML reads one value in TOML.
func parseTOML(text string) (any, error) {
	const name = "value"
	line := name + " = " + text
	if strings.ContainsAny(text, "\r\n") || len(text) > maxConfigBytes {
		return nil, fmt.Errorf("the value must be one line of at most %d bytes", maxConfigBytes)
	}
	if _, _, err := placesOf(line); err != nil {
		return nil, err
	}
	var values map[string]any
	if _, err := toml.Decode(line, &values); err != nil {
		return nil, errors.New("the value is no TOML, e.g. [1, 2] or {name = \"x\"}")
	}
	return values[name], nil
}

package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/internal/files"
)

// maxConfig is the most that a configuration file may have, in bytes.
const maxConfig = 64 << 10

// loadConfig fills *into from the TOML file at path. Keys the file does not set
// keep the values *into has, so fill in the defaults before. Every error is one
// line with the file, the line where it is known, and the key: a file that
// cannot be read, a syntax error, a value of the wrong type, a key that *into
// does not have (with the nearest that it has).
func loadConfig(path string, into any) error {
	text, err := files.Read(path, maxConfig)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, files.Cause(err))
	}
	meta, err := toml.Decode(string(text), into)
	if err != nil {
		return configError(path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		key := unknown[0].String()
		return fmt.Errorf("%s: unknown key %s%s", position(path, lineOf(string(text), key)), key, nearestKey(key, configKeys(reflect.TypeOf(into), "")))
	}
	var values map[string]any
	if _, err := toml.Decode(string(text), &values); err != nil {
		return configError(path, err)
	}
	if key, value := negative(values, reflect.TypeOf(into), ""); key != "" {
		return fmt.Errorf("%s: %s is %d: it must be at least 0", position(path, lineOf(string(text), key)), key, value)
	}
	return nil
}

// nearestKey is a hint at the key that was meant: one of the same name in another table, or one spelt much like it.
func nearestKey(key string, known []string) string {
	name := key[strings.LastIndex(key, ".")+1:]
	for _, k := range known {
		if k[strings.LastIndex(k, ".")+1:] == name {
			return " (did you mean " + k + "?)"
		}
	}
	return didYouMean(key, known, asIs)
}

// negative finds a negative value of an unsigned field of t, or of a list of such: the TOML library wraps it around to a
// huge one.
func negative(values map[string]any, t reflect.Type, prefix string) (key string, value int64) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		switch v := valueOf(values, name).(type) {
		case int64:
			if v < 0 && unsigned(field.Type) {
				return prefix + name, v
			}
		case []any:
			if value, found := negativeIn(v); found && field.Type.Kind() == reflect.Slice && unsigned(field.Type.Elem()) {
				return prefix + name, value
			}
		case map[string]any:
			if field.Type.Kind() != reflect.Struct {
				continue
			}
			if key, value := negative(v, field.Type, prefix+name+"."); key != "" {
				return key, value
			}
		}
	}
	return "", 0
}

// valueOf is what the TOML library takes for a field: the key of that name, or else one that differs in case alone.
func valueOf(values map[string]any, name string) any {
	if v, ok := values[name]; ok {
		return v
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if strings.EqualFold(key, name) {
			return values[key]
		}
	}
	return nil
}

// negativeIn is the first negative whole number of a list.
func negativeIn(list []any) (value int64, found bool) {
	for _, x := range list {
		if n, whole := x.(int64); whole && n < 0 {
			return n, true
		}
	}
	return 0, false
}

func unsigned(t reflect.Type) bool { return reflect.Zero(t).CanUint() }

var (
	typeProblem = regexp.MustCompile(`^toml: line (\d+) \(last key "(.*?)"\): (.*)$`)
	mismatch    = regexp.MustCompile(`^incompatible types: TOML value has type (.*); destination has type (.*)$`)
)

// configError puts the file and the line first, as compilers do.
func configError(path string, err error) error {
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		key := ""
		if syntax.LastKey != "" {
			key = " (last key " + syntax.LastKey + ")"
		}
		return fmt.Errorf("%s: %s%s", position(path, syntax.Position.Line), syntax.Message, key)
	}
	if match := typeProblem.FindStringSubmatch(err.Error()); match != nil {
		problem := match[3]
		if types := mismatch.FindStringSubmatch(problem); types != nil {
			problem = fmt.Sprintf("the value is of type %s, but must be of type %s", types[1], types[2])
		}
		return fmt.Errorf("%s:%s: %s: %s", path, match[1], match[2], problem)
	}
	return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "toml: "))
}

func position(path string, line int) string {
	if line == 0 {
		return path
	}
	return fmt.Sprintf("%s:%d", path, line)
}

// lineOf finds the line that sets key (dotted), or 0. The TOML library does not
// say where an undecoded key is, so this reads the two usual forms, a [table]
// and a `key = value` in it.
func lineOf(text, key string) int {
	table := ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			header, _, _ := strings.Cut(strings.TrimLeft(line, "["), "]")
			table = strings.TrimSpace(header)
			if strings.EqualFold(table, key) {
				return i + 1
			}
			continue
		}
		name, _, found := strings.Cut(line, "=")
		if !found {
			continue
		}
		name = strings.TrimSpace(name)
		if table != "" {
			name = table + "." + name
		}
		if strings.EqualFold(name, key) {
			return i + 1
		}
	}
	return 0
}

// configKeys lists the dotted keys that a struct type takes from a TOML file.
func configKeys(t reflect.Type, prefix string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		if !field.IsExported() || name == "-" || len(field.Index) > 1 {
			continue
		}
		if field.Anonymous && name == "" {
			keys = append(keys, configKeys(field.Type, prefix)...)
			continue
		}
		if name == "" {
			name = strings.ToLower(field.Name)
		}
		keys = append(keys, prefix+name)
		keys = append(keys, configKeys(field.Type, prefix+name+".")...)
	}
	slices.Sort(keys)
	return keys
}

// override sets *into to the value of the flag called name if the user gave that
// flag, so that flags win over the configuration file and it over defaults:
//
//	override(c, "lr", &config.LearningRate, c.Float64)
func override[T any](c *cli.Context, name string, into *T, value func(string) T) {
	if c.IsSet(name) {
		*into = value(name)
	}
}

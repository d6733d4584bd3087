package main

import (
	"cmp"
	"encoding"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/synapnet/synapnet-train/internal/foreign"
)

// configCheck compares what a file sets with the settings there are, in the order of the file, so that the mistake
// that is told does not depend on the order in which Go's maps give their keys. The TOML library alone would take
// a key in another case, of two keys that differ in case either, at random, and wrap negative numbers around in
// unsigned settings.
type configCheck struct {
	root    reflect.Type
	line    int // of the first mistake so far
	problem string
}

// checkConfig returns the first mistake in values and its line; "" for none.
func checkConfig(values map[string]any, places *place, t reflect.Type) (line int, problem string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	c := &configCheck{root: t}
	c.value(values, places, t, "")
	return c.line, c.problem
}

// wrong notes a mistake. The first line with one is told.
func (c *configCheck) wrong(at *place, format string, args ...any) {
	if c.problem == "" || at.line < c.line {
		c.line, c.problem = at.line, fmt.Sprintf(format, args...)
	}
}

// table checks the keys of a table, which must be those of the settings, letter for letter.
func (c *configCheck) table(values map[string]any, at *place, t reflect.Type, prefix string) {
	fields := configFields(t)
	for _, key := range keysByLine(values, at) {
		if c.problem != "" && at.of(key).line >= c.line {
			return // nothing from here on is above what is told; to compare thousands of keys with each other takes minutes
		}
		if field, ok := fields[key]; ok {
			c.value(values[key], at.of(key), field, prefix+key)
			continue
		}
		shown := prefix + foreign.Word(key)
		if twin := twinOf(key, values, at); twin != "" {
			_, known := fields[twin]
			mend := "leave both out"
			if known {
				mend = "the setting is " + prefix + twin + ", leave the other out"
			}
			c.wrong(at.of(key), "keys %s (line %d) and %s (line %d) differ in case alone: %s",
				prefix+foreign.Word(twin), at.of(twin).line, shown, at.of(key).line, mend)
			continue
		}
		hint := ""
		if _, list := values[key].([]map[string]any); !list { // a list of tables is none of another table
			hint = nearestKey(prefix+key, configKeys(c.root, ""))
		}
		c.wrong(at.of(key), "unknown key %s%s", shown, hint)
	}
}

// twinOf is another key that differs from this one in case alone; of several the first in the file.
func twinOf(key string, values map[string]any, at *place) string {
	for _, other := range keysByLine(values, at) {
		if other != key && strings.EqualFold(other, key) {
			return other
		}
	}
	return ""
}

// keysByLine are the keys of a table from the top of the file down.
func keysByLine(values map[string]any, at *place) []string {
	return slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		return cmp.Or(at.of(a).line-at.of(b).line, strings.Compare(a, b))
	})
}

// value checks that v can be held by a setting of type t.
func (c *configCheck) value(v any, at *place, t reflect.Type, key string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if own, handled := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t)); handled {
		c.text(v, at, own, key)
		return
	}
	switch n := v.(type) {
	case time.Time:
		if t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() {
			c.mismatch(v, at, t, key)
			return
		}
	case int64:
		if c.number(n, at, t, key) {
			return
		}
	case float64:
		if math.IsNaN(n) || math.IsInf(n, 0) {
			c.wrong(at, "%s is %v: it must be a finite number", key, n)
			return
		}
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		values, isTable := v.(map[string]any)
		switch {
		case !isTable:
			c.mismatch(v, at, t, key)
		case t.Kind() == reflect.Struct:
			c.table(values, at, t, strings.TrimPrefix(key+".", "."))
		default:
			for _, k := range keysByLine(values, at) {
				c.value(values[k], at.of(k), t.Elem(), key+"."+foreign.Word(k))
			}
		}
	case reflect.Slice, reflect.Array:
		c.list(v, at, t, key)
	case reflect.Interface:
	default:
		_, fraction := v.(float64)
		_, spelt := v.(string)
		fits := kindOf(v) == kindOfType(t) || fraction && reflect.Zero(t).CanFloat() ||
			spelt && t == reflect.TypeFor[time.Duration]()
		if !fits {
			c.mismatch(v, at, t, key)
		}
	}
}

// text checks a setting that reads itself from text.
func (c *configCheck) text(v any, at *place, into encoding.TextUnmarshaler, key string) {
	s, isText := v.(string)
	if _, isTime := v.(time.Time); isTime && reflect.TypeOf(into) == reflect.TypeFor[*time.Time]() {
		return
	}
	if !isText {
		c.wrong(at, "%s: the value is %s, but must be a string", key, kindOf(v))
	} else if err := into.UnmarshalText([]byte(s)); err != nil {
		c.wrong(at, "%s: %v", key, err)
	}
}

// number checks a whole number for a setting that holds numbers, and says whether it is one.
func (c *configCheck) number(n int64, at *place, t reflect.Type, key string) bool {
	zero := reflect.Zero(t)
	switch {
	case zero.CanInt():
		if zero.OverflowInt(n) {
			c.wrong(at, "%s is %d: it must be from %d to %d", key, n, int64(-1)<<(t.Bits()-1), int64(1)<<(t.Bits()-1)-1)
		}
	case zero.CanUint():
		if n < 0 {
			c.wrong(at, "%s is %d: it must be at least 0", key, n)
		} else if zero.OverflowUint(uint64(n)) {
			c.wrong(at, "%s is %d: it must be at most %d", key, n, uint64(math.MaxUint64)>>(64-t.Bits()))
		}
	case zero.CanFloat():
		most := int64(1) << 53
		if t.Bits() == 32 {
			most = 1 << 24
		}
		if n < -most || n > most {
			c.wrong(at, "%s is %d: more digits than the setting can hold; write it as %g", key, n, float64(n))
		}
	default:
		return false
	}
	return true
}

// list checks a list, or an array of tables, element by element.
func (c *configCheck) list(v any, at *place, t reflect.Type, key string) {
	all := reflect.ValueOf(v)
	if all.Kind() != reflect.Slice {
		c.mismatch(v, at, t, key)
		return
	}
	if t.Kind() == reflect.Array && all.Len() != t.Len() {
		c.wrong(at, "%s has %d values: it must have %d", key, all.Len(), t.Len())
		return
	}
	for i := range all.Len() {
		c.value(all.Index(i).Interface(), at.item(i), t.Elem(), key)
	}
}

func (c *configCheck) mismatch(v any, at *place, t reflect.Type, key string) {
	c.wrong(at, "%s: the value is %s, but must be %s", key, kindOf(v), kindOfType(t))
}

// kindOf names the kind of a value in a TOML file.
func kindOf(v any) string {
	switch v.(type) {
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case string:
		return "a string"
	case bool:
		return "true or false"
	case map[string]any:
		return "a table"
	case time.Time:
		return "a date or a time"
	}
	return "a list"
}

// kindOfType names what a setting takes.
func kindOfType(t reflect.Type) string {
	switch zero := reflect.Zero(t); {
	case zero.CanInt() || zero.CanUint():
		return kindOf(int64(0))
	case zero.CanFloat():
		return "a number"
	case t.Kind() == reflect.String:
		return kindOf("")
	case t.Kind() == reflect.Bool:
		return kindOf(true)
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return kindOf(map[string]any{})
	}
	return kindOf([]any{})
}

// configFields are the types of the settings of a struct by their keys.
func configFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range configFieldList(t) {
		fields[f.key] = f.t
	}
	return fields
}

// configField is one setting: its key, without those of the tables that it is in, its type, and its place in the
// struct.
type configField struct {
	key   string
	t     reflect.Type
	index []int
}

// configFieldList are the settings of a struct in their order. A key is the name in the tag for TOML, without one that
// for JSON. Those of an embedded struct without a name are its own.
func configFieldList(t reflect.Type) []configField {
	var all []configField
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(cmp.Or(field.Tag.Get("toml"), field.Tag.Get("json")), ",")
		inner := field.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-":
		case field.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			for _, f := range configFieldList(inner) {
				all = append(all, configField{f.key, f.t, append([]int{i}, f.index...)})
			}
		case !field.IsExported():
		case name == "":
			all = append(all, configField{strings.ToLower(field.Name), field.Type, []int{i}})
		default:
			all = append(all, configField{name, field.Type, []int{i}})
		}
	}
	return all
}

// configKeys lists the dotted keys that a struct type takes from a TOML file.
func configKeys(t reflect.Type, prefix string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice { // of tables, too
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for _, f := range configFieldList(t) {
		keys = append(keys, prefix+f.key)
		keys = append(keys, configKeys(f.t, prefix+f.key+".")...)
	}
	slices.Sort(keys)
	return keys
}

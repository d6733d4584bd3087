package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// settingsTOML is a struct as a table of a TOML file, which --config takes, in the order of its fields.
func settingsTOML(table string, settings any) string {
	var b strings.Builder
	writeSettings(&b, table, reflect.ValueOf(settings))
	return b.String()
}

// writeSettings writes a table: its own values, then the tables in it. Lists and tables without any are left out, as
// those who want none leave them out.
func writeSettings(b *strings.Builder, table string, v reflect.Value) {
	_, _ = fmt.Fprintf(b, "[%s]\n", table)
	keys, values := settingsOf(v)
	for i, key := range keys {
		if !isTable(values[i]) && !isNone(values[i]) {
			_, _ = fmt.Fprintf(b, "%s = %s\n", key, tomlValue(values[i]))
		}
	}
	for i, key := range keys {
		if isTable(values[i]) && !isNone(values[i]) {
			b.WriteByte('\n')
			writeSettings(b, table+"."+key, values[i])
		}
	}
}

// isNone says whether a setting is a list or a map without values.
func isNone(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

// isTable says whether a setting is a table of its own.
func isTable(v reflect.Value) bool { return !scalar(v.Type()) && v.Kind() != reflect.Slice }

// settingsOf are the keys and values of a struct, or of a map in the order of its keys.
func settingsOf(v reflect.Value) (keys []string, values []reflect.Value) {
	if v.Kind() == reflect.Map {
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			keys, values = append(keys, tomlKey(name.String())), append(values, v.MapIndex(name))
		}
		return keys, values
	}
	for _, f := range configFieldList(v.Type()) {
		if f.t.Kind() != reflect.Pointer { // what need not be there: own data of a pretraining
			keys, values = append(keys, f.key), append(values, v.FieldByIndex(f.index))
		}
	}
	return keys, values
}

// tomlKey is a name of a map as a key, in quotes where TOML wants them.
func tomlKey(name string) string {
	if name != "" && strings.IndexFunc(name, func(r rune) bool { return r > '~' || !isBareKey(byte(r)) }) < 0 {
		return name
	}
	return tomlString(name)
}

// tomlString is a string in quotes: one in JSON is one in TOML.
func tomlString(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil { // none that JSON could not write
		return strconv.Quote(s)
	}
	return strings.ReplaceAll(string(quoted), "\x7f", `\u007f`)
}

// tomlValue is a value on one line.
func tomlValue(v reflect.Value) string {
	switch {
	case isTable(v):
		var all []string
		keys, values := settingsOf(v)
		for i, key := range keys {
			if !isNone(values[i]) {
				all = append(all, key+" = "+tomlValue(values[i]))
			}
		}
		return "{" + strings.Join(all, ", ") + "}"
	case v.Kind() == reflect.Slice:
		var all []string
		for i := range v.Len() {
			all = append(all, tomlValue(v.Index(i)))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case v.CanFloat():
		text := strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
		if !strings.ContainsAny(text, ".eIN") {
			text += ".0"
		}
		return text
	}
	text, spelt := reflect.TypeAssert[encoding.TextMarshaler](v)
	word := fmt.Sprint(v.Interface())
	if spelt {
		if own, err := text.MarshalText(); err == nil { // none is kept that it could not write
			word = string(own)
		}
	} else if v.Kind() != reflect.String {
		return word
	}
	return tomlString(word)
}

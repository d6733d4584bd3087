package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/files"
)

// loadConfig fills *into from the TOML file at path. Keys the file does not set
// keep the values *into has, so fill in the defaults before. Every error is one
// line with the file, the line where it is known, and the key: a file that
// cannot be read, a syntax error, a value of the wrong type, a key that *into
// does not have (with the nearest that it has). A key in another case is not the
// key: `LR` is unknown where `lr` is a setting, so that no file has two of one.
func loadConfig(path string, into any) error {
	text, err := readConfig(path)
	if err != nil {
		return err
	}
	return decodeConfig(path, text, into)
}

// configure fills *into from the file of --config, if there is one.
func configure(c *cli.Context, into any) error {
	path := c.String("config")
	if path == "" {
		return nil
	}
	if err := loadConfig(path, into); err != nil {
		return usagef(c, "%v", err)
	}
	return nil
}

// settingError is an error of settings, those that conf points to, in the words of the command line: that of the flag
// or of the file that gave the value, with its line. flags are those of the settings that have one.
func settingError(c *cli.Context, conf any, flags []setting, err error) error {
	if err == nil {
		return nil
	}
	file := c.String("config")
	bad, ok := errors.AsType[*bounds.Error](err)
	if !ok {
		return usagef(c, "%v", ofFile(file, err.Error(), err))
	}
	names, problem := flagNames(conf, flags), bad.Problem
	for key, flag := range names { // other settings that it names
		problem = strings.ReplaceAll(problem, "`"+key+"`", dashed(flag))
	}
	problem = strings.ReplaceAll(problem, "`", "")
	switch flag := names[bad.Setting]; {
	case flag != "" && (c.IsSet(flag) || file == ""):
		return usagef(c, "%s %s: %s", dashed(flag), strings.Trim(fmt.Sprint(bad.Value), "[]"), problem)
	case file != "":
		return usagef(c, "%v", ofFile(file, bad.Setting, bad))
	}
	return usagef(c, "%v; set it in a --config FILE", bad)
}

// ofFile puts the place of a configuration file before an error, if the file sets the key that a message begins with.
func ofFile(path, message string, err error) error {
	if path == "" {
		return err
	}
	text, unread := readConfig(path)
	if unread != nil {
		return fmt.Errorf("%w; %w", err, unread)
	}
	return fmt.Errorf("%s: %w", position(path, lineIn(text, message)), err)
}

// lineIn is the line of the key that a message begins with in the text of a configuration file; 0: there is none.
func lineIn(text, message string) int {
	places, _, _ := placesOf(text) // within its bounds, or it would have no settings
	return places.find(message)
}

// readConfig reads a configuration file.
func readConfig(path string) (string, error) {
	text, err := files.Read(path, maxConfigBytes)
	if err != nil {
		return "", fmt.Errorf("configuration %s: %w", path, files.Cause(err))
	}
	if mark := string(text[:min(2, len(text))]); mark == "\xff\xfe" || mark == "\xfe\xff" {
		return "", fmt.Errorf("%s: it is text in UTF-16, by the mark that it begins with: save it as UTF-8", path)
	}
	return string(text), nil
}

// decodeConfig fills *into from the text of the TOML file at path.
func decodeConfig(path, text string, into any) error {
	if _, _, err := checkedConfig(path, text, reflect.TypeOf(into)); err != nil {
		return err
	}
	if _, err := toml.Decode(text, into); err != nil {
		return configError(path, err)
	}
	return nil
}

// checkedConfig are the values in the text of the TOML file at path, which settings of type t take, and their places.
func checkedConfig(path, text string, t reflect.Type) (values map[string]any, places *place, err error) {
	places, line, err := placesOf(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", position(path, line), err)
	}
	if _, err := toml.Decode(text, &values); err != nil {
		return nil, nil, configError(path, err)
	}
	if line, problem := checkConfig(values, places, t); problem != "" {
		return nil, nil, fmt.Errorf("%s: %s", position(path, line), problem)
	}
	return values, places, nil
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

// configError puts the file and the line first, as compilers do.
func configError(path string, err error) error {
	if syntax, ok := errors.AsType[toml.ParseError](err); ok {
		at := position(path, syntax.Position.Line)
		if word, ok := strings.CutSuffix(syntax.Message, " is out of range for int64"); ok {
			limit := "most a TOML file can hold is 9223372036854775807"
			if strings.HasPrefix(word, "-") {
				limit = "least a TOML file can hold is -9223372036854775808"
			}
			return fmt.Errorf("%s: %s is %s: the %s", at, syntax.LastKey, word, limit)
		}
		if twice, ok := strings.CutSuffix(syntax.Message, " has already been defined."); ok {
			return fmt.Errorf("%s: %s is given twice: leave one out", at, strings.ToLower(twice[:1])+twice[1:])
		}
		key := ""
		if syntax.LastKey != "" && len(syntax.LastKey) <= maxKeyBytes {
			key = " (last key " + syntax.LastKey + ")"
		}
		return fmt.Errorf("%s: %s%s", at, syntax.Message, key)
	}
	return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "toml: "))
}

func position(path string, line int) string {
	if line == 0 {
		return path
	}
	return fmt.Sprintf("%s:%d", path, line)
}

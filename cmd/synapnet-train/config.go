package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

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

// configured is an error if the settings of a command line are not valid. It names the file and the line of --config if
// what that gave, without the flags, is wrong in the same way.
func configured[C interface{ Validate() error }](c *cli.Context, settings, file C) error {
	err := settings.Validate()
	if err == nil {
		return nil
	}
	if wrong := file.Validate(); c.IsSet("config") && wrong != nil && wrong.Error() == err.Error() {
		err = ofFile(c.String("config"), err)
	}
	return usagef(c, "%v", err)
}

// ofFile puts before an error of settings the file, and the line and the table of the key that it begins with, if the
// file sets that.
func ofFile(path string, err error) error {
	text, unread := readConfig(path)
	if unread != nil {
		return fmt.Errorf("%w; %w", err, unread)
	}
	places, _, _ := placesOf(text) // within its bounds, or it would have no settings
	line, table := places.find(err.Error())
	return fmt.Errorf("%s: %s%w", position(path, line), table, err)
}

// readConfig reads a configuration file.
func readConfig(path string) (string, error) {
	text, err := files.Read(path, maxConfigBytes)
	if err != nil {
		return "", fmt.Errorf("configuration %s: %w", path, files.Cause(err))
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

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"
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

// readConfig reads a configuration file, of which it takes no more than a
// configuration can have.
func readConfig(path string) (string, error) {
	text, err := func() ([]byte, error) {
		info, err := os.Stat(path) // opening a pipe would wait for its writer
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() && !info.IsDir() {
			return nil, errors.New("not a file but a pipe or a device; give a file")
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // it was only read
		return io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	}()
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return "", fmt.Errorf("configuration %s: %w", path, err)
	}
	if len(text) > maxConfigBytes {
		return "", fmt.Errorf("configuration %s: larger than %d kB, the most a configuration may have; is it the right file?",
			path, maxConfigBytes>>10)
	}
	return string(text), nil
}

// decodeConfig fills *into from the text of the TOML file at path.
func decodeConfig(path, text string, into any) error {
	places, line, err := placesOf(text)
	if err != nil {
		return fmt.Errorf("%s: %w", position(path, line), err)
	}
	var values map[string]any
	if _, err := toml.Decode(text, &values); err != nil {
		return configError(path, err)
	}
	if line, problem := checkConfig(values, places, reflect.TypeOf(into)); problem != "" {
		return fmt.Errorf("%s: %s", position(path, line), problem)
	}
	if _, err := toml.Decode(text, into); err != nil {
		return configError(path, err)
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
	return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "toml: "))
}

func position(path string, line int) string {
	if line == 0 {
		return path
	}
	return fmt.Sprintf("%s:%d", path, line)
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

package main

import (
	"fmt"
	"reflect"

	"github.com/urfave/cli/v2"
)

// setting is a setting of a configuration that has a flag.
type setting struct {
	flag, usage string
	field       any // a pointer to its field in the configuration
}

// settingsFlags are the flags of settings. Their defaults are what the fields hold.
func settingsFlags(settings []setting) []cli.Flag {
	flags := make([]cli.Flag, len(settings))
	for i, s := range settings {
		flags[i] = s.declare()
	}
	return flags
}

func (s setting) declare() cli.Flag {
	switch v := s.field.(type) {
	case *bool:
		return &cli.BoolFlag{Name: s.flag, Usage: s.usage, Value: *v}
	case *int:
		return &cli.IntFlag{Name: s.flag, Usage: s.usage, Value: *v}
	case *uint64:
		return &cli.Uint64Flag{Name: s.flag, Usage: s.usage, Value: *v}
	case *float64:
		return &cli.Float64Flag{Name: s.flag, Usage: s.usage, Value: *v}
	case *[]int:
		return &cli.IntSliceFlag{Name: s.flag, Usage: s.usage, Value: cli.NewIntSlice(*v...)}
	case *[]uint64:
		return &cli.Uint64SliceFlag{Name: s.flag, Usage: s.usage, Value: cli.NewUint64Slice(*v...)}
	case *[]float64:
		return &cli.Float64SliceFlag{Name: s.flag, Usage: s.usage, Value: cli.NewFloat64Slice(*v...)}
	case *[]string:
		return &cli.StringSliceFlag{Name: s.flag, Usage: s.usage, Value: cli.NewStringSlice(*v...)}
	}
	return &cli.StringFlag{Name: s.flag, Usage: s.usage, Value: s.text()}
}

// text is the setting's value in messages.
func (s setting) text() string { return fmt.Sprint(reflect.ValueOf(s.field).Elem()) }

// override sets those settings whose flags the user gave, so that flags win over the configuration file and it over
// defaults.
func override(c *cli.Context, settings ...setting) {
	for _, s := range settings {
		if c.IsSet(s.flag) {
			field := reflect.ValueOf(s.field).Elem()
			field.Set(reflect.ValueOf(flagValue(c, s.flag)).Convert(field.Type()))
		}
	}
}

// flagValue is what a flag holds; of a list a slice.
func flagValue(c *cli.Context, name string) any {
	switch v := c.Value(name).(type) {
	case cli.IntSlice:
		return v.Value()
	case cli.Uint64Slice:
		return v.Value()
	case cli.Float64Slice:
		return v.Value()
	case cli.StringSlice:
		return v.Value()
	default:
		return v
	}
}

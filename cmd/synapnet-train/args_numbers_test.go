package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// given runs a command line of the program, in which every command only notes the value of the flag called name.
func given(t *testing.T, name string, words ...string) (value any, code int, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	app := newApp(&out, &errs)
	for _, command := range app.Commands {
		command.Action = func(c *cli.Context) error {
			value = c.Value(name)
			return nil
		}
	}
	code = runApp(t.Context(), app, append([]string{program}, words...))
	return value, code, errs.String()
}

// wholeFlags calls f for every flag of every command that takes whole numbers, and fails at a kind of flag that
// isWhole does not know.
func wholeFlags(t *testing.T, f func(command string, flag cli.Flag)) {
	t.Helper()
	n := 0
	for _, command := range newApp(new(bytes.Buffer), new(bytes.Buffer)).Commands {
		for _, flag := range command.Flags {
			switch kind := flag.(type) {
			case *cli.BoolFlag, *cli.StringFlag, *cli.StringSliceFlag, *cli.Float64Flag, *cli.Float64SliceFlag,
				*cli.DurationFlag,
				*cli.GenericFlag:
			default:
				if !isWhole(flag) {
					t.Fatalf("%s: a flag of kind %T, of which isWhole does not know whether it takes whole numbers", command.Name,
						kind)
				}
				n++
				f(command.Name, flag)
			}
			// normalise does not see what comes from elsewhere.
			if documented, ok := flag.(cli.DocGenerationFlag); ok && len(documented.GetEnvVars()) > 0 {
				t.Errorf("%s --%s: its value may come from the environment, where 064 is octal", command.Name, flag.Names()[0])
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d flags that take whole numbers", n)
	}
}

// Every flag of every command that takes whole numbers reads them as decimal, in each form in which it may be given.
func TestWholeNumbersAreDecimal(t *testing.T) {
	wholeFlags(t, func(command string, f cli.Flag) {
		for _, name := range f.Names() {
			lines := map[string][]string{
				"123": {"0123", "000123", "+123", "+0123", strings.Repeat("0", 5000) + "123"},
				"8":   {"08", "8", "0008"},
				"0":   {"0", "00", "+0"},
			}
			for want, values := range lines {
				if isList(f) {
					want = "[" + want + "]"
				}
				for _, value := range values {
					for _, words := range [][]string{{command, dashed(name), value}, {command, dashed(name) + "=" + value},
						{command, "-" + name, value}} {
						got, code, stderr := given(t, name, words...)
						if code != exitOK || shownValue(got) != want {
							t.Fatalf("%.60s: got %v, want %s (%d %.200s)", words, shownValue(got), want, code, stderr)
						}
					}
				}
			}
			if !isList(f) {
				continue
			}
			for _, words := range [][]string{{command, dashed(name), "064", "0128"}, {command, dashed(name) + "=064,0128"},
				{command, dashed(name), "064, 0128"}} {
				if got, code, stderr := given(t, name, words...); code != exitOK || shownValue(got) != "[64 128]" {
					t.Errorf("%v: got %v (%d %s)", words, shownValue(got), code, stderr)
				}
			}
		}
	})
}

// shownValue is a flag's value as text, also that of a list, which urfave/cli gives in a type of its own.
func shownValue(v any) string {
	if got := reflect.ValueOf(&v).Elem().Elem(); got.Kind() == reflect.Struct {
		p := reflect.New(got.Type())
		p.Elem().Set(got)
		return fmt.Sprint(p.MethodByName("Value").Call(nil)[0])
	}
	return fmt.Sprint(v)
}

// Other notations are refused: a message names the flag, the value, and the number in digits where it is one to Go.
func TestOtherNotationsAreRefused(t *testing.T) {
	wholeFlags(t, func(command string, f cli.Flag) {
		name := dashed(f.Names()[0])
		for value, want := range map[string]string{
			"0x10": " 0x10: numbers are decimal, digits alone; give e.g. " + name + " 16", "0b11": "; give e.g. " + name + " 3",
			"0o17":  "; give e.g. " + name + " 15",
			"1_000": "; give e.g. " + name + " 1000", "1e3": " 1e3: not a whole number", "1.0": ": not a whole number",
			"":  "not a whole number",
			"+": "not a whole number", "+-1": "not a whole number", "１": "not a whole number", "1 2": "not a whole number",
			"x\x1b":                 `"x\u001b": not a whole number`,
			strings.Repeat("9", 30): "out of range",
		} {
			_, code, stderr := given(t, f.Names()[0], command, name+"="+value)
			if code != exitUsage || !strings.Contains(stderr, program+": "+name+" ") || !strings.Contains(stderr, want) ||
				strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s %s=%s: %d %s", command, name, value, code, stderr)
			}
		}
	})
}

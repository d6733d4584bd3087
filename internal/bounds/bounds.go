// Package bounds checks that the values of settings are such as can work. Its errors know the setting by its key, so
// that whoever took the value can say where it stands: behind a flag, in a file, in a table of other settings.
package bounds

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/internal/spelling"
)

// Error is a value that a setting cannot have.
type Error struct {
	Setting string // its key; of one in a table the names of the tables in front of it, with dots between them
	Value   any
	Problem string // what it must be, or what is wrong, and the mend; keys of other settings in backquotes
}

// Error is one line that names the setting, the value and what is allowed.
func (e *Error) Error() string {
	return fmt.Sprintf("%s is %s: %s", e.Setting, e.Text(), strings.ReplaceAll(e.Problem, "`", ""))
}

// Text is the value as messages show it.
func (e *Error) Text() string {
	if v := reflect.ValueOf(e.Value); v.Kind() == reflect.String {
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(e.Value)
}

// Wrong is the *Error of a setting.
func Wrong(setting string, value any, format string, args ...any) error {
	return &Error{setting, value, fmt.Sprintf(format, args...)}
}

// In is err, of settings that are in a table of that name.
func In(table string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{table + "." + e.Setting, e.Value, e.Problem}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", table, err)
	}
	return nil
}

// Check is an *Error of a value that is not from least to most; a number that is none is not. Of the largest float64
// all that is finite is allowed.
func Check[T int | float64](setting string, value, least, most T) error {
	switch {
	case value >= least && value <= most:
		return nil
	case float64(most) == math.MaxFloat64:
		return Wrong(setting, value, "it must be at least %v and finite", least)
	}
	return Wrong(setting, value, "it must be from %v to %v", least, most)
}

// AtLeast is an *Error of the first value below least.
func AtLeast[T cmp.Ordered](setting string, least T, values ...T) error {
	for _, v := range values {
		if v < least {
			return Wrong(setting, v, "it must be at least %v", least)
		}
	}
	return nil
}

// Share is an *Error of the first value that is not above 0 and at most 1.
func Share(setting string, values ...float64) error { return Above(setting, 1, values...) }

// Above is an *Error of the first value that is not above 0 and at most most. Of the largest float64 all that is finite
// is allowed.
func Above(setting string, most float64, values ...float64) error {
	for _, v := range values {
		switch {
		case v > 0 && v <= most:
		case most == math.MaxFloat64:
			return Wrong(setting, v, "it must be above 0 and finite")
		default:
			return Wrong(setting, v, "it must be above 0 and at most %v", most)
		}
	}
	return nil
}

// List is an *Error of a list without values, or with one twice.
func List[T comparable](setting string, values ...T) error {
	if len(values) == 0 {
		return Wrong(setting, values, "give at least one value")
	}
	return Once(setting, values...)
}

// Once is an *Error of a list that has a value twice.
func Once[T comparable](setting string, values ...T) error {
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			return Wrong(setting, values, "%v is given twice, give each once", v)
		}
	}
	return nil
}

// fewNames is how many names a message lists.
const fewNames = 16

// Known is an *Error of the first value that is not among the known ones.
func Known[S, K ~string](setting string, known []K, values ...S) error {
	for _, v := range values {
		if !slices.Contains(known, K(v)) {
			near, all := spelling.Nearest(K(v), known), strings.ReplaceAll(strings.Trim(fmt.Sprint(known), "[]"), " ", ", ")
			switch {
			case len(known) == 1:
				return Wrong(setting, v, "it must be %s", all)
			case len(known) > fewNames:
				return Wrong(setting, v, "did you mean %q?", near)
			}
			return Wrong(setting, v, "it must be one of %s; did you mean %q?", all, near)
		}
	}
	return nil
}

// Names is an *Error of a list of known names: Known and List.
func Names[S, K ~string](setting string, known []K, values ...S) error {
	return cmp.Or(Known(setting, known, values...), List(setting, values...))
}

// Decay is an *Error of what cannot be the decay rate of a moment: it must leave some of what is new.
func Decay(setting string, rate float64) error {
	if rate >= 0 && rate <= 1-1e-9 {
		return nil
	}
	return Wrong(setting, rate, "it must be at least 0 and below 1")
}

package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synapnet/synapnet-train/experiments/result"
)

// format is how the values of a metric are written: alike in the whole table, so that they can be held against each
// other.
type format struct {
	unit   string
	prefix string  // before the unit, for values that would be too small to read
	factor float64 // that the prefix stands for
	whole  bool    // they are counts, or 1 for yes and 0 for no
}

// prefixed are the units that take a prefix.
var prefixed = []string{"J/token"}

// formatOf is the format of a metric's values among all measurements of a table.
func formatOf(metric string, all []result.Measurement) format {
	f := plain("")
	f.whole = true
	largest := 0.
	for _, m := range all {
		if m.Metric != metric {
			continue
		}
		f.unit = m.Unit
		f.whole = f.whole && m.Unit == "1" && m.N == 1 && m.Interval == nil && m.Mean == math.Trunc(m.Mean)
		largest = max(largest, math.Abs(m.Mean))
	}
	if slices.Contains(prefixed, f.unit) && largest > 0 && largest < 0.1 {
		f.prefix, f.factor = "m", 1e3
		if largest < 1e-4 {
			f.prefix, f.factor = "µ", 1e6
		}
	}
	return f
}

// plain is the format of a value that stands for itself.
func plain(unit string) format { return format{unit: unit, factor: 1} }

// heading is the unit as headings show it, "" for none.
func (f format) heading() string { return f.prefix + unitName(f.unit) }

func (f format) value(x float64) string {
	if f.whole {
		return digits(x)
	}
	return value(x*f.factor, f.unit)
}

func (f format) withStd(mean, std float64) string {
	if std == 0 {
		return f.value(mean)
	}
	return f.value(mean) + " ± " + f.value(std)
}

func (f format) signed(x float64) string {
	s := f.value(x)
	if x >= 0 {
		return "+" + s
	}
	return s
}

func (f format) span(iv *result.Interval) string {
	return fmt.Sprintf("[%s, %s]", f.value(iv.Low), f.value(iv.High))
}

// unitName is a unit as headings show it; "" where values show it themselves or have none.
func unitName(unit string) string {
	switch unit {
	case "1", "bytes":
		return ""
	case "us":
		return "µs"
	case "x":
		return "×"
	}
	return unit
}

// value writes a number of a unit: shares with three decimals, bytes with a prefix, others, and counts, with four
// digits.
func value(x float64, unit string) string {
	switch {
	case unit == "1" && math.Abs(x) < 10:
		return minus(fmt.Sprintf("%.3f", x))
	case unit == "bytes":
		return bytesText(x)
	}
	return digits(x)
}

func bytesText(x float64) string {
	prefix, size := bytePrefix(math.Abs(x))
	if size == 1 {
		return minus(fmt.Sprintf("%.0f", x)) + " " + prefix
	}
	return digits(x/size) + " " + prefix
}

// bytePrefix is the unit in which a number of bytes is written, and its size in bytes.
func bytePrefix(x float64) (unit string, size float64) {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	i, size := 0, 1.
	for i < len(units)-1 && x >= 1000*size {
		i, size = i+1, 1000*size
	}
	return units[i], size
}

// digits writes a number with four significant digits, and all before the decimal point.
func digits(x float64) string {
	return significant(x, 4)
}

// significant writes a number with n significant digits, and all before the decimal point; a whole one without a
// fraction.
func significant(x float64, n int) string {
	a := math.Abs(x)
	switch {
	case x == math.Trunc(x) && a < 1e15 || a >= math.Pow(10, float64(n-1)):
		return thousands(minus(fmt.Sprintf("%.0f", x)))
	case a >= 1e-4:
		return minus(fmt.Sprintf("%.*f", n-1-int(math.Floor(math.Log10(a))), x))
	}
	return minus(fmt.Sprintf("%.2e", x))
}

// thousands puts narrow spaces between groups of three digits of a whole number of more than four.
func thousands(s string) string {
	digits := strings.TrimPrefix(s, "−")
	sign := s[:len(s)-len(digits)]
	if len(digits) < 5 {
		return s
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// minus writes signs as typographers do, and no sign before a zero.
func minus(s string) string {
	if strings.HasPrefix(s, "-") && strings.Trim(s[1:], "0.") == "" {
		return s[1:]
	}
	return strings.ReplaceAll(s, "-", "−")
}

// Package bounds checks that the values of settings are such as can work.
package bounds

import "fmt"

// Check is an error, which names the setting, its value and what is allowed, of a value that is not from least to most;
// a number that is none is not.
func Check[T int | float64](setting string, value, least, most T) error {
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("%s is %v: it must be from %v to %v", setting, value, least, most)
}

// Share is an error of a value that is not above 0 and at most 1.
func Share(setting string, value float64) error {
	if value > 0 && value <= 1 {
		return nil
	}
	return fmt.Errorf("%s is %v: it must be above 0 and at most 1", setting, value)
}

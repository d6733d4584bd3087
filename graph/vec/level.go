package vec

import (
	"fmt"
	"os"
)

// level is an instruction set the kernels exist for, in rising order.
type level int

const (
	levelGo level = iota
	levelAVX2
	levelAVX512
)

var levelNames = [...]string{levelGo: "go", levelAVX2: "avx2", levelAVX512: "avx512"}

func (l level) String() string { return levelNames[l] }

// EnvLevel is the environment variable that can force a lower level: avx512,
// avx2 or go. It is read once, at start.
const EnvLevel = "SYNAPNET_SIMD"

var (
	best               = bestLevel()
	active, envProblem = chooseLevel(os.Getenv(EnvLevel), best)
)

// Level returns the name of the instruction set in use: avx512, avx2 or go.
func Level() string { return active.String() }

// EnvProblem returns one line saying why the value of SYNAPNET_SIMD was not
// followed, or "" if there is nothing to say. A program should print it once.
func EnvProblem() string { return envProblem }

// SetLevel makes name, one of avx512, avx2 and go, the level in use and returns
// a function that restores the former one. It is meant for tests and benchmarks
// that run at every level, and must not be called while kernels run.
func SetLevel(name string) (restore func(), err error) {
	l, problem := chooseLevel(name, best)
	if problem != "" || name == "" {
		return nil, fmt.Errorf("vec: level %q is unknown or not available; allowed here are %v", name, Levels())
	}
	former := active
	active = l
	return func() { active = former }, nil
}

// Levels returns the names of the levels this build and CPU offer, from the
// portable one up.
func Levels() []string { return levelNames[:best+1] }

// chooseLevel returns the level the value asks for. A value that names no level
// or one the CPU lacks leaves the best level and is reported in problem.
func chooseLevel(value string, best level) (chosen level, problem string) {
	if value == "" {
		return best, ""
	}
	for l, name := range levelNames {
		if value != name {
			continue
		}
		if level(l) > best {
			return best, EnvLevel + "=" + value + ": not available in this build or on this CPU; using " + best.String()
		}
		return level(l), ""
	}
	return best, EnvLevel + "=" + value + ": unknown level; allowed are avx512, avx2 and go; using " + best.String()
}

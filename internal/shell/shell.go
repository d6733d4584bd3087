// Package shell writes command lines that can be pasted into a POSIX shell.
package shell

import (
	"regexp"
	"strings"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// Word is s as it is typed in a command line that can be pasted into a POSIX shell.
func Word(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// called is the name that the program was called by.
var called = "synapnet-train"

// CalledAs says by which name the program was called (os.Args[0]), for CommandLine. It is for main, before anything
// else runs; "" changes nothing.
func CalledAs(name string) {
	if name != "" {
		called = name
	}
}

// CommandLine is a command of this program that can be pasted into a POSIX shell: every command that messages ask for
// is made by it, with the name that the program was called by, since bin/synapnet-train is not found as synapnet-train.
func CommandLine(words ...string) string {
	var line strings.Builder
	line.WriteString(Word(called))
	for _, w := range words {
		line.WriteString(" " + Word(w))
	}
	return line.String()
}

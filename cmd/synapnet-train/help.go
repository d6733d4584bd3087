package main

import (
	"embed"
	"strings"
)

//go:embed help/*.md
var helpTexts embed.FS

// helpText is the description of a command, a file of help, with values in place of what stands for them there: pairs
// of both.
func helpText(command string, values ...string) string {
	text, err := helpTexts.ReadFile("help/" + command + ".md")
	if err != nil {
		panic(err) // the program was built without it
	}
	return strings.NewReplacer(values...).Replace(strings.TrimSuffix(string(text), "\n"))
}

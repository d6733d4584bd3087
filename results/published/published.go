// Package published holds the figures of the SynapNet-Edge paper as its public repository ships them, so that reports
// can print them beside ours wherever the program runs.
package published

import (
	"embed"

	"github.com/tidwall/gjson"
)

//go:embed *.json 130m/*.json
var files embed.FS

// Get is what the file of the given name has at a path in the syntax of gjson; it does not exist where the file has
// nothing there. The files are part of the program: it panics if there is none of the name.
func Get(name, path string) gjson.Result {
	text, err := files.ReadFile(name)
	if err != nil {
		panic("published figures: " + err.Error())
	}
	return gjson.GetBytes(text, path)
}

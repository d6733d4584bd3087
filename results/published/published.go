// Package published holds the figures of the SynapNet-Edge paper as its public repository ships them, so that reports
// can print them beside ours wherever the program runs.
package published

import (
	"embed"
	"encoding/json"
	"fmt"
)

//go:embed *.json 130m/*.json
var files embed.FS

// Must is what the file of the given name has, e.g. "eval_history.json", as a T. The files are part of the program: it
// panics if there is none of the name, or if it does not have the form of T.
func Must[T any](name string) (v T) {
	text, err := files.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		panic(fmt.Sprintf("published figures %s: %v", name, err))
	}
	return v
}

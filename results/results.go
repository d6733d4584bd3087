// Package results holds the form of the files in this folder: one JSON file an experiment, valid under schema.json.
package results

import _ "embed"

// Schema is the JSON Schema (draft 2020-12) of a result file, results/schema.json.
//
//go:embed schema.json
var Schema []byte

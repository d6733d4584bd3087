// Package configs holds configurations of trainings, in the form that --config reads. Those that are recipes are part
// of the program.
package configs

import _ "embed"

// Strong is the recipe `strong`, strong.toml.
//
//go:embed strong.toml
var Strong string

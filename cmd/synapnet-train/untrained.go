package main

import (
	"fmt"
	"strings"

	"github.com/synapnet/synapnet-train/graph"
)

// untrainedLine tells, once a run, of the parameters that no step changes, the first few by name.
func untrainedLine(params []*graph.Param) string {
	const named = 3
	var names []string
	for _, p := range params[:min(named, len(params))] {
		names = append(names, p.Name)
	}
	line := strings.Join(names, ", ")
	if more := len(params) - named; more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("no gradient reaches %s at any length of the curriculum: their values stay as they begin", line)
}

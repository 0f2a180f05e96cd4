package config

import (
	"cmp"
	"slices"

	"thingbridge/mapping"
)

// Problem is one fault of a configuration, or a warning about it; it prints as
// FILE:LINE:COL: path: problem; expected ….
type Problem = mapping.Problem

// Errors reports whether there is a problem among them that is not a warning.
func Errors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// inOrder sorts problems by their place and drops repetitions.
func inOrder(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(problems)
}

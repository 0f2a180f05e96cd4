package mapping

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one fault of a configuration, or a warning about it. File, Line
// and Col may be empty where the text did not come from a file.
type Problem struct {
	File      string
	Line, Col int
	Path      string // profiles[1].services.Reset.request.topic
	Message   string // what is wrong
	Expected  string // what would be right; may be empty
	Warning   bool
}

// String gives FILE:LINE:COL: path: problem; expected ….
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			b.WriteByte(':')
			b.WriteString(strconv.Itoa(p.Line))
			b.WriteByte(':')
			b.WriteString(strconv.Itoa(p.Col))
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Expected != "" {
		b.WriteString("; expected ")
		b.WriteString(p.Expected)
	}
	return b.String()
}

// Error is String.
func (p Problem) Error() string { return p.String() }

// ClashError says that a Thing name is taken: by a device of another profile or
// source, or, as platform names have no case, by one that differs only in case.
type ClashError struct {
	Thing  string // the name asked for
	Have   string // the name that stands
	Other  string // profile and topic that announced the one that stands
	Source string // profile and topic that ask now
}

func (e *ClashError) Error() string {
	if e.Have != e.Thing {
		return fmt.Sprintf("thing %q of %s: %q of %s has the name already (the platform does not tell upper case from lower)", e.Thing, e.Source, e.Have, e.Other)
	}
	return fmt.Sprintf("thing %q of %s: %s has the name already", e.Thing, e.Source, e.Other)
}

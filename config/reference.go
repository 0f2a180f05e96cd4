package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// A configuration text may hold references: ${env:NAME} stands for the value of
// an environment variable, ${file:PATH} for the content of a file. One final
// newline of a file is cut, what was put in is not scanned again, and $${ is a
// literal ${.

// maxReferenceFile bounds a file that a reference names.
const maxReferenceFile = 1 << 20

// refKind says what a part of a text is.
type refKind int

const (
	refLiteral refKind = iota
	refEnv
	refFile
)

type refPart struct {
	kind refKind
	text string // the literal, the variable's name or the file's path
}

// ReferenceError says that what a reference names cannot be read.
type ReferenceError struct {
	Reference string // "${file:/run/secrets/key}"
	Err       error
}

func (e *ReferenceError) Error() string { return fmt.Sprintf("read %s: %v", e.Reference, e.Err) }

// Unwrap gives the cause.
func (e *ReferenceError) Unwrap() error { return e.Err }

var (
	errUnset     = errors.New("the environment variable is not set")
	errNotFile   = errors.New("not a regular file")
	errLargeFile = errors.New("larger than 1 MiB")
)

// scanReferences cuts s into its parts. An error names what is wrong with a
// reference, not the text around it, which may be secret.
func scanReferences(s string) ([]refPart, error) {
	var parts []refPart
	literal := func(t string) {
		if n := len(parts); n > 0 && parts[n-1].kind == refLiteral {
			parts[n-1].text += t
		} else if t != "" {
			parts = append(parts, refPart{refLiteral, t})
		}
	}
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			literal(s)
			return parts, nil
		}
		if i > 0 && s[i-1] == '$' {
			literal(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		literal(s[:i])
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			return nil, errors.New("a reference ${ is not closed")
		}
		kind, name, _ := strings.Cut(s[i+2:i+end], ":")
		switch {
		case kind == "env" && name != "":
			parts = append(parts, refPart{refEnv, name})
		case kind == "file" && name != "":
			parts = append(parts, refPart{refFile, name})
		default:
			return nil, errors.New("a reference ${ is neither ${env:NAME} nor ${file:PATH}")
		}
		s = s[i+end+1:]
	}
}

// fill joins the parts, each reference replaced by what it stands for now.
func fill(parts []refPart) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		text, err := p.read()
		if err != nil {
			return "", &ReferenceError{Reference: p.String(), Err: err}
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (p refPart) read() (string, error) {
	switch p.kind {
	case refEnv:
		text, ok := os.LookupEnv(p.text)
		if !ok {
			return "", errUnset
		}
		return text, nil
	case refFile:
		return readSmallFile(p.text)
	default:
		return p.text, nil
	}
}

// String gives the reference as it is written; a literal is not shown.
func (p refPart) String() string {
	switch p.kind {
	case refEnv:
		return "${env:" + p.text + "}"
	case refFile:
		return "${file:" + p.text + "}"
	default:
		return masked
	}
}

// readSmallFile reads a regular file of at most 1 MiB and cuts one final newline.
func readSmallFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", pathCause(err)
	}
	if !info.Mode().IsRegular() {
		return "", errNotFile
	}
	f, err := os.Open(path)
	if err != nil {
		return "", pathCause(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxReferenceFile+1))
	if err != nil {
		return "", pathCause(err)
	}
	if len(b) > maxReferenceFile {
		return "", errLargeFile
	}
	text := strings.TrimSuffix(string(b), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// pathCause takes the path out of an error whose reader names it already.
func pathCause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

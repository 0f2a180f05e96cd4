package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// masked is what a secret prints.
const masked = "<secret>"

// maskStands and maskWanted are said of a secret that is the mask.
const (
	maskStands = "is the mask that stands for a secret in printed configurations"
	maskWanted = "the secret, or a reference to it"
)

// Secret is a text that must not be seen: an application key, a password, a
// token. It keeps where the text comes from and reads it again at each Resolve.
// Every way of printing it gives <secret>, or nothing when it is not set.
//
// The text is inside a function, because packages that print unexported fields
// by reflection follow pointers, but of a function they see only the address.
// The zero Secret is not set.
type Secret struct{ parts func() []refPart }

func secretOf(parts []refPart) Secret { return Secret{func() []refPart { return parts }} }

// NewSecret makes a Secret of a text that may hold ${env:NAME} and ${file:PATH};
// an empty text gives the zero Secret.
func NewSecret(text string) (Secret, error) {
	if text == "" {
		return Secret{}, nil
	}
	parts, err := scanReferences(text)
	if err != nil {
		return Secret{}, err
	}
	return secretOf(parts), nil
}

// LiteralSecret makes a Secret of the text itself; nothing in it is a reference.
func LiteralSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return secretOf([]refPart{{refLiteral, text}})
}

// IsSet reports whether there is anything to resolve.
func (s Secret) IsSet() bool { return s.parts != nil }

// Literal reports whether any part of the secret stands in the configuration itself.
func (s Secret) Literal() bool {
	if s.parts == nil {
		return false
	}
	return slices.ContainsFunc(s.parts(), func(p refPart) bool { return p.kind == refLiteral })
}

// ErrEmptySecret says that a secret's file or variable is there and empty.
var ErrEmptySecret = errors.New("the secret is empty")

// Resolve reads the secret now. It gives "" for a Secret that is not set,
// a *ReferenceError when a file or variable is missing, and ErrEmptySecret
// when nothing is in it. It may be called from any goroutine.
func (s Secret) Resolve() (string, error) {
	if s.parts == nil {
		return "", nil
	}
	text, err := fill(s.parts())
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", fmt.Errorf("%s: %w", s.references(), ErrEmptySecret)
	}
	return text, nil
}

// files lists the files that the secret is read from.
func (s Secret) files() []string {
	if s.parts == nil {
		return nil
	}
	var files []string
	for _, p := range s.parts() {
		if p.kind == refFile {
			files = append(files, p.text)
		}
	}
	return files
}

// references gives the references of the secret, its literals masked.
func (s Secret) references() string {
	var b strings.Builder
	for _, p := range s.parts() {
		b.WriteString(p.String())
	}
	return b.String()
}

// String gives <secret>, or "" when it is not set.
func (s Secret) String() string {
	if s.parts == nil {
		return ""
	}
	return masked
}

// Format prints <secret> for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// GoString gives <secret>.
func (s Secret) GoString() string { return s.String() }

// MarshalText gives <secret>, also for JSON and XML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML gives <secret>.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue gives <secret>.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

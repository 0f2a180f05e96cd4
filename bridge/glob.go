package bridge

import (
	"crypto/rand"
	"encoding/binary"
	"strings"

	"thingbridge/bridge/permit"
)

// globs is a list of patterns with * (any run of characters) and ? (one byte).
type globs struct {
	patterns []string
	fold     bool // compare without case
}

func newGlobs(patterns []string, fold bool) globs {
	g := globs{fold: fold}
	for _, p := range patterns {
		if fold {
			p = strings.ToLower(p)
		}
		g.patterns = append(g.patterns, p)
	}
	return g
}

func (g globs) match(name string) bool {
	if len(g.patterns) == 0 {
		return false
	}
	if g.fold {
		name = strings.ToLower(name)
	}
	for _, p := range g.patterns {
		if permit.Match(p, name) {
			return true
		}
	}
	return false
}

// permission is an allow list and a deny list; deny wins, an empty allow list
// allows all.
type permission struct{ allow, deny globs }

func (p permission) permits(name string) bool {
	if p.deny.match(name) {
		return false
	}
	return len(p.allow.patterns) == 0 || p.allow.match(name)
}

// NewRequestID returns a request id that nobody can guess: 128 random bits in
// base 32, fit for a topic level.
func NewRequestID() string { return rand.Text() }

// NewNumericRequestID returns an unguessable number from 1 to 2^53-1, which
// every JSON reader keeps exactly.
func NewNumericRequestID() int64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:])
		if n := int64(binary.BigEndian.Uint64(b[:]) >> 11); n > 0 {
			return n
		}
	}
}

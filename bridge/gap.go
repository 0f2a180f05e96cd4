package bridge

import (
	"errors"
	"sync"
)

// gaps remembers the Things of which the outbox refused a message that the
// broker will deliver again. What follows for them on the same connection is not
// kept either, so that all of it comes again, in order, on the next.
type gaps struct {
	mu      sync.Mutex // guards the following
	session uint64     // the connection that the Things are of
	things  map[string]struct{}
}

var errGap = errors.New("an earlier message of the Thing could not be kept")

// open notes that a message with these records was refused.
func (g *gaps) open(m *Message, recs []Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session != m.Session || g.things == nil {
		g.session, g.things = m.Session, map[string]struct{}{}
	}
	for i := range recs {
		g.things[recs[i].Thing] = struct{}{}
	}
}

// has reports whether one of the records must wait for the next connection.
func (g *gaps) has(m *Message, recs []Record) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session != m.Session {
		return false
	}
	for i := range recs {
		if _, ok := g.things[recs[i].Thing]; ok {
			return true
		}
	}
	return false
}

// comesAgain reports whether the broker delivers m once more when it stays
// unacknowledged and the connection is made anew.
func (b *Bridge) comesAgain(r *receipt) bool {
	if r == nil || r.m.QoS == 0 || r.m.Session == 0 {
		return false
	}
	_, ok := b.bus.(Reconnector)
	return ok
}

// unkept forgets that values were learnt which the outbox refused: retained
// ones must not pass for unchanged when they come again.
func (b *Bridge) unkept(recs []Record, of []*thing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, t := range of {
		if t == nil || recs[i].Data[0] != recordValues {
			continue
		}
		vals, err := decodeValues(nil, recs[i].Data, func(name []byte) string { return string(name) })
		if err != nil {
			continue
		}
		for j := range vals {
			if k := t.knownLocked(vals[j].Name); k != nil {
				k.unkept = true
			}
		}
	}
}

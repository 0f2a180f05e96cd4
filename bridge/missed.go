package bridge

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	missedPause = 200 * time.Millisecond // between two times of asking: many devices often share a topic
	missedMost  = 10_000                 // filters that wait; with more it asks at once
)

// missed are the filters on which the broker may have told what it retains before
// a device was known that hears them too: who is offline, and last values. The
// Bus is asked for that once more, for many devices together.
type missed struct {
	mu      sync.Mutex // guards the following
	filters map[string]struct{}
	planned bool // take is
	asked   time.Time
}

// ask notes filters to be asked for.
func (m *missed) ask(b *Bridge, filters []string) {
	if len(filters) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.filters == nil {
		m.filters = map[string]struct{}{}
	}
	for _, f := range filters {
		m.filters[f] = struct{}{}
	}
	wait := missedPause - time.Since(m.asked)
	if m.planned && len(m.filters) < missedMost {
		return
	}
	if len(m.filters) >= missedMost {
		wait = 0
	}
	m.planned = true
	b.timers.after(max(0, wait), func() { m.take(b) })
}

// take asks the Bus. It runs on the keeper's goroutine, so what the keeper was told
// to subscribe before is subscribed.
func (m *missed) take(b *Bridge) {
	m.mu.Lock()
	filters := slices.Sorted(maps.Keys(m.filters))
	m.filters, m.planned, m.asked = nil, false, time.Now()
	m.mu.Unlock()
	if r, ok := b.bus.(Refresher); ok && len(filters) > 0 {
		b.refresh(r, filters)
	}
}

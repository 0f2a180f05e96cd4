package bridge

import (
	"strings"
	"sync"
	"time"

	"thingbridge/mapping"
)

// gatherLongest is how many times as long as a rule's gather its device waits at
// most, when more of its announcement comes all the time.
const gatherLongest = 10

// gatherer waits until nothing more comes of what announces a device in several
// messages, so that the device is made once and not for each of them. What waits
// is the Engine's and bounded there. The messages are retained: they come again
// with every connection, so nobody waits for them to be kept.
type gatherer struct {
	b *Bridge

	mu      sync.Mutex // guards the following
	waiting map[string]*gatherWait
}

type gatherWait struct {
	due, last time.Time
}

func newGatherer(b *Bridge) *gatherer {
	return &gatherer{b: b, waiting: map[string]*gatherWait{}}
}

// more says that a part of a Thing's announcement came.
func (g *gatherer) more(e *mapping.Gathering) {
	g.b.mu.Lock()
	if t := g.b.things[e.Thing]; t != nil {
		g.b.sawLocked(t) // its announcement is there
	}
	g.b.mu.Unlock()
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.waiting[e.Thing]
	if w != nil {
		w.due = earlier(now.Add(e.After), w.last)
		return
	}
	w = &gatherWait{due: now.Add(e.After), last: now.Add(gatherLongest * e.After)}
	g.waiting[e.Thing] = w
	g.b.timers.after(e.After, func() { g.look(e.Thing, w) })
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// look announces the device, unless more came meanwhile. It runs on the keeper's goroutine.
func (g *gatherer) look(name string, w *gatherWait) {
	g.mu.Lock()
	if left := time.Until(w.due); left > 0 {
		g.mu.Unlock()
		g.b.timers.after(left, func() { g.look(name, w) })
		return
	}
	delete(g.waiting, name)
	g.mu.Unlock()
	b := g.b
	b.life.Lock()
	defer b.unlockLife()
	for _, e := range b.engine.Load().Gathered(name, time.Now()) {
		switch e := e.(type) {
		case *mapping.Announced:
			b.metrics.announcements.Inc()
			b.announceLocked(e, nil)
		case *mapping.Left:
			b.leave(e.Thing, "device left", "", func(error) {})
		case *mapping.Rejected:
			b.note(func() { b.rejected(e, b.sourceOf(e.Thing)) })
		}
	}
}

// sourceOf names the topic that announced a Thing, for people.
func (b *Bridge) sourceOf(name string) string {
	if d := b.engine.Load().Device(name); d != nil && len(d.Sources) > 0 {
		return strings.Clone(d.Sources[0])
	}
	return ""
}

package bridge

import (
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

	mu         sync.Mutex // guards the following
	waiting    map[string]*gatherWait
	incomplete map[string]string // Things that are looked at again, and the topic that came last
}

type gatherWait struct {
	due, last time.Time
	topic     string // that came last
}

// incompleteTime is how long a device may take to say all of itself, before it is
// told that something is missing: brokers deliver what they keep filter by filter.
const incompleteTime = 30 * time.Second

func newGatherer(b *Bridge) *gatherer {
	return &gatherer{b: b, waiting: map[string]*gatherWait{}, incomplete: map[string]string{}}
}

// more says that a part of a Thing's announcement came on topic.
func (g *gatherer) more(e *mapping.Gathering, topic string) {
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
		w.due, w.topic = earlier(now.Add(e.After), w.last), topic
		return
	}
	w = &gatherWait{due: now.Add(e.After), last: now.Add(gatherLongest * e.After), topic: topic}
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
	topic := w.topic
	g.mu.Unlock()
	g.announce(name, topic, func(e *mapping.Rejected) { g.lookAgain(name, topic, e) })
}

// lookAgain tells later what a device still lacks then, and at once where as many
// wait for that as there may be Things. life is held.
func (g *gatherer) lookAgain(name, topic string, lacks *mapping.Rejected) {
	g.mu.Lock()
	_, planned := g.incomplete[name]
	full := !planned && len(g.incomplete) >= g.b.inForce().limits.Things
	if !full {
		g.incomplete[name] = topic
	}
	g.mu.Unlock()
	if full {
		g.b.note(func() { g.b.rejected(lacks, topic) })
		return
	}
	if planned {
		return
	}
	g.b.timers.after(incompleteTime, func() {
		g.mu.Lock()
		topic := g.incomplete[name]
		delete(g.incomplete, name)
		_, more := g.waiting[name]
		g.mu.Unlock()
		if !more {
			g.announce(name, topic, func(e *mapping.Rejected) { g.b.note(func() { g.b.rejected(e, topic) }) })
		}
	})
}

// announce makes the device of what was gathered.
func (g *gatherer) announce(name, topic string, incomplete func(*mapping.Rejected)) {
	b := g.b
	b.life.Lock()
	defer b.unlockLife()
	for _, e := range b.engine.Load().Gathered(name, time.Now()) {
		b.announcement(e, topic, incomplete)
	}
}

package bridge

import (
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/mapping"
)

// awaited are the topics on which the broker retains a part of what announces a
// device, as far as none of them came on the present connection. Those that did not
// come when the broker has told all that it retains were cleared while nobody
// listened. Devices that one message announces are not in it: marker.sweep sees to them.
type awaited struct {
	some atomic.Bool // there are topics: spares every message the lock

	mu     sync.Mutex // guards the following
	topics map[string]struct{}
}

// begin notes what is awaited on a connection that is about to be made.
func (a *awaited) begin(topics map[string]struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.topics = topics
	a.some.Store(len(topics) > 0)
}

// came notes that the broker has something on a topic.
func (a *awaited) came(topic string) {
	if !a.some.Load() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.topics, topic)
}

func (a *awaited) has(topic string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.topics[topic]
	return ok
}

// awaitParts begins a connection for the parts of the devices that are known.
func (b *Bridge) awaitParts() {
	topics := map[string]struct{}{}
	b.mu.Lock()
	for _, t := range b.things {
		if len(t.device.Parts) < 2 {
			continue
		}
		for i := range t.device.Parts {
			if p := &t.device.Parts[i]; p.Retained {
				topics[p.Source] = struct{}{}
			}
		}
	}
	b.mu.Unlock()
	b.awaited.begin(topics)
}

// lostParts are the topics of one Thing's announcement that may be cleared.
type lostParts struct {
	thing  string
	topics []string
}

// sweepParts takes away what announces a part of a device and is no longer
// retained. It is the end of marker.sweep, which has seen to whole devices. life is held.
func (b *Bridge) sweepParts(epoch uint64) {
	lost := b.lostParts()
	if len(lost) == 0 {
		b.awaited.begin(nil)
		return
	}
	r, ok := b.bus.(Refresher)
	if b.marker.told.Load() == epoch || !ok {
		b.dropParts(lost)
		b.awaited.begin(nil)
		return
	}
	b.verifyParts(r, epoch, lost)
}

func (b *Bridge) lostParts() (lost []lostParts) {
	if !b.awaited.some.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.things {
		if t.leaving || t.wiped || len(t.device.Parts) < 2 {
			continue
		}
		l := lostParts{thing: t.name}
		for i := range t.device.Parts {
			if p := &t.device.Parts[i]; p.Retained && b.awaited.has(p.Source) {
				l.topics = append(l.topics, p.Source)
			}
		}
		if l.topics != nil {
			lost = append(lost, l)
		}
	}
	return lost
}

// verifyParts asks for the topics by name, some at a time, before they count as cleared.
func (b *Bridge) verifyParts(r Refresher, epoch uint64, lost []lostParts) {
	var topics []string
	n := 0
	for ; n < len(lost) && len(topics) < verifyBatch; n++ {
		topics = append(topics, lost[n].topics...)
	}
	b.askAgain(r, epoch, topics, func() {
		b.life.Lock()
		defer b.unlockLife()
		if b.marker.epoch.Load() != epoch {
			return
		}
		b.dropParts(lost[:n])
		if n < len(lost) {
			b.verifyParts(r, epoch, lost[n:])
			return
		}
		b.awaited.begin(nil)
	})
}

// dropParts has devices announced anew without the parts that are cleared. life is held.
func (b *Bridge) dropParts(lost []lostParts) {
	for _, l := range lost {
		effects := b.engine.Load().Without(l.thing, b.awaited.has, time.Now())
		if len(effects) == 0 {
			continue
		}
		b.note(func() {
			b.log.Info("parts of an announcement left while nobody listened", "thing", l.thing, "topic", mapping.TopicsText(l.topics, " "))
		})
		for _, e := range effects {
			b.announcement(e, l.topics[0], nil)
		}
	}
}

// announcement carries out what the Engine made of announcements that came before.
// incomplete is told what a device lacks still; it may be nil. life is held.
func (b *Bridge) announcement(e mapping.Effect, topic string, incomplete func(*mapping.Rejected)) {
	switch e := e.(type) {
	case *mapping.Announced:
		b.metrics.announcements.Inc()
		b.announceLocked(e, nil)
	case *mapping.Left:
		b.keeper.forgetLater(e.Thing)
		b.leave(e.Thing, "device left", topic, func(error) {})
	case *mapping.Rejected:
		if e.Reason == mapping.ReasonIncomplete && incomplete != nil {
			incomplete(e)
			return
		}
		b.note(func() { b.rejected(e, topic) })
	}
}

package bridge

import (
	"crypto/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/mapping"
)

// MQTT has no mark for the end of the retained messages. The Bridge makes one:
// after each SUBACK it publishes a nonce to a topic of its own. What the broker
// kept was queued before it, so once the nonce comes back, and markerSettle has
// passed, a Thing whose announcement is retained but did not come has left; of one
// that several messages announce, those that did not come are taken away (awaited.go).
//
// Some brokers (RabbitMQ 3.10) send what they retain to a topic's own filter and
// not to one with wildcards. So unless something retained came by itself, the
// topics of those that are missing are subscribed one by one before they leave.
//
// Whether an announcement that came live is retained, MQTT 3.1.1 does not say. So
// a Bus that is a Refresher is asked for its topic once more: what is retained
// comes again, with the flag. Without that, it is learnt at the next connection.

const (
	markerSettle   = 3 * time.Second
	markerRetry    = 10 * time.Second
	markerPatience = 5 * time.Second        // without the marker, what is retained counts as told
	probePause     = 500 * time.Millisecond // between two batches
	probeBatch     = 200
	probeQueue     = 100_000
	verifyBatch    = 2000 // topics of missing Things asked for at a time
)

type marker struct {
	name  atomic.Pointer[string] // of its topic; "" none
	epoch atomic.Uint64          // counts connections to the broker, from 1

	refreshed atomic.Uint64 // the epoch in which topics were last subscribed once more
	told      atomic.Uint64 // the epoch in which something retained last came by itself
	deaf      atomic.Bool   // the broker does not send what it retains to filters with wildcards

	// mu guards the following.
	mu     sync.Mutex
	nonce  string
	then   func() // what the nonce's return begins
	probes []string
	asked  map[string]struct{} // the same
	busy   bool                // a batch of probes is planned
}

func (k *marker) init(clientID string) {
	k.rename(clientID)
	k.epoch.Store(1)
}

// rename gives the marker the topic of another client id.
func (k *marker) rename(clientID string) {
	topic := ""
	if clientID != "" {
		topic = "thingbridge/" + clientID + "/marker"
	}
	k.name.Store(&topic)
}

func (k *marker) topic() string { return *k.name.Load() }

// nextEpoch begins a connection: announcements seen before do not count for it.
func (k *marker) nextEpoch() { k.epoch.Add(1) }

// sendMarker finds out when the broker has told all that it retains.
func (b *Bridge) sendMarker() {
	epoch := b.marker.epoch.Load()
	if b.marker.topic() == "" {
		b.told(epoch)
		b.settle()
		return
	}
	b.settleLater()
	b.awaitMarker(func() {
		b.told(epoch)
		b.settle()
		b.timers.after(markerSettle, func() { b.sweep(epoch) })
	})
}

// awaitMarker publishes a nonce, again until it comes back on the present
// connection, and runs then with the timers. A later one takes its place.
func (b *Bridge) awaitMarker(then func()) {
	k := &b.marker
	epoch, nonce := k.epoch.Load(), rand.Text()
	k.mu.Lock()
	k.nonce, k.then = nonce, then
	k.mu.Unlock()
	b.bus.Publish(Publication{Topic: k.topic(), Payload: []byte(nonce), QoS: 1, Expires: time.Now().Add(markerRetry)}, nil)
	b.timers.after(markerRetry, func() {
		k.mu.Lock()
		again := k.nonce == nonce && k.epoch.Load() == epoch
		k.mu.Unlock()
		if again {
			b.awaitMarker(then)
		}
	})
}

// markerBack reports whether m is on the marker's topic, and goes on when it is
// the nonce that was sent.
func (b *Bridge) markerBack(m *Message) bool {
	k := &b.marker
	if k.topic() == "" || m.Topic != k.topic() {
		if m.Retained && k.refreshed.Load() != k.epoch.Load() {
			k.told.Store(k.epoch.Load())
		}
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.nonce != "" && string(m.Payload) == k.nonce {
		b.timers.after(0, k.then)
		k.nonce, k.then = "", nil
	}
	return true
}

// settle lets the Things be bound that were announced before the broker had told
// all that it retains: until then an offline that is retained too may be on its
// way, and a Thing whose device is gone would be bound for a moment.
func (b *Bridge) settle() {
	var early []string
	b.mu.Lock()
	for _, t := range b.things {
		if t.early {
			t.early = false
			early = append(early, t.name)
		}
	}
	b.settled, b.settling = true, false
	b.mu.Unlock()
	for _, name := range early {
		b.keeper.dirty(name)
	}
}

// unsettle has Things that are announced by retained messages wait once more:
// what they retain besides is on its way too. It lasts until the marker comes
// back that BusUp sends when the filters are subscribed.
func (b *Bridge) unsettle() {
	b.mu.Lock()
	up := b.busUp
	b.remark, b.settled = up, false
	b.mu.Unlock()
	if up {
		b.settleLater()
	}
}

// settleLater settles without the marker, for a broker that does not let it through.
func (b *Bridge) settleLater() {
	b.mu.Lock()
	plan := !b.settled && !b.settling
	b.settling = b.settling || plan
	b.mu.Unlock()
	if plan {
		b.timers.after(markerPatience, b.settle)
	}
}

// sawLocked notes that the Thing's announcement came on the present connection.
func (b *Bridge) sawLocked(t *thing) {
	t.seenEpoch = b.marker.epoch.Load()
	if t.wiped {
		t.wiped = false
		b.saver.thing(t.name, nil)
	}
}

// stays notes that the broker still retains something on the topic that
// announced a Thing, though it is no announcement at present.
func (b *Bridge) stays(thing string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.things[thing]; t != nil {
		b.sawLocked(t)
	}
}

// sweep makes Things leave whose retained announcement is no longer there. A
// broker that lost the session and most announcements with it was restarted
// without its memory: then nobody left, and the Things stay until their devices
// say otherwise.
func (b *Bridge) sweep(epoch uint64) {
	b.life.Lock()
	defer b.unlockLife()
	if b.marker.epoch.Load() != epoch {
		return
	}
	var gone []*thing
	retained := 0
	b.mu.Lock()
	for _, t := range b.things {
		if t.leaving || t.wiped || !retains(t.device) {
			continue
		}
		retained++
		if t.seenEpoch < epoch && !b.keeper.isLate(t.name) {
			gone = append(gone, t)
		}
	}
	forgetful := len(gone)*2 > retained && b.sessionLost()
	for _, t := range gone {
		t.wiped = forgetful
		if forgetful {
			b.saver.thing(t.name, nil)
		}
	}
	gone = slices.DeleteFunc(gone, func(t *thing) bool { return !t.device.Retained }) // of these, parts
	b.mu.Unlock()
	if forgetful {
		b.awaited.begin(nil)
		b.note(func() {
			b.log.Warn("broker lost its retained announcements; the Things stay", "missing", len(gone), "of", retained)
		})
		return
	}
	if b.marker.told.Load() == epoch {
		b.missing(gone)
		b.sweepParts(epoch)
		return
	}
	b.verify(epoch, gone)
}

// retains reports whether the broker retains something of what announced a device.
func retains(d *mapping.Device) bool {
	return slices.ContainsFunc(d.Parts, func(p mapping.Part) bool { return p.Retained })
}

// missing makes Things leave whose announcements are gone. b.life is held.
func (b *Bridge) missing(gone []*thing) {
	for _, t := range gone {
		b.leave(t.name, "device left while nobody listened", "", func(error) {})
	}
}

// verify asks for the announcements of Things that may be gone by their topics,
// some at a time, and makes those leave whose announcements do not come.
func (b *Bridge) verify(epoch uint64, gone []*thing) {
	r, ok := b.bus.(Refresher)
	if !ok || len(gone) == 0 {
		b.missing(gone)
		b.sweepParts(epoch)
		return
	}
	var topics []string
	n := 0
	b.mu.Lock()
	for ; n < len(gone) && len(topics) < verifyBatch; n++ {
		topics = append(topics, gone[n].device.Sources...)
	}
	b.mu.Unlock()
	asked, rest := gone[:n], gone[n:]
	b.askAgain(r, epoch, topics, func() { b.verified(epoch, asked, rest) })
}

// askAgain subscribes topics once more and goes on when what is retained on them
// must have come, unless the connection is another by then.
func (b *Bridge) askAgain(r Refresher, epoch uint64, topics []string, then func()) {
	b.refresh(r, topics)
	r.Refreshed(func() {
		b.timers.after(0, func() {
			if b.marker.epoch.Load() == epoch {
				b.awaitMarker(func() { b.timers.after(markerSettle, then) })
			}
		})
	})
}

// verified is the end of verify for the Things that were asked for.
func (b *Bridge) verified(epoch uint64, asked, rest []*thing) {
	b.life.Lock()
	defer b.unlockLife()
	if b.marker.epoch.Load() != epoch {
		return
	}
	b.mu.Lock()
	gone := slices.DeleteFunc(slices.Clone(asked), func(t *thing) bool {
		return b.things[t.name] != t || t.leaving || !t.device.Retained || t.seenEpoch >= epoch
	})
	here := 0
	for _, t := range asked {
		if b.things[t.name] == t && t.seenEpoch >= epoch {
			here++
		}
	}
	b.mu.Unlock()
	if here > 0 && !b.marker.deaf.Swap(true) {
		b.note(func() {
			b.log.Warn("the broker does not send what it retains to topic filters with wildcards; a device that announced itself"+
				" before the bridge first ran is found only when it announces itself again", "found", here)
		})
	}
	b.missing(gone)
	b.verify(epoch, rest)
}

// refresh has topics subscribed once more.
func (b *Bridge) refresh(r Refresher, topics []string) {
	b.marker.refreshed.Store(b.marker.epoch.Load())
	r.Refresh(topics...)
}

// sessionLost reports whether the broker is known to have made a new session.
func (b *Bridge) sessionLost() bool {
	s, ok := b.bus.(SessionKeeper)
	return ok && !s.SessionKept()
}

// probe finds out whether the live announcements of t are retained.
func (k *marker) probe(b *Bridge, t *thing) {
	b.mu.Lock()
	d := t.device
	b.mu.Unlock()
	if _, ok := b.bus.(Refresher); !ok || d.Retained || k.topic() == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range d.Parts {
		p := &d.Parts[i]
		if _, known := k.asked[p.Source]; known || p.Retained || len(k.probes) >= probeQueue {
			continue
		}
		if k.asked == nil {
			k.asked = map[string]struct{}{}
		}
		k.asked[p.Source] = struct{}{}
		k.probes = append(k.probes, p.Source)
	}
	if !k.busy && len(k.probes) > 0 {
		k.busy = true
		b.timers.after(probePause, func() { k.probeNext(b) })
	}
}

func (k *marker) probeNext(b *Bridge) {
	k.mu.Lock()
	n := min(probeBatch, len(k.probes))
	batch := k.probes[:n:n]
	k.probes = k.probes[n:]
	for _, topic := range batch {
		delete(k.asked, topic)
	}
	if n == 0 {
		k.busy, k.probes = false, nil
	}
	k.mu.Unlock()
	if n == 0 {
		return
	}
	if r, ok := b.bus.(Refresher); ok {
		b.refresh(r, batch)
	}
	b.timers.after(probePause, func() { k.probeNext(b) })
}

package bridge

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"
)

// MQTT has no mark for the end of the retained messages. The Bridge makes one:
// after each SUBACK it publishes a nonce to a topic of its own. What the broker
// kept was queued before it, so once the nonce comes back, and markerSettle has
// passed, a Thing whose announcement is retained but did not come has left.
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
)

type marker struct {
	topic string
	epoch atomic.Uint64 // counts connections to the broker, from 1

	// mu guards the following.
	mu     sync.Mutex
	nonce  string
	sentAt uint64 // the epoch of nonce
	probes []string
	asked  map[string]struct{} // the same
	busy   bool                // a batch of probes is planned
}

func (k *marker) init(clientID string) {
	if clientID != "" {
		k.topic = "thingbridge/" + clientID + "/marker"
	}
	k.epoch.Store(1)
}

// nextEpoch begins a connection: announcements seen before do not count for it.
func (k *marker) nextEpoch() { k.epoch.Add(1) }

// sendMarker publishes a nonce, and again until it comes back.
func (b *Bridge) sendMarker() {
	k := &b.marker
	if k.topic == "" {
		b.settle()
		return
	}
	b.settleLater()
	epoch, nonce := k.epoch.Load(), rand.Text()
	k.mu.Lock()
	k.nonce, k.sentAt = nonce, epoch
	k.mu.Unlock()
	b.bus.Publish(Publication{Topic: k.topic, Payload: []byte(nonce), QoS: 1, Expires: time.Now().Add(markerRetry)}, nil)
	b.timers.after(markerRetry, func() {
		k.mu.Lock()
		again := k.nonce == nonce && k.epoch.Load() == epoch
		k.mu.Unlock()
		if again {
			b.sendMarker()
		}
	})
}

// markerBack reports whether m is on the marker's topic, and starts the sweep
// when it is the nonce that was sent.
func (b *Bridge) markerBack(m *Message) bool {
	k := &b.marker
	if k.topic == "" || m.Topic != k.topic {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.nonce != "" && string(m.Payload) == k.nonce {
		k.nonce = ""
		epoch := k.sentAt
		b.timers.after(0, b.settle)
		b.timers.after(markerSettle, func() { b.sweep(epoch) })
	}
	return true
}

// settle lets the Things be bound that were announced before the broker had told
// all that it retains: until then an offline that is retained too may be on its
// way, and a Thing whose device is gone would be bound for a moment.
func (b *Bridge) settle() {
	var early []string
	b.mu.Lock()
	if !b.settled {
		for _, t := range b.things {
			if t.early {
				early = append(early, t.name)
			}
		}
	}
	b.settled = true
	b.mu.Unlock()
	for _, name := range early {
		b.keeper.dirty(name)
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
		if !t.device.Retained || t.leaving || t.wiped {
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
	b.mu.Unlock()
	if forgetful {
		b.note(func() {
			b.log.Warn("broker lost its retained announcements; the Things stay", "missing", len(gone), "of", retained)
		})
		return
	}
	for _, t := range gone {
		b.leave(t.name, "device left while nobody listened", "", func(error) {})
	}
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
	if _, ok := b.bus.(Refresher); !ok || d.Retained || k.topic == "" {
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
		r.Refresh(batch...)
	}
	b.timers.after(probePause, func() { k.probeNext(b) })
}

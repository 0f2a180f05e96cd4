package bridge

import (
	"time"

	"thingbridge/mapping"
)

// hold keeps a Thing's values back, or no longer. That is kept before its message
// is acknowledged.
func (b *Bridge) hold(e *mapping.Hold, r *receipt) {
	b.mu.Lock()
	t := b.things[e.Thing]
	if t == nil {
		b.early.change(e.Thing, func(s *earlySaid) { s.hold = e.On })
		b.mu.Unlock()
		return
	}
	t.holdEpoch, t.unsure = b.marker.epoch.Load(), false
	b.mu.Unlock()
	if b.sched.holdBack(e.Thing, e.On) {
		b.savePresence(t, r)
	}
}

// sleep has what is sent to a Thing's device wait, or no longer.
func (b *Bridge) sleep(e *mapping.Sleep, r *receipt) {
	b.mu.Lock()
	t := b.things[e.Thing]
	woke, change := false, false
	if t == nil {
		b.early.change(e.Thing, func(s *earlySaid) { s.asleep = e.On })
	} else {
		woke = (t.asleep || t.unheard) && !e.On
		change = t.asleep != e.On
		t.asleep, t.unheard = e.On, t.unheard && e.On
	}
	b.mu.Unlock()
	if change {
		b.savePresence(t, r)
	}
	if woke {
		b.timers.after(0, func() { b.relay.awake(e.Thing) })
	}
}

// awakeTime is how long after a message a sleeping device still listens.
const awakeTime = 5 * time.Second

// sleeps tells how long calls wait for a Thing's device, and whether they have to.
func (b *Bridge) sleeps(t *thing) (wait time.Duration, sleeps bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait = t.device.QueueFor
	sleeps = t.unheard || time.Since(t.lastSeen) > awakeTime
	if t.device.SleepTold {
		sleeps = t.asleep
	}
	return wait, wait > 0 && sleeps
}

// doubtLocked keeps back what the broker retains of a Thing whose device may say
// that it is still initialising: brokers deliver what they retain in any order, so
// the word may be on its way. Bridge.mu is held.
func (b *Bridge) doubtLocked(t *thing) {
	epoch := b.marker.epoch.Load()
	if b.toldEpoch == epoch || t.holdEpoch == epoch || t.unsure || !b.engine.Load().Watches(t.name).Hold {
		return
	}
	b.sched.mu.Lock()
	defer b.sched.mu.Unlock()
	if t.flow.hold {
		return
	}
	t.unsure, t.flow.hold = true, true
	b.recountLocked(t)
	if !b.doubting {
		b.doubting = true
		b.timers.after(markerPatience, b.noDoubt)
	}
}

// told ends all doubt of a connection: the broker has told what it retains.
func (b *Bridge) told(epoch uint64) {
	b.mu.Lock()
	b.toldEpoch = epoch
	b.mu.Unlock()
	b.noDoubt()
}

// noDoubt lets the values go that doubtLocked keeps back.
func (b *Bridge) noDoubt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.doubting {
		return
	}
	b.doubting = false
	b.sched.mu.Lock()
	defer b.sched.mu.Unlock()
	for _, t := range b.things {
		if t.unsure {
			t.unsure, t.flow.hold = false, false
			b.sched.listLocked(&t.flow)
			b.recountLocked(t)
		}
	}
}

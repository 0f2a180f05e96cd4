package bridge

import "thingbridge/mapping"

// hold keeps a Thing's values back, or no longer.
func (b *Bridge) hold(e *mapping.Hold) {
	b.mu.Lock()
	if b.things[e.Thing] == nil {
		b.early.change(e.Thing, func(s *earlySaid) { s.hold = e.On })
	}
	b.mu.Unlock()
	b.sched.holdBack(e.Thing, e.On)
}

// sleep has what is sent to a Thing's device wait, or no longer.
func (b *Bridge) sleep(e *mapping.Sleep) {
	b.mu.Lock()
	t := b.things[e.Thing]
	woke := false
	if t == nil {
		b.early.change(e.Thing, func(s *earlySaid) { s.asleep = e.On })
	} else {
		woke = (t.asleep || t.unheard) && !e.On
		t.asleep, t.unheard = e.On, t.unheard && e.On
	}
	b.mu.Unlock()
	if woke {
		b.timers.after(0, func() { b.relay.awake(e.Thing) })
	}
}

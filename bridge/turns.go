package bridge

import (
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// turns runs the Engine's sessions: protocols that need to see one message after
// the other. All of it is the bus's goroutine's; the keeper's timer and what the
// bus tells of its connection come to it by Bus.Between. Bridge.work guards it
// too, for Reload.
type turns struct {
	b        *Bridge
	sessions *mapping.Sessions // nil: no profile has one
	timer    *timer
	due      time.Time // of timer
}

// message hands a message to the session that it is of, and gives the profiles
// that listen to what came of it; false: it is of no session.
func (t *turns) message(in *mapping.Input, r *receipt) (heard []string, taken bool) {
	if t.sessions == nil {
		return nil, false
	}
	turn := mapping.Turn{Now: in.Now}
	if !t.sessions.Message(in, &turn) {
		return nil, false
	}
	return t.run(&turn, r), true
}

// connected and disconnected tell the sessions, in their place among the messages.
func (t *turns) connected(kept bool) {
	t.later(func(turn *mapping.Turn) { t.sessions.Connected(kept, turn) })
}

func (t *turns) disconnected() {
	t.later(func(turn *mapping.Turn) { t.sessions.Disconnected(turn) })
}

func (t *turns) later(tell func(*mapping.Turn)) {
	t.b.bus.Between(func() {
		t.b.work.Lock()
		defer t.b.work.Unlock()
		if t.sessions == nil || t.b.stopping.Load() {
			return
		}
		turn := mapping.Turn{Now: time.Now()}
		tell(&turn)
		t.run(&turn, nil)
	})
}

// ending has those sessions give out what they keep back that do not go on with
// another Engine: it was acknowledged when it came. work is held.
func (t *turns) ending(next *mapping.Engine) {
	if ending := next.Ending(t.sessions); ending != nil {
		turn := mapping.Turn{Now: time.Now()}
		ending.Disconnected(&turn)
		t.run(&turn, nil)
	}
}

// reloaded goes over to the sessions of another Engine. Those that go on do; new
// ones are told that they know nothing. work is held.
func (t *turns) reloaded(e *mapping.Engine) {
	sessions, fresh := e.SessionsAfter(t.sessions)
	t.sessions = sessions
	if fresh == nil {
		return
	}
	t.b.mu.Lock()
	up := t.b.busUp
	t.b.mu.Unlock()
	if up {
		t.later(func(turn *mapping.Turn) { fresh.Connected(false, turn) })
	}
}

// run carries out a turn; it gives the profiles that listen to its first message.
func (t *turns) run(turn *mapping.Turn, r *receipt) (heard []string) {
	b := t.b
	for i := range turn.Steps {
		s := &turn.Steps[i]
		if s.Input != nil {
			d := dispatch{b: b, r: r, in: *s.Input}
			if by := d.handle(); heard == nil {
				heard = by
			}
			continue
		}
		d := dispatch{b: b, r: r}
		d.in.Topic, d.in.Now = s.Topic, turn.Now
		if b.trace.on() {
			d.watch([]mapping.Effect{s.Effect})
		}
		d.effect(s.Effect)
	}
	for _, q := range turn.Send {
		b.asks.send(q)
	}
	for what, n := range turn.Count {
		b.metrics.sessionEvents.WithLabelValues(what.Session, what.Event).Add(float64(n))
	}
	for _, tell := range turn.Tells {
		if tell.Key == "" {
			b.log.Info(tell.Text, tell.Args...)
			continue
		}
		b.episodic("session/"+tell.Key, tell.Text, tell.Args...)
	}
	t.plan(turn.Wake())
	return heard
}

// plan has the sessions looked at again.
func (t *turns) plan(at time.Time) {
	if at.IsZero() || t.timer != nil && !at.Before(t.due) {
		return
	}
	t.b.timers.stop(t.timer)
	t.due = at
	t.timer = t.b.timers.after(max(0, time.Until(at)), func() {
		t.later(func(turn *mapping.Turn) {
			t.timer = nil
			t.sessions.Elapsed(turn)
		})
	})
}

// presentLocked gives the values to push: where the device says that it has none,
// the last one with the new quality; after values of the past the present ones
// once more, so that the property keeps them. absent counts those that come to
// nothing. Bridge.mu is held.
func (t *thing) presentLocked(e *mapping.Values) (vals []alwayson.PropertyValue, absent int) {
	plain := !e.History
	for i := range e.Values {
		plain = plain && !e.Values[i].Value.IsNothing()
	}
	if plain {
		return e.Values, 0
	}
	vals = make([]alwayson.PropertyValue, 0, 2*len(e.Values))
	for _, v := range e.Values {
		k := t.knownLocked(v.Name)
		if v.Value.IsNothing() {
			if k == nil || e.History {
				absent++
				continue
			}
			v.Value = k.Value
		}
		vals = append(vals, v)
	}
	if e.History {
		vals = t.againLocked(vals)
	}
	return vals, absent
}

// againLocked adds the present value of each property that is in vals.
func (t *thing) againLocked(vals []alwayson.PropertyValue) []alwayson.PropertyValue {
	told := map[string]bool{}
	for _, v := range vals {
		if k := t.knownLocked(v.Name); k != nil && !told[v.Name] {
			told[v.Name] = true
			vals = append(vals, k.PropertyValue)
		}
	}
	return vals
}

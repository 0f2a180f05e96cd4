package bridge

import (
	"fmt"
	"time"

	"thingbridge/edge/alwayson"
)

// PlatformUp implements PlatformEvents.
func (b *Bridge) PlatformUp(session uint64) {
	b.mu.Lock()
	b.platformUp, b.platformSession, b.platformSince, b.platformErr = true, session, time.Now(), nil
	b.metrics.link(linkPlatform, true, b.platformSince)
	b.sched.mu.Lock()
	b.sched.stalled = time.Time{} // what was started during the outage says nothing of this connection
	b.sched.mu.Unlock()
	b.mu.Unlock()
	b.seen.link(LinkPlatform, true, nil)
	b.log.Debug("platform connected", "session", session)
}

// PlatformDown implements PlatformEvents. Gates close; what was in flight comes
// back with an error each.
func (b *Bridge) PlatformDown(session uint64, err error) {
	b.mu.Lock()
	was := b.platformUp
	b.platformUp, b.platformErr = false, err
	if was {
		b.platformSince = time.Now()
		b.metrics.link(linkPlatform, false, b.platformSince)
	}
	b.sched.mu.Lock()
	b.sched.stalled = time.Time{}
	for _, t := range b.things {
		t.unboundLocked()
		t.flow.bound, t.flow.subscribed = false, false
		b.recountLocked(t)
	}
	b.sched.mu.Unlock()
	b.mu.Unlock()
	if was {
		b.seen.link(LinkPlatform, false, err)
		b.log.Debug("platform connection lost", "session", session, "error", err)
	}
}

func (t *thing) unboundLocked() {
	if t.state != alwayson.Unbound {
		t.state, t.reason, t.stateFrom = alwayson.Unbound, "", time.Now()
	}
}

// BindChanged implements PlatformEvents.
func (b *Bridge) BindChanged(name string, state alwayson.BindState, reason string) {
	b.mu.Lock()
	t := b.boundLocked(name)
	if t == nil || foldName(t.told) != foldName(name) {
		b.mu.Unlock()
		return
	}
	was := t.state
	t.state, t.reason, t.stateFrom = state, reason, time.Now()
	switch state {
	case alwayson.Bound:
		t.ours = t.bind
	case alwayson.Refused:
		t.ours = ""
	}
	if state == alwayson.Refused {
		t.problemLocked("bind", "the platform refuses to bind it: "+reason)
	}
	b.mu.Unlock()
	b.sched.gate(t, state)
	switch {
	case state == alwayson.Refused:
		b.metrics.bindRefused.Inc()
		b.episodic("bind", "platform refuses to bind", "thing", t.name, "reason", reason)
	case state == alwayson.Bound && was != alwayson.Bound:
		b.log.Debug("thing bound", "thing", t.name)
		b.prov.bound(t)
	}
}

// Subscribed implements PlatformEvents.
func (b *Bridge) Subscribed(name string, subs []alwayson.Subscription) {
	b.mu.Lock()
	t := b.boundLocked(name)
	if t != nil {
		t.absent = false
	}
	b.mu.Unlock()
	if t == nil {
		return
	}
	b.prov.subscribed(t)
	b.sched.subscribed(t, subs)
}

// CurrentValues implements PlatformEvents.
func (b *Bridge) CurrentValues(name string) []alwayson.PropertyValue {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.boundLocked(name)
	if t == nil {
		return nil
	}
	vals := make([]alwayson.PropertyValue, 0, len(t.known))
	for i := range t.known {
		vals = append(vals, t.known[i].PropertyValue)
	}
	return vals
}

// absent notes that a bound name has no Thing behind it on the platform, and
// has it created where that is wanted.
func (b *Bridge) absent(t *thing, why string) {
	b.markAbsent(t, why)
	b.prov.missing(t)
}

func (b *Bridge) markAbsent(t *thing, why string) {
	b.mu.Lock()
	first := !t.absent
	t.absent = true
	if first {
		t.problemLocked("absent", fmt.Sprintf("there is no thing %q on the platform: %s", t.bind, why))
	}
	b.mu.Unlock()
	if first {
		b.recount(t)
		b.episodic("absent", "thing does not exist on the platform; its values wait", "thing", t.name, "answer", why)
	}
}

// Request implements PlatformEvents. It answers at once, or when the device
// does, or in time.
func (b *Bridge) Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	if b.stopping.Load() {
		respond(alwayson.Fail(alwayson.ServiceUnavailable, stops))
		return
	}
	t := b.bound(name)
	if t == nil {
		respond(alwayson.Fail(alwayson.NotFound, fmt.Sprintf("no device has announced itself as %q here", name)))
		return
	}
	switch req.Characteristic {
	case alwayson.Services:
		if method != alwayson.Post {
			respond(alwayson.Fail(alwayson.MethodNotAllowed, "a service is called with POST"))
			return
		}
		b.callService(t, req.Name, req.Params, respond)
	case alwayson.Properties:
		switch method {
		case alwayson.Get:
			b.readProperties(t, req.Name, respond)
		case alwayson.Put:
			b.writeProperties(t, req.Name, req.Params, respond)
		default:
			respond(alwayson.Fail(alwayson.MethodNotAllowed, "a property is read with GET and written with PUT"))
		}
	default:
		respond(alwayson.Fail(alwayson.MethodNotAllowed, fmt.Sprintf("a device takes no %s", req.Characteristic)))
	}
}

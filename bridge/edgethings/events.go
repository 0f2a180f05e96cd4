package edgethings

import (
	"context"
	"net/http"

	"thingbridge/edge/alwayson"
)

// PlatformUp implements bridge.PlatformEvents.
func (m *Manager) PlatformUp(session uint64) {
	m.mu.Lock()
	m.up = true
	m.mu.Unlock()
	m.next.PlatformUp(session)
}

// PlatformDown implements bridge.PlatformEvents.
func (m *Manager) PlatformDown(session uint64, err error) {
	m.mu.Lock()
	m.up = false
	m.mu.Unlock()
	m.next.PlatformDown(session, err)
}

// BindChanged implements bridge.PlatformEvents.
func (m *Manager) BindChanged(name string, state alwayson.BindState, reason string) {
	m.mu.Lock()
	t := m.things[fold(name)]
	if t == nil {
		m.mu.Unlock()
		m.next.BindChanged(name, state, reason)
		return
	}
	news := state == alwayson.Refused && reason != t.reason
	t.bind = state
	t.ready = t.ready && state == alwayson.Bound
	t.movedLocked()
	switch state {
	case alwayson.Refused:
		t.reason = reason
		t.problemLocked("bind", "the platform refuses to bind it: "+reason)
	case alwayson.Bound:
		t.reason = ""
	}
	m.mu.Unlock()
	if news {
		m.log.Warn("platform refuses to bind an edge thing", "thing", name, "reason", reason)
	}
}

// Subscribed implements bridge.PlatformEvents: the agent is told that its
// bindings may have changed, as the platform tells edge clients.
func (m *Manager) Subscribed(name string, subs []alwayson.Subscription) {
	m.mu.Lock()
	t := m.things[fold(name)]
	switch {
	case t == nil:
		m.mu.Unlock()
		m.next.Subscribed(name, subs)
		return
	default:
		t.ready = true
		t.movedLocked()
		m.noticeLocked(t)
	}
	m.mu.Unlock()
}

// noticeLocked has an agent told that its bindings may have changed.
func (m *Manager) noticeLocked(t *thing) {
	switch {
	case m.stopping || t.reg.Port == 0:
	case t.notifying:
		t.notify = true
	default:
		t.notifying = true
		m.flights.Go(func() { m.notices(t) })
	}
}

// notices calls NotifyPropertyUpdate of an agent. One that does not know it
// loses nothing: what the notice is for, it asks for by itself or not at all.
func (m *Manager) notices(t *thing) {
	for more := true; more; {
		m.mu.Lock()
		reg := t.reg
		m.mu.Unlock()
		m.slots <- struct{}{}
		ctx, cancel := context.WithTimeout(m.base, reg.Timeout)
		a, err := m.exchange(ctx, t, reg, http.MethodPost, reg.url("Services", alwayson.ServiceNotifyPropertyUpdate), []byte("{}"))
		m.drop(a)
		cancel()
		<-m.slots
		m.heard(t, reg, err)
		m.mu.Lock()
		more = t.notify && !m.stopping
		t.notify, t.notifying = false, more
		m.mu.Unlock()
	}
}

// CurrentValues implements bridge.PlatformEvents: an agent pushes its values itself.
func (m *Manager) CurrentValues(name string) []alwayson.PropertyValue {
	if m.find(name) != nil {
		return nil
	}
	return m.next.CurrentValues(name)
}

package edge

import (
	"time"

	"thingbridge/edge/alwayson"
)

// This file holds what the binder does to the table of Things. Each method
// changes nothing when s is no longer the table's session.

// binding marks those of the batch that are still wanted as being bound, from
// before their BIND is sent: requests for them are served from now on.
func (t *table) binding(s *session, batch []*thing) []*thing {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session != s {
		return nil
	}
	sent := make([]*thing, 0, len(batch))
	for _, th := range batch {
		if !th.wanted {
			continue
		}
		th.held = true
		th.sync.done, th.sync.begun, th.sync.missing = false, false, false
		t.setStateLocked(th, alwayson.Binding, "")
		sent = append(sent, th)
	}
	return sent
}

// bindAccepted makes them bound and awaits the platform's synchronisation. It
// tells how many of them had been refused, or not answered, before.
func (t *table) bindAccepted(s *session, batch []*thing) (recovered int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session != s {
		return 0
	}
	for _, th := range batch {
		if th.attempts > 0 {
			recovered++
		}
		th.attempts = 0
		t.setStateLocked(th, alwayson.Bound, "")
		t.awaitSyncLocked(th)
	}
	return recovered
}

// bindRefused stops serving them. Their state waits for the binder's conclusion.
func (t *table) bindRefused(s *session, batch []*thing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session != s {
		return
	}
	for _, th := range batch {
		th.held = false
		t.forgetSyncLocked(th)
		if !th.wanted {
			t.removeLocked(th)
		}
	}
}

// conclude gives Things their state after a failed BIND, the i-th with reason(i), and
// the time of the next. They share one time, so that they go in one BIND again. It tells for how
// many this is the first failure.
func (t *table) conclude(s *session, batch []*thing, state alwayson.BindState, reason func(i int) string, backoff Backoff) (news int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session != s {
		return 0
	}
	most := 0
	for _, th := range batch {
		if th.wanted {
			th.attempts++
			if th.attempts == 1 {
				news++
			}
			most = max(most, th.attempts)
		}
	}
	at := time.Now().Add(backoff.delay(most))
	for i, th := range batch {
		if !th.wanted {
			continue
		}
		if !th.fresh {
			t.retryLocked(th, at)
		}
		t.setStateLocked(th, state, reason(i))
	}
	return news
}

// unbound takes Things out that the platform has unbound.
func (t *table) unbound(s *session, batch []*thing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session != s {
		return
	}
	for _, th := range batch {
		th.held = false
		if !th.wanted {
			t.removeLocked(th)
		}
	}
}

// repeatUnbind has a failed UNBIND repeated at a time.
func (t *table) repeatUnbind(batch []*thing, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, th := range batch {
		if th.held && !th.wanted {
			t.retryLocked(th, at)
		}
	}
}

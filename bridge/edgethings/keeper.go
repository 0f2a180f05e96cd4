package edgethings

import (
	"context"
	"time"
)

const (
	mostProbes  = 64 // at a time
	probeTime   = 10 * time.Second
	firstRetry  = time.Second     // of an agent that has not answered yet; then twice as long, and so on
	quickRetry  = 5 * time.Second // after the first probe that failed
	silentRetry = time.Minute     // at most, of an agent that is silent
	forgetAfter = 7 * 24 * time.Hour
	failuresMax = 2 // probes that fail until an agent is silent
	longWait    = time.Hour
)

// Run keeps the Platform told of what is alive and asks agents that have not been
// heard of, until ctx ends; see the package comment for the end. It returns nil.
func (m *Manager) Run(ctx context.Context) error {
	clock := time.NewTimer(longWait)
	defer clock.Stop()
	for ctx.Err() == nil {
		clock.Reset(m.round(time.Now()))
		select {
		case <-ctx.Done():
		case <-m.wake:
		case <-clock.C:
		}
	}
	m.end()
	return nil
}

// end refuses what is new and waits for what is under way.
func (m *Manager) end() {
	m.mu.Lock()
	m.stopping = true
	m.mu.Unlock()
	limit := time.AfterFunc(m.opt.StopTimeout, m.breakOff)
	m.flights.Wait()
	limit.Stop()
	m.breakOff()
	m.agents.close()
}

// round does what is due and tells how long nothing else will be.
func (m *Manager) round(now time.Time) time.Duration {
	var want, forget []string
	var probe []*thing
	wait := longWait
	m.mu.Lock()
	unwant := m.unwant
	m.unwant = nil
	for _, t := range m.things {
		switch {
		case t.state == alive && !t.wanted:
			t.wanted = true
			want = append(want, t.name)
		case t.state != alive && t.wanted:
			t.wanted = false
			unwant = append(unwant, t.name)
		}
		if t.state != alive && !t.reg.Persist && now.Sub(t.since) > forgetAfter {
			forget = append(forget, t.name)
			continue
		}
		if t.next.IsZero() || t.probing {
			continue
		}
		if left := t.next.Sub(now); left > 0 {
			wait = min(wait, left)
		} else if m.probing < mostProbes { // the end of a probe wakes the others
			t.probing = true
			m.probing++
			probe = append(probe, t)
		}
	}
	m.mu.Unlock()
	// A name that left and came back is unwanted first.
	if len(unwant) > 0 {
		m.platform.Unwant(unwant...)
	}
	if len(want) > 0 {
		m.platform.Want(want...)
	}
	for _, t := range probe {
		m.flights.Go(func() { m.probe(t) })
	}
	for _, name := range forget {
		m.log.Info("edge thing forgotten", "thing", name, "why", "silent for "+forgetAfter.String())
		m.forget(name)
	}
	return wait
}

// probe asks whether an agent answers.
func (m *Manager) probe(t *thing) {
	m.mu.Lock()
	reg := t.reg
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(m.base, min(reg.Timeout, probeTime))
	// It waits for no call that is under way: any answer will do, a refusal too.
	answer, next, err := m.once(ctx, reg, m.token(t, reg), "GET", reg.url(), nil)
	m.drop(answer)
	m.keepToken(t, reg, next)
	cancel()
	m.metrics.probe(err == nil)
	m.mu.Lock()
	m.probing--
	t.probing = false
	again := t.again
	t.again = false
	current := m.things[fold(t.name)] == t
	var say func()
	if current && (t.reg == reg || err == nil) {
		say = m.judgeLocked(t, answer, err)
	}
	if again {
		t.probeLocked(time.Now())
	}
	m.mu.Unlock()
	if say != nil {
		say()
	}
	signal(m.wake)
}

// judgeLocked draws the conclusion of a probe; what it gives is for the log.
func (m *Manager) judgeLocked(t *thing, a *answer, err error) (say func()) {
	name, address := t.name, t.reg.address()
	now := time.Now()
	if err == nil {
		if a.status == 401 && t.csrf == "" {
			t.problemLocked("agent", refusesLogIn)
		}
		return m.heardLocked(t)
	}
	t.failures++
	t.problemLocked("agent", err.Error())
	pause := min(t.reg.Keepalive, quickRetry)
	switch {
	case t.state == silent:
		pause = min(t.reg.Keepalive, silentRetry)
	case t.state == waiting:
		pause = min(t.reg.Keepalive, silentRetry, firstRetry<<min(t.failures-1, 10))
	}
	t.next = now.Add(pause)
	if t.failures != failuresMax || t.state == silent {
		return nil
	}
	if t.state == alive {
		m.setLocked(t, silent)
	}
	return func() { m.log.Warn("edge thing does not answer", "thing", name, "address", address, "error", err) }
}

// heardLocked notes that an agent answered.
func (m *Manager) heardLocked(t *thing) (say func()) {
	now := time.Now()
	t.heard, t.failures = now, 0
	t.next = now.Add(t.reg.Keepalive)
	if t.state == alive {
		return nil
	}
	m.setLocked(t, alive)
	name, address := t.name, t.reg.address()
	return func() { m.log.Info("edge thing answers", "thing", name, "address", address) }
}

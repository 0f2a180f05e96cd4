package mqttbus

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// errRenewed says that a session, or an attempt at one, was given up for a new one.
var errRenewed = errors.New("the connection is made anew")

// Check reports everything that is wrong with o; zero fields are fine.
func (o Options) Check() error {
	o.fill()
	_, err := o.check()
	return err
}

// Reconfigure takes new options for every session that is made from now on;
// Renew makes one at once. PayloadLimit counts on the present one too. The sizes
// of inbox and publish queue, Logger, Registerer, LoadSubscribed and
// SaveSubscribed stay those of New. An error says what is wrong with the
// options; then nothing changes.
func (b *Bus) Reconfigure(o Options) error {
	o.fill()
	brokers, err := o.check()
	if err != nil {
		return fmt.Errorf("MQTT: %w", err)
	}
	was := b.current.Load()
	o.Logger, o.Registerer = was.Logger, was.Registerer
	o.LoadSubscribed, o.SaveSubscribed = was.LoadSubscribed, was.SaveSubscribed
	b.current.Store(&settings{o, brokers})
	b.limit.Store(int64(o.PayloadLimit))
	return nil
}

// Renew ends the present session for a new one, which is made at once and
// without back-off, with the first broker of the list; an attempt to connect, or
// the wait for the next, is cut short. What the broker had not confirmed is sent
// again, and what we had not acknowledged comes again where the broker is the
// same and keeps the session. It returns at once.
func (b *Bus) Renew(reason string) {
	b.mu.Lock()
	b.why = reason
	s, giveUp := b.session, b.giveUp
	b.mu.Unlock()
	select {
	case b.renewal <- struct{}{}:
	default:
	}
	why := fmt.Errorf("%w: %s", errRenewed, reason)
	if giveUp != nil {
		giveUp(why)
	}
	if s != nil {
		s.fail(why)
	}
}

// renewed reports whether a new session is wanted, once.
func (b *Bus) renewed() bool {
	select {
	case <-b.renewal:
		return true
	default:
		return false
	}
}

// attempt makes one attempt at a session, which Renew ends.
func (b *Bus) attempt(ctx context.Context, opt *settings, broker *url.URL, number uint64) (*session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.mu.Lock()
	b.giveUp = cancel
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.giveUp = nil
		b.mu.Unlock()
	}()
	s, err := b.openSession(ctx, opt, broker, number)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errRenewed) {
		return nil, cause
	}
	return s, err
}

// partTime is what the broker gets to confirm what was sent, and to take our
// leave, when a session is left for a new one.
const partTime = 2 * time.Second

// part leaves a session in order for a new one: what was sent is settled, what is
// owed is acknowledged, and the broker is told. The will is said only where the
// next session will not speak for the same topic.
func (s *session) part() {
	limit := time.NewTimer(partTime)
	defer limit.Stop()
	close(s.calm)
	select {
	case <-s.sent:
	case <-limit.C:
	case <-s.out.ended():
	}
	close(s.stop)
	s.workers.Wait()
	if w, next := s.opt.Will, s.bus.current.Load().Will; w != nil && (next == nil || next.Topic != w.Topic) {
		s.out.publish(w).WaitTimeout(partTime)
	}
	for _, l := range s.states {
		l.goodbye(time.Now().Add(partTime))
	}
	for _, l := range s.states {
		l.goodbye(time.Now().Add(partTime))
	}
	s.in.leave(partTime)
	s.out.leave(partTime)
	s.bus.down(s, s.cause)
}

package bridge

import (
	"errors"
	"fmt"
	"time"

	"thingbridge/edge/alwayson"
)

// verdict is what a push's end means for its records.
type verdict int

const (
	delivered verdict = iota
	again             // the same records once more, after a pause
	absent            // there is no such Thing on the platform (yet)
	bad               // something in the push is refused for what it is
)

// judge reads a push's end. An answer that does not say what is wrong condemns
// what was sent only after several tries, and while the platform takes other
// pushes; a platform that fails with everything gets poisonPatience.
func (s *scheduler) judge(p *push) verdict {
	switch {
	case errors.Is(p.err, alwayson.ErrTooLarge):
		return bad
	case p.err != nil:
		return again
	}
	f, code := p.f, p.resp.Code
	switch code {
	case alwayson.NotFound:
		if p.event != nil {
			return bad
		}
		return absent
	case alwayson.BadRequest, alwayson.BadOption, alwayson.MethodNotAllowed, alwayson.NotAcceptable,
		alwayson.PreconditionFailed, alwayson.EntityTooLarge, alwayson.UnsupportedContentFormat:
		return bad
	}
	switch {
	case code.IsSuccess():
		return delivered
	case transient(code):
		return again
	}
	if f.fails++; f.failing.IsZero() {
		f.failing = time.Now()
	}
	if f.fails >= poisonTries && (s.lastOK.After(f.failing) || time.Since(f.failing) > poisonPatience) {
		return bad
	}
	return again
}

// transient reports whether an error is about the platform's state or the
// key's rights, not about what was sent.
func transient(code alwayson.Code) bool {
	switch code {
	case alwayson.Unauthorized, alwayson.Forbidden, alwayson.BadGateway, alwayson.ServiceUnavailable, alwayson.GatewayTimeout:
		return true
	}
	return false
}

func (p *push) failure() string {
	if p.err != nil {
		return p.err.Error()
	}
	if p.resp.Reason == "" {
		return p.resp.Code.String()
	}
	return p.resp.Code.String() + ": " + p.resp.Reason
}

// ended works off a push that the platform answered, or did not.
func (s *scheduler) ended(p *push) {
	f := p.f
	v := s.judge(p)
	switch v {
	case delivered:
		s.delivered(p)
	case bad:
		s.refused(p)
	case absent:
		f.rollback(p)
		s.pause(f, absentRetry)
		s.b.absent(f.thing, p.failure())
	case again:
		f.rollback(p)
		if errors.Is(p.err, alwayson.ErrNotConnected) || errors.Is(p.err, alwayson.ErrConnectionLost) || errors.Is(p.err, alwayson.ErrBusy) {
			s.pause(f, pushRetryMin)
		} else {
			f.tries++
			s.pause(f, backoff(f.tries))
			s.b.metrics.pushRetries.Inc()
			s.b.trouble(f.thing.name, "push", p.failure())
		}
	}
	if v == again || v == absent {
		s.b.trace.ended(p.notesSent(fateAgain, p.failure()))
	}
	s.mu.Lock()
	s.inFlight.Add(-1)
	s.bytes -= p.weight
	f.failed = v == again || v == absent
	s.mu.Unlock()
	s.release(f, v == delivered || v == bad)
	signal(s.idle)
}

func (s *scheduler) delivered(p *push) {
	f := p.f
	s.lastOK = time.Now()
	s.commit(p)
	if p.event != nil {
		s.b.metrics.event("sent")
	} else {
		s.b.metrics.value("sent", len(p.vals))
		s.b.metrics.pushSeconds.Observe(time.Since(p.started).Seconds())
	}
	if f.limit > 0 {
		if f.limit *= 2; f.limit >= pushUnits {
			f.limit = 0
		}
	}
}

// refused finds the one bad value: the push is halved until it is alone, then
// that value is dropped and counted, and what follows goes on.
func (s *scheduler) refused(p *push) {
	f := p.f
	f.rollback(p)
	if n := len(p.vals); n > 1 {
		f.limit = n / 2
		f.tries, f.fails = 0, 0
		return
	}
	what := ""
	if p.event != nil {
		what = fmt.Sprintf("event %q", p.event.Name)
		s.b.metrics.event("refused")
	} else {
		what = fmt.Sprintf("value of property %q", p.vals[0].Name)
		s.b.metrics.dropped("refused", 1)
	}
	s.b.trouble(f.thing.name, "refused", fmt.Sprintf("the platform refuses a %s: %s", what, p.failure()))
	s.b.episodic("refused/"+f.thing.name, "platform refuses what a device sent; it is dropped", "thing", f.thing.name, "what", what, "reason", p.failure())
	p.vals = nil
	p.notesSent(fateRefused, p.failure())
	s.commit(p)
}

// backoff doubles from pushRetryMin to pushRetryMax.
func backoff(tries int) time.Duration {
	d := pushRetryMin << min(tries-1, 10)
	return min(d, pushRetryMax)
}

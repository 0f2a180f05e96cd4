package edge

import (
	"fmt"
	"time"

	"thingbridge/edge/alwayson"
)

const (
	// reassembleFor is how long an incomplete multipart message is kept.
	reassembleFor = 50 * time.Second
	// sweepEvery is how often it is looked for such messages.
	sweepEvery = 5 * time.Second
)

// timedFunc is a function as a timed.
type timedFunc func(now time.Time)

func (f timedFunc) expire(now time.Time) { f(now) }

// tick is the clock's goroutine: pings, time-outs, questions to repeat.
func (s *session) tick() error {
	now := time.Now()
	s.clock.set(&s.ping, now.Add(s.tuned().PingInterval), timedFunc(s.pingNow))
	s.clock.set(&s.sweep, now.Add(sweepEvery), timedFunc(s.sweepParts))
	s.clock.run(s.done)
	return nil
}

// pingNow asks for a sign of life. Anything that the platform sends is one: its
// pong may stand behind a large message on a slow line. What was heard is noted
// before the ping goes out, since the pong may come at once.
func (s *session) pingNow(now time.Time) {
	in := s.wire.in.Load()
	limit := s.tuned().PongTimeout
	s.clock.set(&s.pong, now.Add(limit), timedFunc(func(time.Time) {
		if s.wire.in.Load() == in {
			s.die(fmt.Errorf("%w: nothing received for %s after a ping", ErrPeerDead, limit))
		}
	}))
	s.out.sendPing()
	s.clock.set(&s.ping, now.Add(s.tuned().PingInterval), timedFunc(s.pingNow))
}

// ponged measures the round trip.
func (s *session) ponged() {
	s.clock.stop(&s.pong)
	if at := s.pingAt.Swap(0); at != 0 {
		s.rtt.Store(time.Now().UnixNano() - at)
	}
}

// sweepParts drops multipart messages that stayed incomplete, and carries the
// connection's counters over.
func (s *session) sweepParts(now time.Time) {
	s.expireParts(now)
	s.wireMetrics()
	s.clock.set(&s.sweep, now.Add(sweepEvery), timedFunc(s.sweepParts))
}

func (s *session) expireParts(now time.Time) {
	s.parts.Lock()
	dropped := s.parts.all.Expire(now)
	s.parts.Unlock()
	for _, h := range dropped {
		s.m.undecodable(badParts)
		s.spoilt(h, fmt.Errorf("multipart message incomplete for %s", reassembleFor), alwayson.BadRequest)
	}
}

package bridge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
)

// flow is how far one Thing's records are. scheduler.mu guards the first
// part; the rest belongs to the scheduler's goroutine.
type flow struct {
	thing      *thing
	bound      bool
	subscribed bool           // in this binding
	hold       bool           // the device is still initialising
	failed     bool           // the last push was not taken
	listed     bool           // in the list of ready ones
	busy       bool           // looked at, or a push is in flight or its end not yet worked off
	news       bool           // something came while it was busy
	adding     int            // records on their way into the outbox
	next       *subscriptions // not adopted yet
	current    *subscriptions // the newest
	retry      *timer
	turn       bool // waits for its turn in the replay of a backlog

	subs     *subscriptions
	filters  []alwayson.PushFilter // as subs.list
	partSeq  uint64                // of this record the first partUnits units are out
	partUnit int
	limit    int       // values per push while one bad value is looked for; 0 no limit
	tries    int       // failures in a row, for the back-off
	failing  time.Time // since when answers do not say what is wrong; zero: not
	fails    int       // of these, answers that do not say what is wrong
}

func (f *flow) openLocked() bool {
	return f.bound && f.subscribed && !f.hold && !f.turn && f.retry == nil
}

// scheduler gets records out of the outbox to the platform. One goroutine
// looks at the Things that have something to do, in turn; at most one push is in
// flight per Thing and Limits.Pushes over all, and while as many bytes are in
// flight as pushBytes no new one starts.
type scheduler struct {
	b      *Bridge
	wake   chan struct{}
	idle   chan struct{} // a push ended
	replay *replay
	sets   subscriptionSets
	// The goroutine's own: when a push of any Thing succeeded last, and room for
	// the record that is looked at.
	lastOK time.Time
	vals   []alwayson.PropertyValue
	taken  []unit

	// mu guards the following.
	mu         sync.Mutex
	ready      []*flow
	head       int
	results    []*push
	inFlight   atomic.Int64 // pushes that are not worked off; written under mu
	unanswered int
	bytes      int
	stopped    bool
	turns      []*flow   // wait for the replay of a backlog, in their order
	turning    bool      // a timer wakes the first of them
	stalled    time.Time // since when pushes went out and nothing was answered; zero: not
}

const (
	pushBytes  = 32 << 20  // in flight over all Things, in memory
	pushWeight = 4 << 20   // one push, if it holds more than one value
	pushBody   = 256 << 10 // the same on the wire, at most
	pushUnits  = 512       // records looked at for one push
)

func newScheduler(b *Bridge) *scheduler {
	s := &scheduler{b: b, wake: make(chan struct{}, 1), idle: make(chan struct{}, 1)}
	s.replay = newReplay(b.opt.ReplayRate)
	return s
}

// more says that a Thing may have records that are not looked at yet.
func (s *scheduler) more(name string) {
	if t := s.b.thing(name); t != nil {
		s.mu.Lock()
		s.listLocked(&t.flow)
		s.mu.Unlock()
	}
}

func (s *scheduler) listLocked(f *flow) {
	f.news = f.busy
	if f.listed || f.busy || !f.openLocked() || s.stopped {
		return
	}
	f.listed = true
	s.ready = append(s.ready, f)
	signal(s.wake)
}

// arrived lists the Things that got records.
func (s *scheduler) arrived(of []*thing) {
	s.replay.arrived(len(of))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range of {
		if t != nil {
			s.listLocked(&t.flow)
		}
	}
}

// appending and appended count records on their way into the outbox.
func (s *scheduler) appending(of []*thing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range of {
		if t != nil {
			t.flow.adding++
		}
	}
}

func (s *scheduler) appended(of []*thing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range of {
		if t != nil {
			t.flow.adding--
			s.listLocked(&t.flow)
		}
	}
}

// queued reports whether a Thing has values that can get out now.
func (s *scheduler) queued(t *thing) bool {
	n, _, _ := s.b.opt.Outbox.Depth(t.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &t.flow
	return f.bound && f.subscribed && !f.hold && (n > 0 || f.busy || f.adding > 0)
}

// gate follows the Thing's state on the platform: only Bound can be open.
func (s *scheduler) gate(t *thing, state alwayson.BindState) {
	s.mu.Lock()
	f := &t.flow
	if f.bound = state == alwayson.Bound; f.bound {
		s.listLocked(f)
	} else {
		f.subscribed = false
	}
	s.mu.Unlock()
	s.b.recount(t)
}

// subscribed opens the gate with what the platform wants.
func (s *scheduler) subscribed(t *thing, subs []alwayson.Subscription) {
	set := s.sets.get(subs)
	s.mu.Lock()
	f := &t.flow
	f.subscribed, f.next, f.current = true, set, set
	s.retryNowLocked(f)
	s.listLocked(f)
	s.mu.Unlock()
	s.b.recount(t)
}

// holdBack keeps a Thing's values back, or no longer; it reports whether that is a change.
func (s *scheduler) holdBack(name string, on bool) (change bool) {
	t := s.b.thing(name)
	if t == nil {
		return false
	}
	s.mu.Lock()
	change = t.flow.hold != on
	t.flow.hold = on
	s.listLocked(&t.flow)
	s.mu.Unlock()
	if change {
		s.b.recount(t)
	}
	return change
}

func (s *scheduler) retryNowLocked(f *flow) {
	if f.retry != nil {
		s.b.timers.stop(f.retry)
		f.retry = nil
	}
}

// pause has the flow rest for d.
func (s *scheduler) pause(f *flow, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retryNowLocked(f)
	f.retry = s.b.timers.after(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.retry = nil
		s.listLocked(f)
	})
}

// run is the scheduler's goroutine.
func (s *scheduler) run(ctx context.Context) {
	for {
		for s.step() {
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
	}
}

// step works off one answer, or looks at one ready Thing; it reports whether
// there was anything to do.
func (s *scheduler) step() bool {
	s.mu.Lock()
	if len(s.results) > 0 {
		p := s.results[0]
		s.results[0] = nil
		s.results = s.results[1:]
		s.mu.Unlock()
		s.ended(p)
		return true
	}
	s.results = nil
	if s.head == len(s.ready) || int(s.inFlight.Load()) >= s.b.inForce().limits.Pushes || s.bytes >= pushBytes || s.stopped {
		if s.head == len(s.ready) {
			s.ready, s.head = s.ready[:0], 0
		}
		s.mu.Unlock()
		return false
	}
	f := s.ready[s.head]
	s.ready[s.head] = nil
	s.head++
	f.listed = false
	if !f.openLocked() {
		s.mu.Unlock()
		return true
	}
	f.busy, f.news = true, false
	next := f.next
	f.next = nil
	s.mu.Unlock()
	if next != nil {
		s.adopt(f, next)
	}
	s.look(f)
	return true
}

// release ends a look at a Thing; again lists it once more.
func (s *scheduler) release(f *flow, again bool) {
	s.mu.Lock()
	f.busy = false
	if again || f.news || f.next != nil {
		s.listLocked(f)
	}
	s.mu.Unlock()
}

// pushing is how many pushes are in flight or not yet worked off.
func (s *scheduler) pushing() int { return int(s.inFlight.Load()) }

// stop lets nothing new out.
func (s *scheduler) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
}

// watch looks every second whether pushes are in flight and nothing is answered.
func (s *scheduler) watch() {
	s.b.timers.after(time.Second, func() {
		s.mu.Lock()
		limit := s.b.inForce().watchdog
		stuck := limit > 0 && !s.stalled.IsZero() && time.Since(s.stalled) >= limit
		if stuck {
			s.stalled = time.Now()
		}
		s.mu.Unlock()
		if stuck {
			s.reconnect()
		}
		s.watch()
	})
}

func (s *scheduler) reconnect() {
	s.b.mu.Lock()
	up := s.b.platformUp
	s.b.mu.Unlock()
	r, ok := s.b.platform.(Reconnector)
	if !up || !ok {
		return
	}
	s.b.metrics.watchdog.Inc()
	s.b.log.Warn("platform answers no push; reconnecting", "after", s.b.inForce().watchdog.String())
	r.Reconnect("no push answered for " + s.b.inForce().watchdog.String())
}

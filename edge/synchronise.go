package edge

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"thingbridge/edge/alwayson"
)

// askState is where the question for a Thing's subscriptions stands.
type askState uint8

// A question moves idle → queued → asked → idle; waiting (for the platform to
// begin, or before a repetition) leads to queued; a Thing that is no longer
// wanted or bound is idle.
const (
	askIdle askState = iota
	askWaiting
	askQueued
	askAsked
)

// syncing is a Thing's synchronisation. The table's mu guards it.
type syncing struct {
	done     bool // subscriptions are known since the last BIND was sent
	state    askState
	again    bool // ask once more after the present answer
	attempts int  // failed questions in a row
	begun    bool // by the platform, since the last BIND was sent: the Thing has this connection
	missing  bool // a question since then was answered that there is no such Thing
	timer    *askTimer
	early    *[]alwayson.Subscription // told before the BIND was answered
}

// asking is what goes on over all Things.
type asking struct {
	queue    []*thing
	inFlight int
	told     bool // that questions fail; one line for each connection
}

// askTries is how often the question for one Thing's subscriptions fails before
// that is told.
const askTries = 3

// askTimer queues a Thing's question at a time.
type askTimer struct {
	timer
	t  *table
	th *thing
}

func (a *askTimer) expire(time.Time) {
	a.t.mu.Lock()
	s := a.t.session
	if s != nil && a.th.sync.timer == a {
		a.t.enqueueLocked(a.th)
	}
	a.t.mu.Unlock()
	if s != nil {
		a.t.pump(s)
	}
}

// awaitSyncLocked begins after a BIND was accepted: the platform has SyncWait to
// start the synchronisation, then the question is asked unbidden.
func (t *table) awaitSyncLocked(th *thing) {
	if early := th.sync.early; early != nil {
		t.deliverLocked(th, *early)
		return
	}
	if th.wanted && !th.sync.done && th.sync.state == askIdle {
		t.askAtLocked(th, time.Now().Add(t.session.opt.SyncWait))
	}
}

func (t *table) askAtLocked(th *thing, at time.Time) {
	a := &askTimer{t: t, th: th}
	th.sync.timer, th.sync.state = a, askWaiting
	t.session.clock.set(&a.timer, at, a)
}

// forgetSyncLocked ends a Thing's synchronisation; an answer on its way is ignored.
func (t *table) forgetSyncLocked(th *thing) {
	if th.sync.timer != nil && t.session != nil {
		t.session.clock.stop(&th.sync.timer.timer)
	}
	asked := th.sync.state == askAsked
	th.sync = syncing{}
	if asked {
		th.sync.state = askAsked
	}
}

// enqueueLocked makes the question due. One that is asked already is repeated
// after its answer, since it may have been answered before the change.
func (t *table) enqueueLocked(th *thing) {
	if th.sync.timer != nil {
		t.session.clock.stop(&th.sync.timer.timer)
		th.sync.timer = nil
	}
	switch th.sync.state {
	case askQueued:
	case askAsked:
		th.sync.again = true
	default:
		th.sync.state = askQueued
		t.asks.queue = append(t.asks.queue, th)
	}
}

// notified handles NotifyPropertyUpdate.
func (t *table) notified(s *session, th *thing) {
	t.mu.Lock()
	ok := t.session == s && th.wanted
	if ok {
		th.sync.attempts, th.sync.begun = 0, true
		t.enqueueLocked(th)
	}
	t.mu.Unlock()
	if ok {
		t.pump(s)
	}
}

// pump sends queued questions, a bounded number at a time.
func (t *table) pump(s *session) {
	for {
		th := t.nextAsk(s)
		if th == nil {
			return
		}
		err := s.start(alwayson.Post, alwayson.SubscriptionsRequest(th.name), s.tuned().RequestTimeout, false,
			func(h alwayson.Header, resp *alwayson.Response, err error) {
				if t.answered(s, th, h, resp, err) {
					t.pump(s)
				}
			})
		if err != nil {
			t.answered(s, th, alwayson.Header{}, nil, err)
		}
	}
}

func (t *table) nextAsk(s *session) *thing {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.session == s && len(t.asks.queue) > 0 && t.asks.inFlight < s.opt.MaxAsking {
		th := t.asks.queue[0]
		t.asks.queue[0] = nil
		t.asks.queue = t.asks.queue[1:]
		if th.sync.state != askQueued {
			continue
		}
		th.sync.state = askAsked
		t.asks.inFlight++
		return th
	}
	return nil
}

// answered handles the end of a question. It reports whether the session goes on.
func (t *table) answered(s *session, th *thing, h alwayson.Header, resp *alwayson.Response, err error) bool {
	var subs []alwayson.Subscription
	if err == nil {
		subs, err = readSubscriptions(h, resp)
		subs = s.bounded(subs)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session != s {
		return false
	}
	t.asks.inFlight--
	th.sync.state = askIdle
	switch {
	case !th.wanted || !th.held:
	case err != nil:
		th.sync.attempts++
		th.sync.missing = th.sync.missing || h.Code == alwayson.NotFound
		s.log.Debug("question for subscriptions failed", "thing", th.name, "attempts", th.sync.attempts, "error", err)
		if th.sync.attempts == askTries && !t.asks.told {
			t.asks.told = true
			t.events.post(func() {
				s.log.Warn("platform does not tell its subscriptions: values wait; does the Thing exist, and may the key see it?",
					"thing", th.name, "error", err)
			})
		}
		t.askAtLocked(th, time.Now().Add(s.opt.SyncBackoff.delay(th.sync.attempts)))
	default:
		th.sync.attempts = 0
		t.deliverLocked(th, subs)
		t.claimLocked(s, th)
	}
	if th.sync.again {
		th.sync.again = false
		t.enqueueLocked(th)
	}
	return true
}

// claimLocked binds a Thing once more that was created after its BIND: a name that was
// bound when nothing was behind it does not become the new Thing's by itself. A platform
// that has begun to synchronise it knows whose it is.
func (t *table) claimLocked(s *session, th *thing) {
	if !th.sync.missing || th.sync.begun {
		return
	}
	s.log.Debug("thing exists now, binding it again", "thing", th.name)
	t.refreshLocked(th)
	t.signal()
}

// bounded leaves the first of a Thing's subscriptions, which are kept as long as it is
// bound; one message can bring a hundred thousand and more.
func (s *session) bounded(subs []alwayson.Subscription) []alwayson.Subscription {
	most := s.opt.MaxSubscriptions
	if len(subs) <= most {
		return subs
	}
	if !s.overSubscribed.Swap(true) {
		s.log.Warn("platform tells more subscriptions of a Thing than are kept; values of the others are not pushed",
			"detail", fmt.Sprintf("%d subscriptions, %d are kept", len(subs), most))
	}
	return slices.Clone(subs[:most])
}

func readSubscriptions(h alwayson.Header, resp *alwayson.Response) ([]alwayson.Subscription, error) {
	if !h.Code.IsSuccess() {
		return nil, fmt.Errorf("%v: %s", h.Code, resp.Reason)
	}
	table := resp.Content.Table()
	if table == nil {
		return nil, errors.New("the answer is not an info table")
	}
	return alwayson.SubscriptionsFromTable(table)
}

// deliver takes over subscriptions that the platform told by itself.
func (t *table) deliver(s *session, th *thing, subs []alwayson.Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session == s && th.wanted {
		t.deliverLocked(th, subs)
	}
}

// deliverLocked hands subscriptions to the handler, but not before it knows that
// the Thing is bound.
func (t *table) deliverLocked(th *thing, subs []alwayson.Subscription) {
	if th.state != alwayson.Bound {
		th.sync.early = &subs
		return
	}
	if th.sync.timer != nil {
		t.session.clock.stop(&th.sync.timer.timer)
		th.sync.timer, th.sync.state = nil, askIdle
	}
	th.sync.early, th.sync.done = nil, true
	t.events.post(func() { t.h.Subscribed(th.name, subs) })
}

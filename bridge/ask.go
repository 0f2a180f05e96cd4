package bridge

import (
	"slices"
	"strings"
	"sync"
	"time"

	"thingbridge/mapping"
)

const (
	askPause = 10 * time.Millisecond // between two asks: at most 100 a second
	askQueue = 20_000                // the oldest goes first
	askKept  = 200_000               // remembered times of asks
)

// asker sends what devices must be asked for because it is not retained: at a
// bounded rate, each question at most once per its interval, again after each
// interval as long as the occasion stands.
type asker struct {
	b *Bridge

	// mu guards the following.
	mu      sync.Mutex
	queue   []mapping.Ask
	running bool
	last    map[string]time.Time // by Thing and topic
	repeat  map[string]*timer    // the same
}

func newAsker(b *Bridge) *asker {
	return &asker{b: b, last: map[string]time.Time{}, repeat: map[string]*timer{}}
}

func (a *asker) connected() {
	for _, q := range a.b.engine.Load().Asks(mapping.AskConnect, "") {
		a.put("", q)
	}
}

func (a *asker) thing(on mapping.AskOn, t *thing) {
	for _, q := range a.b.engine.Load().Asks(on, t.name) {
		a.put(t.name, q)
	}
}

func (a *asker) profile(on mapping.AskOn, members []*thing) {
	for _, t := range members {
		a.thing(on, t)
	}
}

// reloaded asks what the profiles named ask on connect, and stops asking again
// what no profile asks any more.
func (a *asker) reloaded(profiles []string) {
	valid := map[string]bool{}
	asks := a.b.engine.Load().Asks(mapping.AskConnect, "")
	for _, q := range asks {
		valid[askKey("", q)] = true
	}
	a.mu.Lock()
	things := map[string]bool{}
	for key := range a.repeat {
		thing, _, _ := strings.Cut(key, "\x00")
		things[thing] = true
	}
	a.mu.Unlock()
	for thing := range things {
		for _, on := range []mapping.AskOn{mapping.AskAnnounce, mapping.AskPresence} {
			for _, q := range a.b.engine.Load().Asks(on, thing) {
				valid[askKey(thing, q)] = true
			}
		}
	}
	a.mu.Lock()
	for key, again := range a.repeat {
		if !valid[key] {
			a.b.timers.stop(again)
			delete(a.repeat, key)
		}
	}
	a.mu.Unlock()
	for _, q := range asks {
		if slices.Contains(profiles, q.Profile) {
			a.put("", q)
		}
	}
}

func askKey(thing string, q mapping.Ask) string {
	return thing + "\x00" + q.Topic + "\x00" + string(q.Payload)
}

// put queues a question unless it was asked within its interval.
func (a *asker) put(thing string, q mapping.Ask) {
	key := askKey(thing, q)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if q.Every > 0 {
		if last, ok := a.last[key]; ok && now.Sub(last) < q.Every {
			return
		}
		if len(a.last) >= askKept {
			clear(a.last)
		}
		a.last[key] = now
		a.b.timers.stop(a.repeat[key])
		if len(a.repeat) < askKept {
			a.repeat[key] = a.b.timers.after(q.Every, func() { a.again(thing, key, q) })
		}
	}
	a.queueLocked(q)
}

// again repeats a question while the broker is connected and the Thing's device is there.
func (a *asker) again(thing, key string, q mapping.Ask) {
	a.b.mu.Lock()
	stands := a.b.busUp
	if t := a.b.things[thing]; thing != "" {
		stands = stands && t != nil && a.b.wantedLocked(t)
	}
	a.b.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.repeat[key] == nil || !stands {
		delete(a.repeat, key)
		return
	}
	a.last[key] = time.Now()
	a.repeat[key] = a.b.timers.after(q.Every, func() { a.again(thing, key, q) })
	a.queueLocked(q)
}

// send sends a question that a session wants to ask; the session sees to its rate.
func (a *asker) send(q mapping.Ask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queueLocked(q)
}

func (a *asker) queueLocked(q mapping.Ask) {
	if len(a.queue) >= askQueue {
		a.queue = a.queue[1:]
		a.b.metrics.asksDropped.Inc()
	}
	a.queue = append(a.queue, q)
	if !a.running {
		a.running = true
		a.b.timers.after(0, a.next)
	}
}

// next sends one question.
func (a *asker) next() {
	a.mu.Lock()
	if len(a.queue) == 0 {
		a.running, a.queue = false, nil
		a.mu.Unlock()
		return
	}
	q := a.queue[0]
	a.queue = a.queue[1:]
	a.mu.Unlock()
	a.b.metrics.asks.Inc()
	a.b.send(q.Profile, Publication{Topic: q.Topic, Payload: q.Payload, QoS: qosOf(q.Publication), Expires: time.Now().Add(time.Minute)}, nil)
	a.b.timers.after(askPause, a.next)
}

// qosOf is the quality of service at which something goes to a device.
func qosOf(p mapping.Publication) byte {
	if p.AtMostOnce {
		return 0
	}
	return 1
}

package bridge

import (
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// call is one service call, write or read on its way to a device. relay.mu
// guards it.
type call struct {
	t        *thing
	c        *mapping.Call
	kind     string // "service", "write", "read"
	end      func(alwayson.Value, *mapping.CallError)
	started  time.Time
	deadline time.Time
	size     int // in bytes, of what is sent
	timer    *timer
	phase    phase
	unsent   int            // publications the broker does not have yet
	lags     bool           // over, but its answer may come yet: the next serial call waits
	asker    *call          // the read whose question is this one's, too; nil: it asks itself
	reported alwayson.Value // what an echo write saw instead
	value    alwayson.Value // of a write, as it came
	promise  *promise       // that it is made of: its caller was answered long ago
	begun    bool           // its device is at it: what comes after waits for the answer
}

type phase uint8

const (
	queued phase = iota // behind another serial call of its Thing
	asleep              // until the device shows itself
	sent
	over
)

// routeKey is what a reply without an id belongs to.
type routeKey struct {
	thing string
	route mapping.RouteID
}

// route is the calls of one Thing and reply rule, oldest first.
type route struct {
	calls []*call // asleep or sent
	queue []*call // behind a serial call of their Thing, of whatever route
}

// relay is the table of calls in flight. Replies may come from the bus's
// goroutine, requests from the platform's, time-outs from the keeper's: each call
// ends once, by whoever comes first.
type relay struct {
	b     *Bridge
	ended chan struct{} // a call ended

	// mu guards the following.
	mu            sync.Mutex
	byRequest     map[string]*call
	routes        map[routeKey]*route
	echo          map[string][]*call // by Thing
	sleepers      map[string][]*call // by Thing: wait until its device shows itself
	serial        map[string]*call   // by Thing: the one of its serial calls that is under way
	behind        map[string][]*call // by Thing: the serial calls behind it, oldest first
	closed        bool               // nothing ends calls any more
	perThing      map[string]int
	perEngine     map[*mapping.Engine]int // by whose rules they were made
	n             atomic.Int64            // calls in flight; written under mu
	bytes         int                     // their sizes
	promises      map[string][]*promise   // by Thing, in their order
	promised      atomic.Int64            // promises, over all Things; written under mu
	promisedBytes int
	lastPromise   uint64              // the newest id
	recent        map[string]struct{} // ids of calls that ended lately
	recentIDs     []string
	recentPos     int
}

// stops is why calls end when the bridge is told to stop.
const stops = "the bridge stops"

// callBytes bounds what the calls in flight send: it is kept until they end, and a
// short request can make a long payload.
const callBytes = 64 << 20

// recentCalls is how many ids of ended calls are remembered, to tell a late or
// double reply from a foreign one.
const recentCalls = 4096

func newRelay(b *Bridge) *relay {
	return &relay{b: b, ended: make(chan struct{}, 1), byRequest: map[string]*call{}, routes: map[routeKey]*route{},
		echo: map[string][]*call{}, sleepers: map[string][]*call{}, serial: map[string]*call{}, behind: map[string][]*call{}, perThing: map[string]int{}, promises: map[string][]*promise{}, perEngine: map[*mapping.Engine]int{}, recent: map[string]struct{}{}, recentIDs: make([]string, recentCalls)}
}

// start takes a call in and sends it, at once or when its turn comes. end is
// called exactly once, from any goroutine.
func (r *relay) start(t *thing, kind string, c *mapping.Call, end func(alwayson.Value, *mapping.CallError)) {
	r.begin(&call{t: t, c: c, kind: kind, end: end, started: time.Now()}, r.timeoutOf(c))
}

// startWrite is start for a write of a value, which may have to wait for long.
func (r *relay) startWrite(t *thing, c *mapping.Call, v alwayson.Value, end func(alwayson.Value, *mapping.CallError)) {
	r.begin(&call{t: t, c: c, kind: "write", value: v, end: end, started: time.Now()}, r.timeoutOf(c))
}

func (r *relay) timeoutOf(c *mapping.Call) time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return r.b.inForce().defaultTimeout
}

// begin takes a call in. One made of a promise was counted when that was given.
func (r *relay) begin(k *call, timeout time.Duration) {
	t, c := k.t, k.c
	k.deadline, k.unsent = time.Now().Add(timeout), len(c.Send)
	for i := range c.Send {
		k.size += len(c.Send[i].Topic) + len(c.Send[i].Payload)
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		if k.promise == nil {
			k.end(alwayson.Value{}, &mapping.CallError{Code: alwayson.ServiceUnavailable, Text: stops})
		}
		return
	}
	if full := r.fullLocked(t.name, k.size); full != "" && k.promise == nil {
		r.mu.Unlock()
		r.b.metrics.call(k.kind, "refused", 0)
		r.b.episodic("calls", "calls refused", "thing", t.name, "reason", full)
		k.end(alwayson.Value{}, &mapping.CallError{Code: alwayson.ServiceUnavailable, Text: full})
		return
	}
	r.n.Add(1)
	r.bytes += k.size
	r.perThing[t.name]++
	r.perEngine[c.Engine]++
	k.timer = r.b.timers.after(timeout, func() { r.timeout(k, timeout) })
	key := routeKey{t.name, c.Route}
	rt := r.routes[key]
	if rt == nil {
		rt = &route{}
		r.routes[key] = rt
	}
	if c.Serial {
		if r.serial[t.name] != nil {
			rt.queue = append(rt.queue, k)
			r.behind[t.name] = append(r.behind[t.name], k)
			r.mu.Unlock()
			return
		}
		r.serial[t.name] = k
	}
	k.phase = asleep
	rt.calls = append(rt.calls, k)
	r.mu.Unlock()
	r.wake(k)
}

func (r *relay) fullLocked(thing string, size int) string {
	lim := r.b.inForce().limits
	if n := r.inFlight(); n >= lim.Calls {
		return fmt.Sprintf("the bridge is full: %d calls are in flight (limits.calls)", n)
	}
	if r.bytes > 0 && r.bytes+size > callBytes {
		return fmt.Sprintf("the bridge is full: the calls in flight send %d bytes, of %d that are kept", r.bytes, callBytes)
	}
	if n := r.perThing[thing]; n >= lim.CallsPerThing {
		return fmt.Sprintf("%s is busy: %d calls are in flight (limits.calls_per_thing)", thing, n)
	}
	return ""
}

// wake sends the call, or has it wait until its device shows itself.
func (r *relay) wake(k *call) {
	t := k.t
	wait, sleeps := r.b.sleeps(t)
	if k.promise != nil {
		wait, sleeps = 0, false // its device is there
	}
	if sleeps {
		r.mu.Lock()
		if k.phase == asleep {
			r.sleepers[t.name] = append(r.sleepers[t.name], k)
		}
		r.mu.Unlock()
		_, sleeps = r.b.sleeps(t) // it may have shown itself before k was among those that wait
	}
	switch {
	case !sleeps:
		if wait > 0 {
			r.awake(t.name) // what came before goes before
		}
		r.send(k)
	case k.kind == "write" && k.c.Confirm == mapping.ConfirmSent && k.c.EchoProperty == "":
		r.promise(k, wait)
	}
}

// awake sends what waited for a Thing's device to show itself, the earliest first.
func (r *relay) awake(name string) {
	r.mu.Lock()
	calls := r.sleepers[name]
	delete(r.sleepers, name)
	var promises []*promise
	for _, p := range r.promises[name] {
		if p.state == promised {
			p.state = underWay
			promises = append(promises, p)
		}
	}
	r.mu.Unlock()
	for _, k := range calls {
		for len(promises) > 0 && promises[0].started.Before(k.started) {
			r.fulfil(promises[0])
			promises = promises[1:]
		}
		r.send(k)
	}
	for _, p := range promises {
		r.fulfil(p)
	}
}

// send publishes the call.
func (r *relay) send(k *call) {
	r.mu.Lock()
	if k.phase != asleep {
		r.mu.Unlock()
		return
	}
	k.phase = sent
	if k.c.Request != "" {
		r.byRequest[k.c.Request] = k
	}
	if k.c.EchoProperty != "" {
		if k.kind == "read" {
			k.asker = r.askerLocked(k)
		}
		r.echo[k.t.name] = append(r.echo[k.t.name], k)
	}
	joined := k.asker != nil
	r.mu.Unlock()
	if joined {
		return
	}
	profile := r.b.profileOf(k.t)
	for _, p := range k.c.Send {
		r.b.send(profile, Publication{Topic: p.Topic, Payload: p.Payload, QoS: qosOf(p), Retain: p.Retain, Expires: k.deadline},
			func(err error) { r.published(k, err) })
	}
	if len(k.c.Send) == 0 {
		r.finish(k, "unavailable", alwayson.Value{}, &mapping.CallError{Code: alwayson.InternalServerError, Text: "the mapping gives nothing to send"})
	}
}

// askerLocked is the read that has asked for the same property and waits for it;
// nil: none does. One whose time is over asked in vain, though others wait with it still.
func (r *relay) askerLocked(k *call) *call {
	for _, other := range r.echo[k.t.name] {
		if asker := cmp.Or(other.asker, other); other.kind == "read" && other.c.EchoProperty == k.c.EchoProperty && asker.phase != over {
			return asker
		}
	}
	return nil
}

// published follows a publication; some calls end once the broker has all of theirs.
func (r *relay) published(k *call, err error) {
	if err != nil {
		r.finish(k, "unavailable", alwayson.Value{}, &mapping.CallError{Code: alwayson.ServiceUnavailable,
			Text: fmt.Sprintf("the message to %s could not be sent: %v", k.t.name, err)})
		return
	}
	r.mu.Lock()
	k.unsent--
	done := k.unsent == 0 && k.c.Confirm == mapping.ConfirmSent && k.c.EchoProperty == ""
	r.mu.Unlock()
	if done {
		r.finish(k, "ok", alwayson.Value{}, nil)
	}
}

// finish ends the call, if nobody did yet, and lets the next of its route go.
func (r *relay) finish(k *call, outcome string, v alwayson.Value, err *mapping.CallError) bool {
	r.mu.Lock()
	if k.phase == over {
		r.mu.Unlock()
		return false
	}
	after := k.phase == sent && k.asker == nil && (!k.begun || outcome == "ok" || outcome == "device_error")
	lag := k.lagLocked(outcome)
	next := r.removeLocked(k)
	if lag > 0 {
		r.b.timers.after(lag, func() { r.letGo(k) })
	}
	r.mu.Unlock()
	r.b.timers.stop(k.timer)
	if after {
		r.clear(k.t, k.c.Finally)
	}
	signal(r.ended)
	if r.b.trace.on() {
		r.b.trace.call(k, outcome, err)
	}
	if k.promise != nil {
		r.settle(k.promise, outcome, err)
	} else {
		r.b.metrics.call(k.kind, outcome, time.Since(k.started))
		if k.kind == "write" && outcome == "ok" {
			r.overtaken(k)
		}
		k.end(v, err)
	}
	if next != nil {
		r.wake(next)
	}
	return true
}

// removeLocked takes the call out of every table; it returns the one whose turn it is now.
func (r *relay) removeLocked(k *call) (next *call) {
	k.phase = over
	name := k.t.name
	r.n.Add(-1)
	r.bytes -= k.size
	if r.perThing[name]--; r.perThing[name] <= 0 {
		delete(r.perThing, name)
	}
	if r.perEngine[k.c.Engine]--; r.perEngine[k.c.Engine] <= 0 {
		delete(r.perEngine, k.c.Engine)
	}
	if id := k.c.Request; id != "" {
		delete(r.byRequest, id)
		r.rememberLocked(id)
	}
	if k.c.EchoProperty != "" {
		if r.echo[name] = without(r.echo[name], k); len(r.echo[name]) == 0 {
			delete(r.echo, name)
		}
	}
	if list := r.sleepers[name]; list != nil {
		if r.sleepers[name] = without(list, k); len(r.sleepers[name]) == 0 {
			delete(r.sleepers, name)
		}
	}
	key := routeKey{name, k.c.Route}
	rt := r.routes[key]
	rt.calls, rt.queue = without(rt.calls, k), without(rt.queue, k)
	if k.c.Serial {
		next = r.nextSerialLocked(k)
	}
	if len(rt.calls)+len(rt.queue) == 0 {
		delete(r.routes, key)
	}
	return next
}

// nextSerialLocked takes k, which is over, out of its device's serial calls; it
// returns the one whose turn it is now.
func (r *relay) nextSerialLocked(k *call) *call {
	name := k.t.name
	line := without(r.behind[name], k)
	var next *call
	if r.serial[name] == k && !k.lags {
		delete(r.serial, name)
		if len(line) > 0 {
			next, line = line[0], line[1:]
			next.phase = asleep
			rt := r.routes[routeKey{name, next.c.Route}]
			rt.queue, rt.calls = without(rt.queue, next), append(rt.calls, next)
			r.serial[name] = next
		}
	}
	if r.behind[name] = line; len(line) == 0 {
		delete(r.behind, name)
	}
	return next
}

func (r *relay) rememberLocked(id string) {
	delete(r.recent, r.recentIDs[r.recentPos])
	r.recentIDs[r.recentPos] = id
	r.recent[id] = struct{}{}
	r.recentPos = (r.recentPos + 1) % recentCalls
}

func without(list []*call, k *call) []*call {
	for i := range list {
		if list[i] == k {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// madeBy counts the calls in flight that were made by the rules of an Engine.
func (r *relay) madeBy(e *mapping.Engine) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.perEngine[e]
}

func (r *relay) inFlight() int { return int(r.n.Load()) }

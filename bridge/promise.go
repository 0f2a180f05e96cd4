package bridge

import (
	"fmt"
	"slices"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// Bounds of what is promised, beside limits.calls_per_thing for one Thing.
const (
	mostPromises         = 10_000   // over all Things
	mostPromisedBytes    = 64 << 20 // the same, in bytes of the Store
	promisedBytesOfThing = 1 << 20
)

// promise is a write that was answered and waits for its device to show itself.
// The Store has it from before the answer until it is over, so that it outlives
// the bridge. It holds the value as the platform gave it: the call is made by the
// rules that stand when the device is there. relay.mu guards it.
type promise struct {
	id       uint64 // the order of all promises
	thing    string
	property string
	value    alwayson.Value
	started  time.Time
	expires  time.Time
	size     int
	state    promiseState
	doomed   string // why it is not made again, if the call under way comes to nothing
	timer    *timer
}

type promiseState uint8

const (
	keeping  promiseState = iota // the Store does not have it yet; its caller waits
	promised                     // for the device
	underWay                     // a call is made of it
)

// Why a promise came to nothing.
const (
	dropExpired    = "expired"
	dropLeft       = "left"
	dropUnfit      = "unfit"
	dropRefused    = "refused"
	dropDamaged    = "damaged"
	dropSuperseded = "superseded" // by a later write of the same property: nothing is lost
)

// outcomeOf is what calls_total counts a dropped promise as.
var outcomeOf = map[string]string{dropExpired: "timeout", dropLeft: "unavailable", dropUnfit: "invalid",
	dropRefused: "device_error", dropSuperseded: dropSuperseded}

// promise has the Store keep a write whose device sleeps, and answers it then:
// nobody waits as long as that, and the bridge is sure to try until then. If the
// device shows itself first, the write goes the way of any other.
func (r *relay) promise(k *call, wait time.Duration) {
	p := &promise{thing: k.t.name, property: k.c.Name, value: k.value, started: k.started, expires: time.Now().Add(wait)}
	data, err := encodePromise(p)
	p.size = len(data)
	r.mu.Lock()
	if k.phase != asleep || wait <= time.Until(k.deadline) {
		r.mu.Unlock()
		return
	}
	why := r.crowdedLocked(p)
	if err == nil && why == "" {
		r.lastPromise++
		p.id = r.lastPromise
		r.addPromiseLocked(p)
	}
	r.mu.Unlock()
	switch {
	case err != nil:
		r.finish(k, "invalid", alwayson.Value{}, &mapping.CallError{Code: alwayson.BadRequest, Text: fmt.Sprintf("property %q: %v", p.property, err)})
	case why != "":
		r.b.episodic("promises", "writes to sleeping devices refused", "thing", p.thing, "reason", why)
		r.finish(k, "refused", alwayson.Value{}, &mapping.CallError{Code: alwayson.ServiceUnavailable, Text: why})
	default:
		r.b.saver.promise(p, data, func(err error) { r.kept(k, p, err) })
	}
}

// crowdedLocked says what is full, "" if there is room. A write takes the place of
// an earlier one of its property.
func (r *relay) crowdedLocked(p *promise) string {
	count, bytes, replaces := 0, p.size, false
	for _, other := range r.promises[p.thing] {
		if other.property == p.property {
			replaces = true
			continue
		}
		count++
		bytes += other.size
	}
	if most := r.b.inForce().limits.CallsPerThing; !replaces && count >= most {
		return fmt.Sprintf("%s sleeps, and writes of %d properties wait for it (limits.calls_per_thing)", p.thing, count)
	}
	if bytes > promisedBytesOfThing {
		return fmt.Sprintf("%s sleeps, and %d bytes of writes would wait for it; there is room for %d", p.thing, bytes, promisedBytesOfThing)
	}
	if n := r.promised.Load(); !replaces && n >= mostPromises || r.promisedBytes+p.size > mostPromisedBytes {
		return fmt.Sprintf("the bridge is full: %d writes with %d bytes wait for sleeping devices", n, r.promisedBytes)
	}
	return ""
}

func (r *relay) addPromiseLocked(p *promise) {
	r.promises[p.thing] = append(r.promises[p.thing], p)
	r.promisedBytes += p.size
	r.promised.Add(1)
}

// takePromiseLocked takes p out of the table; it reports whether it was there.
func (r *relay) takePromiseLocked(p *promise) bool {
	list := r.promises[p.thing]
	i := slices.Index(list, p)
	if i < 0 {
		return false
	}
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(r.promises, p.thing)
	} else {
		r.promises[p.thing] = list
	}
	r.promisedBytes -= p.size
	r.promised.Add(-1)
	return true
}

// kept answers a write once the Store has it.
func (r *relay) kept(k *call, p *promise, err error) {
	r.mu.Lock()
	if err != nil || k.phase != asleep {
		r.takePromiseLocked(p)
		still := k.phase == asleep
		r.mu.Unlock()
		r.b.saver.forgetPromise(p.id, p.thing)
		if still {
			r.finish(k, "unavailable", alwayson.Value{}, &mapping.CallError{Code: alwayson.ServiceUnavailable,
				Text: fmt.Sprintf("%s sleeps, and the write could not be kept for it: %v", p.thing, err)})
		}
		return
	}
	next := r.removeLocked(k)
	older := r.waitsLocked(p)
	r.mu.Unlock()
	r.b.timers.stop(k.timer)
	signal(r.ended)
	k.end(alwayson.Value{}, nil)
	r.supersede(older)
	if next != nil {
		r.wake(next)
	}
	if _, sleeps := r.b.sleeps(k.t); !sleeps {
		r.awake(p.thing) // it showed itself while the Store kept p
	}
}

// waitsLocked has p wait for its device; it gives the writes of its property that
// are not needed any more, which are out of the table.
func (r *relay) waitsLocked(p *promise) (over []*promise) {
	p.state = promised
	p.timer = r.b.timers.after(max(0, time.Until(p.expires)), func() { r.expired(p) })
	for _, other := range slices.Clone(r.promises[p.thing]) {
		switch {
		case other == p || other.property != p.property || other.state == keeping:
		case other.id > p.id:
			over = append(over, p)
		case other.state == underWay:
			other.doomed = dropSuperseded
		default:
			over = append(over, other)
		}
	}
	for _, o := range over {
		r.takePromiseLocked(o)
	}
	return over
}

func (r *relay) supersede(list []*promise) {
	for _, p := range list {
		r.over(p, dropSuperseded, "")
	}
}

// overtaken ends promises of a property that was written by k, later and done.
func (r *relay) overtaken(k *call) {
	if r.promised.Load() == 0 {
		return
	}
	var over []*promise
	r.mu.Lock()
	for _, p := range slices.Clone(r.promises[k.t.name]) {
		switch {
		case p.property != k.c.Name || p.started.After(k.started) || p.state == keeping:
		case p.state == underWay:
			p.doomed = dropSuperseded
		case r.takePromiseLocked(p):
			over = append(over, p)
		}
	}
	r.mu.Unlock()
	r.supersede(over)
}

// fulfil makes the call of a promise whose device is there, by the present rules.
func (r *relay) fulfil(p *promise) {
	t := r.b.staying(p.thing)
	if t == nil {
		r.settle(p, "unavailable", &mapping.CallError{Text: "the device has left"})
		return
	}
	c, err := r.b.engine.Load().Write(p.thing, p.property, p.value)
	if err != nil {
		outcome := "unavailable"
		if unfit(err) {
			outcome = "invalid"
		}
		r.settle(p, outcome, callError(err))
		return
	}
	k := &call{t: t, c: c, kind: "write", value: p.value, promise: p, started: p.started}
	r.begin(k, min(r.timeoutOf(c), max(0, time.Until(p.expires))))
}

// staying gives a registered Thing that is not about to leave.
func (b *Bridge) staying(name string) *thing {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.things[name]; t != nil && !t.leaving {
		return t
	}
	return nil
}

// unfit reports whether a write can never be made by these rules.
func unfit(err error) bool {
	switch callError(err).Code {
	case alwayson.NotFound, alwayson.MethodNotAllowed, alwayson.BadRequest:
		return true
	}
	return false
}

// settle follows the end of the call that was made of p. What did not get to the
// device is made again when it shows itself the next time.
func (r *relay) settle(p *promise, outcome string, err *mapping.CallError) {
	reason, text := "", ""
	if err != nil {
		text = err.Text
	}
	r.mu.Lock()
	lost := outcome == "timeout" || outcome == "unavailable"
	switch {
	case outcome == "ok":
	case p.doomed != "":
		reason = p.doomed
	case lost && time.Now().Before(p.expires):
		p.state = promised
		r.mu.Unlock()
		r.b.trouble(p.thing, "write", fmt.Sprintf("a promised write of %s is made again when the device shows itself: %s", p.property, text))
		return
	case lost:
		reason = dropExpired
	case outcome == "invalid":
		reason = dropUnfit
	default:
		reason = dropRefused
	}
	there := r.takePromiseLocked(p)
	r.mu.Unlock()
	if there {
		r.over(p, reason, text)
	}
}

// over ends a promise that is out of the table; reason "" is its fulfilment.
func (r *relay) over(p *promise, reason, text string) {
	r.b.timers.stop(p.timer)
	r.b.saver.forgetPromise(p.id, p.thing)
	outcome := "ok"
	if reason != "" {
		outcome = outcomeOf[reason]
	}
	r.b.metrics.call("write", outcome, time.Since(p.started))
	if reason != "" && reason != dropSuperseded {
		r.b.promiseDropped(p.thing, p.property, reason, text)
	}
}

// promiseDropped counts and tells of a promised write that came to nothing.
func (b *Bridge) promiseDropped(thing, property, reason, text string) {
	b.metrics.promisesDropped.WithLabelValues(reason).Inc()
	b.trouble(thing, "write", fmt.Sprintf("a promised write of %s came to nothing (%s): %s", property, reason, text))
	b.episodic("promise/"+reason+"/"+thing, "promised write came to nothing", "thing", thing, "property", property, "reason", reason, "detail", cut(text))
}

// expired ends a promise whose time is over; one under way ends with its call.
func (r *relay) expired(p *promise) {
	r.mu.Lock()
	there := p.state == promised && r.takePromiseLocked(p)
	r.mu.Unlock()
	if there {
		r.over(p, dropExpired, fmt.Sprintf("the device did not show itself within %s", p.expires.Sub(p.started).Round(time.Second)))
	}
}

// left ends the promises to a Thing that left at the given time.
func (r *relay) left(name string, when time.Time) {
	var over []*promise
	r.mu.Lock()
	for _, p := range slices.Clone(r.promises[name]) {
		switch {
		case p.state == keeping || p.started.After(when): // a call in flight, or the Thing is there again
		case p.state == underWay:
			p.doomed = dropLeft
		case r.takePromiseLocked(p):
			over = append(over, p)
		}
	}
	r.mu.Unlock()
	for _, p := range over {
		r.over(p, dropLeft, "the device has left")
	}
}

// reconsiderAll looks at every promise by the present rules.
func (r *relay) reconsiderAll() {
	r.mu.Lock()
	names := make([]string, 0, len(r.promises))
	for name := range r.promises {
		names = append(names, name)
	}
	r.mu.Unlock()
	for _, name := range names {
		r.reconsider(name)
	}
}

// reconsider drops the promises to a Thing that no longer fit it, and sends the
// others if its device does not sleep any more.
func (r *relay) reconsider(name string) {
	t := r.b.staying(name)
	if t == nil {
		return // left ends them
	}
	r.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(r.promises[name]), func(p *promise) bool { return p.state != promised })
	r.mu.Unlock()
	for _, p := range list {
		if _, err := r.b.engine.Load().Write(name, p.property, p.value); err != nil && unfit(err) {
			r.mu.Lock()
			there := p.state == promised && r.takePromiseLocked(p)
			r.mu.Unlock()
			if there {
				r.over(p, dropUnfit, err.Error())
			}
		}
	}
	r.b.mu.Lock()
	sleeps := t.device.QueueFor > 0
	r.b.mu.Unlock()
	if !sleeps {
		r.awake(name)
	}
}

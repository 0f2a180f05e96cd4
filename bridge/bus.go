package bridge

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// receipt acknowledges one message to the broker after every part of its
// meaning is kept. A part that cannot be kept leaves it unacknowledged: the
// broker hands it over again on the next connection.
type receipt struct {
	m      *Message
	traced *traced // nil: nobody watches the message
	left   atomic.Int32
	failed atomic.Bool
}

func (r *receipt) add() { r.left.Add(1) }

func (r *receipt) done(err error) {
	if err != nil {
		r.failed.Store(true)
	}
	if r.left.Add(-1) != 0 {
		return
	}
	failed := r.failed.Load()
	if !failed {
		r.m.Ack()
	}
	if r.traced != nil {
		r.traced.kept(!failed)
	}
}

// dispatch carries one message's meaning to where it belongs. It is used on
// one goroutine.
type dispatch struct {
	b       *Bridge
	in      mapping.Input
	r       *receipt // nil when the message was acknowledged before
	recs    []Record
	of      []*thing // of each record
	heard   [2]string
	again   bool    // the message waited for an announcement and is looked at again
	told    bool    // it must wait (still) for one
	profile string  // of whose device
	traced  *traced // nil: nobody watches it
}

// Message implements BusEvents.
func (b *Bridge) Message(m *Message) {
	if b.stopping.Load() {
		return
	}
	if m.Received.IsZero() {
		m.Received = time.Now()
	}
	if b.markerBack(m) {
		b.metrics.received(nil)
		m.Ack()
		return
	}
	if len(m.Payload) > 0 {
		b.awaited.came(m.Topic)
	}
	b.work.Lock()
	defer b.work.Unlock()
	r := &receipt{m: m}
	r.left.Store(1)
	d := dispatch{b: b, r: r, in: mapping.Input{Topic: m.Topic, Payload: m.Payload, Retained: m.Retained, Now: m.Received}}
	heard, taken := b.turns.message(&d.in, r)
	if !taken {
		heard = d.handle()
	}
	b.metrics.received(heard)
	r.done(nil)
}

// handle has the rules look at the message, and carries out what it means. It gives
// the profiles that listen. work is held.
func (d *dispatch) handle() []string {
	b := d.b
	d.in.Heard = d.heard[:0]
	effects := b.engine.Load().Handle(&d.in, nil)
	if b.trace.on() {
		d.watch(effects)
	}
	replied := b.former.replies(&d.in)
	for _, e := range effects {
		switch e.(type) {
		case *mapping.Reply:
			if !replied {
				d.effect(e)
			}
		case *mapping.Rejected: // below: what an announcement has wrong belongs to the Thing that it makes
		default:
			d.effect(e)
		}
	}
	for _, e := range effects {
		if r, ok := e.(*mapping.Rejected); ok {
			d.effect(r)
		}
	}
	d.keep()
	return d.in.Heard
}

// record adds a record of t; of a Thing that is not registered, t is nil.
func (d *dispatch) record(t *thing, rec Record) {
	d.recs = append(d.recs, rec)
	d.of = append(d.of, t)
}

// keep hands the records to the outbox, in one Append.
func (d *dispatch) keep() {
	if len(d.recs) == 0 {
		return
	}
	b, recs, of, r := d.b, d.recs, d.of, d.r
	if r != nil {
		r.add()
	}
	if b.comesAgain(r) && b.gaps.has(r.m, recs) {
		b.unkept(recs, of)
		b.metrics.dropped("not_kept", len(recs))
		r.done(errGap)
		return
	}
	b.sched.appending(of)
	b.opt.Outbox.Append(recs, func(err error) {
		b.sched.appended(of)
		if err != nil {
			if b.comesAgain(r) {
				b.gaps.open(r.m, recs)
			}
			b.unkept(recs, of)
			b.notKept(len(recs), err)
		}
		if r != nil {
			r.done(err)
		}
	})
	if d.traced != nil {
		b.trace.follow(d.traced, recs)
	}
	b.sched.arrived(of)
	for i, t := range of {
		if t == nil {
			b.sched.more(recs[i].Thing)
		}
	}
}

// notKept counts what the outbox refused. Its message stays unacknowledged, with
// all that follows for its Thing, and the broker connection is made anew where
// the Bus can do that: then they come again, in order.
func (b *Bridge) notKept(n int, err error) {
	b.metrics.dropped("not_kept", n)
	b.episodic("outbox", "outbox cannot keep values; they stay with the broker", "error", err)
	r, ok := b.bus.(Reconnector)
	if !ok {
		return
	}
	b.mu.Lock()
	due := time.Since(b.busReset) > busResetPause
	if due {
		b.busReset = time.Now()
	}
	b.mu.Unlock()
	if due {
		b.timers.after(busResetPause, func() { r.Reconnect("values could not be kept") })
	}
}

const busResetPause = 5 * time.Second

func (d *dispatch) effect(e mapping.Effect) {
	b := d.b
	switch e := e.(type) {
	case *mapping.Announced:
		b.announced(e, d.r)
	case *mapping.Gathering:
		b.gather.more(e, d.in.Topic)
	case *mapping.Left:
		b.left(e, d.r)
	case *mapping.Stays:
		b.stays(e.Thing)
	case *mapping.Presence:
		b.presence(e, d.r)
	case *mapping.Hold:
		b.touch(e.Thing, d.in.Retained)
		b.hold(e, d.r)
	case *mapping.Sleep:
		b.sleep(e, d.r)
	case *mapping.Values:
		d.values(e)
	case *mapping.Event:
		d.event(e)
	case *mapping.Reply:
		b.touch(e.Thing, d.in.Retained)
		b.relay.reply(e)
	case *mapping.Upward:
		if d.again { // it had its answer when it came
			return
		}
		b.touch(e.Thing, d.in.Retained)
		b.up.request(e, d.r.m)
	case *mapping.Unclaimed:
		d.unclaimed(e)
	case *mapping.Rejected:
		b.rejected(e, d.in.Topic)
	}
}

// values learns the values, offers them to waiting reads and writes, and
// makes the record that is pushed.
func (d *dispatch) values(e *mapping.Values) {
	b := d.b
	waiting := 0
	if d.in.Retained {
		waiting, _, _ = b.opt.Outbox.Depth(e.Thing)
	}
	b.mu.Lock()
	t := b.things[e.Thing]
	if t == nil {
		b.mu.Unlock()
		b.metrics.dropped("unknown_thing", len(e.Values))
		return
	}
	vals, absent := t.presentLocked(e)
	fresh := vals
	if !e.History {
		fresh = d.learnLocked(t, vals, waiting > 0)
	}
	if d.in.Retained {
		b.doubtLocked(t)
	}
	state := t.counted
	b.mu.Unlock()
	if !d.in.Retained {
		b.touched(t)
		if !e.History {
			b.relay.values(e.Thing, e.Values)
		}
	}
	b.metrics.value("received", len(e.Values))
	if absent > 0 {
		b.metrics.dropped("null", absent)
	}
	if skipped := len(vals) - len(fresh); skipped > 0 {
		b.metrics.dropped("retained_unchanged", skipped)
		d.traceUnchanged(e.Thing, vals, fresh)
	}
	if len(fresh) == 0 {
		return
	}
	rec, err := encodeValues(e.Thing, fresh, d.in.Now)
	if err != nil {
		b.metrics.dropped("encoding", len(fresh))
		b.trouble(e.Thing, "value", err.Error())
		return
	}
	if state != stateReady {
		b.metrics.held(state, len(fresh))
	}
	d.record(t, rec)
}

// learnLocked notes the values as the last known ones and returns those that
// must be pushed: all, but retained ones that the platform has already.
func (d *dispatch) learnLocked(t *thing, vals []alwayson.PropertyValue, waiting bool) []alwayson.PropertyValue {
	fresh := vals
	if d.in.Retained {
		fresh = make([]alwayson.PropertyValue, 0, len(vals))
	}
	for i := range vals {
		v := &vals[i]
		if d.in.Retained && !d.b.unchangedLocked(t, v, waiting) {
			fresh = append(fresh, *v)
		}
		t.learnLocked(v, d.in.Now)
	}
	return fresh
}

func (d *dispatch) event(e *mapping.Event) {
	b := d.b
	t := b.thing(e.Thing)
	if t == nil {
		b.metrics.event("unknown_thing")
		return
	}
	if !d.in.Retained {
		b.touched(t)
	}
	rec, err := encodeEvent(e, d.in.Now)
	if err != nil {
		b.metrics.event("encoding")
		b.trouble(e.Thing, "event", err.Error())
		return
	}
	b.metrics.event("received")
	b.seen.event(e, d.in.Now, len(rec.Data))
	d.record(t, rec)
}

// touch notes that a Thing's device showed itself; what the broker kept for it
// (retained) shows nothing.
func (b *Bridge) touch(name string, retained bool) {
	if retained {
		return
	}
	if t := b.thing(name); t != nil {
		b.touched(t)
	}
}

func (b *Bridge) touched(t *thing) {
	b.mu.Lock()
	t.lastSeen = time.Now()
	back := t.expired
	t.expired = false
	ask := back && !t.offline
	first := t.unheard
	t.unheard = false
	sleeper := t.device.QueueFor > 0 && (!t.device.SleepTold || first && !t.asleep)
	b.mu.Unlock()
	if back {
		b.reconsider(t)
		b.savePresence(t, nil)
		b.timers.after(0, func() {
			b.log.Info("presence changed", "thing", t.name, "online", true, "why", "device shows itself again")
		})
	}
	if ask {
		b.asks.thing(mapping.AskPresence, t)
	}
	if sleeper {
		b.timers.after(0, func() { b.relay.awake(t.name) })
	}
}

// rejected tells what was refused of a message on topic, which names the device
// where no Thing does.
func (b *Bridge) rejected(e *mapping.Rejected, topic string) {
	b.metrics.reject(e.Rule, string(e.Reason))
	b.seen.reject(e, topic)
	where := e.Rule
	if b.thing(e.Thing) == nil {
		where += " on " + cutTopic(topic)
	}
	b.trouble(e.Thing, string(e.Reason), where+": "+e.Detail)
	if !quiet[e.Reason] || announces(e.Rule) {
		b.episodic("rejected/"+e.Rule+"/"+string(e.Reason), "messages refused", "thing", e.Thing, "topic", cutTopic(topic), "rule", e.Rule, "reason", string(e.Reason), "detail", cut(e.Detail))
	}
}

// TooLarge implements BusEvents. The Bus counts and logs it; here it shows in the status.
func (b *Bridge) TooLarge(topic string, bytes int) {
	e := &mapping.Rejected{Rule: "-", Reason: mapping.ReasonTooLarge,
		Detail: fmt.Sprintf("a payload of %d bytes is over limits.payload_bytes", bytes)}
	b.awaited.came(topic)
	b.seen.reject(e, topic)
	b.trouble("", string(e.Reason), "on "+cutTopic(topic)+": "+e.Detail)
}

// quiet are the reasons that the log does not tell of, since devices that work
// give them every day: they are in the metrics and with their Thing. Of the
// others it tells once in an episode of one rule. Announcements are told of for
// whatever reason: their devices show nowhere else.
var quiet = map[mapping.Reason]bool{mapping.ReasonNull: true, mapping.ReasonTime: true, mapping.ReasonUnknownRule: true}

// announces reports whether a rule, "profile/section/n", is of an announcement.
func announces(rule string) bool { return strings.Contains(rule, "/announce/") }

// cutTopic leaves room for what is said of the topic.
func cutTopic(topic string) string { return cutAt(topic, maxProblemText/2) }

func cut(text string) string { return cutAt(text, maxProblemText) }

func cutAt(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// send publishes for a device of a profile.
func (b *Bridge) send(profile string, p Publication, done func(error)) {
	b.metrics.sent(profile)
	b.bus.Publish(p, done)
}

// BusUp implements BusEvents.
func (b *Bridge) BusUp(session uint64) {
	b.mu.Lock()
	fresh := !b.busUp || session != b.busSession
	again := b.remark && !fresh
	b.remark = false
	b.busUp, b.busSession, b.busErr = true, session, nil
	if fresh {
		b.busSince = time.Now()
		b.metrics.link(linkBroker, true, b.busSince)
	}
	b.mu.Unlock()
	if again {
		b.sendMarker()
	}
	if fresh {
		b.seen.link(LinkBroker, true, nil)
		b.log.Debug("broker connected", "session", session)
		b.sendMarker()
		b.asks.connected()
		b.turns.connected(!b.sessionLost())
	}
}

// BusDown implements BusEvents.
func (b *Bridge) BusDown(session uint64, err error) {
	b.mu.Lock()
	was := b.busUp
	b.busUp, b.busErr = false, err
	if was {
		b.busSince = time.Now()
		b.metrics.link(linkBroker, false, b.busSince)
	}
	b.mu.Unlock()
	if was {
		b.seen.link(LinkBroker, false, err)
	}
	b.marker.nextEpoch()
	b.awaitParts()
	b.turns.disconnected()
	if was {
		b.log.Debug("broker connection lost", "session", session, "error", err)
	}
}

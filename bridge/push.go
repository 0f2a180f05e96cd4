package bridge

import (
	"fmt"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// Back-off of one Thing's pushes.
const (
	pushRetryMin   = time.Second
	pushRetryMax   = 30 * time.Second
	absentRetry    = 5 * time.Minute // the Thing is not there: until it is bound again, or so long
	poisonTries    = 3               // of a push that the platform fails on without saying that it is bad
	poisonPatience = 5 * time.Minute // for a platform that fails on everything
	bodyReserve    = 64
	valuesRoom     = 256 // values for which a push has room from the start, at most
	knownPerThing  = 64  // names of properties without a binding that are listed
)

// unit is what a record is made of: one value, or one event.
type unit struct {
	value alwayson.PropertyValue
	event *mapping.Event
}

// push is one message to the platform and what its success means.
type push struct {
	f       *flow
	bind    string // the platform name
	vals    []alwayson.PropertyValue
	event   *mapping.Event
	seen    []alwayson.PropertyValue // values that came to nothing by their push type
	size    int                      // encoded
	weight  int                      // in memory, of all that it holds
	records int                      // that are done
	doneSeq uint64                   // records up to here are out
	partSeq uint64                   // and of this one partUnit units
	partTo  int
	undo    []undo
	fate    string      // of the unit that was taken last
	notes   []traceNote // of each unit; only while somebody watches
	started time.Time
	resp    *alwayson.Response
	err     error
}

func (u *unit) weight() int {
	if u.event == nil {
		return sizeOf(&u.value)
	}
	return sizeOf(&alwayson.PropertyValue{Name: u.event.Name, Value: alwayson.NewTable(u.event.Data)})
}

// undo is a filter as it was before the push, for a push that failed: its
// values are decided on again.
type undo struct {
	index  int
	filter alwayson.PushFilter
}

// look makes the next push of a Thing's oldest records.
func (s *scheduler) look(f *flow) {
	t := f.thing
	body := min(s.b.platform.MaxBody(), pushBody)
	recs, err := s.b.opt.Outbox.Peek(t.name, 0, pushUnits, body)
	if err != nil {
		s.b.episodic("outbox", "outbox cannot be read", "thing", t.name, "error", err)
		s.release(f, false)
		s.pause(f, pushRetryMax)
		return
	}
	if len(recs) == 0 {
		s.release(f, false)
		s.drained(t)
		return
	}
	s.b.mu.Lock()
	bind := t.told
	s.b.mu.Unlock()
	if bind == "" {
		s.release(f, false)
		return
	}
	p := &push{f: f, bind: bind, partSeq: f.partSeq, partTo: f.partUnit}
	now := time.Now()
	backlog := now.Sub(time.UnixMilli(recs[0].Time)) >= backlogAge
	if d := s.replay.wait(now); backlog && d > 0 {
		s.postpone(f, d)
		return
	}
	s.fill(p, recs, body)
	if backlog {
		s.replay.spend(p.records)
	}
	if len(p.vals) == 0 && p.event == nil {
		s.commit(p)
		s.release(f, true)
		return
	}
	s.start(p)
}

// fill takes units into the push until it is full or an event is reached.
func (s *scheduler) fill(p *push, recs []Record, body int) {
	p.size = alwayson.PushSize(p.bind) + bodyReserve
	watched := s.b.trace.on()
	for i := range recs {
		r := &recs[i]
		units, err := s.units(p.f, r)
		if err != nil {
			s.b.metrics.dropped("damaged", 1)
			s.b.trouble(r.Thing, "outbox", err.Error())
		}
		if p.vals == nil {
			p.vals = make([]alwayson.PropertyValue, 0, min(len(units)*len(recs), valuesRoom))
		}
		from := 0
		if r.Seq == p.partSeq {
			from = min(p.partTo, len(units))
		}
		for n := from; n < len(units); n++ {
			if !s.take(p, &units[n], body) {
				p.partSeq, p.partTo = r.Seq, n
				return
			}
			if watched {
				p.note(r.Seq, &units[n])
			}
			if p.event != nil {
				if n+1 < len(units) {
					p.partSeq, p.partTo = r.Seq, n+1
				} else {
					p.doneSeq = r.Seq
					p.records++
				}
				return
			}
		}
		p.doneSeq = r.Seq
		p.records++
	}
}

// units takes a record apart. What it gives is good until the next call.
func (s *scheduler) units(f *flow, r *Record) ([]unit, error) {
	if len(r.Data) == 0 {
		return nil, errBadRecord
	}
	switch r.Data[0] {
	case recordValues:
		var err error
		s.vals, err = decodeValues(s.vals[:0], r.Data, f.propertyName)
		s.taken = valueUnits(s.taken[:0], s.vals)
		return s.taken, err
	case recordEvent:
		e, err := decodeEvent(r.Thing, r.Data)
		if err != nil {
			return nil, err
		}
		return []unit{{event: e}}, nil
	case recordRaw:
		in, err := decodeRaw(r.Data)
		if err != nil {
			return nil, err
		}
		return s.raw(f, in), nil
	}
	return nil, fmt.Errorf("%w: kind %d", errBadRecord, r.Data[0])
}

func valueUnits(dst []unit, vals []alwayson.PropertyValue) []unit {
	for _, v := range vals {
		dst = append(dst, unit{value: v})
	}
	return dst
}

// raw has the rules look at a message that came before its Thing's announcement.
func (s *scheduler) raw(f *flow, in *mapping.Input) []unit {
	var units []unit
	for _, e := range s.b.engine.Load().Handle(in, nil) {
		switch e := e.(type) {
		case *mapping.Values:
			if e.Thing == f.thing.name {
				units = valueUnits(units, s.b.learnWaited(f.thing, e, in.Now))
			}
		case *mapping.Event:
			if e.Thing == f.thing.name {
				units = append(units, unit{event: e})
			}
		case *mapping.Rejected:
			s.b.rejected(e, in.Topic)
		case *mapping.Unclaimed:
			s.b.metrics.dropped("unclaimed", 1)
		}
	}
	return units
}

// learnWaited is learn for what waited for its Thing's announcement; it gives
// the values to push.
func (b *Bridge) learnWaited(t *thing, e *mapping.Values, received time.Time) []alwayson.PropertyValue {
	b.mu.Lock()
	vals, absent := t.presentLocked(e)
	b.mu.Unlock()
	if absent > 0 {
		b.metrics.dropped("null", absent)
	}
	if !e.History {
		b.learn(t, vals, received)
	}
	return vals
}

// learn keeps values as last known, unless a newer message gave one already.
func (b *Bridge) learn(t *thing, vals []alwayson.PropertyValue, received time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range vals {
		if k := t.knownLocked(vals[i].Name); k == nil || !k.received.After(received) {
			t.learnLocked(&vals[i], received)
		}
	}
}

func (f *flow) propertyName(name []byte) string {
	if i, ok := f.subs.index[string(name)]; ok {
		return f.subs.list[i].EdgeName
	}
	return string(name)
}

// take decides on one unit. It reports false when the push must go out first.
func (s *scheduler) take(p *push, u *unit, body int) bool {
	p.fate = fateSent
	weight := u.weight()
	if p.weight > 0 && p.weight+weight > pushWeight {
		return false
	}
	if u.event != nil {
		if len(p.vals) > 0 {
			return false
		}
		p.weight += weight
		p.event = u.event
		return true
	}
	f := p.f
	i, ok := f.subs.index[u.value.Name]
	if !ok {
		s.unbound(f.thing, &u.value)
		p.fate = fateNoBinding
		return true
	}
	size := u.value.EncodedSize()
	if len(p.vals) > 0 && (p.size+size > body || (f.limit > 0 && len(p.vals) >= f.limit)) {
		return false
	}
	p.weight += weight
	p.remember(i)
	if !f.filters[i].Decide(f.subs.list[i], u.value) {
		s.b.metrics.value("filtered", 1)
		p.seen = append(p.seen, u.value)
		p.fate = fateFiltered
		return true
	}
	f.filters[i].Sent(u.value)
	p.vals = append(p.vals, u.value)
	p.size += size
	return true
}

func (p *push) remember(index int) {
	for i := range p.undo {
		if p.undo[i].index == index {
			return
		}
	}
	p.undo = append(p.undo, undo{index, p.f.filters[index]})
}

// rollback puts the filters back to before the push.
func (f *flow) rollback(p *push) {
	for _, u := range p.undo {
		f.filters[u.index] = u.filter
	}
}

// unbound counts a value of a property that the platform has no binding for. A
// value that outlived the process that took it in is learnt like a new one, so that
// the platform can browse its property, and gets the last of them then.
func (s *scheduler) unbound(t *thing, v *alwayson.PropertyValue) {
	name := v.Name
	s.b.metrics.value("no_binding", 1)
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if k := t.knownLocked(name); k == nil || k.received.IsZero() {
		t.learnLocked(v, time.Time{})
	}
	if _, ok := t.missing[name]; !ok {
		if len(t.missing) >= knownPerThing {
			return
		}
		s.b.engine.Load().Learn(t.name, name, v.Value.Type())
		s.b.browseLocked(t, name)
	}
	if t.missing == nil {
		t.missing = map[string]uint64{}
	}
	t.missing[name]++
}

const (
	browseSoon  = time.Second // so that properties that come together cost one BIND
	browsePause = time.Minute
)

// browseLocked has the Thing bound again, so that the platform can browse a
// property that nothing declared, since it was inferred from its first value.
func (b *Bridge) browseLocked(t *thing, name string) {
	if t.browse || t.device.Definitions != nil && t.device.Definitions.Properties[name] != nil {
		return
	}
	t.browse = true
	b.timers.after(max(browseSoon, browsePause-time.Since(t.browsed)), func() {
		b.mu.Lock()
		t.browse, t.browsed, t.rebind = false, time.Now(), true
		b.mu.Unlock()
		b.saver.thing(t.name, nil)
		b.keeper.dirty(t.name)
	})
}

// start sends the push.
func (s *scheduler) start(p *push) {
	p.started = time.Now()
	var req *alwayson.Request
	if p.event != nil {
		req = alwayson.EventRequest(p.bind, p.event.Name, p.event.Data)
	} else {
		req = alwayson.PushRequest(p.bind, p.vals)
	}
	s.mu.Lock()
	s.inFlight.Add(1)
	s.unanswered++
	s.bytes += p.weight
	if s.stalled.IsZero() {
		s.stalled = p.started
	}
	s.mu.Unlock()
	s.b.metrics.pushes.Inc()
	s.b.platform.Start(alwayson.Post, req, s.b.inForce().pushTimeout, func(resp *alwayson.Response, err error) {
		s.mu.Lock()
		p.resp, p.err = resp, err
		s.results = append(s.results, p)
		s.unanswered--
		switch {
		case err == nil && s.unanswered > 0:
			s.stalled = time.Now()
		case err == nil:
			s.stalled = time.Time{}
		}
		s.mu.Unlock()
		signal(s.wake)
	})
}

// commit notes that the push's records are out: what the platform has by them
// before they are gone, so that a retained value never falls between.
func (s *scheduler) commit(p *push) {
	f := p.f
	f.partSeq, f.partUnit = p.partSeq, p.partTo
	s.b.trace.ended(p.notes)
	f.tries, f.fails, f.failing = 0, 0, time.Time{}
	if len(p.vals)+len(p.seen) > 0 {
		s.b.mu.Lock()
		s.b.deliveredLocked(f.thing, p.seen)
		s.b.deliveredLocked(f.thing, p.vals)
		was := f.thing.absent
		f.thing.absent = false
		f.thing.rebind = f.thing.rebind || was // created after its BIND: that did not make it this connection's
		s.b.mu.Unlock()
		if was {
			s.b.recount(f.thing)
			s.b.keeper.dirty(f.thing.name)
		}
		s.b.saver.sent(f.thing.name)
	}
	if p.doneSeq > 0 {
		s.b.opt.Outbox.Done(f.thing.name, p.doneSeq)
	}
}

// drained tells the keeper that a Thing which waits to be unbound has nothing left.
func (s *scheduler) drained(t *thing) {
	s.b.mu.Lock()
	waits := !t.drainTill.IsZero()
	s.b.mu.Unlock()
	if waits {
		s.b.keeper.dirty(t.name)
	}
}

// queue puts values of the Bridge's own into the outbox.
func (b *Bridge) queue(name string, vals []alwayson.PropertyValue) {
	rec, err := encodeValues(name, vals, time.Now())
	if err != nil {
		b.metrics.dropped("encoding", len(vals))
		return
	}
	b.opt.Outbox.Append([]Record{rec}, func(err error) {
		if err != nil {
			b.metrics.dropped("not_kept", len(vals))
		}
		b.sched.more(name)
	})
	b.sched.more(name)
}

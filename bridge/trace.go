package bridge

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// Bounds of tracing. What goes beyond them is counted and not shown.
const (
	traceBuffer  = 512  // lines that one Trace holds for whoever reads it
	traceRate    = 100  // messages per second that one Trace shows
	traceSteps   = 20   // meanings of one message that are shown
	traceRecords = 4096 // records whose end is followed
	traceEarly   = 256  // ends that came before it was known that they are followed
	tracePayload = 300  // bytes of a payload that are shown
	traceValue   = 120  // bytes of a value that are shown
	traceDetail  = 300  // bytes of a reason that are shown
)

// TraceFilter says what a Trace shows. Both parts must fit.
type TraceFilter struct {
	Topic string // a topic filter where it holds + or #, else a part of the topic; empty: all
	Thing string // a part of the Thing's name, in any case; empty: all
}

func (f *TraceFilter) topicFits(topic string) bool {
	switch {
	case f.Topic == "":
		return true
	case strings.ContainsAny(f.Topic, "+#"):
		return mapping.Covers(f.Topic, topic)
	}
	return strings.Contains(topic, f.Topic)
}

// Kinds of a TraceLine.
const (
	TraceMessage = "message" // a message came; Steps say what it means
	TraceKept    = "kept"    // all that it means is kept, and the broker has its acknowledgement
	TraceUnkept  = "unkept"  // it could not be kept: the broker hands it over again
	TraceEnd     = "end"     // what became of values or an event of it
	TraceCall    = "call"    // a call, write or read to a device ended
)

// TraceLine is one thing that a Trace shows. Lines of one message have its ID.
type TraceLine struct {
	ID   uint64    `json:"id,omitempty"`
	Kind string    `json:"kind"`
	Time time.Time `json:"time"`
	Took float64   `json:"took,omitempty"` // milliseconds since the message came, or that the call took

	Topic    string      `json:"topic,omitempty"` // of the message, or the first that the call was sent to
	Payload  string      `json:"payload,omitempty"`
	Size     int         `json:"size,omitempty"` // bytes of the whole payload
	QoS      byte        `json:"qos,omitempty"`
	Retained bool        `json:"retained,omitempty"`
	Steps    []TraceStep `json:"steps,omitempty"`
	More     int         `json:"more,omitempty"` // further steps that are not shown

	Thing   string `json:"thing,omitempty"` // of an end or call
	Name    string `json:"name,omitempty"`
	Call    string `json:"call,omitempty"`    // service, write, read
	Outcome string `json:"outcome,omitempty"` // of an end: sent, filtered, no_binding, refused, again, unchanged; of a call: as in the metric
	Reason  string `json:"reason,omitempty"`
}

// TraceStep is one meaning of a message.
type TraceStep struct {
	Rule  string `json:"rule,omitempty"`
	What  string `json:"what"` // value, event, announced, gathered, left, presence, hold, sleep, reply, upward, waits, rejected
	Thing string `json:"thing,omitempty"`
	Name  string `json:"name,omitempty"`  // of the property, event or service
	Value string `json:"value,omitempty"` // JSON, cut
	Type  string `json:"type,omitempty"`  // base type of the value, reason of a rejection
}

// Trace shows messages and what becomes of them, from Bridge.Trace until Close.
type Trace struct {
	// Lines is where they come. It is never closed. Who does not keep up
	// loses lines, which are counted.
	Lines <-chan TraceLine

	t       *tracer
	filter  TraceFilter
	c       chan TraceLine
	dropped atomic.Uint64

	// tracer.mu guards the following.
	second int64
	shown  int
}

// Dropped counts the messages and later lines that fitted the filter and were not shown.
func (t *Trace) Dropped() uint64 { return t.dropped.Load() }

// Close ends the Trace.
func (t *Trace) Close() { t.t.remove(t) }

// Trace begins to show the messages that f chooses. It costs the messages'
// way some time, until Close.
func (b *Bridge) Trace(f TraceFilter) *Trace {
	t := &Trace{t: &b.trace, filter: f, c: make(chan TraceLine, traceBuffer)}
	t.filter.Thing = strings.ToLower(f.Thing)
	t.Lines = t.c
	b.trace.add(t)
	return t
}

// offer puts a line where it is read, if there is room.
func (t *Trace) offer(l TraceLine) {
	select {
	case t.c <- l:
	default:
		t.dropped.Add(1)
	}
}

// roomLocked reports whether one more message may be shown in this second.
func (t *Trace) roomLocked(now time.Time) bool {
	if s := now.Unix(); s != t.second {
		t.second, t.shown = s, 0
	}
	if t.shown >= traceRate || len(t.c) == cap(t.c) {
		t.dropped.Add(1)
		return false
	}
	t.shown++
	return true
}

// tracer knows who watches. While nobody does, all that it costs is a look at watched.
type tracer struct {
	watched atomic.Int32

	// mu guards the following.
	mu     sync.Mutex
	traces []*Trace
	lastID uint64
	bySeq  map[uint64]*traced
	seqs   []uint64    // of bySeq, oldest first
	early  []traceNote // oldest first
}

// traced is a message that somebody watches.
type traced struct {
	id   uint64
	came time.Time
	to   []*Trace
}

// traceNote is what became of one value or event of a record.
type traceNote struct {
	seq     uint64
	thing   string
	name    string
	outcome string
	reason  string
}

func (t *tracer) on() bool { return t.watched.Load() > 0 }

func (t *tracer) add(tr *Trace) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.traces = append(t.traces, tr)
	t.watched.Add(1)
}

func (t *tracer) remove(tr *Trace) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.traces, tr)
	if i < 0 {
		return
	}
	t.traces = slices.Delete(t.traces, i, i+1)
	if t.watched.Add(-1) == 0 {
		t.bySeq, t.seqs, t.early = nil, nil, nil
	}
}

// watch shows a message with what it means, where somebody watches it.
func (d *dispatch) watch(effects []mapping.Effect) {
	var qos byte
	if d.r != nil {
		qos = d.r.m.QoS
	}
	d.traced = d.b.trace.message(&d.in, qos, effects)
	if d.r != nil && d.r.traced == nil {
		d.r.traced = d.traced
	}
}

// message shows a message that came, with what it means, and gives what its
// later lines are shown by; nil when nobody watches it.
func (t *tracer) message(m *mapping.Input, qos byte, effects []mapping.Effect) *traced {
	t.mu.Lock()
	defer t.mu.Unlock()
	var to []*Trace
	for _, tr := range t.traces {
		if tr.filter.topicFits(m.Topic) && thingFits(tr.filter.Thing, effects) && tr.roomLocked(m.Now) {
			to = append(to, tr)
		}
	}
	if len(to) == 0 {
		return nil
	}
	t.lastID++
	l := TraceLine{ID: t.lastID, Kind: TraceMessage, Time: m.Now, Topic: cutTopic(m.Topic), Payload: payloadText(m.Payload),
		Size: len(m.Payload), QoS: qos, Retained: m.Retained}
	l.Steps, l.More = traceStepsOf(effects)
	for _, tr := range to {
		tr.offer(l)
	}
	return &traced{id: t.lastID, came: m.Now, to: to}
}

// later shows a later line of a message.
func (d *traced) later(l TraceLine) {
	l.ID, l.Time = d.id, time.Now()
	l.Took = milliseconds(l.Time.Sub(d.came))
	for _, tr := range d.to {
		tr.offer(l)
	}
}

// kept shows whether the message is kept, and so acknowledged to the broker.
func (d *traced) kept(ok bool) {
	kind := TraceKept
	if !ok {
		kind = TraceUnkept
	}
	d.later(TraceLine{Kind: kind})
}

// follow has the ends of a message's records shown.
func (t *tracer) follow(d *traced, recs []Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.traces) == 0 {
		return
	}
	if t.bySeq == nil {
		t.bySeq = map[uint64]*traced{}
	}
	for i := range recs {
		seq := recs[i].Seq
		t.bySeq[seq] = d
		if t.seqs = append(t.seqs, seq); len(t.seqs) > traceRecords {
			delete(t.bySeq, t.seqs[0])
			t.seqs = t.seqs[1:]
		}
		for _, n := range t.early {
			if n.seq == seq {
				d.end(n)
			}
		}
	}
}

// ended shows what became of values and events, of those that are followed.
func (t *tracer) ended(notes []traceNote) {
	if len(notes) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range notes {
		if d := t.bySeq[n.seq]; d != nil {
			d.end(n)
			continue
		}
		if t.early = append(t.early, n); len(t.early) > traceEarly {
			t.early = t.early[1:]
		}
	}
}

func (d *traced) end(n traceNote) {
	d.later(TraceLine{Kind: TraceEnd, Thing: n.thing, Name: n.name, Outcome: n.outcome, Reason: cutAt(n.reason, traceDetail)})
}

// call shows the end of a call to a device.
func (t *tracer) call(k *call, outcome string, err *mapping.CallError) {
	l := TraceLine{Kind: TraceCall, Time: time.Now(), Thing: k.t.name, Name: k.c.Name, Call: k.kind, Outcome: outcome}
	l.Took = milliseconds(l.Time.Sub(k.started))
	if len(k.c.Send) > 0 {
		l.Topic, l.Payload, l.Size = cutTopic(k.c.Send[0].Topic), payloadText(k.c.Send[0].Payload), len(k.c.Send[0].Payload)
	}
	if err != nil {
		l.Reason = cutAt(err.Text, traceDetail)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tr := range t.traces {
		f := &tr.filter
		if f.topicFits(l.Topic) && strings.Contains(strings.ToLower(l.Thing), f.Thing) && tr.roomLocked(l.Time) {
			tr.offer(l)
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// What becomes of a value or an event on the way to the platform.
const (
	fateSent      = "sent"       // the platform has acknowledged it
	fateFiltered  = "filtered"   // its push type or threshold keeps it back
	fateNoBinding = "no_binding" // the platform has no binding for the property
	fateRefused   = "refused"    // the platform refuses it for what it is
	fateAgain     = "again"      // the push failed and is made again
	fateUnchanged = "unchanged"  // retained, and the platform has it already
)

// note remembers what became of the unit that was taken last.
func (p *push) note(seq uint64, u *unit) {
	n := traceNote{seq: seq, thing: p.f.thing.name, name: u.value.Name, outcome: p.fate}
	if u.event != nil {
		n.name = u.event.Name
	}
	p.notes = append(p.notes, n)
}

// notesSent changes the notes of what was sent, and gives them.
func (p *push) notesSent(outcome, reason string) []traceNote {
	var sent []traceNote
	for i := range p.notes {
		if n := &p.notes[i]; n.outcome == fateSent {
			n.outcome, n.reason = outcome, reason
			sent = append(sent, *n)
		}
	}
	return sent
}

// traceUnchanged shows the values that are not among those to be pushed.
func (d *dispatch) traceUnchanged(thing string, vals, fresh []alwayson.PropertyValue) {
	if d.traced == nil {
		return
	}
	for i := range vals {
		name := vals[i].Name
		if !slices.ContainsFunc(fresh, func(v alwayson.PropertyValue) bool { return v.Name == name }) {
			d.traced.end(traceNote{thing: thing, name: name, outcome: fateUnchanged})
		}
	}
}

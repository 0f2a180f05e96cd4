package bridge

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"thingbridge/mapping"
)

// Bounds of what waits for an announcement.
const (
	strangerTime  = time.Hour       // a Thing that is not announced so long after its last message: dropped
	untoldPerList = 500             // messages of one profile whose Thing cannot be told
	untoldBytes   = 1 << 20         // the same, in bytes
	untoldAck     = 5 * time.Second // these are acknowledged after that, and wait in memory alone
	untoldTime    = 10 * time.Minute
	mostShown     = 20 // Things not announced that a status names
)

// waiting keeps messages that may mean something after an announcement. Where
// the Thing can be told they go to the outbox under its name, so that they are
// durable and in order with what follows. Where it cannot, they wait in memory.
type waiting struct {
	b *Bridge

	// mu guards the following.
	mu        sync.Mutex
	strangers map[string]*stranger
	untold    map[string]*untoldList // by profile
	sweeping  bool
}

type stranger struct {
	count int
	last  time.Time
}

type untoldList struct {
	messages []*untoldMessage
	bytes    int
	planned  bool // a new look is planned
}

type untoldMessage struct {
	in    mapping.Input
	r     *receipt
	timer *timer // acknowledges it; nil: it is acknowledged already
	acked bool
}

func newWaiting(b *Bridge) *waiting {
	return &waiting{b: b, strangers: map[string]*stranger{}, untold: map[string]*untoldList{}}
}

// load takes over what the outbox holds of Things that are not registered.
func (w *waiting) load(names []string) {
	for _, name := range names {
		if w.b.thing(name) != nil {
			w.b.sched.more(name)
			continue
		}
		n, _, _ := w.b.opt.Outbox.Depth(name)
		w.mu.Lock()
		w.strangers[name] = &stranger{count: n, last: time.Now()}
		w.planLocked()
		w.mu.Unlock()
	}
}

// unclaimed has the message wait for an announcement.
func (d *dispatch) unclaimed(e *mapping.Unclaimed) {
	b := d.b
	switch {
	case d.again:
		d.told, d.profile = true, e.Profile
	case e.Thing == "":
		b.wait.addUntold(e.Profile, d)
	case !b.inForce().things.permits(e.Thing):
		b.metrics.dropped("denied", 1)
	case b.wait.admit(e.Thing):
		b.metrics.value("waiting", 1)
		d.record(b.thing(e.Thing), encodeRaw(e.Thing, &d.in))
	default:
		b.wait.dropped(e.Thing, 1)
	}
}

// dropped counts what waited for an announcement and could not wait longer.
func (w *waiting) dropped(name string, n int) {
	w.b.metrics.dropped("unannounced", n)
	w.b.episodic("unannounced", "messages of Things not announced are dropped", "thing", name)
}

// admit counts a message of a Thing not announced yet; it reports whether
// there is room. The oldest of the Thing's messages make room.
func (w *waiting) admit(name string) bool {
	if w.b.thing(name) != nil {
		return true
	}
	limit := w.b.inForce().limits.WaitingPerThing
	w.mu.Lock()
	s := w.strangers[name]
	if s == nil {
		if len(w.strangers) >= w.b.inForce().limits.Things {
			w.mu.Unlock()
			return false
		}
		s = &stranger{}
		w.strangers[name] = s
		w.planLocked()
	}
	s.last = time.Now()
	s.count++
	full := s.count > limit
	w.mu.Unlock()
	if full {
		w.thin(name, s, max(1, limit/4))
	}
	return true
}

// unannounced lists Things that are not announced and whose messages wait, the
// latest, and says how many there are.
func (w *waiting) unannounced() ([]Unannounced, int) {
	w.mu.Lock()
	var list []Unannounced
	for name, s := range w.strangers {
		list = append(list, Unannounced{Thing: name, Messages: s.count, Last: s.last})
	}
	w.mu.Unlock()
	slices.SortFunc(list, func(a, b Unannounced) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Thing, b.Thing))
	})
	return list[:min(len(list), mostShown)], len(list)
}

// thin drops the n oldest messages of a Thing that is not announced.
func (w *waiting) thin(name string, s *stranger, n int) {
	recs, err := w.b.opt.Outbox.Peek(name, 0, n, 1<<20)
	if err != nil || len(recs) == 0 {
		return
	}
	w.b.opt.Outbox.Done(name, recs[len(recs)-1].Seq)
	w.dropped(name, len(recs))
	w.mu.Lock()
	s.count -= len(recs)
	w.mu.Unlock()
}

func (w *waiting) planLocked() {
	if w.sweeping {
		return
	}
	w.sweeping = true
	w.b.timers.after(strangerTime/10, w.sweep)
}

// sweep drops what waits for Things that nobody announced.
func (w *waiting) sweep() {
	var gone []string
	w.mu.Lock()
	for name, s := range w.strangers {
		if time.Since(s.last) >= strangerTime {
			gone = append(gone, name)
			delete(w.strangers, name)
		}
	}
	w.sweeping = false
	if len(w.strangers) > 0 {
		w.planLocked()
	}
	w.mu.Unlock()
	for _, name := range gone {
		if w.b.thing(name) != nil {
			continue
		}
		n, _, _ := w.b.opt.Outbox.Depth(name)
		w.b.opt.Outbox.Drop(name)
		w.b.metrics.dropped("unannounced", n)
	}
}

// addUntold keeps a message whose Thing cannot be told. The oldest makes room.
func (w *waiting) addUntold(profile string, d *dispatch) {
	m := &untoldMessage{in: d.in, r: d.r}
	m.in.Payload = append([]byte(nil), d.in.Payload...)
	if m.r != nil {
		m.r.add()
	}
	w.mu.Lock()
	m.timer = w.b.timers.after(untoldAck, func() { w.ack(m) })
	l := w.untold[profile]
	if l == nil {
		l = &untoldList{}
		w.untold[profile] = l
	}
	l.messages = append(l.messages, m)
	l.bytes += len(m.in.Payload)
	var out []*untoldMessage
	for len(l.messages) > untoldPerList || (l.bytes > untoldBytes && len(l.messages) > 1) {
		out = append(out, l.messages[0])
		l.bytes -= len(l.messages[0].in.Payload)
		l.messages = l.messages[1:]
	}
	w.mu.Unlock()
	for _, o := range out {
		w.dropped("", 1)
		w.ack(o)
	}
}

// ack acknowledges a message, whose timer would keep it in memory otherwise.
func (w *waiting) ack(m *untoldMessage) {
	w.mu.Lock()
	w.b.timers.stop(m.timer)
	done := m.acked || m.r == nil
	m.acked = true
	w.mu.Unlock()
	if !done {
		m.r.done(nil)
	}
}

// announced has everything looked at again that may belong to the device.
func (w *waiting) announced(d *mapping.Device) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.strangers, d.Thing)
	l := w.untold[d.Profile]
	if l == nil || l.planned {
		return
	}
	l.planned = true
	w.b.timers.after(0, func() { w.again(d.Profile) })
}

// again handles the profile's waiting messages once more; what is still
// unclaimed and not too old stays.
func (w *waiting) again(profile string) {
	w.b.work.Lock()
	defer w.b.work.Unlock()
	w.mu.Lock()
	l := w.untold[profile]
	delete(w.untold, profile)
	w.mu.Unlock()
	if l == nil {
		return
	}
	for _, m := range l.messages {
		d := dispatch{b: w.b, in: m.in, again: true}
		if !m.acked {
			d.r = m.r
		}
		for _, e := range w.b.engine.Load().Handle(&d.in, nil) {
			d.effect(e)
		}
		d.keep()
		switch {
		case !d.told:
			w.ack(m)
		case time.Since(m.in.Now) > untoldTime:
			w.b.metrics.dropped("unannounced", 1)
			w.ack(m)
		default:
			w.putBack(d.profile, m)
		}
	}
}

// reloaded has everything looked at again by other rules.
func (w *waiting) reloaded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for profile, l := range w.untold {
		if !l.planned {
			l.planned = true
			w.b.timers.after(0, func() { w.again(profile) })
		}
	}
}

func (w *waiting) putBack(profile string, m *untoldMessage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.untold[profile]
	if l == nil {
		l = &untoldList{}
		w.untold[profile] = l
	}
	l.messages = append(l.messages, m)
	l.bytes += len(m.in.Payload)
}

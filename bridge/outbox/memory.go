package outbox

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"thingbridge/bridge"
)

const (
	holdUnbound = 5 * time.Second // how long what waits for an unbound Thing stays unacknowledged
	holdLook    = time.Second     // how often to look for such
)

// Memory is an Outbox in RAM. See the package comment.
type Memory struct {
	meter *meter

	mu sync.Mutex // guards the following
	core
	items   map[uint64]memItem
	held    []*hold // unacknowledged appends, oldest first; some may be released already
	holding int     // of held, not released
	looking *time.Timer
	expirer *time.Timer
	closed  bool
}

var _ bridge.Outbox = (*Memory)(nil)

type memItem struct {
	rec  bridge.Record
	hold *hold // nil once acknowledged
}

// hold is one Append whose kept was not called yet.
type hold struct {
	kept  func(error)
	since time.Time
	seqs  []uint64
	left  int // records still here
}

// NewMemory makes an outbox that keeps nothing over a restart: it holds back
// the acknowledgement instead, within the bounds that the package comment gives.
func NewMemory(opt Options) (*Memory, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Memory{core: newCore(opt), items: make(map[uint64]memItem), meter: newMeter()}
	if err := m.meter.register(opt.Registerer, m.Status); err != nil {
		return nil, err
	}
	return m, nil
}

// Append implements bridge.Outbox: kept(nil) is called when all of recs are
// Done or dropped, or when they may be acknowledged early. It sets the Seq of
// recs and keeps their Data, which must not be changed afterwards. It never blocks.
func (m *Memory) Append(recs []bridge.Record, kept func(error)) {
	if len(recs) == 0 {
		kept(nil)
		return
	}
	var dropped drops
	var release []func(error)
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		kept(ErrClosed)
		return
	}
	now := time.Now()
	h := &hold{kept: kept, since: now, left: len(recs), seqs: make([]uint64, len(recs))}
	for i := range recs {
		m.stamp(&recs[i], now)
		h.seqs[i] = recs[i].Seq
		m.items[recs[i].Seq] = memItem{rec: recs[i], hold: h}
	}
	m.held = append(m.held, h)
	m.holding++
	m.meter.appended.Add(float64(len(recs)))
	m.trim(&dropped, m.removing(&release))
	for m.holding > m.opt.HoldMax {
		m.releaseOldestLocked(&release)
	}
	m.armLocked()
	m.mu.Unlock()
	callAll(release)
	dropped.report(m.opt.OnDrop)
}

func callAll(release []func(error)) {
	for _, kept := range release {
		kept(nil)
	}
}

// removing returns a function that takes a record that is out of the index out
// of the rest; what becomes free to be acknowledged is added to release.
func (m *Memory) removing(release *[]func(error)) func(seq uint64) {
	return func(seq uint64) {
		h := m.items[seq].hold
		delete(m.items, seq)
		if h == nil {
			return
		}
		if h.left--; h.left == 0 {
			m.releaseLocked(h, release)
		}
	}
}

// releaseLocked ends a hold: its message is acknowledged, its records stay.
func (m *Memory) releaseLocked(h *hold, release *[]func(error)) {
	*release = append(*release, h.kept)
	h.kept = nil
	m.holding--
	if h.left > 0 {
		for _, seq := range h.seqs {
			if it, ok := m.items[seq]; ok {
				it.hold = nil
				m.items[seq] = it
			}
		}
	}
	if len(m.held) > 2*m.holding+64 {
		m.held = slices.DeleteFunc(m.held, func(h *hold) bool { return h.kept == nil })
	}
}

func (m *Memory) releaseOldestLocked(release *[]func(error)) {
	for len(m.held) > 0 {
		h := m.held[0]
		m.held = m.held[1:]
		if h.kept != nil {
			m.releaseLocked(h, release)
			return
		}
	}
}

// Peek implements bridge.Outbox. Data of the records must not be changed.
func (m *Memory) Peek(thing string, after uint64, max, maxBytes int) ([]bridge.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	seqs := m.ix.after(nil, thing, after, max, maxBytes)
	recs := make([]bridge.Record, len(seqs))
	for i, seq := range seqs {
		recs[i] = m.items[seq].rec
	}
	return recs, nil
}

// Done implements bridge.Outbox. It calls kept of the messages that it completes.
func (m *Memory) Done(thing string, seq uint64) {
	var release []func(error)
	m.mu.Lock()
	m.ix.popThrough(thing, seq, m.removing(&release))
	m.mu.Unlock()
	callAll(release)
}

// Drop implements bridge.Outbox.
func (m *Memory) Drop(thing string) { m.Done(thing, ^uint64(0)) }

// Things implements bridge.Outbox; the names are sorted.
func (m *Memory) Things() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ix.things()
}

// Depth implements bridge.Outbox. oldest is exact to the second.
func (m *Memory) Depth(thing string) (records int, bytes int64, oldest time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ix.depth(thing)
}

// Err is always nil.
func (m *Memory) Err() error { return nil }

// Status gives the present state.
func (m *Memory) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status("memory")
	s.Waiting = m.holding
	return s
}

// Close gives what is held kept(ErrClosed), so that the broker delivers it
// again, and forgets the rest.
func (m *Memory) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	stopTimer(m.looking)
	stopTimer(m.expirer)
	held, lost := m.held, 0
	for _, it := range m.items {
		if it.hold == nil {
			lost++
		}
	}
	m.held, m.items, m.ix = nil, nil, newIndex(false)
	m.mu.Unlock()
	m.meter.unregister()
	for _, h := range held {
		if h.kept != nil {
			h.kept(ErrClosed)
		}
	}
	if lost > 0 {
		m.opt.Logger.Warn("outbox in memory closed with acknowledged values that the platform has not got", slog.Int("records", lost))
	}
	return nil
}

func (m *Memory) armLocked() {
	if m.closed {
		return
	}
	if m.looking == nil && m.holding > 0 {
		m.looking = time.AfterFunc(holdLook, m.look)
	}
	if m.expirer == nil && m.opt.MaxAge > 0 && m.ix.records > 0 {
		m.expirer = time.AfterFunc(m.expiryPeriod(), m.expireNow)
	}
}

func (m *Memory) expireNow() {
	var dropped drops
	var release []func(error)
	m.mu.Lock()
	m.expirer = nil
	if !m.closed {
		m.expire(time.Now(), &dropped, m.removing(&release))
		m.armLocked()
	}
	m.mu.Unlock()
	callAll(release)
	dropped.report(m.opt.OnDrop)
}

// look releases what has waited too long for a Thing that is not bound.
func (m *Memory) look() {
	waits := m.longHeld(time.Now().Add(-holdUnbound))
	bound := make(map[string]bool)
	for _, w := range waits {
		for _, thing := range w.things {
			if _, ok := bound[thing]; !ok {
				bound[thing] = m.opt.Bound(thing)
			}
		}
	}
	var release []func(error)
	m.mu.Lock()
	for _, w := range waits {
		unbound := slices.ContainsFunc(w.things, func(thing string) bool { return !bound[thing] })
		if unbound && w.hold.kept != nil && !m.closed {
			m.releaseLocked(w.hold, &release)
		}
	}
	m.looking = nil
	m.armLocked()
	m.mu.Unlock()
	callAll(release)
}

// longHeld is a hold and the Things that it still waits for.
type longHeld struct {
	hold   *hold
	things []string
}

func (m *Memory) longHeld(before time.Time) (waits []longHeld) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.held {
		if h.since.After(before) {
			break
		}
		if h.kept == nil {
			continue
		}
		w := longHeld{hold: h}
		for _, seq := range h.seqs {
			if it, ok := m.items[seq]; ok && !slices.Contains(w.things, it.rec.Thing) {
				w.things = append(w.things, it.rec.Thing)
			}
		}
		waits = append(waits, w)
	}
	return waits
}

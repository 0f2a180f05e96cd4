package mqttbus

import (
	"fmt"
	"sync"
	"time"

	"thingbridge/bridge"
)

// publication is one Publish on its way; it ends by finish, once.
type publication struct {
	bridge.Publication
	done func(error)
}

func (p *publication) size() int { return len(p.Topic) + len(p.Payload) }

func (p *publication) expired(now time.Time) bool {
	return !p.Expires.IsZero() && !now.Before(p.Expires)
}

// outQueue holds publications in order. The first `sent` of them are in flight
// on the present connection; they leave at the head only, when confirmed, so
// that after a broken connection the queue is again what must be sent, in order.
type outQueue struct {
	maxItems, maxBytes int
	metrics            *metrics
	finish             func(*publication, error) // must not block

	mu       sync.Mutex // guards the following
	items    queue[*publication]
	bytes    int
	sent     int
	earliest time.Time // no waiting publication expires before; zero: none expires
	closed   bool

	added chan struct{} // capacity 1: something to send, or room in the window
	due   chan struct{} // capacity 1: earliest became earlier
	empty chan struct{} // capacity 1: the queue ran empty
}

func newOutQueue(maxItems, maxBytes int, m *metrics, finish func(*publication, error)) *outQueue {
	return &outQueue{
		maxItems: maxItems, maxBytes: maxBytes, metrics: m, finish: finish,
		added: make(chan struct{}, 1), due: make(chan struct{}, 1), empty: make(chan struct{}, 1),
	}
}

// push appends p, or ends it at once.
func (q *outQueue) push(p *publication) {
	if err := checkTopic(p.Topic); err != nil {
		q.finish(p, fmt.Errorf("publish: %w: %w", errBadTopic, err))
		return
	}
	if err := q.tryPush(p); err != nil {
		q.finish(p, err)
		return
	}
	signal(q.added)
}

func (q *outQueue) tryPush(p *publication) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return bridge.ErrBusDown
	case q.items.len() >= q.maxItems, q.items.len() > 0 && q.bytes+p.size() > q.maxBytes:
		return bridge.ErrBusFull
	}
	q.items.push(p)
	q.bytes += p.size()
	q.noteExpiryLocked(p)
	q.reportLocked()
	return nil
}

func (q *outQueue) noteExpiryLocked(p *publication) {
	if !p.Expires.IsZero() && (q.earliest.IsZero() || p.Expires.Before(q.earliest)) {
		q.earliest = p.Expires
		signal(q.due)
	}
}

// next gives the first publication that is not in flight and marks it so. It
// returns nil when there is none, or when window are in flight.
func (q *outQueue) next(now time.Time, window int) *publication {
	q.expire(now)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sent >= q.items.len() || q.sent >= window {
		return nil
	}
	p := q.items.at(q.sent)
	q.sent++
	q.reportLocked()
	return p
}

// confirm ends the oldest publication in flight, which must be p.
func (q *outQueue) confirm(p *publication) {
	q.mu.Lock()
	q.items.pop()
	q.sent--
	q.bytes -= p.size()
	q.reportLocked()
	last := q.items.len() == 0
	waiting := q.items.len() > q.sent
	q.mu.Unlock()
	if waiting {
		signal(q.added) // there is room in the window for it now
	}
	if last {
		signal(q.empty)
	}
	q.finish(p, nil)
}

// rewind says that the connection is gone: nothing is in flight any more.
func (q *outQueue) rewind() (unconfirmed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	unconfirmed, q.sent = q.sent, 0
	for i := range unconfirmed {
		q.noteExpiryLocked(q.items.at(i))
	}
	q.reportLocked()
	return unconfirmed
}

// expire ends the waiting publications whose time is over, and returns when the
// next one's is; zero: none has one.
func (q *outQueue) expire(now time.Time) time.Time {
	q.mu.Lock()
	if q.earliest.IsZero() || now.Before(q.earliest) {
		defer q.mu.Unlock()
		return q.earliest
	}
	var over []*publication
	var earliest time.Time
	q.items.filter(q.sent, func(p *publication) bool {
		if p.expired(now) {
			over = append(over, p)
			q.bytes -= p.size()
			return false
		}
		if !p.Expires.IsZero() && (earliest.IsZero() || p.Expires.Before(earliest)) {
			earliest = p.Expires
		}
		return true
	})
	q.earliest = earliest
	q.reportLocked()
	q.mu.Unlock()
	for _, p := range over {
		q.finish(p, bridge.ErrExpired)
	}
	return earliest
}

// close refuses what comes later.
func (q *outQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// drop ends all that is left.
func (q *outQueue) drop(err error) {
	q.mu.Lock()
	var left []*publication
	q.sent = 0
	q.items.filter(0, func(p *publication) bool { left = append(left, p); return false })
	q.bytes = 0
	q.reportLocked()
	q.mu.Unlock()
	for _, p := range left {
		q.finish(p, err)
	}
}

func (q *outQueue) depth() (items, bytes, sent int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.items.len(), q.bytes, q.sent
}

func (q *outQueue) reportLocked() {
	q.metrics.queueMessages.Set(float64(q.items.len()))
	q.metrics.queueBytes.Set(float64(q.bytes))
	q.metrics.inFlight.Set(float64(q.sent))
}

// finisher calls the done functions, in order, on one goroutine of its own.
type finisher struct {
	mu      sync.Mutex // guards the following
	pending []func()
	stopped bool // nobody runs it any more

	wake chan struct{} // capacity 1
}

func newFinisher() *finisher { return &finisher{wake: make(chan struct{}, 1)} }

// add has f called soon. Once the bus has ended, f gets a goroutine of its own.
func (f *finisher) add(call func()) {
	f.mu.Lock()
	stopped := f.stopped
	if !stopped {
		f.pending = append(f.pending, call)
	}
	f.mu.Unlock()
	if stopped {
		go call()
		return
	}
	signal(f.wake)
}

// run calls what add brought until stop is closed and nothing is left.
func (f *finisher) run(stop <-chan struct{}) {
	for {
		f.mu.Lock()
		calls := f.pending
		f.pending = nil
		f.mu.Unlock()
		for _, call := range calls {
			call()
		}
		if len(calls) > 0 {
			continue
		}
		select {
		case <-f.wake:
		case <-stop:
			if f.tryStop() {
				return
			}
		}
	}
}

func (f *finisher) tryStop() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = len(f.pending) == 0
	return f.stopped
}

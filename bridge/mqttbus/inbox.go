package mqttbus

import (
	"context"
	"sync"

	"thingbridge/bridge"
)

// inbox is the queue between the MQTT library and BusEvents.Message. push never
// blocks: whoever reads the connection asks for room first. As the library holds
// a few packets between reading and push, the limits may be passed by as many.
type inbox struct {
	maxMessages, maxBytes int
	metrics               *metrics

	mu    sync.Mutex // guards the following
	items queue[received]
	bytes int
	next  []func() // to do before any of the items

	filled chan struct{} // capacity 1: an item was added
	freed  chan struct{} // capacity 1: an item was taken
}

func newInbox(maxMessages, maxBytes int, m *metrics) *inbox {
	return &inbox{
		maxMessages: maxMessages, maxBytes: maxBytes, metrics: m,
		filled: make(chan struct{}, 1), freed: make(chan struct{}, 1),
	}
}

// received is a message, or something to do in its place among the messages.
type received struct {
	*bridge.Message
	do func()
}

func messageSize(m *bridge.Message) int { return len(m.Topic) + len(m.Payload) }

// hasRoom reports whether a message of size bytes fits. An empty inbox takes any.
func (b *inbox) hasRoom(size int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.items.len()
	return n == 0 || n < b.maxMessages && b.bytes+size <= b.maxBytes
}

// waitRoom blocks until a message of size bytes fits, or closed is closed. Only
// one goroutine at a time may wait.
func (b *inbox) waitRoom(size int, closed <-chan struct{}) bool {
	for !b.hasRoom(size) {
		select {
		case <-closed:
			return false
		case <-b.freed:
		}
	}
	return true
}

func (b *inbox) push(m *bridge.Message) {
	b.mu.Lock()
	b.items.push(received{Message: m})
	b.bytes += messageSize(m)
	b.report()
	b.mu.Unlock()
	signal(b.filled)
}

// between has f come out of the queue after what is in it now.
func (b *inbox) between(f func()) {
	b.mu.Lock()
	b.items.push(received{do: f})
	b.report()
	b.mu.Unlock()
	signal(b.filled)
}

// soon has f come out of the queue before what is in it.
func (b *inbox) soon(f func()) {
	b.mu.Lock()
	b.next = append(b.next, f)
	b.mu.Unlock()
	signal(b.filled)
}

// pop takes the oldest entry, waiting for one; false when ctx ended.
func (b *inbox) pop(ctx context.Context) (received, bool) {
	for ctx.Err() == nil {
		if m, ok := b.take(); ok {
			signal(b.freed)
			return m, true
		}
		select {
		case <-ctx.Done():
		case <-b.filled:
		}
	}
	return received{}, false
}

func (b *inbox) take() (received, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.next) > 0 {
		f := b.next[0]
		b.next = b.next[1:]
		return received{do: f}, true
	}
	if b.items.len() == 0 {
		return received{}, false
	}
	m := b.items.pop()
	if m.Message != nil {
		b.bytes -= messageSize(m.Message)
	}
	b.report()
	return m, true
}

func (b *inbox) report() {
	if b.metrics == nil {
		return
	}
	b.metrics.inboxMessages.Set(float64(b.items.len()))
	b.metrics.inboxBytes.Set(float64(b.bytes))
}

func (b *inbox) depth() (messages, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.items.len(), b.bytes
}

// signal wakes the one goroutine that waits on ch, now or when it next looks.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// queue is a first-in-first-out list in one slice, which it gives back when empty.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int   { return len(q.items) - q.head }
func (q *queue[T]) at(i int) T { return q.items[q.head+i] }
func (q *queue[T]) push(v T)   { q.items = append(q.items, v) }

func (q *queue[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	q.compact()
	return v
}

// filter keeps the items from index `from` on for which keep is true.
func (q *queue[T]) filter(from int, keep func(T) bool) {
	out := q.items[:q.head+from]
	for _, v := range q.items[q.head+from:] {
		if keep(v) {
			out = append(out, v)
		}
	}
	clear(q.items[len(out):])
	q.items = out
	q.compact()
}

func (q *queue[T]) compact() {
	switch {
	case q.head == len(q.items):
		q.head = 0
		if cap(q.items) > 1024 {
			q.items = nil
		} else {
			q.items = q.items[:0]
		}
	case q.head > 1024 && q.head > len(q.items)/2:
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}

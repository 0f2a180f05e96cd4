package edge

import (
	"container/heap"
	"sync"
	"time"
)

// timed is something that happens at a time.
type timed interface {
	// expire runs on the clock's goroutine, without locks, and must not block.
	expire(now time.Time)
}

// timer is one entry of a clock, embedded in what it belongs to. Only the clock
// touches its fields.
type timer struct {
	at   time.Time
	pos  int // in the heap, from 1; 0: not set
	what timed
}

// clock runs any number of timers on one goroutine.
type clock struct {
	kick chan struct{}

	mu     sync.Mutex // guards the following
	timers timerHeap
	wake   time.Time // when run wakes next; zero: only when kicked
}

func newClock() *clock { return &clock{kick: make(chan struct{}, 1)} }

// set makes t fire at a time, instead of at its former one if it was set.
func (c *clock) set(t *timer, at time.Time, what timed) {
	c.mu.Lock()
	t.at, t.what = at, what
	if t.pos > 0 {
		heap.Fix(&c.timers, t.pos-1)
	} else {
		heap.Push(&c.timers, t)
	}
	kick := c.wake.IsZero() || at.Before(c.wake)
	if kick {
		c.wake = at
	}
	c.mu.Unlock()
	if kick {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// stop takes t out. It may be firing just now.
func (c *clock) stop(t *timer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.pos > 0 {
		heap.Remove(&c.timers, t.pos-1)
	}
}

// run fires timers until done is closed.
func (c *clock) run(done <-chan struct{}) {
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		alarm.Reset(c.fire(time.Now()))
		select {
		case <-done:
			return
		case <-c.kick:
		case <-alarm.C:
		}
	}
}

// fire runs what is due and tells how long to sleep.
func (c *clock) fire(now time.Time) time.Duration {
	for {
		c.mu.Lock()
		if len(c.timers) == 0 {
			c.wake = time.Time{}
			c.mu.Unlock()
			return time.Hour
		}
		t := c.timers[0]
		if wait := t.at.Sub(now); wait > 0 {
			c.wake = t.at
			c.mu.Unlock()
			return wait
		}
		heap.Pop(&c.timers)
		what := t.what
		c.mu.Unlock()
		what.expire(now)
	}
}

// timerHeap implements heap.Interface, earliest first.
type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.pos = len(*h)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.pos = 0
	return t
}

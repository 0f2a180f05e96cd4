package bridge

import (
	"container/heap"
	"sync"
	"time"
)

// timer is one thing to do later. fire runs on the keeper's goroutine and must
// not block.
type timer struct {
	at    time.Time
	index int // in the heap; -1 when it is not there
	fire  func()
}

// timers is every waiting timer of the Bridge in one heap, served by one
// goroutine. Safe for concurrent use.
type timers struct {
	mu   sync.Mutex
	heap timerHeap
	wake chan struct{} // a new earliest timer
}

func newTimers() *timers { return &timers{wake: make(chan struct{}, 1)} }

// after runs fire once d has passed, unless the timer is stopped before.
func (q *timers) after(d time.Duration, fire func()) *timer {
	t := &timer{at: time.Now().Add(d), fire: fire}
	q.mu.Lock()
	heap.Push(&q.heap, t)
	first := t.index == 0
	q.mu.Unlock()
	if first {
		signal(q.wake)
	}
	return t
}

// stop takes t out; it reports whether t was still waiting. A nil t is none.
func (q *timers) stop(t *timer) bool {
	if t == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.index < 0 {
		return false
	}
	heap.Remove(&q.heap, t.index)
	return true
}

// run fires what is due and returns the time until the next; ok is false when nothing waits.
func (q *timers) run() (next time.Duration, ok bool) {
	for {
		now := time.Now()
		q.mu.Lock()
		if len(q.heap) == 0 {
			q.mu.Unlock()
			return 0, false
		}
		t := q.heap[0]
		if d := t.at.Sub(now); d > 0 {
			q.mu.Unlock()
			return d, true
		}
		heap.Pop(&q.heap)
		q.mu.Unlock()
		t.fire()
	}
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}

// signal puts a token into a channel of length one, unless one waits already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

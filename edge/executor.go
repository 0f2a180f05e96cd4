package edge

import "sync"

// executor runs functions one after the other, in the order of post, on a
// goroutine that lives only while there are any. What it holds is bounded by
// those who post: calls and served requests have limits, changes of bindings
// are limited by the number of Things.
type executor struct {
	mu      sync.Mutex // guards the following
	idle    sync.Cond
	queue   []func()
	running bool
}

func newExecutor() *executor {
	e := &executor{}
	e.idle.L = &e.mu
	return e
}

// post has f run later; it never runs f itself and never blocks.
func (e *executor) post(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, f)
	if !e.running {
		e.running = true
		go e.drain()
	}
}

func (e *executor) drain() {
	var batch []func()
	for {
		e.mu.Lock()
		clear(batch)
		batch, e.queue = e.queue, batch[:0]
		if len(batch) == 0 {
			e.running = false
			e.queue = nil
			e.idle.Broadcast()
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		for _, f := range batch {
			f()
		}
	}
}

// wait returns when nothing is left to run. It must not be called from a posted function.
func (e *executor) wait() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.running {
		e.idle.Wait()
	}
}

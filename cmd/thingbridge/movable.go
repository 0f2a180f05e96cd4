package main

import (
	"context"
	"sync"
)

// movable is a listener that may move to another address, go and come while the
// bridge runs. T is a pointer; nil is none.
type movable[T interface {
	comparable
	Run(context.Context) error
	Close()
}] struct {
	mu      sync.Mutex // guards the following
	present T
	ctx     context.Context // of the listeners; nil: they do not run yet
	stop    context.CancelFunc
	ends    chan error // of one that failed
	running sync.WaitGroup
}

// now gives the listener that serves.
func (s *movable[T]) now() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.present
}

// run serves until ctx ends or a listener fails.
func (s *movable[T]) run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx, s.ends = ctx, make(chan error, 1)
	s.startLocked()
	s.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.ends:
	}
	s.mu.Lock()
	if s.stop != nil {
		s.stop()
	}
	s.ctx = nil
	s.mu.Unlock()
	s.running.Wait()
	return err
}

func (s *movable[T]) startLocked() {
	var none T
	if s.present == none || s.ctx == nil {
		return
	}
	ctx, stop := context.WithCancel(s.ctx)
	l := s.present
	s.stop = stop
	s.running.Go(func() {
		if err := l.Run(ctx); err != nil {
			select {
			case s.ends <- err:
			default: // one is enough
			}
		}
	})
}

// replace puts another one, which listens already, in the place of the present one.
func (s *movable[T]) replace(made T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	s.present = made
	s.startLocked()
}

// close gives back the address of one that never ran.
func (s *movable[T]) close() {
	var none T
	if l := s.now(); l != none {
		l.Close()
	}
}

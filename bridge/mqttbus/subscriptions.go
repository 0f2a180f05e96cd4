package mqttbus

import (
	"slices"
	"sync"
	"time"
)

// subscriptions is the set of filters that should be subscribed, and what the
// broker refused of it.
type subscriptions struct {
	mu        sync.Mutex // guards the following
	desired   map[string]struct{}
	refused   map[string]*refusedFilter
	version   uint64              // grows with each Subscribe and Unsubscribe
	cache     []string            // effective filters of cacheAt; nil: not known
	again     map[string]struct{} // topics to be subscribed once more
	refreshed []func()            // to be told when there are none
	changed   chan struct{}
}

type refusedFilter struct {
	reason string
	tries  int
	next   time.Time // zero: never tried again, for it can never be accepted
}

const (
	refusedRetryMin = 5 * time.Second
	refusedRetryMax = 30 * time.Minute
)

func newSubscriptions() *subscriptions {
	return &subscriptions{
		desired: make(map[string]struct{}),
		refused: make(map[string]*refusedFilter),
		again:   make(map[string]struct{}),
		changed: make(chan struct{}, 1),
	}
}

// add puts filters into the set and returns those that are none, with the reason.
func (s *subscriptions) add(filters []string) map[string]error {
	var bad map[string]error
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range filters {
		if _, ok := s.desired[f]; ok {
			continue
		}
		s.desired[f] = struct{}{}
		if err := checkFilter(f); err != nil {
			s.refused[f] = &refusedFilter{reason: err.Error()}
			if bad == nil {
				bad = make(map[string]error)
			}
			bad[f] = err
		}
	}
	s.touchLocked()
	return bad
}

func (s *subscriptions) remove(filters []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range filters {
		delete(s.desired, f)
		delete(s.refused, f)
	}
	s.touchLocked()
}

func (s *subscriptions) touchLocked() {
	s.version++
	s.cache = nil
	signal(s.changed)
}

// effective gives the filters to be subscribed now, sorted: the desired ones
// less those that another covers and those that are refused and not due again.
// A refused filter covers nothing. Due says when the next refused one is; zero: none.
func (s *subscriptions) effective(now time.Time) (filters []string, version uint64, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.refused {
		switch {
		case r.next.IsZero():
		case !now.Before(r.next):
			s.cache = nil
		case due.IsZero() || r.next.Before(due):
			due = r.next
		}
	}
	if s.cache != nil {
		return s.cache, s.version, due
	}
	var set filterSet
	for f := range s.desired {
		if s.refused[f] == nil {
			set.add(f)
		}
	}
	filters = make([]string, 0, len(s.desired))
	for f := range s.desired {
		if r := s.refused[f]; r != nil && (r.next.IsZero() || now.Before(r.next)) {
			continue
		}
		if !set.covers(f) {
			filters = append(filters, f)
		}
	}
	slices.Sort(filters)
	s.cache = filters
	return filters, s.version, due
}

// refuse notes that the broker refused f. first says that it is news.
func (s *subscriptions) refuse(f, reason string, now time.Time) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.desired[f]; !ok {
		return false
	}
	r := s.refused[f]
	if first = r == nil; first {
		r = &refusedFilter{}
		s.refused[f] = r
	}
	r.reason = reason
	r.next = now.Add(min(refusedRetryMin<<min(r.tries, 10), refusedRetryMax))
	r.tries++
	s.cache = nil
	return first
}

// accept notes that the broker accepted f. again says that it had refused it before.
func (s *subscriptions) accept(f string) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused[f] == nil {
		return false
	}
	delete(s.refused, f)
	s.cache = nil
	return true
}

// retryRefused makes every filter that the broker refused due at once, for a
// new connection may have other rights.
func (s *subscriptions) retryRefused(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.refused {
		if !r.next.IsZero() {
			r.next = now
		}
	}
	s.cache = nil
}

func (s *subscriptions) refusals() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]string, len(s.refused))
	for f, r := range s.refused {
		out[f] = r.reason
	}
	return out
}

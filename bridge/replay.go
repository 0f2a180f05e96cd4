package bridge

import (
	"sync"
	"time"
)

// replay bounds how fast a backlog goes out, so that live values and calls are
// not starved by it: every record that is taken out of a backlog costs a
// token, Options.ReplayRate tokens come each second, and one more for each record that
// arrives. So a backlog shrinks by the rate however much comes in meanwhile.
type replay struct {
	// mu guards the following.
	mu     sync.Mutex
	rate   float64 // 0: no bound
	burst  float64
	tokens float64 // below 0 after a push that was larger than what was there
	last   time.Time
}

const (
	backlogAge   = 5 * time.Second // what waited longer is a backlog
	replayTurns  = 16              // Things that get their turn together
	replayMinGap = 5 * time.Millisecond
	replayMaxGap = 100 * time.Millisecond // what arrives may bring tokens sooner than the rate
)

func newReplay(rate float64) *replay {
	r := &replay{last: time.Now()}
	r.setRate(rate)
	r.tokens = r.burst
	return r
}

// setRate changes the bound; 0: there is none.
func (r *replay) setRate(rate float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate, r.burst = max(rate, 0), max(pushUnits, rate)
	r.tokens = min(r.tokens, r.burst)
}

// wait tells when to ask again whether a push may be made; 0: it may now.
func (r *replay) wait(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addLocked(r.rate * now.Sub(r.last).Seconds())
	r.last = now
	if r.rate <= 0 || r.tokens > 0 {
		return 0
	}
	d := time.Duration((1 - r.tokens) / r.rate * float64(time.Second))
	return min(max(replayMinGap, d), replayMaxGap)
}

func (r *replay) addLocked(n float64) { r.tokens = min(r.burst, r.tokens+max(0, n)) }

// spend takes n records out of the backlog.
func (r *replay) spend(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rate > 0 {
		r.tokens -= float64(n)
	}
}

// arrived gives a token for each of n records that came.
func (r *replay) arrived(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addLocked(float64(n))
}

// postpone has the flow wait for its turn, behind those that wait already.
func (s *scheduler) postpone(f *flow, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.busy = false
	f.turn = true
	s.turns = append(s.turns, f)
	s.nextTurnLocked(d)
}

func (s *scheduler) nextTurnLocked(d time.Duration) {
	if s.turning {
		return
	}
	s.turning = true
	s.b.timers.after(d, func() {
		again := max(replayMinGap, s.replay.wait(time.Now()))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.turning = false
		n := min(replayTurns, len(s.turns))
		for _, f := range s.turns[:n] {
			f.turn = false
			s.listLocked(f)
		}
		s.turns = append([]*flow(nil), s.turns[n:]...)
		if len(s.turns) > 0 {
			s.nextTurnLocked(again)
		}
	})
}

package bridge

import (
	"time"

	"thingbridge/mapping"
)

// A reply without an id belongs to the one serial call of its device that is under
// way. When that call's time is over its reply may come all the same, and must not
// answer the next call. So the next waits a while, for the late reply or in vain.

// lagTime is how long at most the next serial call waits for a late reply.
const lagTime = 5 * time.Second

// lagLocked is how long the call's reply is waited for when it ends; 0: not at all.
// It has the device's serial calls wait as long. relay.mu is held.
func (k *call) lagLocked(outcome string) time.Duration {
	if outcome != "timeout" || k.phase != sent || k.unsent > 0 || !k.c.Serial || k.c.Request != "" {
		return 0
	}
	k.lags = true
	return min(lagTime, k.deadline.Sub(k.started))
}

// lateReply takes a reply that belongs to a call whose time is over; it reports
// whether it was that.
func (r *relay) lateReply(e *mapping.Reply) bool {
	r.mu.Lock()
	k := r.serial[e.Thing]
	late := k != nil && k.lags && k.c.Route == e.Route
	r.mu.Unlock()
	if !late {
		return false
	}
	if _, _, ok := k.c.Answer(e.Input); !ok {
		return false
	}
	r.b.metrics.ignored("late")
	r.letGo(k)
	return true
}

// letGo has the next serial call have its turn after one whose reply was waited for.
func (r *relay) letGo(k *call) {
	r.mu.Lock()
	if !k.lags {
		r.mu.Unlock()
		return
	}
	k.lags = false
	next := r.nextSerialLocked(k)
	r.mu.Unlock()
	if next != nil {
		r.wake(next)
	}
}

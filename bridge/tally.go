package bridge

import (
	"sync/atomic"

	"thingbridge/edge/alwayson"
)

// States of a Thing, as shown and counted.
const (
	StateOffline = "offline" // the device, or what it depends on, is not there: not wanted on the platform
	StateLeaving = "leaving" // forgotten as soon as its queued values are out
	StateUnbound = "unbound" // wanted, but there is no connection to the platform or the bind waits
	StateBinding = "binding" // its BIND is on its way
	StateRefused = "refused" // the platform refuses to bind it
	StateAbsent  = "absent"  // bound, but there is no such Thing on the platform
	StateBound   = "bound"   // bound; the platform has not told its subscriptions yet
	StateReady   = "ready"   // bound, and values flow
	StateInitial = "initial" // bound, but the device asks to keep its values back
)

// stateNames are the states by the number that a tally has for each; the first
// is of Things that are not registered.
var stateNames = [...]string{"", StateOffline, StateLeaving, StateUnbound, StateBinding, StateRefused, StateAbsent, StateBound, StateReady, StateInitial}

type stateNumber uint8

const (
	stateNone stateNumber = iota
	stateOffline
	stateLeaving
	stateUnbound
	stateBinding
	stateRefused
	stateAbsent
	stateBound
	stateReady
	stateInitial
)

// tally counts the Things by state, so that whoever asks takes no lock and walks
// over nothing. Each Thing is counted under thing.counted; who changes anything
// that stateLocked looks at has it counted anew before the locks are given back,
// or right after.
type tally [len(stateNames)]atomic.Int64

// counts gives the number of Things by state; every state is there.
func (n *tally) counts() map[string]int {
	m := make(map[string]int, len(stateNames))
	for i := stateNone + 1; int(i) < len(stateNames); i++ {
		m[stateNames[i]] = int(n[i].Load())
	}
	return m
}

// stateLocked is the Thing's state. Bridge.mu and scheduler.mu are held.
func (b *Bridge) stateLocked(t *thing) stateNumber {
	switch {
	case t.leaving:
		return stateLeaving
	case !b.reachableLocked(t):
		return stateOffline
	case t.state == alwayson.Refused:
		return stateRefused
	case t.state == alwayson.Binding:
		return stateBinding
	case t.state != alwayson.Bound || t.told == "":
		return stateUnbound
	case t.absent:
		return stateAbsent
	case t.flow.hold:
		return stateInitial
	case t.flow.subscribed:
		return stateReady
	}
	return stateBound
}

// recountLocked counts t under the state that it has now. Bridge.mu and
// scheduler.mu are held.
func (b *Bridge) recountLocked(t *thing) {
	now := stateNone
	if b.things[t.name] == t {
		now = b.stateLocked(t)
	}
	if t.counted == now {
		return
	}
	b.tally[t.counted].Add(-1)
	b.tally[now].Add(1)
	t.counted = now
}

// recount is recountLocked for who holds neither lock.
func (b *Bridge) recount(things ...*thing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sched.mu.Lock()
	defer b.sched.mu.Unlock()
	for _, t := range things {
		b.recountLocked(t)
	}
}

package simulator

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
)

// FaultKind names what goes wrong on command.
type FaultKind string

// Faults.
const (
	FaultRefuseAuth FaultKind = "refuse-auth" // every AUTH is refused
	FaultRefuseBind FaultKind = "refuse-bind" // a BIND that names Thing is refused; without Thing every BIND
	FaultStall      FaultKind = "stall"       // nothing is read or written; with Thing its answers wait
	FaultDelay      FaultKind = "delay"       // answers, those for Thing if given, come Delay later
	FaultCut        FaultKind = "cut"         // connections, or the one that bound Thing, break at once; with For new ones are not let in
)

// Fault is one thing going wrong.
type Fault struct {
	ID     int           // given by SetFault
	Kind   FaultKind     //
	Thing  string        // name or "*identifier"; empty: all
	For    time.Duration // how long; 0: until cleared
	Delay  time.Duration // of FaultDelay; default 1 s
	Code   alwayson.Code // of refusals; default UNAUTHORIZED and FORBIDDEN
	Reason string        // of refusals
}

const heldLimit = 10000 // answers that wait for the end of a stall

// faults are those in force.
type faults struct {
	any  atomic.Bool // whether there are any
	mu   sync.Mutex  // guards the following
	next int
	list []*activeFault
}

type activeFault struct {
	Fault
	until time.Time
	timer *time.Timer   // nil: until cleared
	over  chan struct{} // closed at the end
	held  []func()      // answers that wait for the end
}

// SetFault makes something go wrong and returns the fault's id.
func (p *Platform) SetFault(f Fault) (int, error) {
	switch f.Kind {
	case FaultRefuseAuth, FaultRefuseBind, FaultStall, FaultDelay, FaultCut:
	default:
		return 0, fmt.Errorf("fault kind %q; expected refuse-auth, refuse-bind, stall, delay or cut", f.Kind)
	}
	if f.For < 0 || f.Delay < 0 {
		return 0, fmt.Errorf("fault %s: durations must not be negative", f.Kind)
	}
	if f.Kind == FaultCut {
		p.cutConnections(f.Thing)
		if f.For == 0 {
			return 0, nil
		}
	}
	if f.Kind == FaultDelay && f.Delay == 0 {
		f.Delay = time.Second
	}
	fs := &p.faults
	a := &activeFault{Fault: f, over: make(chan struct{})}
	fs.mu.Lock()
	fs.next++
	a.ID = fs.next
	if f.For > 0 {
		a.until = time.Now().Add(f.For)
		a.timer = time.AfterFunc(f.For, func() { fs.clear(func(o *activeFault) bool { return o == a }) })
	}
	fs.list = append(fs.list, a)
	fs.any.Store(true)
	fs.mu.Unlock()
	p.log.Info("fault set", "kind", f.Kind, "thing", f.Thing, "for", f.For)
	return a.ID, nil
}

// ClearFault ends one fault; it reports whether it was in force.
func (p *Platform) ClearFault(id int) bool {
	return p.faults.clear(func(a *activeFault) bool { return a.ID == id }) > 0
}

// ClearFaults ends all faults.
func (p *Platform) ClearFaults() { p.faults.clear(func(*activeFault) bool { return true }) }

// Faults lists the faults in force; For is what is left of it.
func (p *Platform) Faults() []Fault {
	fs := &p.faults
	fs.mu.Lock()
	defer fs.mu.Unlock()
	out := make([]Fault, 0, len(fs.list))
	for _, a := range fs.list {
		f := a.Fault
		if a.timer != nil {
			f.For = time.Until(a.until)
		}
		out = append(out, f)
	}
	return out
}

func (fs *faults) clear(which func(*activeFault) bool) int {
	fs.mu.Lock()
	var ended []*activeFault
	fs.list = slices.DeleteFunc(fs.list, func(a *activeFault) bool {
		if which(a) {
			ended = append(ended, a)
			return true
		}
		return false
	})
	fs.any.Store(len(fs.list) > 0)
	fs.mu.Unlock()
	for _, a := range ended {
		if a.timer != nil {
			a.timer.Stop()
		}
		close(a.over)
		for _, answer := range a.held {
			answer()
		}
	}
	return len(ended)
}

// find gives the first fault of a kind that f accepts.
func (fs *faults) find(kind FaultKind, f func(*activeFault) bool) *activeFault {
	if !fs.any.Load() {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, a := range fs.list {
		if a.Kind == kind && f(a) {
			return a
		}
	}
	return nil
}

func forAll(a *activeFault) bool { return a.Thing == "" }

// waitStalled blocks while everything stalls or the connection ends.
func (fs *faults) waitStalled(c *conn) {
	for {
		a := fs.find(FaultStall, forAll)
		if a == nil {
			return
		}
		select {
		case <-a.over:
		case <-c.stop:
			return
		}
	}
}

func (fs *faults) refusesConnections() bool {
	return fs.find(FaultCut, forAll) != nil
}

func (fs *faults) refusesAuth() (code alwayson.Code, reason string, refused bool) {
	return fs.find(FaultRefuseAuth, forAll).refusal(alwayson.Unauthorized, "the application key is refused on command")
}

func (fs *faults) refusesBind(names []string) (code alwayson.Code, reason string, refused bool) {
	a := fs.find(FaultRefuseBind, func(a *activeFault) bool {
		return a.Thing == "" || slices.ContainsFunc(names, a.concerns)
	})
	what := "the BIND"
	if a != nil && a.Thing != "" {
		what = fmt.Sprintf("%q", a.Thing)
	}
	return a.refusal(alwayson.Forbidden, what+" is refused on command")
}

func (a *activeFault) refusal(code alwayson.Code, reason string) (alwayson.Code, string, bool) {
	if a == nil {
		return 0, "", false
	}
	if a.Code != 0 {
		code = a.Code
	}
	if a.Reason != "" {
		reason = a.Reason
	}
	return code, reason, true
}

func (a *activeFault) concerns(entity string) bool {
	return a.Thing == "" || strings.EqualFold(a.Thing, entity)
}

// hold lets an answer about an entity through, later if a fault says so.
func (fs *faults) hold(entity string, answer func()) {
	if a := fs.find(FaultStall, func(a *activeFault) bool { return a.Thing != "" && a.concerns(entity) }); a != nil {
		fs.mu.Lock()
		waiting := slices.Contains(fs.list, a)
		if waiting && len(a.held) < heldLimit {
			a.held = append(a.held, answer)
		}
		fs.mu.Unlock()
		if waiting {
			return
		}
	}
	if a := fs.find(FaultDelay, func(a *activeFault) bool { return a.concerns(entity) }); a != nil {
		time.AfterFunc(a.Delay, answer)
		return
	}
	answer()
}

// cutConnections breaks the connections of a Thing, or all, without a CLOSE.
func (p *Platform) cutConnections(name string) {
	p.mu.RLock()
	var victims []*conn
	for c := range p.conns {
		if name == "" {
			victims = append(victims, c)
		}
	}
	if ep := p.endpoints[key(name)]; name != "" && ep != nil {
		victims = append(victims, ep.c)
	} else if t := p.things[key(name)]; t != nil && t.bound() != nil {
		victims = append(victims, t.bound().c)
	}
	p.mu.RUnlock()
	for _, c := range victims {
		c.cut()
	}
}

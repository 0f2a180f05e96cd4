package bridge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// drainTime is what a bound Thing has to get its queued values out before it
// is unbound because its device went offline or left.
const drainTime = 5 * time.Second

// keeper closes the gap between intent and reality: its goroutine alone calls
// the Platform's Want, Unwant and Rebind and changes the Bus's filters, and it
// runs every timer.
type keeper struct {
	b    *Bridge
	wake chan struct{}

	// mu guards the following.
	mu      sync.Mutex
	names   map[string]struct{} // Things to look at
	changes []mapping.Change    // filters, in the order the Engine gave them
	refresh []string            // filters whose retained messages are wanted once more, before that
	waiting map[string]*lateAnnouncement
	order   []string // of waiting
	planned bool     // takeLate is
	limit   *rate.Limiter
}

// lateAnnouncement is over the rate; a newer one of the same Thing replaces it.
type lateAnnouncement struct {
	a       *mapping.Announced
	kept    []func(error)
	offline bool // the device said so since
}

// lateUnkept is how many messages of one Thing wait unacknowledged for its turn.
const lateUnkept = 4

func newKeeper(b *Bridge) *keeper {
	return &keeper{b: b, wake: make(chan struct{}, 1), names: map[string]struct{}{},
		waiting: map[string]*lateAnnouncement{}, limit: announcementLimit(b.inForce().limits.AnnouncementsPerSecond)}
}

// dirty has the keeper look at Things, at all of them in one round.
func (k *keeper) dirty(names ...string) {
	k.mu.Lock()
	for _, name := range names {
		k.names[name] = struct{}{}
	}
	k.mu.Unlock()
	signal(k.wake)
}

// filters has the keeper tell the Bus of an Engine's change.
func (k *keeper) filters(c mapping.Change) {
	k.b.missed.ask(k.b, c.Refresh)
	if len(c.Subscribe) == 0 && len(c.Unsubscribe) == 0 {
		return
	}
	k.mu.Lock()
	k.changes = append(k.changes, c)
	k.mu.Unlock()
	signal(k.wake)
}

// later puts an announcement that is over the rate aside; it reports whether it
// did. One that is retained is acknowledged at once, since it comes with every
// connection. Others stay unacknowledged until they are kept, the newest few of
// each Thing: a broker that waits for many acknowledgements sends nothing more.
func (k *keeper) later(a *mapping.Announced, kept func(error)) bool {
	k.mu.Lock()
	name := a.Device.Thing
	w := k.waiting[name]
	switch {
	case w != nil:
		w.a = &mapping.Announced{Device: a.Device, Live: a.Live || w.a.Live, Fresh: a.Fresh || w.a.Fresh}
		w.offline = w.offline && !a.Live
	case k.limit == nil || (len(k.waiting) == 0 && k.limit.Allow()):
		k.mu.Unlock()
		return false
	case len(k.waiting) >= k.b.inForce().limits.Things:
		k.mu.Unlock()
		k.b.refuse(a, &refusalError{"limit", fmt.Sprintf("as many announcements as limits.things (%d) wait already", k.b.inForce().limits.Things)})
		kept(nil)
		return true
	default:
		k.b.metrics.late.Inc()
		k.b.note(func() {
			k.b.episodic("late", "announcements wait", "thing", name, "reason", "limits.announcements_per_second is reached")
		})
		w = &lateAnnouncement{a: a}
		k.waiting[name] = w
		k.orderLocked(name)
		k.planLocked()
	}
	settled := kept
	if !a.Device.Retained {
		settled = nil
		w.kept = append(w.kept, kept)
		if len(w.kept) > lateUnkept {
			settled, w.kept = w.kept[0], w.kept[1:]
		}
	}
	k.mu.Unlock()
	k.b.engine.Load().Defer(a.Device)
	if settled != nil {
		settled(nil)
	}
	return true
}

// orderLocked puts name at the end of the line; what waits no longer is taken
// out when it is the most.
func (k *keeper) orderLocked(name string) {
	if len(k.order) > 2*len(k.waiting)+64 {
		k.order = slices.DeleteFunc(k.order, func(n string) bool { return n == name || k.waiting[n] == nil })
	}
	k.order = append(k.order, name)
}

func (k *keeper) planLocked() {
	if !k.planned {
		k.planned = true
		k.b.timers.after(time.Second/4, k.takeLate)
	}
}

// forgetLater drops an announcement that waits, because something newer was said.
func (k *keeper) forgetLater(name string) {
	k.mu.Lock()
	w := k.waiting[name]
	delete(k.waiting, name)
	k.mu.Unlock()
	if w != nil {
		k.b.engine.Load().Undefer(name)
		for _, kept := range w.kept {
			kept(nil)
		}
	}
}

// presenceLater notes the presence of a Thing whose announcement waits: what
// the device said after it counts.
func (k *keeper) presenceLater(name string, online bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.waiting[name]; w != nil {
		w.offline = !online
	}
}

// takeLate registers as many waiting announcements as the rate allows.
func (k *keeper) takeLate() {
	for {
		k.b.life.Lock() // before the announcement is taken out: Reload must find it in one place
		w := k.nextLate()
		if w == nil {
			k.b.unlockLife()
			return
		}
		a := w.a
		if w.offline {
			a = &mapping.Announced{Device: a.Device, Fresh: a.Fresh}
		}
		k.b.register(a, func(err error) {
			for _, kept := range w.kept {
				kept(err)
			}
		})
		k.b.unlockLife()
	}
}

// nextLate takes out the announcement whose turn it is; nil: nobody's, for now.
func (k *keeper) nextLate() *lateAnnouncement {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.planned = false
	for len(k.order) > 0 && k.waiting[k.order[0]] == nil {
		k.order = k.order[1:]
	}
	if len(k.order) == 0 {
		return nil
	}
	if !k.limit.Allow() {
		k.planLocked()
		return nil
	}
	name := k.order[0]
	k.order = k.order[1:]
	w := k.waiting[name]
	delete(k.waiting, name)
	return w
}

// expireLaterLocked looks at a Thing's silence after d. Bridge.mu is held.
func (k *keeper) expireLaterLocked(t *thing, d time.Duration) {
	t.expiring = true
	t.expiry = k.b.timers.after(d, func() { k.b.expire(t) })
}

// run is the keeper's goroutine.
func (k *keeper) run(ctx context.Context) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		k.reconcile()
		next, ok := k.b.timers.run()
		if !ok {
			next = time.Hour
		}
		clock.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-k.b.timers.wake:
		case <-clock.C:
		}
	}
}

// deeds are what one round of the keeper tells the Platform.
type deeds struct{ want, unwant, rebind []string }

func (k *keeper) reconcile() {
	k.mu.Lock()
	var names map[string]struct{}
	if len(k.names) > 0 {
		names, k.names = k.names, map[string]struct{}{}
	}
	changes, refresh := k.changes, k.refresh
	k.changes, k.refresh = nil, nil
	k.mu.Unlock()
	if r, ok := k.b.bus.(Refresher); ok && len(refresh) > 0 {
		r.Refresh(refresh...)
	}
	for _, c := range changes {
		if len(c.Unsubscribe) > 0 {
			k.b.bus.Unsubscribe(c.Unsubscribe...)
		}
		if len(c.Subscribe) > 0 {
			k.b.bus.Subscribe(c.Subscribe...)
		}
	}
	if len(names) == 0 {
		return
	}
	var d deeds
	for name := range names {
		k.consider(name, &d)
	}
	if len(d.unwant) > 0 {
		k.b.platform.Unwant(d.unwant...)
	}
	if len(d.want) > 0 {
		k.b.platform.Want(d.want...)
	}
	for _, name := range d.rebind {
		k.b.platform.Rebind(name)
	}
}

// consider adds to d what closes one Thing's gap.
func (k *keeper) consider(name string, d *deeds) {
	b := k.b
	b.mu.Lock()
	t := b.things[name]
	if t == nil {
		b.mu.Unlock()
		return
	}
	want := b.wantedLocked(t)
	told, bind, leaving := t.told, t.bind, t.leaving
	rebind := t.rebind && want && told == bind
	if want {
		t.told, t.rebind, t.drainTill = bind, false, time.Time{}
	}
	b.mu.Unlock()
	switch {
	case want && told != bind:
		if told != "" {
			b.sched.gate(t, alwayson.Unbound)
			d.unwant = append(d.unwant, told)
		}
		d.want = append(d.want, bind)
	case want && rebind:
		d.rebind = append(d.rebind, bind)
	case !want && told != "":
		if k.draining(t) {
			return
		}
		b.mu.Lock()
		t.told, t.drainTill = "", time.Time{}
		t.unboundLocked()
		b.mu.Unlock()
		b.sched.gate(t, alwayson.Unbound)
		d.unwant = append(d.unwant, told)
	}
	b.recount(t)
	if leaving {
		k.forget(t)
	}
}

// draining reports whether an unwanted Thing still gets its queued values out.
func (k *keeper) draining(t *thing) bool {
	b := k.b
	if !b.sched.queued(t) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.drainTill.IsZero() {
		t.drainTill = time.Now().Add(drainTime)
		b.timers.after(drainTime, func() { k.dirty(t.name) })
		return true
	}
	return time.Now().Before(t.drainTill)
}

// forget takes a Thing that left out of the registry, with what is queued for it.
func (k *keeper) forget(t *thing) {
	b := k.b
	b.life.Lock()
	defer b.unlockLife()
	b.mu.Lock()
	if !t.leaving || b.things[t.name] != t {
		b.mu.Unlock()
		return
	}
	delete(b.things, t.name)
	delete(b.retained, t.name)
	if b.byBind[foldName(t.bind)] == t {
		delete(b.byBind, foldName(t.bind))
	}
	b.adoptLocked(t, "")
	b.mu.Unlock()
	b.reconsider(t) // its children depend on nobody now
	if n, _, _ := b.opt.Outbox.Depth(t.name); n > 0 {
		b.metrics.dropped("left", n)
		b.opt.Outbox.Drop(t.name)
	}
	b.heirs(t.name, t.bind)
}

// isLate reports whether an announcement of the Thing waits for its turn.
func (k *keeper) isLate(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.waiting[name] != nil
}

package bridge

import (
	"cmp"
	"slices"
	"strings"

	"thingbridge/mapping"
)

// Reloaded counts what a Reload meant for the Things.
type Reloaded struct {
	Same    int // nothing was done to them
	Rebound int // their definitions are others: the platform is told to look again
	Renamed int // their devices have another Thing now
	Left    int // no profile announces them any more, or they are no longer allowed
}

// reload is one Reload under way.
type reload struct {
	b         *Bridge
	old, next *mapping.Engine // the same where the profiles stay
	was, is   *settings
	found     map[*thing]adopted
	renamed   []adopted
	gone      []gone
	count     Reloaded
	compared  map[[2]*mapping.Definitions]bool
}

// adopted is a Thing's device by the next Engine's rules.
type adopted struct {
	t    *thing
	from *mapping.Device // what it was made of
	to   *mapping.Device
	err  error
}

// gone is a Thing that does not stay.
type gone struct {
	t   *thing
	why string
}

// Reload has the Bridge work by other options: an Engine that is not in use yet,
// or the present one, limits, what is let through, provisioning, times, rates, the
// client id. Outbox, Store, StopTimeout, Registerer and Logger stay those of New.
// It may be called while Run works, by one goroutine at a time. See the package
// comment for what it keeps.
func (b *Bridge) Reload(opt Options) Reloaded {
	opt.setDefaults()
	r := &reload{b: b, old: b.engine.Load(), next: opt.Engine, is: newSettings(&opt),
		found: map[*thing]adopted{}, compared: map[[2]*mapping.Definitions]bool{}}
	if r.next == nil {
		r.next = r.old
	}
	if r.next != r.old {
		r.prepare()
	}
	b.work.Lock()
	defer b.work.Unlock()
	if r.next != r.old {
		b.turns.ending(r.next)
	}
	b.life.Lock()
	defer b.unlockLife()
	r.was = b.inForce()
	b.stands.Store(r.is)
	b.sched.replay.setRate(opt.ReplayRate)
	b.keeper.setLimit(r.is.limits.AnnouncementsPerSecond)
	b.mu.Lock()
	b.early.limit = r.is.limits.Things
	b.mu.Unlock()
	if r.next != r.old {
		r.adopt()
	}
	r.permit()
	for _, g := range r.gone {
		b.leave(g.t.name, g.why, "", func(error) {})
		r.count.Left++
	}
	if r.next == r.old {
		r.count.Same = len(r.things())
	}
	r.rename()
	r.wake(opt.ClientID)
	return r.count
}

// prepare makes the next Engine know the devices while the Bridge still works by
// the old one, so that little is left to do while it stands still.
func (r *reload) prepare() {
	for _, t := range r.things() {
		r.b.mu.Lock()
		d := t.device
		r.b.mu.Unlock()
		r.found[t] = r.make(t, d)
	}
}

// things lists the Things that are not about to leave, in the order in which they
// came: who had a topic first has it still.
func (r *reload) things() []*thing {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	list := make([]*thing, 0, len(r.b.things))
	for _, t := range r.b.things {
		if !t.leaving {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *thing) int {
		return cmp.Or(cmp.Compare(a.device.Since(), b.device.Since()), strings.Compare(a.name, b.name))
	})
	return list
}

// make adopts a device, and Puts it where the Thing keeps its name.
func (r *reload) make(t *thing, d *mapping.Device) adopted {
	a := adopted{t: t, from: d}
	if a.to, a.err = r.next.Adopt(r.old, d); a.err == nil && a.to.Thing == t.name {
		_, a.err = r.next.Put(a.to)
	}
	return a
}

// adopt puts the next Engine in the place of the old one. work and life are held.
func (r *reload) adopt() {
	b := r.b
	known := r.things()
	here := make(map[*thing]bool, len(known))
	for _, t := range known {
		here[t] = true
	}
	for t, a := range r.found {
		if !here[t] && a.err == nil {
			r.next.Remove(t.name) // it left while we prepared
		}
	}
	var stay []adopted
	for _, t := range known {
		a, prepared := r.found[t]
		if !prepared || a.from != t.device {
			r.next.Remove(t.name)
			a = r.make(t, t.device)
		}
		switch {
		case a.err != nil:
			b.note(func() { b.log.Debug("device is not announced by the new profiles", "thing", t.name, "error", a.err) })
			r.gone = append(r.gone, gone{t, "no profile announces the device any more"})
		case a.to.Thing != t.name:
			r.gone = append(r.gone, gone{t, "the device has another name by the new profiles"})
			r.renamed = append(r.renamed, a)
		default:
			r.next.TakeOver(r.old, t.name, t.name)
			stay = append(stay, a)
		}
	}
	b.engine.Store(r.next)
	r.takeIn(stay)
	r.late()
}

// rename announces devices under the names that they have now. work and life are held.
func (r *reload) rename() {
	b := r.b
	said := make([]earlySaid, len(r.renamed)) // before any changes: one may get the name of the next
	b.mu.Lock()
	b.sched.mu.Lock()
	for i, a := range r.renamed {
		said[i] = earlySaid{offline: a.t.offline, online: !a.t.offline, alone: a.t.alone, asleep: a.t.asleep, hold: a.t.flow.hold}
	}
	b.sched.mu.Unlock()
	b.mu.Unlock()
	for i, a := range r.renamed {
		r.sayEarly(a.to.Thing, said[i])
		b.register(&mapping.Announced{Device: a.to}, func(error) {})
		if r.next.Device(a.to.Thing) == a.to {
			r.next.TakeOver(r.old, a.t.name, a.to.Thing)
			r.count.Renamed++
			r.count.Left--
		}
	}
}

// sayEarly has a Thing that is about to be announced begin with what its device said.
func (r *reload) sayEarly(name string, said earlySaid) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	switch t := b.things[name]; {
	case t == nil:
		b.early.change(name, func(s *earlySaid) { *s = said })
	case t.leaving: // another device had the name, and is not forgotten yet
		t.offline, t.alone, t.asleep, t.expired = said.offline, said.alone, said.asleep, false
		b.timers.after(0, func() { b.sched.holdBack(name, said.hold) })
	}
}

// wake has everything looked at again that may be other now. work and life are held.
func (r *reload) wake(clientID string) {
	b := r.b
	r.filters(clientID)
	if r.next == r.old {
		return
	}
	b.turns.reloaded(r.next)
	b.asks.reloaded(r.next.NewProfiles(r.old))
	b.wait.reloaded()
	b.timers.after(0, b.relay.reconsiderAll)
	for _, in := range r.old.GatheredMessages() {
		for _, e := range r.next.Handle(&in, nil) {
			if g, ok := e.(*mapping.Gathering); ok {
				b.gather.more(g, in.Topic)
			}
		}
	}
}

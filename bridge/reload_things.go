package bridge

import (
	"fmt"
	"time"

	"thingbridge/mapping"
)

// takeIn gives Things that stay the devices that the next Engine made. work and
// life are held.
func (r *reload) takeIn(stay []adopted) {
	b := r.b
	var dirty, save []string
	b.mu.Lock()
	r.bindNamesLocked(stay)
	for _, a := range stay {
		t := a.t
		if t.leaving { // its name on the platform is taken
			continue
		}
		switch r.takeInLocked(t, a.to) {
		case same:
			r.count.Same++
			continue
		case other:
			r.count.Rebound++
		}
		save = append(save, t.name)
		dirty = append(dirty, t.name)
	}
	for _, g := range r.gone {
		g.t.leaving = false // leave does that
	}
	b.profilesOffLocked(r.next)
	b.mu.Unlock()
	for _, name := range save {
		b.saver.thing(name, nil)
	}
	b.keeper.dirty(dirty...) // together: one may have the platform name that another had
	for _, name := range dirty {
		if t := b.thing(name); t != nil {
			b.reconsider(t)
		}
	}
}

// thingChange is what became of a Thing.
type thingChange int

const (
	same  thingChange = iota
	moved             // it is told of otherwise, and looks the same to the platform
	other             // its definitions are others
)

// takeInLocked gives t another device of the same name. life is held too.
func (r *reload) takeInLocked(t *thing, d *mapping.Device) thingChange {
	b, old := r.b, t.device
	change := same
	if old.Profile != d.Profile || old.Parent != d.Parent || old.QueueFor != d.QueueFor || old.ExpireAfter != d.ExpireAfter {
		change = moved
	}
	if !r.equal(old.Definitions, d.Definitions) {
		change, t.rebind = other, true
		b.note(func() {
			b.log.Info("the configuration gives the device new definitions", "thing", t.name, "profile", d.Profile)
		})
	}
	if bindName(old) != bindName(d) {
		change = other
	}
	b.adoptLocked(t, d.Parent)
	t.device = d
	if old.ExpireAfter != d.ExpireAfter {
		r.expiryLocked(t)
	}
	// Nothing says any more that the device is there again, or awake.
	w := r.next.Watches(t.name)
	if (t.offline || t.asleep) && !w.Presence && r.old.Watches(t.name).Presence {
		change = max(change, moved)
		t.offline, t.asleep, t.alone = false, false, false
	}
	if !w.Hold && r.old.Watches(t.name).Hold {
		b.timers.after(0, func() { b.sched.holdBack(t.name, false) })
	}
	return change
}

// equal compares definitions, which many Things share, once.
func (r *reload) equal(a, b *mapping.Definitions) bool {
	key := [2]*mapping.Definitions{a, b}
	is, known := r.compared[key]
	if !known {
		is = sameDefinitions(a, b)
		r.compared[key] = is
	}
	return is
}

// expiryLocked has the silence of t looked at by the limit that it has now.
func (r *reload) expiryLocked(t *thing) {
	limit := t.device.ExpireAfter
	if limit <= 0 {
		t.expired = false
	}
	if t.expiring && !r.b.timers.stop(t.expiry) {
		return // it is looked at just now
	}
	t.expiring = false
	if limit > 0 {
		r.b.keeper.expireLaterLocked(t, max(0, limit-time.Since(t.lastSeen)))
	}
}

// bindNamesLocked settles under which names on the platform the Things go: those
// that keep theirs first, then the others by name. One whose name is taken leaves.
func (r *reload) bindNamesLocked(stay []adopted) {
	b := r.b
	names := make(map[string]*thing, len(stay))
	for _, t := range b.things {
		if t.leaving {
			names[foldName(t.bind)] = t
		}
	}
	for _, keeps := range []bool{true, false} {
		for _, a := range stay {
			bind := bindName(a.to)
			if (bind == a.t.bind) != keeps {
				continue
			}
			if held, ok := b.reserved[foldName(bind)]; ok && !keeps {
				a.t.leaving = true
				r.gone = append(r.gone, gone{a.t, fmt.Sprintf("its platform name %q is taken by %s", bind, held.holder)})
				continue
			}
			if have := names[foldName(bind)]; have != nil {
				why := fmt.Sprintf("its platform name %q is taken by thing %q", bind, have.name)
				have.problemLocked("clash", fmt.Sprintf("thing %q wants the platform name %q too", a.t.name, bind))
				a.t.leaving = true
				r.gone = append(r.gone, gone{a.t, why})
				continue
			}
			names[foldName(bind)] = a.t
			a.t.bind = bind
		}
	}
	for _, g := range r.gone { // until they are forgotten
		if fold := foldName(g.t.bind); names[fold] == nil {
			names[fold] = g.t
		}
	}
	b.byBind = names
}

// profilesOffLocked forgets that every device of a profile is gone where nothing
// would say any more that they are back.
func (b *Bridge) profilesOffLocked(e *mapping.Engine) {
	for profile := range b.profileOff {
		if !e.SpeaksForAll(profile) {
			delete(b.profileOff, profile)
			for _, t := range b.things {
				if t.device.Profile == profile {
					b.timers.after(0, func() {
						b.reconsider(t)
						b.saver.thing(t.name, nil)
					})
				}
			}
		}
	}
}

// late gives announcements that wait for their turn, or for a name that is
// taken, to the next Engine. work and life are held.
func (r *reload) late() {
	b := r.b
	k := b.keeper
	k.mu.Lock()
	waiting := make(map[string]*lateAnnouncement, len(k.waiting))
	for name, w := range k.waiting {
		waiting[name] = w
	}
	k.mu.Unlock()
	for name, w := range waiting {
		d, err := r.next.Adopt(r.old, w.a.Device)
		if err != nil || d.Thing != name {
			k.forgetLater(name)
			if err == nil {
				b.announceLocked(&mapping.Announced{Device: d, Live: w.a.Live, Fresh: w.a.Fresh}, nil)
			}
			continue
		}
		k.mu.Lock()
		w.a = &mapping.Announced{Device: d, Live: w.a.Live, Fresh: w.a.Fresh}
		k.mu.Unlock()
		r.next.Defer(d)
	}
	b.mu.Lock()
	clashes := b.clashes
	b.clashes = map[string]clashing{}
	b.mu.Unlock()
	for _, c := range clashes {
		if d, err := r.next.Adopt(r.old, c.a.Device); err == nil {
			b.register(&mapping.Announced{Device: d, Live: c.a.Live, Fresh: c.a.Fresh}, func(error) {})
		}
	}
}

// permit has Things leave that are no longer allowed, and the platform look again
// at those of which other services are shown. work and life are held.
func (r *reload) permit() {
	b := r.b
	leaves := make(map[*thing]bool, len(r.gone))
	for _, g := range r.gone {
		leaves[g.t] = true
	}
	shown := map[*mapping.Definitions]bool{}
	for _, t := range r.things() {
		if leaves[t] {
			continue
		}
		if !r.is.things.permits(t.name) {
			r.gone = append(r.gone, gone{t, "the configuration does not allow the Thing any more"})
			continue
		}
		b.mu.Lock()
		defs := t.device.Definitions
		differs, known := shown[defs]
		if !known {
			differs = r.showsOther(defs)
			shown[defs] = differs
		}
		t.rebind = t.rebind || differs
		b.mu.Unlock()
		if differs {
			b.keeper.dirty(t.name)
		}
	}
}

// showsOther reports whether other services of a device are offered than before.
func (r *reload) showsOther(d *mapping.Definitions) bool {
	if d == nil {
		return false
	}
	for name := range d.Services {
		if r.was.services.permits(name) != r.is.services.permits(name) {
			return true
		}
	}
	return false
}

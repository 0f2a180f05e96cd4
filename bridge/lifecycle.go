package bridge

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"thingbridge/mapping"
)

// announced brings a device into the registry. Announcements that change
// something beyond the rate wait their turn with the keeper; values that come
// meanwhile wait as those of any Thing not announced yet.
func (b *Bridge) announced(a *mapping.Announced, r *receipt) {
	b.metrics.announcements.Inc()
	b.life.Lock()
	defer b.unlockLife()
	b.announceLocked(a, r)
}

// announceLocked is announced with life held.
func (b *Bridge) announceLocked(a *mapping.Announced, r *receipt) {
	if b.unchanged(a, r) {
		b.keeper.forgetLater(a.Device.Thing)
		return
	}
	if r != nil {
		r.add()
	}
	done := func(err error) {
		if r != nil {
			r.done(err)
		}
	}
	if b.keeper.later(a, done) {
		return
	}
	b.register(a, done)
}

// unchanged handles an announcement that says nothing new: it shows the device,
// and a live one ends an offline.
func (b *Bridge) unchanged(a *mapping.Announced, r *receipt) bool {
	b.mu.Lock()
	t := b.things[a.Device.Thing]
	if t == nil || t.leaving || !sameDevice(t.device, a.Device) {
		b.mu.Unlock()
		return false
	}
	if !a.Adds {
		b.sawLocked(t)
	}
	was := t.online()
	if a.Live {
		t.announcedLiveLocked()
		t.lastSeen = time.Now()
	}
	change := was != t.online()
	b.mu.Unlock()
	if change {
		b.reconsider(t)
		b.note(func() {
			b.log.Info("presence changed", "thing", t.name, "online", true, "why", "device announced itself")
		})
		b.savePresence(t, r)
	}
	b.afterAnnounce(t, a)
	return true
}

// sameDevice reports whether two announcements say the same.
func sameDevice(a, b *mapping.Device) bool {
	return a == b || a.Profile == b.Profile && a.Retained == b.Retained && a.Parent == b.Parent && a.ExpireAfter == b.ExpireAfter &&
		a.QueueFor == b.QueueFor && a.Decided == b.Decided && a.SleepTold == b.SleepTold && slices.Equal(a.Sources, b.Sources) && reflect.DeepEqual(a.Parts, b.Parts) &&
		reflect.DeepEqual(a.Vars, b.Vars) && sameDefinitions(a.Definitions, b.Definitions)
}

func sameDefinitions(a, b *mapping.Definitions) bool { return a == b || reflect.DeepEqual(a, b) }

// register gives the device to the Engine and takes it into the registry.
// life is held.
func (b *Bridge) register(a *mapping.Announced, kept func(error)) {
	d := a.Device
	if problem := b.refusal(d); problem != nil {
		b.engine.Load().Undefer(d.Thing)
		b.refuse(a, problem)
		kept(nil)
		return
	}
	change, err := b.engine.Load().Put(d)
	if err != nil {
		b.refuse(a, clash(err))
		kept(nil)
		return
	}
	b.keeper.filters(change)
	b.mu.Lock()
	known := b.things[d.Thing] != nil
	t := b.putLocked(d)
	t.early = !b.settled && !a.Live && (t.early || !known)
	if !a.Adds {
		b.sawLocked(t)
	}
	if a.Live {
		t.announcedLiveLocked()
	}
	delete(b.clashes, d.Thing)
	b.mu.Unlock()
	b.saver.thing(d.Thing, kept)
	b.reconsider(t)
	b.wait.announced(d)
	b.sched.more(d.Thing)
	b.afterAnnounce(t, a)
}

func (b *Bridge) afterAnnounce(t *thing, a *mapping.Announced) {
	b.asks.thing(mapping.AskAnnounce, t)
	if a.Live {
		b.touched(t)
	}
	if a.Fresh {
		b.marker.probe(b, t)
	}
	if b.relay.promised.Load() > 0 {
		b.timers.after(0, func() { b.relay.reconsider(t.name) })
	}
}

// putLocked makes or renews the registry's entry. life is held too.
func (b *Bridge) putLocked(d *mapping.Device) *thing {
	t := b.things[d.Thing]
	fresh := t == nil
	if fresh {
		t = &thing{name: d.Thing, lastSeen: time.Now(), unheard: true, stateFrom: time.Now()}
		t.flow.thing = t
		early := b.early.take(d.Thing)
		t.offline = early.offline || d.Decided && !early.online
		t.alone, t.asleep, t.flow.hold = early.alone, early.asleep, early.hold
		b.things[d.Thing] = t
	}
	b.adoptLocked(t, d.Parent)
	bind := bindName(d)
	if t.bind != bind {
		delete(b.byBind, foldName(t.bind))
		t.bind = bind
		b.byBind[foldName(bind)] = t
	}
	redefined := !fresh && !sameDefinitions(t.device.Definitions, d.Definitions)
	if t.leaving || fresh {
		t.rebind = t.rebind || redefined
		t.leaving = false
		b.note(func() {
			b.log.Info("device announced", "thing", d.Thing, "profile", d.Profile, "topic", mapping.TopicsText(d.Sources, " "))
			if mapping.LongThingName(d.Thing) {
				b.log.Warn("the name has over 127 bytes, and parts of the platform may cut it", "thing", d.Thing)
			}
		})
	} else if redefined {
		b.redefinedLocked(t, d)
	}
	t.device = d
	t.drainTill = time.Time{}
	if d.ExpireAfter > 0 && !t.expiring {
		b.keeper.expireLaterLocked(t, d.ExpireAfter)
	}
	return t
}

// redefinedLocked has the Thing bound again, so that the platform reads what it has
// now: at once where one announcement makes the device; where several do, which come
// together, once for all that come within browseSoon.
func (b *Bridge) redefinedLocked(t *thing, d *mapping.Device) {
	if t.joining {
		return
	}
	b.note(func() { b.log.Info("device announced new definitions", "thing", d.Thing, "profile", d.Profile) })
	if len(d.Sources) < 2 && len(t.device.Sources) < 2 {
		t.rebind = true
		return
	}
	t.joining = true
	b.timers.after(browseSoon, func() {
		b.mu.Lock()
		t.joining, t.rebind = false, true
		b.mu.Unlock()
		b.keeper.dirty(t.name)
	})
}

// refusalError is a refusal with its metric label.
type refusalError struct{ reason, text string }

func (e *refusalError) Error() string { return e.text }

// refusal says why a device may not come into the registry, nil if it may.
func (b *Bridge) refusal(d *mapping.Device) *refusalError {
	if !b.inForce().things.permits(d.Thing) {
		return &refusalError{"denied", fmt.Sprintf("thing %q is not allowed by allow.things and deny.things", d.Thing)}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.things[d.Thing] == nil && len(b.things) >= b.inForce().limits.Things {
		return &refusalError{"limit", fmt.Sprintf("limits.things (%d) is reached", b.inForce().limits.Things)}
	}
	if other := b.byBind[foldName(bindName(d))]; other != nil && other.name != d.Thing {
		return &refusalError{"clash", fmt.Sprintf("platform name %q of thing %q (%s) is taken by thing %q (%s)",
			bindName(d), d.Thing, mapping.TopicsText(d.Sources, " "), other.name, mapping.TopicsText(other.device.Sources, " "))}
	}
	for _, name := range []string{bindName(d), d.Thing} {
		if r, ok := b.reserved[foldName(name)]; ok {
			return &refusalError{"clash", fmt.Sprintf("platform name %q of thing %q (%s) is taken by %s",
				name, d.Thing, mapping.TopicsText(d.Sources, " "), r.holder)}
		}
	}
	return nil
}

func clash(err error) *refusalError {
	var c *mapping.ClashError
	if errors.As(err, &c) {
		return &refusalError{"clash", err.Error()}
	}
	return &refusalError{"definition", err.Error()}
}

// clashing is a device that is refused because its name is taken. It gets the
// name when the other leaves.
type clashing struct {
	text string
	a    *mapping.Announced
}

func (b *Bridge) refuse(a *mapping.Announced, why *refusalError) {
	d := a.Device
	b.metrics.reject("announce", why.reason)
	b.seen.reject(&mapping.Rejected{Thing: d.Thing, Rule: d.Profile + "/announce", Reason: mapping.Reason(why.reason), Detail: why.text}, "")
	key := why.reason
	b.mu.Lock()
	if t := b.things[d.Thing]; t != nil && !a.Adds {
		b.sawLocked(t) // its announcement is there, though it is no good
	}
	b.mu.Unlock()
	if why.reason == "clash" {
		key += "/" + d.Thing
		b.mu.Lock()
		if len(b.clashes) < maxClashes {
			b.clashes[d.Thing] = clashing{why.text, a}
		}
		if other := b.clashingLocked(d); other != nil {
			other.problemLocked("clash", why.text)
		}
		b.mu.Unlock()
	}
	b.trouble(d.Thing, why.reason, why.text)
	b.note(func() {
		b.episodic("announce/"+key, "announcement refused", "thing", d.Thing, "profile", d.Profile, "reason", why.text)
	})
}

const maxClashes = 1000

func (b *Bridge) clashingLocked(d *mapping.Device) *thing {
	if t := b.byBind[foldName(bindName(d))]; t != nil {
		return t
	}
	return b.byBind[foldName(d.Thing)]
}

// left forgets a Thing, after its queued values are out.
func (b *Bridge) left(e *mapping.Left, r *receipt) {
	b.life.Lock()
	defer b.unlockLife()
	b.keeper.forgetLater(e.Thing)
	done := func(error) {}
	if r != nil {
		r.add()
		done = r.done
	}
	b.leave(e.Thing, "device left", e.Source, done)
}

// leave is left for any cause. life is held.
func (b *Bridge) leave(name, why, topic string, kept func(error)) {
	b.mu.Lock()
	t := b.things[name]
	b.early.forget(name)
	delete(b.clashes, name)
	if t == nil || t.leaving {
		b.mu.Unlock()
		kept(nil)
		return
	}
	t.leaving = true
	b.mu.Unlock()
	b.recount(t)
	b.note(func() { b.log.Info(why, "thing", name, "topic", topic) })
	b.keeper.filters(b.engine.Load().Remove(name))
	b.saver.forget(name, kept)
	when := time.Now()
	b.timers.after(0, func() {
		b.relay.gone(name, fmt.Sprintf("the device of %s has left", name))
		b.relay.left(name, when)
	})
	b.keeper.dirty(name)
}

// heirs registers a device that was refused because its Thing name or its
// platform name was taken. life is held.
func (b *Bridge) heirs(name, bind string) {
	var next []*mapping.Announced
	b.mu.Lock()
	for _, c := range b.clashes {
		if d := c.a.Device; slices.ContainsFunc([]string{d.Thing, bindName(d)}, func(n string) bool {
			return foldName(n) == foldName(name) || foldName(n) == foldName(bind)
		}) {
			next = append(next, c.a)
		}
	}
	b.mu.Unlock()
	for _, a := range next {
		b.register(a, func(error) {})
	}
}

// presence applies what a device, or somebody for a whole profile, says about
// being there.
func (b *Bridge) presence(p *mapping.Presence, r *receipt) {
	b.life.Lock()
	defer b.unlockLife()
	if p.Thing == "" {
		b.profilePresence(p, r)
		return
	}
	b.keeper.presenceLater(p.Thing, p.Online)
	b.mu.Lock()
	t := b.things[p.Thing]
	if t == nil {
		b.early.change(p.Thing, func(s *earlySaid) { s.offline, s.online, s.alone = !p.Online, p.Online, p.Alone })
		if c, ok := b.clashes[p.Thing]; ok && !p.Online {
			b.clashes[p.Thing] = clashing{c.text, &mapping.Announced{Device: c.a.Device}}
		}
		b.mu.Unlock()
		return
	}
	was := t.online()
	change := t.offline == p.Online
	t.offline = !p.Online
	if p.Online && p.Live {
		change = change || t.expired
		t.expired = false
	}
	now := t.online()
	family := t.alone != p.Alone
	t.alone = p.Alone
	b.mu.Unlock()
	if change || family {
		b.savePresence(t, r)
	}
	if family && was == now {
		b.reconsider(t)
	}
	if was != now {
		b.reconsider(t)
		b.note(func() {
			b.log.Info("presence changed", "thing", t.name, "online", now, "why", "presence message, or the will", "rule", p.Rule)
		})
	}
	if p.Online && p.Live {
		b.touched(t)
	}
	if p.Online {
		b.asks.thing(mapping.AskPresence, t)
	}
}

// savePresence has the presence kept before its message is acknowledged.
func (b *Bridge) savePresence(t *thing, r *receipt) {
	if r == nil {
		b.saver.thing(t.name, nil)
		return
	}
	r.add()
	b.saver.thing(t.name, r.done)
}

func (b *Bridge) profilePresence(p *mapping.Presence, r *receipt) {
	b.mu.Lock()
	if b.profileOff[p.Profile] == !p.Online {
		b.mu.Unlock()
		return
	}
	b.profileOff[p.Profile] = !p.Online
	var members []*thing
	for _, t := range b.things {
		if t.device.Profile == p.Profile {
			members = append(members, t)
		}
	}
	b.mu.Unlock()
	b.note(func() {
		b.log.Info("presence of a whole profile", "profile", p.Profile, "online", p.Online, "things", len(members))
	})
	for _, t := range members {
		b.reconsider(t)
		b.savePresence(t, r)
	}
	if p.Online {
		b.asks.profile(mapping.AskPresence, members)
	}
}

// reconsider puts t and what depends on it before the keeper; calls to a
// device that is gone end at once.
func (b *Bridge) reconsider(t *thing) {
	var gone []string
	var family []*thing
	b.mu.Lock()
	b.familyLocked(t, 0, func(m *thing) {
		b.keeper.dirty(m.name)
		family = append(family, m)
		if !b.reachableLocked(m) {
			gone = append(gone, m.name)
		}
	})
	b.mu.Unlock()
	b.recount(family...)
	if len(gone) > 0 {
		b.timers.after(0, func() {
			for _, name := range gone {
				b.relay.gone(name, fmt.Sprintf("the device of %s is offline", name))
			}
		})
	}
}

// expire makes a silent device offline. It runs on the keeper's goroutine.
func (b *Bridge) expire(t *thing) {
	b.mu.Lock()
	limit := t.device.ExpireAfter
	if b.things[t.name] != t || limit <= 0 {
		t.expiring = false
		b.mu.Unlock()
		return
	}
	left := limit - time.Since(t.lastSeen)
	change := left <= 0 && !t.expired
	if change {
		t.expired = true
	}
	if left <= 0 {
		left = limit
	}
	b.keeper.expireLaterLocked(t, left)
	b.mu.Unlock()
	if change {
		b.reconsider(t)
		b.savePresence(t, nil)
		b.log.Info("presence changed", "thing", t.name, "online", false, "why", "silent for "+limit.String())
	}
}

// announcementLimit makes the limiter for announcements; nil for no limit.
func announcementLimit(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

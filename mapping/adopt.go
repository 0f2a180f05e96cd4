package mapping

import (
	"errors"
	"fmt"
	"time"

	"thingbridge/edge/alwayson"
)

// errUnannounced says that nothing announces a device any more.
var errUnannounced = errors.New("no profile announces it any more")

// Adopt makes the device that another Engine knows by this Engine's profiles,
// from the announcements that the other had. Its name may be another by them. It
// is not Put. A profile of the device's own name is tried first, then the others
// in their order; the error says that none announces the device. Devices of a
// profile that is the same in both Engines are adopted as they are.
func (e *Engine) Adopt(from *Engine, d *Device) (*Device, error) {
	adopted, err := e.adopt(from, d)
	if err == nil {
		adopted.since = d.since
	}
	return adopted, err
}

func (e *Engine) adopt(from *Engine, d *Device) (*Device, error) {
	if len(d.Parts) == 0 {
		return nil, fmt.Errorf("adopt thing %q: it has no announcements", d.Thing)
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	own := e.profileOf(d.Profile)
	if own != nil && d.rules == nil && e.builds(from) && own.same(d.Parts[0].rule.prof) {
		return d.movedTo(own), nil
	}
	err := errUnannounced
	if own != nil {
		adopted, ownErr := e.adoptInto(own, d)
		if ownErr == nil {
			return adopted, nil
		}
		err = ownErr
	}
	for _, prof := range e.p.profiles {
		if prof == own {
			continue
		}
		if adopted, otherErr := e.adoptInto(prof, d); otherErr == nil {
			return adopted, nil
		}
	}
	return nil, fmt.Errorf("adopt thing %q: %w", d.Thing, err)
}

// builds reports whether the Engines make the same of the same announcement
// under the same profile.
func (e *Engine) builds(from *Engine) bool {
	a, b := e.opt, from.opt
	return a.Limits.DefinitionsPerThing == b.Limits.DefinitionsPerThing && a.Limits.PayloadBytes == b.Limits.PayloadBytes &&
		a.Limits.ListItems == b.Limits.ListItems && a.ReplyPrefix == b.ReplyPrefix
}

// movedTo is the device under a profile that is the same as its own.
func (d *Device) movedTo(prof *profile) *Device {
	moved := *d
	moved.inferred, moved.origins = nil, nil
	moved.Parts = make([]Part, len(d.Parts))
	for i, p := range d.Parts {
		moved.Parts[i] = p
		moved.Parts[i].made = nil
		if n := p.rule.prof.announceNumber(p.rule); n >= 0 {
			moved.Parts[i].rule = prof.announces[n]
		}
	}
	return &moved
}

// adoptInto builds the device by one profile. Announcements that this profile
// does not hear, or that make another Thing than the first, are left out.
func (e *Engine) adoptInto(prof *profile, d *Device) (*Device, error) {
	b := builder{e: e, prof: prof, now: time.Now()}
	err := errUnannounced
	var parts []Part
	name, raw := "", ""
	for _, part := range d.Parts {
		r := e.announcerOf(prof, part)
		if r == nil {
			continue
		}
		part.rule, part.made = r, nil
		partRaw, partErr := b.nameOf(&part, d)
		if partErr != nil {
			err = partErr
			continue
		}
		partName, partErr := ThingName(partRaw)
		if partErr != nil {
			err = partErr
			continue
		}
		if len(parts) > 0 && (partRaw != raw || partName != name) {
			continue
		}
		name, raw = partName, partRaw
		parts = append(parts, part)
	}
	if !makeDevice(parts) {
		return nil, err
	}
	return b.build(name, raw, sortParts(parts))
}

// announcerOf finds the rule that hears a part: the one with its number if that
// still does, else the first. A rule for lists does not read a message that was
// none, nor the other way round.
func (e *Engine) announcerOf(prof *profile, part Part) *rule {
	list := part.rule.announce.each != nil
	fits := func(r *rule) bool {
		return (r.announce.each != nil) == list && e.pattern(r).hears(part.Source)
	}
	if n := part.rule.prof.announceNumber(part.rule); n >= 0 && n < len(prof.announces) && fits(prof.announces[n]) {
		return prof.announces[n]
	}
	for _, r := range prof.announces {
		if fits(r) {
			return r
		}
	}
	return nil
}

// nameOf gives the text of the Thing name that an announcement makes. Of a list
// only the item was kept, so its condition `when` is not looked at again.
func (b *builder) nameOf(part *Part, d *Device) (string, error) {
	r := part.rule
	s, err := b.partScope(part)
	if err != nil {
		return "", err
	}
	if r.announce.each == nil {
		if ok, err := s.test(r.when); err != nil || !ok {
			return "", errUnannounced
		}
	}
	if b.prof.decoder != nil {
		return b.decodedName(part, s, d)
	}
	vars, err := partVars(r, s)
	if err != nil {
		return "", err
	}
	named := *s
	named.dev = &Device{Vars: vars}
	return b.prof.thing.name(&named)
}

// decodedName finds, among the devices that a decoder makes of an announcement,
// the one that has the Thing's name.
func (b *builder) decodedName(part *Part, s *scope, d *Device) (string, error) {
	in := b.prof.decoderInput(part.Source, part.Payload, s)
	if s.msg.err == nil {
		in.Value = s.msg.whole()
	}
	frags, err := b.prof.decoder.Decode(in)
	if err != nil {
		return "", err
	}
	for i := range frags {
		if name, err := ThingName(frags[i].Thing); err == nil && name == d.Thing {
			return frags[i].Thing, nil
		}
	}
	return "", errUnannounced
}

// TakeOver gives a device that was Put what another Engine learned of it from its
// messages under its name there: inferred types, but for what it declares, and
// what the topics of presence groups said last.
func (e *Engine) TakeOver(from *Engine, there, here string) {
	old, st := from.state(there), e.state(here)
	if old == nil || st == nil {
		return
	}
	types := restoredTypes(st.dev, old.savedTypes(), e.opt.Limits.DefinitionsPerThing)
	offline, origins := st.stillSaid(old), old.savedOrigins()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.offline, st.origins = offline, origins
	if len(types) == 0 {
		return
	}
	if st.inferred == nil {
		st.inferred = map[string]alwayson.BaseType{}
	}
	for name, t := range types {
		if _, known := st.inferred[name]; !known {
			st.inferred[name] = t
		}
	}
}

// Follow prepares p for being put in the place of earlier profiles: what is the
// same in both keeps its RouteIDs, so that calls in flight find their replies,
// and what is not gets new ones that no earlier profile had. It must be called
// before an Engine is made of p.
func (p *Profiles) Follow(earlier *Profiles) {
	p.routes = max(p.routes, earlier.routes)
	for _, prof := range p.profiles {
		old := earlier.find(prof.name)
		for i, c := range prof.calls {
			if old != nil && old.same(prof) {
				c.setRoute(old.calls[i].route)
				continue
			}
			p.routes++
			c.setRoute(p.routes)
		}
	}
}

// Profiles gives the profiles that the Engine runs.
func (e *Engine) Profiles() *Profiles { return e.p }

// NewProfiles names the profiles that another Engine does not have, or that say
// something else there.
func (e *Engine) NewProfiles(from *Engine) []string {
	var names []string
	for _, prof := range e.p.profiles {
		if old := from.profileOf(prof.name); old == nil || !old.same(prof) {
			names = append(names, prof.name)
		}
	}
	return names
}

// FiltersOf gives what a profile and its known devices listen to, sorted.
func (e *Engine) FiltersOf(profile string) []string {
	prof := e.profileOf(profile)
	if prof == nil {
		return nil
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	filters := map[string]bool{}
	for _, f := range e.heard[prof] {
		filters[f] = true
	}
	for _, st := range e.things {
		if st.prof == prof {
			for _, ent := range st.entries {
				filters[ent.pat.filter] = true
			}
		}
	}
	return sortedKeys(filters)
}

// SpeaksForAll reports whether something says of every device of a profile
// together that it is there or not.
func (e *Engine) SpeaksForAll(profile string) bool {
	prof := e.profileOf(profile)
	if prof == nil {
		return false
	}
	for _, r := range prof.rules {
		if r.kind == kindPresence && r.presence.all {
			return true
		}
	}
	return false
}

// GatheredMessages gives the messages of which devices are not made yet:
// Gathering effects told of them.
func (e *Engine) GatheredMessages() []Input {
	e.gatherMu.Lock()
	defer e.gatherMu.Unlock()
	var list []Input
	for _, name := range sortedKeys(e.gathered) {
		for _, p := range e.gathered[name].parts {
			list = append(list, Input{Topic: p.Source, Payload: p.Payload, Retained: true, Now: time.Now()})
		}
	}
	return list
}

// Watches says which kinds of word about a known Thing are listened to.
type Watches struct {
	Presence bool // of the device itself
	Hold     bool // that its values must be kept back
}

// Watches gives what is listened to about a known Thing.
func (e *Engine) Watches(thing string) Watches {
	var w Watches
	st := e.state(thing)
	if st == nil {
		return w
	}
	look := func(rules []*rule) {
		for _, r := range rules {
			if r.kind != kindPresence {
				continue
			}
			says := r.presence.online != nil || r.presence.offline != nil
			w.Presence = w.Presence || says && !r.presence.all
			w.Hold = w.Hold || r.presence.hold != nil
		}
	}
	look(st.prof.rules)
	if st.dev.rules != nil {
		look(st.dev.rules.rules)
	}
	return w
}

package mapping

import (
	"fmt"
	"sort"
)

// statesOf finds the devices that a message of a rule is of. name is the
// Thing's where the topic names it; fault says why the message may not speak
// for it.
func (h *handler) statesOf(ent *entry, s *scope, dst []*deviceState) (states []*deviceState, name, fault string) {
	r := ent.rule
	switch {
	case ent.state != nil:
		return append(dst, ent.state), ent.state.dev.Thing, ""
	case r.thing.mode == byTemplate:
		raw, err := r.prof.thing.name(s)
		if err == nil {
			name, err = ThingName(raw)
		}
		if err != nil {
			return nil, "", err.Error()
		}
		st := h.e.things[name]
		if st == nil {
			if r.kind == kindPresence && name != raw {
				name = "" // another device may be meant by it
			}
			return nil, name, ""
		}
		if st.prof != r.prof {
			return nil, name, "the Thing belongs to " + st.dev.origin()
		}
		if st.dev.raw != raw {
			return nil, name, fmt.Sprintf("the Thing belongs to the device %q", st.dev.raw)
		}
		if other := s.another(st.dev); other != "" {
			return nil, name, other
		}
		return append(dst, st), name, ""
	case r.thing.mode == byIndex:
		sig := r.prof.signatures[r.thing.sig]
		key := indexKey{r.prof.sigBase + r.thing.sig, signatureOf(sig, func(n string) any {
			v, _ := s.level(n)
			return v
		})}
		return h.e.index[key], "", ""
	case r.thing.mode == byProfile:
		if h.message(r, "") && (r.when == nil || r.when.uses("device") || h.when(r, s, "")) {
			return h.failing(r, s), "", ""
		}
	}
	return nil, "", ""
}

// failing gives the devices whose failure a message tells: those for which the
// rule's error has a value.
func (h *handler) failing(r *rule, s *scope) []*deviceState {
	var out []*deviceState
	for _, st := range h.e.things {
		if st.prof != r.prof {
			continue
		}
		s.dev = st.dev
		if v, err := s.eval(r.call.failError); err == nil && v != nil {
			out = append(out, st)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].dev.Thing < out[j].dev.Thing })
	return out
}

// unclaimed tells that the message is of a device that is not known.
func (h *handler) unclaimed(r *rule, s *scope, name string) {
	if r.kind == kindReply || r.kind == kindLeave {
		h.say("the device is not known")
		return
	}
	if r.gate != nil {
		if !h.message(r, name) || !h.test(r, r.gate, s, name) {
			return
		}
	}
	if r.kind == kindPresence && r.early(name) {
		if s.dev = nil; h.message(r, name) {
			h.presenceOf(r, s, name)
		}
		return
	}
	h.say("the device has not announced itself")
	if r.kind == kindUpward {
		h.stranger(r, s, name)
		return
	}
	for _, u := range h.unclaimedBy {
		if u.prof == r.prof && u.thing == name {
			return
		}
	}
	h.unclaimedBy = append(h.unclaimedBy, owner{r.prof, name})
}

// owner is a profile, and the Thing where it can be told.
type owner struct {
	prof  *profile
	thing string
}

// settle adds what is unclaimed. A wide pattern that finds no device says
// nothing when another rule of its profile took the message. A request upwards
// has one answer, so of those that no known device made only the first is told of.
func (h *handler) settle() {
	if len(h.strangers) > 0 && !h.asked {
		h.dst = append(h.dst, h.strangers[0])
	}
	for _, u := range h.unclaimedBy {
		if u.thing == "" && h.claimed(u.prof) {
			continue
		}
		h.dst = append(h.dst, &Unclaimed{Profile: u.prof.name, Thing: u.thing})
	}
}

func (h *handler) claimed(prof *profile) bool {
	for _, p := range h.claimedBy {
		if p == prof {
			return true
		}
	}
	return false
}

// early reports whether a presence rule can speak for a Thing that has not been
// announced: its topic names the Thing, and nothing of the device is needed.
func (r *rule) early(name string) bool {
	if r.thing.mode != byTemplate || name == "" {
		return false
	}
	for _, x := range []*expression{r.when, r.presence.online, r.presence.offline, r.presence.hold, r.presence.asleep, r.presence.along} {
		if x != nil && x.uses("device") {
			return false
		}
	}
	return true
}

// another tells a message of another device whose levels make the same name,
// such as a.b and c instead of a and b.c, or the pump 7 of another site where the
// name holds the 7 alone; "" is none.
func (s *scope) another(d *Device) string {
	for i, n := range s.names {
		for j := range d.Vars {
			v := &d.Vars[j]
			if text, ok := v.Value.(string); v.Name == n && ok && text != s.levels[i] && (s.prof.thing.uses(n) || !v.Let && d.oneSender()) {
				return fmt.Sprintf("the Thing belongs to %s, whose %s is %q", d.origin(), n, shorten(text, 60))
			}
		}
	}
	return ""
}

// foreignPart reports whether a message that tells more of a device came by the
// topic of another, as another says it.
func (e *Engine) foreignPart(p *Part, d *Device) bool {
	if p.rule == nil || p.rule.announce.merge {
		return false
	}
	levels, ok := e.pattern(p.rule).capture(p.Source, nil)
	return ok && (&scope{prof: p.rule.prof, names: p.rule.pat.names, levels: levels}).another(d) != ""
}

// oneSender reports whether the levels of the announcements' topics are the same in
// all that the device sends. Where messages of one rule make one device, they differ.
func (d *Device) oneSender() bool {
	for i := range d.Parts {
		if r := d.Parts[i].rule; r == nil || r.announce.merge || r.announce.gather > 0 {
			return false
		}
	}
	return true
}

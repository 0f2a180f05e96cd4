package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// announce applies an announce rule.
func (h *handler) announce(r *rule, s *scope) {
	if len(h.in.Payload) == 0 && !r.announce.keep {
		h.gone(r, s)
		return
	}
	if r.prof.decoder != nil {
		h.decoded(r, s)
		return
	}
	if !h.message(r, "") {
		return
	}
	ok, err := s.test(r.when)
	if err != nil {
		h.reject("", r.id, ReasonExpression, "when: "+err.Error())
		return
	}
	if !ok {
		h.say("its condition when is not true")
		h.stays(r, s)
		return
	}
	part := Part{Source: strings.Clone(h.in.Topic), Retained: h.in.Retained, rule: r}
	if r.announce.each == nil {
		part.Payload = h.in.Payload
		h.announceOne(r, s, part, map[string]bool{})
		return
	}
	h.announceEach(r, s, part)
}

// stays tells of a device whose topic holds what is no announcement at present.
func (h *handler) stays(r *rule, s *scope) {
	if !h.in.Retained || r.announce.each != nil {
		return
	}
	vars, err := partVars(r, s)
	if err != nil {
		return
	}
	named := *s
	named.dev = &Device{Vars: vars}
	raw, err := r.prof.thing.name(&named)
	if err != nil {
		return
	}
	name, err := ThingName(raw)
	if err != nil {
		return
	}
	if d := h.e.announced(name, r.prof, raw); d != nil && contains(d.Sources, h.in.Topic) {
		h.dst = append(h.dst, &Stays{Thing: name})
	}
}

// announceEach announces every item of a list; of a full one, what is missing
// has left.
func (h *handler) announceEach(r *rule, s *scope, part Part) {
	v, err := s.eval(r.announce.each)
	if err != nil {
		h.reject("", r.id, ReasonExpression, "each: "+err.Error())
		return
	}
	list, ok := v.([]any)
	if !ok {
		h.reject("", r.id, ReasonMalformed, "each: a list is wanted, not "+kindOf(v))
		return
	}
	seen := map[string]bool{}
	complete := true
	for _, item := range list {
		part.Payload = appendAny(nil, item)
		if h.announceOne(r, s.with(binding{"item", item}), part, seen) == "" {
			complete = false // its name is not known, so none can be missed for it
		}
	}
	if !r.announce.full || !complete {
		return
	}
	for _, d := range h.known(r) {
		if !seen[d.Thing] {
			h.withoutSource(r, d)
		}
	}
}

// known gives the devices that the topic announced, by name.
func (h *handler) known(r *rule) []*Device {
	var out []*Device
	for _, st := range h.e.sources[h.in.Topic] {
		if st.prof == r.prof && h.e.late[st.dev.Thing] == nil {
			out = append(out, st.dev)
		}
	}
	for _, d := range h.e.late {
		if d.Profile == r.prof.name && contains(d.Sources, h.in.Topic) {
			out = append(out, d)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Thing < out[j].Thing })
	return out
}

// announceOne announces one device and gives its Thing name, "" when it has
// none. seen are the Things that the message announced already.
func (h *handler) announceOne(r *rule, s *scope, part Part, seen map[string]bool) string {
	vars, err := partVars(r, s)
	if err != nil {
		h.reject("", r.id, ReasonExpression, err.Error())
		return ""
	}
	named := *s
	named.dev = &Device{Vars: vars}
	raw, err := r.prof.thing.name(&named)
	if err != nil {
		h.reject("", r.id, ReasonName, "thing: "+err.Error())
		return ""
	}
	name, err := ThingName(raw)
	if err != nil {
		h.reject("", r.id, ReasonName, err.Error())
		return ""
	}
	if seen[name] {
		h.reject(name, r.id, ReasonIdentity, "the list names the Thing twice; the first counts")
		return name
	}
	seen[name] = true
	if r.announce.gather > 0 {
		h.gather(r, name, raw, part, false)
		return name
	}
	var parts []Part
	have := h.e.announced(name, r.prof, raw)
	if have != nil && !r.announce.merge {
		if other := s.another(have); other != "" {
			if r.announce.adds {
				h.reject(name, r.id, ReasonIdentity, other)
				return name
			}
			have = nil // it is no word of this device's: Put refuses it the name
		}
	}
	if have != nil {
		merged, same := mergeParts(have.Parts, part, r.announce.merge)
		if same && h.in.Retained {
			h.dst = append(h.dst, &Announced{Rule: r.id, Device: have, Adds: r.announce.adds})
			return name
		}
		parts = merged
	} else if r.announce.adds {
		h.early(r, name, raw, part)
		return name
	} else {
		part.Payload = bytes.Clone(part.Payload)
		early := h.e.earlyParts(r.prof, name, raw)
		early = slices.DeleteFunc(early, func(p Part) bool { return h.e.foreignPart(&p, &Device{Vars: vars, Parts: []Part{part}}) })
		parts = sortParts(append(early, part))
	}
	_ = h.finishDevice(r, name, raw, parts) // it has told
	return name
}

// mergeParts replaces or adds a part. Another topic that the same rule heard is
// another device's, unless many may tell of one.
func mergeParts(have []Part, part Part, many bool) (parts []Part, same bool) {
	for _, p := range have {
		if p.Source == part.Source && p.rule == part.rule {
			same = p.Retained && bytes.Equal(p.Payload, part.Payload)
			continue
		}
		if p.rule == part.rule && !many {
			part.Payload = bytes.Clone(part.Payload)
			return []Part{part}, false
		}
		parts = append(parts, p)
	}
	part.Payload = bytes.Clone(part.Payload)
	return sortParts(append(parts, part)), same
}

func sortParts(parts []Part) []Part {
	sort.SliceStable(parts, func(i, j int) bool {
		a, b := &parts[i], &parts[j]
		if a.Source != b.Source {
			return a.Source < b.Source
		}
		return a.rule != nil && b.rule != nil && a.rule.order < b.rule.order
	})
	return parts
}

var errParts = errors.New("more messages announce the Thing than are taken")

// finishDevice builds the device and announces it. Its error was told, but for
// errIncomplete.
func (h *handler) finishDevice(r *rule, name, raw string, parts []Part) error {
	if n := h.e.opt.Limits.DefinitionsPerThing; len(parts) > n && r.announce.gather <= 0 {
		h.reject(name, r.id, ReasonTooLarge, fmt.Sprintf("more than %d messages announce the Thing", n))
		return errParts
	}
	b := builder{e: h.e, prof: r.prof, now: h.in.Now}
	dev, err := b.build(name, raw, parts)
	for _, p := range b.problems {
		h.reject(name, r.id, p.reason, p.text)
	}
	switch {
	case errors.Is(err, errIncomplete):
	case errors.Is(err, errNotObject), err != nil && r.prof.devices != nil:
		h.reject(name, r.id, ReasonDefinition, err.Error())
	case err != nil:
		h.reject(name, r.id, ReasonExpression, err.Error())
	default:
		fresh := !h.in.Retained && r.announce.each == nil
		h.dst = append(h.dst, &Announced{Rule: r.id, Device: dev, Live: fresh && !dev.quiet, Fresh: fresh && r.announce.gather <= 0, Adds: r.announce.adds})
	}
	return err
}

// gone handles an empty payload: what the topic announced has left.
func (h *handler) gone(r *rule, s *scope) {
	if !r.announce.direct {
		for _, d := range h.known(r) {
			h.withoutSource(r, d)
		}
		return
	}
	raw, err := r.prof.thing.name(s)
	if err != nil {
		h.reject("", r.id, ReasonName, "thing: "+err.Error())
		return
	}
	name, err := ThingName(raw)
	if err != nil {
		h.reject("", r.id, ReasonName, err.Error())
		return
	}
	if r.announce.gather > 0 {
		h.gather(r, name, raw, Part{Source: strings.Clone(h.in.Topic), rule: r}, true)
		return
	}
	st := h.e.things[name]
	switch d := h.e.announced(name, r.prof, raw); {
	case d != nil && contains(d.Sources, h.in.Topic):
		h.withoutSource(r, d)
	case d == nil && r.announce.adds:
		h.notEarly(r, name, raw)
	case st == nil:
		h.dst = append(h.dst, &Left{Rule: r.id, Thing: name, Source: strings.Clone(h.in.Topic)})
	default:
		h.reject(name, r.id, ReasonIdentity, "the Thing belongs to "+st.dev.origin())
	}
}

// withoutSource takes the message's topic away from a device: it has left when
// no other announced it, else it is announced anew without.
func (h *handler) withoutSource(r *rule, d *Device) {
	var rest []Part
	for _, p := range d.Parts {
		if p.Source != h.in.Topic {
			rest = append(rest, p)
		}
	}
	if !makeDevice(rest) {
		h.dst = append(h.dst, &Left{Rule: r.id, Thing: d.Thing, Source: strings.Clone(h.in.Topic)})
		return
	}
	_ = h.finishDevice(r, d.Thing, d.raw, rest) // it has told
}

// makes reports whether the part makes a device, and does not only tell more of one.
func (p *Part) makes() bool { return p.rule == nil || !p.rule.announce.adds }

func makeDevice(parts []Part) bool {
	for i := range parts {
		if parts[i].makes() {
			return true
		}
	}
	return false
}

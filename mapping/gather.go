package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
)

// Gathering says that a message tells a part of what announces a device, by a
// rule with gather. Once none has come for After, Engine.Gathered makes the
// device of all of them.
type Gathering struct {
	Thing   string
	Profile string
	After   time.Duration
}

func (*Gathering) isEffect() {}

// gathering is what was said of a device and is not announced yet, together with
// what it was announced by before.
type gathering struct {
	prof  *profile
	raw   string
	parts map[partKey]Part
	bytes int
	dirty bool // something came since Gathered
	live  bool // and was delivered with RETAIN 0
}

type partKey struct {
	source string
	order  int
}

// gatherings are bounded: one by Limits.PayloadBytes and by partsPerDefinition,
// all together by gatherShare times PayloadBytes. What does not become a
// device then makes room first.
const (
	partsPerDefinition = 8
	gatherShare        = 64
	partCost           = 200 // beside topic and payload
)

// gather adds a message to what announces a device; gone: takes it away.
func (h *handler) gather(r *rule, name, raw string, part Part, gone bool) {
	have := h.e.announced(name, r.prof, raw) // nil also where the name is taken: Put will say so
	part.Retained = true                     // what is gathered is retained by its family's rules
	if h.note != nil {
		h.gatherNow(r, name, raw, have, part, gone)
		return
	}
	h.e.gatherMu.Lock()
	defer h.e.gatherMu.Unlock()
	g := h.e.gathered[name]
	if g != nil && (g.prof != r.prof || g.raw != raw) {
		h.reject(name, r.id, ReasonIdentity, fmt.Sprintf("the device %q of profile %s announces itself under that name", g.raw, g.prof.name))
		return
	}
	if g == nil {
		if have != nil && !gone && have.hasPart(&part) {
			h.dst = append(h.dst, &Announced{Device: have, Live: !h.in.Retained})
			return
		}
		if have == nil && gone {
			return
		}
		g = newGathering(r.prof, raw, have)
		if h.e.gathered == nil {
			h.e.gathered = map[string]*gathering{}
		}
		h.e.gathered[name] = g
		h.e.gatherBytes += g.bytes
	}
	before := g.bytes
	if fault := g.set(part, gone, h.e.opt.Limits); fault != "" {
		h.reject(name, r.id, ReasonTooLarge, fault)
		return
	}
	h.e.gatherBytes += g.bytes - before
	g.live = g.live || !h.in.Retained
	h.e.makeRoom(h, name)
	h.dst = append(h.dst, &Gathering{Thing: name, Profile: r.prof.name, After: r.announce.gather})
}

// early keeps what only tells more of a device until the device is announced, when
// the broker retains it: brokers deliver what they keep in any order.
func (h *handler) early(r *rule, name, raw string, part Part) {
	h.say("it only tells more of a device that has not announced itself")
	if !part.Retained || h.note != nil {
		return
	}
	h.e.gatherMu.Lock()
	defer h.e.gatherMu.Unlock()
	g, known := h.e.gathered[name]
	if known && (g.prof != r.prof || g.raw != raw) {
		return // whoever has the name is told when the device announces itself
	}
	if !known {
		g = newGathering(r.prof, raw, nil)
		if h.e.gathered == nil {
			h.e.gathered = map[string]*gathering{}
		}
		h.e.gathered[name] = g
	}
	before, dirty := g.bytes, known && g.dirty
	if fault := g.set(part, false, h.e.opt.Limits); fault != "" {
		h.reject(name, r.id, ReasonTooLarge, fault)
	}
	g.dirty = dirty
	h.e.gatherBytes += g.bytes - before
	h.e.makeRoom(h, name)
}

// notEarly forgets what early kept of the message's topic.
func (h *handler) notEarly(r *rule, name, raw string) {
	if h.note != nil {
		return
	}
	h.e.gatherMu.Lock()
	defer h.e.gatherMu.Unlock()
	g := h.e.gathered[name]
	if g == nil || g.prof != r.prof || g.raw != raw {
		return
	}
	before, dirty := g.bytes, g.dirty
	g.set(Part{Source: h.in.Topic, rule: r}, true, h.e.opt.Limits)
	g.dirty = dirty
	h.e.gatherBytes += g.bytes - before
	if len(g.parts) == 0 {
		h.e.dropGathering(name)
	}
}

// earlyParts gives what early kept of a device.
func (e *Engine) earlyParts(prof *profile, name, raw string) []Part {
	e.gatherMu.Lock()
	defer e.gatherMu.Unlock()
	g := e.gathered[name]
	if g == nil || g.prof != prof || g.raw != raw {
		return nil
	}
	var parts []Part
	for _, p := range g.parts {
		if !p.makes() {
			parts = append(parts, p)
		}
	}
	return parts
}

// gatherNow announces at once, for Explain.
func (h *handler) gatherNow(r *rule, name, raw string, base *Device, part Part, gone bool) {
	h.e.gatherMu.Lock()
	g := newGathering(r.prof, raw, base)
	if now := h.e.gathered[name]; now != nil {
		for _, p := range now.parts {
			g.set(p, false, h.e.opt.Limits)
		}
	}
	g.set(part, gone, h.e.opt.Limits)
	h.e.gatherMu.Unlock()
	h.announceGathered(name, g)
}

func newGathering(prof *profile, raw string, base *Device) *gathering {
	g := &gathering{prof: prof, raw: raw, parts: map[partKey]Part{}, dirty: true}
	if base != nil {
		for _, p := range base.Parts {
			g.parts[p.key()] = p
			g.bytes += p.size()
		}
	}
	return g
}

func (p *Part) key() partKey {
	if p.rule == nil {
		return partKey{p.Source, -1}
	}
	return partKey{p.Source, p.rule.order}
}

func (p *Part) size() int { return partCost + len(p.Source) + len(p.Payload) }

// set keeps a part, or takes it away; fault says why it cannot be kept.
func (g *gathering) set(part Part, gone bool, lim Limits) (fault string) {
	key := part.key()
	have, known := g.parts[key]
	size := g.bytes
	if known {
		size -= have.size()
	}
	switch {
	case gone:
		delete(g.parts, key)
	case known && bytes.Equal(have.Payload, part.Payload):
		return ""
	case size+part.size()-partCost*(len(g.parts)+1) > lim.PayloadBytes:
		return fmt.Sprintf("what announces the Thing has over %d bytes together", lim.PayloadBytes)
	case !known && len(g.parts) >= partsPerDefinition*lim.DefinitionsPerThing:
		return fmt.Sprintf("more than %d messages announce the Thing", partsPerDefinition*lim.DefinitionsPerThing)
	default:
		part.Payload = bytes.Clone(part.Payload)
		g.parts[key] = part
		size += part.size()
	}
	g.bytes, g.dirty = size, true
	return ""
}

// makeRoom drops gatherings when they do not fit, an eighth at a time so that not
// every message looks at all of them; those first of which no device came.
// gatherMu is held.
func (e *Engine) makeRoom(h *handler, but string) {
	most := gatherShare * e.opt.Limits.PayloadBytes
	if e.gatherBytes <= most {
		return
	}
	enough := most - most/8
	for _, dirty := range []bool{false, true} {
		for name, g := range e.gathered {
			if e.gatherBytes <= enough {
				return
			}
			if name == but || g.dirty != dirty {
				continue
			}
			e.dropGathering(name)
			h.reject(name, "-", ReasonTooLarge, fmt.Sprintf("what devices of profile %s say of themselves is over %d bytes; this one's is forgotten until it says it anew", g.prof.name, most))
		}
	}
}

// dropGathering forgets what is gathered of a Thing. gatherMu is held.
func (e *Engine) dropGathering(name string) {
	if g := e.gathered[name]; g != nil {
		e.gatherBytes -= g.bytes
		delete(e.gathered, name)
	}
}

// putGathered forgets what is gathered when the device that was Put has all of it.
func (e *Engine) putGathered(d *Device) {
	e.gatherMu.Lock()
	defer e.gatherMu.Unlock()
	if g := e.gathered[d.Thing]; g != nil && !g.dirty && g.raw == d.raw {
		e.dropGathering(d.Thing)
	}
}

// hasPart reports whether the device was announced by just this. Parts are
// sorted by Source.
func (d *Device) hasPart(part *Part) bool {
	i := sort.Search(len(d.Parts), func(i int) bool { return d.Parts[i].Source >= part.Source })
	for ; i < len(d.Parts) && d.Parts[i].Source == part.Source; i++ {
		if d.Parts[i].rule == part.rule {
			return bytes.Equal(d.Parts[i].Payload, part.Payload)
		}
	}
	return false
}

// Gathered makes the device of what Gathering effects told of a Thing. It gives
// an *Announced, which is to be Put or refused; a *Left where what is left makes
// no device any more; and what is *Rejected, ReasonIncomplete where it makes none yet.
// Nothing that is said while it works is lost: another Gathering tells of it. It
// may be called beside Handle, but not beside another Gathered, Put or Remove of the Thing.
func (e *Engine) Gathered(thing string, now time.Time) []Effect {
	e.gatherMu.Lock()
	g := e.gathered[thing]
	if g == nil {
		e.gatherMu.Unlock()
		return nil
	}
	whole := &gathering{prof: g.prof, raw: g.raw, parts: make(map[partKey]Part, len(g.parts))}
	for k, p := range g.parts {
		whole.parts[k] = p
	}
	live := g.live
	g.dirty, g.live = false, false
	e.gatherMu.Unlock()
	e.mu.RLock()
	defer e.mu.RUnlock()
	h := handler{e: e, in: &Input{Now: now, Retained: !live}}
	h.announceGathered(thing, whole)
	return h.dst
}

// errIncomplete says that what is known of a device does not make one yet.
var errIncomplete = errors.New("this does not make a device yet")

func (h *handler) announceGathered(name string, g *gathering) {
	parts := make([]Part, 0, len(g.parts))
	for _, p := range g.parts {
		parts = append(parts, p)
	}
	var err error = errIncomplete
	if makeDevice(parts) {
		err = h.finishDevice(parts[0].rule, name, g.raw, sortParts(parts))
	}
	if err == nil {
		if a, ok := h.dst[len(h.dst)-1].(*Announced); ok {
			h.skipped(parts[0].rule, name, a.Device.Skipped)
		}
		return
	}
	if !errors.Is(err, errIncomplete) {
		return
	}
	h.say(err.Error())
	if len(parts) > 0 {
		h.reject(name, parts[0].rule.id, ReasonIncomplete, err.Error())
	}
	if h.e.announced(name, g.prof, g.raw) != nil {
		h.dst = append(h.dst, &Left{Thing: name, Source: strings.Clone(h.in.Topic)})
	}
}

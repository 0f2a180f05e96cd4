package mapping

import (
	"errors"
	"time"
)

// Without makes a known device anew without the announcements that the broker
// retained and that are gone, by their topics. It gives an *Announced, which is to
// be Put or refused; a *Left where what remains makes no device any more; and what
// is *Rejected. Nothing is given when the device is not known or had none of them.
// It is not to be called beside Handle, Gathered, Put or Remove of the Thing.
func (e *Engine) Without(thing string, gone func(topic string) bool, now time.Time) []Effect {
	e.mu.RLock()
	defer e.mu.RUnlock()
	d := e.late[thing]
	if d == nil {
		st := e.things[thing]
		if st == nil {
			return nil
		}
		d = st.dev
	}
	e.gatheredWithout(d, gone)
	var rest []Part
	for _, p := range d.Parts {
		if !p.Retained || !gone(p.Source) {
			rest = append(rest, p)
		}
	}
	if len(rest) == len(d.Parts) {
		return nil
	}
	h := handler{e: e, in: &Input{Now: now, Retained: true}}
	for i := range rest {
		if rest[i].makes() {
			if err := h.finishDevice(rest[i].rule, thing, d.raw, rest); errors.Is(err, errIncomplete) {
				break
			}
			return h.dst
		}
	}
	return append(h.dst, &Left{Thing: thing})
}

// gatheredWithout takes announcements that are gone out of what is gathered of a
// device. mu is held for reading.
func (e *Engine) gatheredWithout(d *Device, gone func(topic string) bool) {
	e.gatherMu.Lock()
	defer e.gatherMu.Unlock()
	g := e.gathered[d.Thing]
	if g == nil || g.raw != d.raw {
		return
	}
	before, dirty := g.bytes, g.dirty
	for _, p := range g.parts {
		if p.Retained && gone(p.Source) {
			g.set(p, true, e.opt.Limits)
		}
	}
	g.dirty = dirty
	e.gatherBytes += g.bytes - before
}

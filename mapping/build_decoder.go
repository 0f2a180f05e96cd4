package mapping

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
)

// decode adds what a decoder says of the device in one announcement.
func (b *builder) decode(d *Device, p *Part, s *scope) {
	if p.made != nil {
		b.heard++
		b.whole.add(b, d, p)
		return
	}
	frags, err := b.prof.decoder.Decode(b.decoderInput(p, s))
	if pass := (*Pass)(nil); err != nil && !errors.As(err, &pass) {
		b.fail(ReasonDefinition, "%s: %s", p.Source, firstLine(err.Error()))
	}
	for i := range frags {
		f := &frags[i]
		if f.Thing != d.raw {
			continue
		}
		b.heard++
		if f.Whole {
			var problems []buildProblem
			p.made, problems = b.e.make(b.prof, d.Thing, f, b.now)
			b.problems = append(b.problems, problems...)
			b.whole.add(b, d, p)
			return
		}
		b.join(d, f)
	}
}

func (b *builder) decoderInput(p *Part, s *scope) *DecoderInput {
	in := b.prof.decoderInput(p.Source, p.Payload, s)
	if s.msg.err == nil {
		in.Value = s.msg.whole()
	}
	return in
}

// join adds a fragment that is joined with others member by member.
func (b *builder) join(d *Device, f *Fragment) {
	d.quiet = d.quiet || f.Quiet
	d.Skipped = append(d.Skipped, f.Skipped...)
	for _, name := range sortedKeys(f.Let) {
		b.learned = mergeVars(b.learned, []Var{{Name: name, Value: f.Let[name], Let: true}})
	}
	if f.Rules != nil {
		b.say(f.Rules)
	}
}

// decodeAll hands all announcements to a decoder of whole devices.
func (b *builder) decodeAll(d *Device, parts []Part, scopes []*scope) error {
	all := make([]*DecoderInput, len(parts))
	for i := range parts {
		all[i] = b.decoderInput(&parts[i], scopes[i])
	}
	frag, err := b.prof.devices.DecodeDevice(all)
	if pass := (*Pass)(nil); errors.As(err, &pass) {
		return fmt.Errorf("%w: %s", errIncomplete, pass.Why)
	}
	if err != nil {
		return errors.New(firstLine(err.Error()))
	}
	b.join(d, frag)
	if frag.Parent != nil {
		s := *scopes[0]
		s.levels = slices.Clone(s.levels)
		for i, name := range s.names {
			if text, ok := frag.Parent[name]; ok {
				s.levels[i] = text
			}
		}
		s.dev = nil
		if raw, err := b.prof.thing.name(&s); err == nil {
			d.Parent, _ = ThingName(raw)
		}
	}
	return nil
}

// perDevice reports whether the profile says something of each device that is
// computed from its announcements.
func (p *profile) perDevice() bool {
	return p.template != nil || p.identifier != nil || p.description != nil || p.parent != nil || p.expire.x != nil || p.queue.x != nil
}

// madePart is what a whole fragment compiles to. It is never changed, and shared by
// all Devices that the announcement is part of.
type madePart struct {
	vars    []Var
	set     ruleSet
	parent  string
	skipped []string
	quiet   bool
	digest  [sha256.Size]byte // of what it declares
}

// make compiles a whole fragment.
func (e *Engine) make(prof *profile, thing string, f *Fragment, now time.Time) (*madePart, []buildProblem) {
	b := builder{e: e, prof: prof, now: now, defs: &Definitions{}}
	m := &madePart{skipped: f.Skipped, quiet: f.Quiet}
	for _, name := range sortedKeys(f.Let) {
		m.vars = append(m.vars, Var{Name: name, Value: f.Let[name], Let: true})
	}
	d := &Device{Profile: prof.name, Thing: thing, raw: f.Thing, Vars: m.vars}
	if f.Rules != nil {
		b.declare(f.Rules, true)
		b.fragment(d)
	}
	if d.rules != nil {
		m.set = d.rules.ruleSet
	}
	for _, r := range m.set.rules {
		if p := r.presence; p != nil {
			p.key = r.pat.filter + "\x00" + p.group + "\x00" + p.online.textOf() + "\x00" + p.offline.textOf()
		}
	}
	m.set.defs, m.parent = b.defs, d.Parent
	for _, p := range b.problems {
		m.skipped = append(m.skipped[:len(m.skipped):len(m.skipped)], p.text)
	}
	m.digest = sha256.Sum256(b.key)
	return m, b.problems
}

// wholeParts joins what the whole fragments of a device compile to.
type wholeParts struct {
	set    ruleSet
	any    bool
	shared map[string]bool // presence rules that are there
}

func (w *wholeParts) add(b *builder, d *Device, p *Part) {
	m := p.made
	w.any = true
	d.Vars = mergeVars(d.Vars, m.vars)
	d.Skipped = append(d.Skipped, m.skipped...)
	d.quiet = d.quiet || m.quiet
	if d.Parent == "" {
		d.Parent = m.parent
	}
	b.key = append(b.key, m.digest[:]...)
	defs, taken := b.defs.free(m.set.defs)
	if len(taken) > 0 {
		d.Skipped = append(d.Skipped, tellTaken(p.Source, taken)...)
	}
	b.defs.merge(defs)
	for _, r := range m.set.rules {
		if !taken[r.member()] && !w.sharedAlready(r) {
			w.set.rules = append(w.set.rules, r)
		}
	}
	for _, c := range m.set.calls {
		if !taken[c.member()] {
			w.set.calls = append(w.set.calls, c)
		}
	}
	w.set.asks = append(w.set.asks, m.set.asks...)
	w.set.expire = longer(w.set.expire, m.set.expire)
	w.set.queue = longer(w.set.queue, m.set.queue)
}

// sharedAlready reports whether the announcements say the same of presence twice.
func (w *wholeParts) sharedAlready(r *rule) bool {
	if r.kind != kindPresence {
		return false
	}
	if w.shared[r.presence.key] {
		return true
	}
	if w.shared == nil {
		w.shared = map[string]bool{}
	}
	w.shared[r.presence.key] = true
	return false
}

func (x *expression) textOf() string {
	if x == nil {
		return ""
	}
	return x.text
}

// longer is the longer of two fixed durations; none is the shortest.
func longer(a, b durationSpec) durationSpec {
	if b.x != nil || a.x == nil && b.fixed > a.fixed {
		return b
	}
	return a
}

// finish gives the device the rules of its whole fragments.
func (w *wholeParts) finish(b *builder, d *Device) {
	if !w.any {
		return
	}
	if d.rules == nil {
		d.rules = &deviceRules{}
	}
	d.rules.rules = append(d.rules.rules, w.set.rules...)
	d.rules.calls = append(d.rules.calls, w.set.calls...)
	d.rules.asks = append(d.rules.asks, w.set.asks...)
	s := &scope{prof: b.prof, dev: d}
	if w.set.expire != (durationSpec{}) {
		d.ExpireAfter = w.set.expire.of(s)
	}
	if w.set.queue != (durationSpec{}) {
		d.QueueFor = w.set.queue.of(s)
	}
}

// member names the property, service or event that a rule is for; "" none that is
// known beforehand.
func (r *rule) member() string {
	switch {
	case r.call != nil:
		return r.call.member()
	case r.property != nil && r.property.one != nil && r.property.one.name != "":
		return "property " + PropertyName(r.property.one.name)
	case r.event != nil && r.event.name != "":
		return "event " + r.event.name
	}
	return ""
}

func (c *callRule) member() string {
	if c.kind == callService {
		return "service " + c.text
	}
	return "property " + PropertyName(c.text)
}

// free gives what o declares and d does not, and the members that both declare.
func (d *Definitions) free(o *Definitions) (*Definitions, map[string]bool) {
	var taken map[string]bool
	take := func(member string) {
		if taken == nil {
			taken = map[string]bool{}
		}
		taken[member] = true
	}
	for name := range o.Properties {
		if d.Properties[name] != nil {
			take("property " + name)
		}
	}
	for name := range o.Services {
		if d.Services[name] != nil {
			take("service " + name)
		}
	}
	for name := range o.Events {
		if d.Events[name] != nil {
			take("event " + name)
		}
	}
	if taken == nil {
		return o, nil
	}
	out := &Definitions{Template: o.Template, Identifier: o.Identifier, Description: o.Description}
	for name, p := range o.Properties {
		if !taken["property "+name] {
			out.property(p)
		}
	}
	for name, s := range o.Services {
		if !taken["service "+name] {
			out.service(s)
		}
	}
	for name, e := range o.Events {
		if !taken["event "+name] {
			out.event(e)
		}
	}
	return out, taken
}

func tellTaken(source string, taken map[string]bool) []string {
	var out []string
	for _, member := range sortedKeys(taken) {
		out = append(out, "the "+member+" of "+source+" is left out: another announcement of the device has that name")
	}
	return out
}

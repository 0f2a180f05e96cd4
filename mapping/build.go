package mapping

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
)

// builder makes a Device of its announcements.
type builder struct {
	e        *Engine
	prof     *profile
	now      time.Time
	problems []buildProblem
	defs     *Definitions
	key      []byte         // what the definitions were made of, to share equal ones
	said     map[string]any // by define or the decoder, over all parts
	owned    bool           // said is the builder's own
	rules    map[string]any
	learned  []Var
	whole    wholeParts
	heard    int // announcements that say something of the device, by a decoder
}

type buildProblem struct {
	reason Reason
	text   string
}

// errNotObject says that define yields something else.
var errNotObject = errors.New("an object is wanted")

// definer names what a definition comes from: the payload itself, as a bare device
// sends it, or define.
func definer(x *expression) string {
	if x.ident == "payload" {
		return "payload"
	}
	return "define"
}

func (b *builder) fail(reason Reason, format string, args ...any) {
	if len(b.problems) < 50 {
		b.problems = append(b.problems, buildProblem{reason, fmt.Sprintf(format, args...)})
	}
}

// partVars gives the levels of a part's topic and what its rule remembers.
func partVars(r *rule, s *scope) ([]Var, error) {
	vars := make([]Var, 0, len(s.names)+len(r.announce.let))
	for i, n := range s.names {
		vars = append(vars, Var{Name: n, Value: strings.Clone(s.levels[i]), Let: r.pat.isRest(n)})
	}
	for _, let := range r.announce.let {
		v, err := s.eval(let.x)
		if err != nil {
			return nil, fmt.Errorf("let %s: %w", let.name, err)
		}
		vars = append(vars, Var{Name: let.name, Value: v, Let: true})
	}
	sortVars(vars)
	return vars, nil
}

func sortVars(vars []Var) {
	sort.SliceStable(vars, func(i, j int) bool { return vars[i].Name < vars[j].Name })
}

// mergeVars adds vars to have; a value that is nil does not replace one.
func mergeVars(have, vars []Var) []Var {
	for _, v := range vars {
		found := false
		for i := range have {
			if have[i].Name == v.Name {
				found = true
				if v.Value != nil {
					have[i] = v
				}
			}
		}
		if !found {
			have = append(have, v)
		}
	}
	sortVars(have)
	return have
}

// build evaluates all parts. Parts of rules that are no more are left out.
func (b *builder) build(name, raw string, parts []Part) (*Device, error) {
	d := &Device{Profile: b.prof.name, Thing: name, raw: raw, Parts: parts, Retained: true}
	scopes := make([]*scope, len(parts))
	bare := &scope{prof: b.prof, dev: d, reply: b.e.opt.ReplyPrefix}
	for i := range parts {
		p := &parts[i]
		d.Retained = d.Retained && (p.Retained || !p.makes())
		if i == 0 || parts[i-1].Source != p.Source {
			d.Sources = append(d.Sources, p.Source)
		}
		if p.made != nil && !b.prof.perDevice() {
			scopes[i] = bare // nothing looks at the payload any more
			continue
		}
		s, err := b.partScope(p)
		if err != nil {
			return nil, err
		}
		scopes[i] = s
		s.dev = d
		if p.made != nil {
			continue
		}
		vars, err := partVars(p.rule, s)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			d.Vars = vars
		} else {
			d.Vars = mergeVars(d.Vars, vars)
		}
	}
	b.defs = &Definitions{}
	if b.prof.devices != nil {
		if err := b.decodeAll(d, parts, scopes); err != nil {
			return nil, err
		}
	}
	for i := range parts {
		if err := b.part(d, &parts[i], scopes[i]); err != nil {
			return nil, err
		}
	}
	if b.prof.decoder != nil && b.heard == 0 {
		return nil, errors.New("its announcements say nothing of it any longer")
	}
	if b.said != nil {
		b.declare(b.said, b.prof.decoder != nil || b.prof.devices != nil || b.prof.allowTopics != nil)
	}
	if b.learned != nil {
		d.Vars = mergeVars(d.Vars, b.learned)
	}
	b.settle(d, scopes)
	b.unheard(d)
	b.fragment(d)
	b.whole.finish(b, d)
	b.share(d)
	return d, nil
}

// partScope is what expressions see of one part.
func (b *builder) partScope(p *Part) (*scope, error) {
	r := p.rule
	if r == nil {
		return nil, fmt.Errorf("no rule of profile %s announces devices on %s", b.prof.name, p.Source)
	}
	levels, ok := b.e.pattern(r).capture(p.Source, nil)
	if !ok {
		return nil, fmt.Errorf("the topic %s is not of %s", p.Source, r.id)
	}
	msg := &message{topic: p.Source, retained: p.Retained, now: b.now}
	s := &scope{prof: b.prof, msg: msg, names: r.pat.names, levels: levels, reply: b.e.opt.ReplyPrefix}
	in := Input{Topic: p.Source, Payload: p.Payload, Retained: p.Retained, Now: b.now}
	if r.announce.each != nil {
		msg.read(&in, "json", "", b.e.opt.Limits)
		s.extra = []binding{{"item", msg.whole()}}
	} else {
		msg.read(&in, r.format, r.encoding, b.e.opt.Limits)
	}
	if msg.err != nil && b.prof.decoder == nil && b.prof.devices == nil {
		return nil, fmt.Errorf("payload: %w", msg.err)
	}
	return s, nil
}

// part adds what one announcement declares.
func (b *builder) part(d *Device, p *Part, s *scope) error {
	if b.prof.decoder != nil {
		b.decode(d, p, s)
		return nil
	}
	if p.rule.announce.define == nil {
		return nil
	}
	v, err := s.eval(p.rule.announce.define)
	if err != nil {
		return fmt.Errorf("define: %w", err)
	}
	switch v := v.(type) {
	case nil:
	case map[string]any:
		b.say(v)
	default:
		return fmt.Errorf("%s: %w, not %s", definer(p.rule.announce.define), errNotObject, kindOf(v))
	}
	return nil
}

// declare reads what define or a decoder yields: the shape of a native
// announcement. trusted says that rules may come with it.
func (b *builder) declare(m map[string]any, trusted bool) {
	b.key = appendAny(b.key, m)
	r := defReader{lenient: true}
	defs := &Definitions{Template: r.text(m, "template"), Identifier: r.text(m, "identifier"), Description: r.text(m, "description")}
	known := []string{"template", "identifier", "description", "properties", "services", "events"}
	if trusted {
		known = append(known, fragmentKeys...)
		for _, k := range fragmentKeys {
			if m[k] != nil {
				b.rule(k, m[k])
			}
		}
	}
	r.unknown(m, known...)
	if _, isList := m["properties"].([]any); isList && trusted {
		b.rule("properties", m["properties"])
	} else {
		b.each(&r, m, "properties", func(name string, v any) { b.declareProperty(&r, defs, name, v, trusted) })
	}
	b.each(&r, m, "services", func(name string, v any) { b.declareService(&r, defs, name, v, trusted) })
	if _, isList := m["events"].([]any); isList && trusted {
		b.rule("events", m["events"])
	} else {
		b.each(&r, m, "events", func(name string, v any) {
			before := r.hard
			if ev := r.event(name, v); r.hard == before {
				defs.event(ev)
			}
		})
	}
	for _, p := range r.problems {
		b.fail(ReasonDefinition, "%s", p)
	}
	b.defs.merge(defs)
}

// each reads the members of an object of definitions; one that is not usable is
// left out and reported.
func (b *builder) each(r *defReader, m map[string]any, key string, f func(name string, v any)) {
	r.in(key, func() {
		members := r.objectOf(m[key])
		for _, name := range sortedKeys(members) {
			r.in(name, func() { f(name, members[name]) })
		}
	})
}

func (b *builder) declareProperty(r *defReader, defs *Definitions, name string, v any, trusted bool) {
	m, isObject := v.(map[string]any)
	before := r.hard
	if isObject && trusted {
		plain := make(map[string]any, len(m))
		rule := map[string]any{"property": name}
		for k, item := range m {
			switch {
			case k == "write" || k == "read":
				b.rule(k+"s", map[string]any{name: item})
			case contains(ruleKeys, k):
				rule[k] = item
			default:
				plain[k] = item
			}
		}
		if rule["topic"] != nil {
			if rule["value"] == nil {
				rule["value"] = "payload"
			}
			b.rule("properties", []any{rule})
		}
		if m["write"] != nil {
			plain["writable"] = true
		}
		v = plain
		if plain["type"] == nil && plain["fields"] == nil && plain["dataShape"] == nil {
			return // inferred
		}
	}
	if p := r.property(name, v); r.hard == before {
		defs.property(p)
	}
}

func (b *builder) declareService(r *defReader, defs *Definitions, name string, v any, trusted bool) {
	before := r.hard
	m, isObject := v.(map[string]any)
	if isObject && trusted && m["request"] != nil {
		b.rule("services", map[string]any{name: v})
		s := r.service(name, v, "request", "reply", "fail", "finally")
		if r.hard == before {
			defs.service(s)
		}
		return
	}
	if s := r.service(name, v); r.hard == before {
		defs.service(s)
	}
}

// settle evaluates what the profile says of each device.
func (b *builder) settle(d *Device, scopes []*scope) {
	text := func(t *template, into *string, key string) {
		if t == nil {
			return
		}
		for i, s := range scopes {
			v, err := t.optional(s)
			if err == nil && v != "" {
				if *into == "" {
					*into = v
				}
				return
			}
			if err != nil && i == len(scopes)-1 {
				b.fail(ReasonExpression, "%s: %s", key, err)
			}
		}
	}
	text(b.prof.template, &b.defs.Template, "template")
	text(b.prof.identifier, &b.defs.Identifier, "identifier")
	text(b.prof.description, &b.defs.Description, "description")
	if b.prof.parent != nil {
		for _, s := range scopes {
			if v, err := s.eval(b.prof.parent); err == nil && v != nil {
				parent, _ := templateText(v)
				d.Parent, _ = ThingName(parent)
				break
			}
		}
	}
	d.Decided, d.SleepTold = b.prof.decides, b.prof.sleepTold
	d.ExpireAfter, d.QueueFor = b.prof.expire.of(scopes[0]), b.prof.queue.of(scopes[0])
}

// share settles the definitions and takes equal ones that are known already.
func (b *builder) share(d *Device) {
	h := sha256.New()
	fmt.Fprintf(h, "%q%q%q%q", b.prof.name, b.defs.Template, b.defs.Identifier, b.defs.Description)
	h.Write(b.key)
	h.Sum(d.defsKey[:0])
	if in := b.e.defs[d.defsKey]; in != nil {
		d.Definitions = in.defs
		return
	}
	all := &Definitions{}
	all.merge(b.prof.defs)
	all.merge(b.defs)
	if n := all.limit(b.e.opt.Limits.DefinitionsPerThing); n > 0 {
		b.fail(ReasonTooLarge, "%d definitions are over the limit of %d (limits.definitions_per_thing)", n, b.e.opt.Limits.DefinitionsPerThing)
	}
	d.Definitions = all
}

package mapping

import "strings"

// foreign reports a rule whose topic is another Thing's: one that another
// profile listens to, or that another device learned for its own values.
func (b *builder) foreign(d *Device, r *rule) bool {
	if r.kind == kindPresence {
		return false // devices behind one gateway share it
	}
	owner := b.e.listener(r.pat.filter, d, b.prof, false)
	if owner != "" {
		b.fail(ReasonIdentity, "the topic %s belongs to %s", r.pat.filter, owner)
	}
	return owner != ""
}

// foreignCall reports a call that would send to a topic of another Thing: one that
// it listens to or is sent to, or that another profile does.
func (b *builder) foreignCall(d *Device, sends []sendRule) bool {
	for _, s := range sends {
		topic, fixed := s.topic.constant()
		if !fixed {
			continue
		}
		owner := b.e.listener(topic, d, b.prof, true)
		if owner == "" {
			owner = b.e.receiver(topic, d, b.prof)
		}
		if owner != "" {
			b.fail(ReasonIdentity, "the topic %s, which would be sent to, belongs to %s", topic, owner)
			return true
		}
	}
	return false
}

// listener names who listens to a topic beside the device; "" nobody. For a topic
// to send to, profiles of one preset are one, and topics of presence count as well.
func (e *Engine) listener(topic string, d *Device, prof *profile, send bool) string {
	for _, ent := range e.static.Match(topic, nil) {
		if p := ent.rule.prof; p != prof && !(send && p.family == prof.family) {
			return "the profile " + p.name
		}
	}
	for _, ent := range e.dynamic.Match(topic, nil) {
		if ent.state.dev.Thing != d.Thing && (send || ent.rule.kind != kindPresence) {
			return "the Thing " + ent.state.dev.Thing
		}
	}
	return ""
}

// receiver names whom a topic is for beside the device; "" nobody.
func (e *Engine) receiver(topic string, d *Device, prof *profile) string {
	for _, p := range e.sendsTo.Match(topic, nil) {
		if p.family != prof.family {
			return "the profile " + p.name
		}
	}
	for _, st := range e.sends[topic] {
		if st.dev.Thing != d.Thing {
			return "the Thing " + st.dev.Thing
		}
	}
	return ""
}

// withoutForeign takes out of a device's rules those whose topics belong to other
// Things by now.
func (e *Engine) withoutForeign(d *Device) {
	if d.rules == nil {
		return
	}
	b := builder{e: e, prof: e.profileOf(d.Profile)}
	set := d.rules.ruleSet
	set.rules, set.calls = nil, nil
	for _, r := range d.rules.rules {
		if !b.foreign(d, r) {
			set.rules = append(set.rules, r)
		}
	}
	for _, c := range d.rules.calls {
		if !b.foreignCall(d, c.sends()) {
			set.calls = append(set.calls, c)
		}
	}
	for _, p := range b.problems {
		d.Skipped = append(d.Skipped, p.text)
	}
	d.rules = &deviceRules{set}
}

// sends are all messages that calls of the rule send.
func (c *callRule) sends() []sendRule {
	return append(c.send[:len(c.send):len(c.send)], c.finally...)
}

// listenSends notes the topics that a profile sends to, as filters. What begins
// with what a device says is not known beforehand.
func (e *Engine) listenSends(p *profile) {
	seen := map[string]bool{}
	for _, c := range p.calls {
		for _, s := range c.sends() {
			if f := s.topic.sentFilter(&scope{prof: p, reply: e.opt.ReplyPrefix}); f != "" && !seen[f] {
				seen[f] = true
				e.sendsTo.Add(f, p)
			}
		}
	}
}

// sentFilter covers all topics that a template yields; "" where its first level is
// not known.
func (t *template) sentFilter(s *scope) string {
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		text := p.literal
		if p.x != nil {
			text = "\x01" // part of a level
			if p.slash {
				text = "\x02" // the rest of the topic
			}
			if s.knows(p.x) {
				text, _ = p.render(s)
			}
		}
		b.WriteString(text)
	}
	levels := strings.Split(b.String(), "/")
	for i, level := range levels {
		switch {
		case strings.Contains(level, "\x02"):
			levels = append(levels[:i:i], "#")
		case strings.Contains(level, "\x01"):
			levels[i] = "+"
			continue
		default:
			continue
		}
		break
	}
	filter := strings.Join(levels, "/")
	if levels[0] == "#" || levels[0] == "+" || !ValidFilter(filter) {
		return ""
	}
	return filter
}

// knows reports whether an expression takes nothing but the profile's parameters.
func (s *scope) knows(x *expression) bool {
	for _, name := range x.free {
		if _, ok := s.prof.params[name]; !ok {
			return false
		}
	}
	return true
}

// own gives the topics that a device's own calls send to.
func (st *deviceState) own(each func(topic string)) {
	if st.dev.rules == nil {
		return
	}
	for _, c := range st.dev.rules.calls {
		for _, s := range c.sends() {
			if topic, fixed := s.topic.constant(); fixed {
				each(topic)
			}
		}
	}
}

package mapping

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fragmentKeys are the profile keys that define and decoders may yield beside
// definitions.
var fragmentKeys = []string{"presence", "leave", "writes", "reads", "ask", "parent", "expire_after", "queue"}

// ruleKeys are the keys of a property that make rules.
var ruleKeys = []string{"topic", "value", "when", "time", "quality", "format", "encoding", "write", "read"}

// rule adds to the rules that come with the announcement.
func (b *builder) rule(key string, v any) {
	if b.rules == nil {
		b.rules = map[string]any{}
	}
	switch have := b.rules[key].(type) {
	case map[string]any:
		if m, ok := v.(map[string]any); ok {
			for k, item := range m {
				have[k] = item
			}
			return
		}
	case []any:
		if list, ok := v.([]any); ok {
			b.rules[key] = append(have, list...)
		} else {
			b.rules[key] = append(have, v)
		}
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if key == "presence" || key == "leave" || key == "ask" {
			b.rules[key] = []any{v}
			return
		}
		c := make(map[string]any, len(v))
		for k, item := range v {
			c[k] = item
		}
		b.rules[key] = c
	default:
		b.rules[key] = v
	}
}

// fragment compiles the rules that came with the announcement.
func (b *builder) fragment(d *Device) {
	if b.rules == nil {
		return
	}
	if parent, ok := b.rules["parent"].(string); ok {
		d.Parent, _ = ThingName(parent)
	}
	delete(b.rules, "parent")
	rules := &deviceRules{}
	rules.defs = &Definitions{}
	l := &profileLoader{
		loader: &loader{dynamic: true}, prof: b.prof, set: &rules.ruleSet, params: names{}, used: names{}, lets: names{},
		announce: names{},
	}
	for name := range b.prof.params {
		l.params[name] = true
	}
	for _, v := range d.Vars {
		l.announce[v.Name] = true
	}
	fields := map[string]field{}
	for _, key := range sortedKeys(b.rules) {
		var n *yaml.Node = nodeOf(b.rules[key], 0)
		fields[key] = field{n: n, path: key}
	}
	l.sections(fields)
	l.thingOfDevice()
	for _, p := range l.problems {
		if !p.Warning {
			b.fail(ReasonDefinition, "%s: %s", b.pathOf(p.Path), p.Message)
		}
	}
	calls := rules.calls[:0]
	for _, c := range rules.calls {
		c.id = b.prof.name + "/" + c.id
		if !b.foreignCall(d, c.sends()) {
			calls = append(calls, c)
		}
	}
	rules.calls = calls
	kept := rules.rules[:0]
	for _, r := range rules.rules {
		r.id = b.prof.name + "/" + r.id
		r.order = 1 << 30
		if b.foreign(d, r) {
			continue
		}
		kept = append(kept, r)
	}
	rules.rules = kept
	b.defs.mergeUnder(rules.defs)
	if rules.expire != (durationSpec{}) {
		d.ExpireAfter = rules.expire.of(&scope{prof: b.prof, dev: d})
	}
	if rules.queue != (durationSpec{}) {
		d.QueueFor = rules.queue.of(&scope{prof: b.prof, dev: d})
	}
	d.rules = rules
}

// pathOf names the property of a rule that came with the announcement, where a
// path has the rule's place in a list that nobody wrote: properties.temp.topic.
func (b *builder) pathOf(path string) string {
	rest, ok := strings.CutPrefix(path, "properties[")
	place, rest, closed := strings.Cut(rest, "]")
	i, err := strconv.Atoi(place)
	rules, isList := b.rules["properties"].([]any)
	if !ok || !closed || err != nil || !isList || i < 0 || i >= len(rules) {
		return path
	}
	rule, _ := rules[i].(map[string]any)
	name, ok := rule["property"].(string)
	if !ok {
		return path
	}
	return "properties." + shorten(name, 80) + rest
}

// unheard tells that topics of the profile cannot be listened to for the
// device, because of what it says: the first of them, and how many more. What
// it does not say is no fault.
func (b *builder) unheard(d *Device) {
	s := &scope{prof: b.prof, dev: d, reply: b.e.opt.ReplyPrefix}
	first, more := "", 0
	for _, r := range b.prof.rules {
		if r.topic == nil || !r.topic.uses("device") {
			continue
		}
		text, said, fault := r.topic.saidTopic(s)
		if said && fault == nil && !b.prof.permits(text) {
			fault = fmt.Errorf("the topic %q is not under the profile's allow_topics", shorten(text, 80))
		}
		switch {
		case !said || fault == nil:
		case first == "":
			first = fmt.Sprintf("%s is not listened to: %s", r.id, fault)
		default:
			more++
		}
	}
	if more > 0 {
		first += fmt.Sprintf(" (and %d more)", more)
	}
	if first != "" {
		b.fail(ReasonDefinition, "%s", first)
	}
}

// saidTopic fills the topic of one device's; said is false when the device has
// not said all of it.
func (t *template) saidTopic(s *scope) (text string, said bool, fault error) {
	for i := range t.parts {
		p := &t.parts[i]
		if p.x == nil || !p.x.uses("device") {
			continue
		}
		value, err := p.render(s)
		if err != nil || value == "" {
			return "", false, nil
		}
		if err := checkInserted(p, value); err != nil {
			return "", true, err
		}
	}
	shape, _, err := t.patternText(s, "")
	if err != nil {
		return "", true, err
	}
	pat, err := parsePattern(shape)
	if err != nil {
		return "", true, err
	}
	pat.showBraces()
	return pat.filter, true, nil
}

// permitted checks a topic that came with an announcement.
func (l *profileLoader) permitted(f field, topic string) bool {
	if l.prof.permitsLearned(topic) {
		return true
	}
	l.fail(f, "a topic under the profile's allow_topics", "the topic %q must not be used", shorten(topic, 80))
	return false
}

// thingOfDevice makes all rules the device's own.
func (l *profileLoader) thingOfDevice() {
	for _, r := range l.set.rules {
		r.thing.mode = byDevice
	}
}

// mergeUnder adds what o declares and d does not.
func (d *Definitions) mergeUnder(o *Definitions) {
	for name, p := range o.Properties {
		if d.Properties[name] == nil {
			d.property(p)
		}
	}
	for name, s := range o.Services {
		if d.Services[name] == nil {
			d.service(s)
		}
	}
	for name, e := range o.Events {
		if d.Events[name] == nil {
			d.event(e)
		}
	}
}

// say adds what one announcement says to what others said: objects member by
// member, lists and rules one after the other, else the later.
func (b *builder) say(m map[string]any) {
	switch {
	case b.said == nil:
		b.said = m
		return
	case !b.owned:
		b.said, b.owned = copyObjects(b.said).(map[string]any), true
	}
	addSaid(b.said, m)
}

// addSaid adds to have, which nothing else holds; add is not changed.
func addSaid(have, add map[string]any) {
	for k, v := range add {
		switch k {
		case "presence", "leave", "ask":
			have[k] = append(asList(have[k]), asList(v)...)
			continue
		}
		switch v := v.(type) {
		case nil:
			continue
		case map[string]any:
			if old, ok := have[k].(map[string]any); ok {
				addSaid(old, v)
				continue
			}
		case []any:
			if old, ok := have[k].([]any); ok {
				have[k] = append(old[:len(old):len(old)], v...)
				continue
			}
		}
		have[k] = copyObjects(v)
	}
}

// copyObjects copies objects within objects; other values are shared.
func copyObjects(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(m))
	for k, item := range m {
		out[k] = copyObjects(item)
	}
	return out
}

func asList(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return append([]any{}, v...)
	}
	return []any{v}
}

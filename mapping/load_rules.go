package mapping

import (
	"strconv"
	"strings"

	"thingbridge/edge/alwayson"
)

// listen reads what all listened rules have: topic, when, format, encoding.
// keys are the others that the section knows. A bare text is the topic.
func (l *profileLoader) listen(k kind, i int, f field, keys ...string) (*rule, map[string]field) {
	var fields map[string]field
	if n := resolve(f.n); n != nil && n.Kind == yamlScalar && !isNull(n) {
		fields = map[string]field{"topic": f}
	} else {
		fields, _ = l.object(f, append([]string{"topic", "when", "format", "encoding"}, keys...)...)
	}
	r := l.listenTo(k, f, fields["topic"], fields)
	if r != nil {
		r.id = kindNames[k] + "/" + strconv.Itoa(i+1)
	}
	return r, fields
}

func (l *profileLoader) listenTo(k kind, f, topic field, fields map[string]field) *rule {
	r := &rule{prof: l.prof, kind: k, format: l.format, encoding: l.encoding}
	if !topic.ok() {
		l.fail(f, "topic: the topic to listen to", "the rule has no topic")
		return nil
	}
	if !l.pattern(r, topic) {
		return nil
	}
	if !l.dynamic {
		l.heardAt[r] = topic
	}
	if fields["format"].ok() {
		r.format = l.oneOf(fields["format"], formatNames()...)
	}
	if fields["encoding"].ok() {
		r.encoding = l.oneOf(fields["encoding"], "gzip", "deflate")
	}
	r.when = l.expr(fields["when"], l.heard(r.pat))
	r.gate = r.when.gate()
	return r
}

// pattern reads the topic that a rule listens to.
func (l *profileLoader) pattern(r *rule, f field) bool {
	text := l.text(f)
	if text == "" {
		return false
	}
	if l.dynamic {
		if !ValidTopic(text) {
			l.fail(f, "a topic without wildcards", "%q is not a topic", shorten(text, 80))
			return false
		}
		r.pat = literalPattern(text)
		return l.permitted(f, text)
	}
	allowed := l.params.with("bridge")
	if r.kind != kindAnnounce {
		allowed = allowed.with("device")
	}
	t := l.tmpl(f, allowed)
	if t == nil || l.failedAt(f) {
		return false
	}
	shape, whole, err := t.patternText(&scope{prof: l.prof}, "x")
	if err == nil {
		r.pat, err = parsePattern(shape)
	}
	if err != nil {
		l.fail(f, "a topic with {names} for levels", "%s", err)
		return false
	}
	if !whole {
		r.topic = t
		if t.learned() && l.prof.allowTopics == nil {
			l.fail(f, "allow_topics in the profile, as the topic is learned from payloads", "the topic starts with what a device says")
		}
	}
	for _, name := range r.pat.names {
		if reserved[name] || isFunctionName(name) || l.params[name] {
			l.fail(f, "another name", "a level cannot be named %q: expressions have that name already", name)
			return false
		}
		l.levels = append(l.levels, namedLevel{name, f})
	}
	return true
}

// patternText fills what s knows and puts standIn for the rest: for values of
// one device (s.dev nil) and of the bridge (s.reply empty).
func (t *template) patternText(s *scope, standIn string) (_ string, whole bool, _ error) {
	var b strings.Builder
	whole = true
	for i := range t.parts {
		p := &t.parts[i]
		if p.x != nil && (p.x.uses("device") && s.dev == nil || p.x.uses("bridge") && s.reply == "") {
			b.WriteString(standIn)
			whole = false
			continue
		}
		text, err := p.render(s)
		if err != nil {
			return "", false, err
		}
		if p.x != nil && p.x.uses("device") {
			if err := checkInserted(p, text); err != nil {
				return "", false, err
			}
			text = hideBraces.Replace(text)
		}
		b.WriteString(text)
	}
	return b.String(), whole, nil
}

// learned reports whether the topic starts with what a device says.
func (t *template) learned() bool {
	return len(t.parts) > 0 && t.parts[0].x != nil && t.parts[0].x.uses("device")
}

// hideBraces keeps braces in a device's values from being read as names.
var (
	hideBraces = strings.NewReplacer("{", "\x01", "}", "\x02")
	showBraces = strings.NewReplacer("\x01", "{", "\x02", "}")
)

func (l *profileLoader) presence(i int, f field) {
	if n := resolve(f.n); n != nil && n.Kind == yamlMapping && len(n.Content) == 2 && n.Content[0].Value == "parent" {
		parts, _ := l.object(f, "parent")
		l.prof.parent = l.expr(parts["parent"], l.heard(nil).with("item"))
		return
	}
	r, fields := l.listen(kindPresence, i, f, "online", "offline", "hold", "asleep", "along", "decides", "all", "parent", "group", "need")
	if r == nil {
		return
	}
	allowed := l.heard(r.pat)
	p := &presenceRule{
		online: l.expr(fields["online"], allowed), offline: l.expr(fields["offline"], allowed),
		hold: l.expr(fields["hold"], allowed), all: l.boolean(fields["all"]),
		asleep: l.expr(fields["asleep"], allowed), along: l.expr(fields["along"], allowed), decides: l.boolean(fields["decides"]),
	}
	if p.all && (p.decides || p.asleep != nil || p.along != nil || p.hold != nil) {
		l.fail(f, "a rule of its own for them", "decides, asleep, along and hold are of one device, all of every device")
	}
	if l.set == &l.prof.ruleSet {
		l.prof.decides, l.prof.sleepTold = l.prof.decides || p.decides, l.prof.sleepTold || p.asleep != nil
	}
	if p.online == nil && p.offline == nil && p.hold == nil && p.asleep == nil {
		p.online, _ = compileExpression(`payload == "online"`)
		p.offline, _ = compileExpression(`payload == "offline"`)
	}
	if fields["parent"].ok() {
		l.prof.parent = l.expr(fields["parent"], l.heard(nil).with("item"))
	}
	l.group(p, fields)
	r.presence = p
	l.set.rules = append(l.set.rules, r)
}

// group reads with which rules a presence speaks together, and how.
func (l *profileLoader) group(p *presenceRule, fields map[string]field) {
	p.group, p.need = l.text(fields["group"]), l.oneOf(fields["need"], "all", "any", "latest")
	switch {
	case p.group == "" && fields["need"].ok():
		l.fail(fields["need"], "group: a name beside it", "need belongs to a group")
	case p.group != "" && p.all:
		l.fail(fields["group"], "a topic of one device", "what speaks for all devices is in no group")
	case p.group != "" && p.need == "":
		p.need = "all"
	}
}

// property reads one member of properties.
func (l *profileLoader) property(i int, f field) {
	keys := append(append([]string{"time", "quality", "history", "absent", "each", "wrapper", "values", "value", "property", "from"}, fieldKeys...), propertyKeys...)
	r, fields := l.listen(kindProperty, i, f, keys...)
	if r == nil {
		return
	}
	allowed := l.heard(r.pat)
	p := &propertyRule{wrapper: l.boolean(fields["wrapper"])}
	if p.each = l.expr(fields["each"], allowed); p.each != nil {
		allowed = allowed.with("item")
	}
	p.time, p.quality = l.expr(fields["time"], allowed), l.expr(fields["quality"], allowed)
	p.history, p.from = l.expr(fields["history"], allowed), l.expr(fields["from"], allowed)
	p.keepNull = l.oneOf(fields["absent"], "skip", "keep") == "keep"
	r.property = p
	l.set.rules = append(l.set.rules, r)
	values, one := fields["values"], fields["value"]
	switch {
	case values.ok() && !one.ok() && resolve(values.n).Kind == yamlMapping:
		l.namedValues(p, values, allowed)
	case values.ok() && !one.ok():
		p.object = l.expr(values, allowed)
	case one.ok() && !fields["property"].ok() && !contains(r.pat.names, "property"):
		l.fail(f, "property: a name, or a level {property}", "the value has no name")
	case one.ok():
		p.one = l.singleValue(f, fields, allowed)
	default:
		l.fail(f, "values: a mapping or an expression, or value: an expression", "the rule yields no values")
	}
	if p.from != nil && p.one == nil {
		l.fail(fields["from"], "value: an expression beside it", "from belongs to a property with a computed name")
	}
	if p.wrapper && p.object == nil {
		l.fail(fields["wrapper"], "values: an expression beside it", "wrapper belongs to an object of values")
	}
}

// namedValues reads values: {name: expression} or {name: {value, type, …}}.
func (l *profileLoader) namedValues(p *propertyRule, f field, allowed names) {
	fields, order := l.object(f)
	for _, name := range order {
		sub := fields[name]
		v := valueRule{name: name}
		if err := CheckMemberName(name); err != nil {
			l.fail(sub, "another name", "%s", err)
		}
		if resolve(sub.n).Kind == yamlMapping {
			parts, _ := l.object(sub, append(append([]string{"value"}, fieldKeys...), propertyKeys...)...)
			if !parts["value"].ok() {
				l.fail(sub, "value: an expression", "the property %q has no value", name)
			}
			v.value = l.expr(parts["value"], allowed)
			l.typeOf(&v, name, sub, parts, allowed)
		} else {
			v.value = l.expr(sub, allowed)
		}
		if v.def != nil {
			l.set.defs.property(v.def)
		}
		p.values = append(p.values, v)
	}
	if len(order) == 0 {
		l.fail(f, "at least one property", "values is empty")
	}
}

// singleValue reads value beside property or a level {property}.
func (l *profileLoader) singleValue(f field, fields map[string]field, allowed names) *valueRule {
	v := &valueRule{value: l.expr(fields["value"], allowed)}
	name := ""
	if p := fields["property"]; p.ok() {
		text := l.text(p)
		if strings.HasPrefix(text, "=") {
			v.nameExpr = l.expr(field{scalar(p.n, text[1:]), p.path}, allowed)
		} else if v.nameTmpl = l.tmpl(p, allowed); v.nameTmpl != nil {
			if fixed, ok := v.nameTmpl.constant(); ok {
				v.name, name = fixed, fixed
			}
		}
	}
	parts := map[string]field{}
	for k, sub := range fields {
		if contains(fieldKeys, k) || contains(propertyKeys, k) {
			parts[k] = sub
		}
	}
	l.typeOf(v, name, f, parts, allowed)
	if v.def != nil && name != "" {
		l.set.defs.property(v.def)
	}
	return v
}

// typeOf reads the type and the other definition keys of a value.
func (l *profileLoader) typeOf(v *valueRule, name string, f field, parts map[string]field, allowed names) {
	t := parts["type"]
	if t.ok() && strings.HasPrefix(resolve(t.n).Value, "=") {
		v.typeExpr = l.expr(field{scalar(t.n, resolve(t.n).Value[1:]), t.path}, allowed)
		return
	}
	keys := 0
	data := map[string]any{}
	for k, sub := range parts {
		if contains(fieldKeys, k) || contains(propertyKeys, k) {
			data[k] = dataOf(sub.n, 0)
			keys++
		}
	}
	if keys == 0 {
		return
	}
	if !t.ok() && data["fields"] == nil && data["dataShape"] == nil {
		l.fail(f, "type: NUMBER, STRING, BOOLEAN, …", "the definition has no type")
	}
	shown := name
	if shown == "" {
		shown = "property"
	}
	var r defReader
	v.def = r.property(shown, data)
	v.def.Name = PropertyName(name)
	for _, p := range r.problems {
		l.fail(locate(f, p.path), "", "%s", p.text)
	}
}

// event reads one member of events.
func (l *profileLoader) event(i int, f field) {
	r, fields := l.listen(kindEvent, i, f, "name", "description", "dataShape", "fields", "data", "time", "each")
	if r == nil {
		return
	}
	allowed := l.heard(r.pat)
	e := &eventRule{}
	if e.each = l.expr(fields["each"], allowed); e.each != nil {
		allowed = allowed.with("item")
	}
	e.time = l.expr(fields["time"], allowed)
	e.data = l.expr(fields["data"], allowed)
	if n := fields["name"]; n.ok() {
		text := l.text(n)
		if strings.HasPrefix(text, "=") {
			e.nameExpr = l.expr(field{scalar(n.n, text[1:]), n.path}, allowed)
		} else if e.nameTmpl = l.tmpl(n, allowed); e.nameTmpl != nil {
			e.name, _ = e.nameTmpl.constant()
		}
	} else if !contains(r.pat.names, "event") {
		l.fail(f, "name: a name, or a level {event}", "the event has no name")
	}
	if e.data != nil && fields["fields"].ok() {
		l.fail(fields["data"], "either data or fields", "the event has both data and fields")
	}
	l.eventFields(e, fields["fields"], allowed)
	if e.data == nil && e.fields == nil {
		e.data, _ = compileExpression("payload")
	}
	r.event = e
	l.set.rules = append(l.set.rules, r)
	if e.name != "" {
		l.declareEvent(e, f, fields)
	}
}

func (l *profileLoader) eventFields(e *eventRule, f field, allowed names) {
	fields, order := l.object(f)
	for _, name := range order {
		sub := fields[name]
		ef := eventField{def: alwayson.FieldDefinition{Name: name, Type: alwayson.TypeNothing}}
		if resolve(sub.n).Kind == yamlMapping {
			parts, _ := l.object(sub, append([]string{"value"}, fieldKeys...)...)
			if !parts["value"].ok() {
				l.fail(sub, "value: an expression", "the field %q has no value", name)
			}
			ef.value = l.expr(parts["value"], allowed)
			if parts["type"].ok() {
				var r defReader
				ef.def, _ = r.field(name, dataOf(sub.n, 0), "value")
				for _, p := range r.problems {
					l.fail(locate(sub, p.path), "", "%s", p.text)
				}
			}
		} else {
			ef.value = l.expr(sub, allowed)
		}
		e.fields = append(e.fields, ef)
	}
}

func (l *profileLoader) declareEvent(e *eventRule, f field, fields map[string]field) {
	d := &EventDefinition{}
	d.Name = e.name
	if err := CheckMemberName(e.name); err != nil {
		l.fail(f, "another name", "%s", err)
	}
	d.Description = l.text(fields["description"])
	d.DataShape = l.text(fields["dataShape"])
	for _, ef := range e.fields {
		if ef.def.Type != alwayson.TypeNothing {
			d.Fields = append(d.Fields, ef.def)
		}
	}
	l.set.defs.event(d)
}

// upward reads platform: the device's way to its own Thing on the platform.
func (l *profileLoader) upward(i int, f field) {
	r, fields := l.listen(kindUpward, i, f, "inputs", "reply")
	if r == nil {
		return
	}
	for _, level := range []string{"service", "request"} {
		if !contains(r.pat.names, level) {
			l.fail(f, "a level {"+level+"}", "the topic does not name the %s", level)
		}
	}
	u := &upwardRule{inputs: l.expr(fields["inputs"], l.heard(r.pat))}
	if u.inputs == nil {
		u.inputs, _ = compileExpression("payload")
	}
	if !fields["reply"].ok() {
		l.fail(f, "reply: the topic to answer on", "there is no reply topic")
	}
	u.reply = l.tmpl(fields["reply"], l.sent(r.pat.names...))
	r.upward = u
	l.set.rules = append(l.set.rules, r)
}

func (l *profileLoader) ask(_ int, f field) {
	fields, _ := l.object(f, "on", "topic", "payload", "format", "every", "when")
	if fields == nil {
		return
	}
	a := &askRule{on: AskOn(l.oneOf(fields["on"], "connect", "presence", "announce")), every: l.duration(fields["every"])}
	allowed := l.sent()
	if a.on == AskConnect {
		allowed = l.base()
	}
	if !fields["on"].ok() || !fields["topic"].ok() {
		l.fail(f, "on: connect, presence or announce, and topic", "the question lacks its occasion or its topic")
		return
	}
	a.sendRule = l.send(fields, allowed, nil)
	a.when = l.expr(fields["when"], allowed)
	l.set.asks = append(l.set.asks, a)
}

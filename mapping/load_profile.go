package mapping

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// profileLoader reads one profile, or the rules that come with an announcement.
type profileLoader struct {
	*loader
	prof     *profile
	set      *ruleSet
	params   names // names of the parameters
	announce names // levels of the announcements
	lets     names
	format   string
	encoding string
	used     names // device members and parameters that something uses
	usesAll  bool  // something uses device as a whole
	anyHeard names // of heard without a pattern; nil: not made yet
	levels   []namedLevel
}

// namedLevel is a level's name and where it stands.
type namedLevel struct {
	name string
	at   field
}

// base are the names that every expression may use.
func (l *profileLoader) base() names { return l.params.with("now", "bridge") }

// heard are the names of an expression on a message of one device's.
func (l *profileLoader) heard(pat *pattern) names {
	if l.anyHeard == nil {
		l.anyHeard = l.base().with("payload", "topic", "retained", "device").with(sortedKeys(l.announce)...)
	}
	if pat != nil && len(pat.names) > 0 {
		return l.anyHeard.with(pat.names...)
	}
	return l.anyHeard
}

// sent are the names of a template for something sent to one device.
func (l *profileLoader) sent(more ...string) names {
	return l.base().with("device").with(sortedKeys(l.announce)...).with(more...)
}

func (l *loader) profile(p *Profiles, f field, fields map[string]field, params map[string]any) {
	prof := &profile{params: params, name: l.text(fields["name"]), family: l.family}
	prof.defs = &Definitions{}
	pl := &profileLoader{loader: l, prof: prof, set: &prof.ruleSet, params: names{}, announce: names{}, lets: names{}, used: names{}}
	for name := range params {
		pl.params[name] = true
	}
	if prof.name == "" {
		prof.name = "profile" + strconv.Itoa(len(p.profiles)+1)
		l.fail(f, "a name for it in metrics and logs", "the profile has no name")
	} else if strings.ContainsAny(prof.name, "/\"\n") {
		l.fail(fields["name"], "letters, digits, - and _", "the name %q cannot be used", prof.name)
	}
	pl.format = l.oneOf(fields["format"], formatNames()...)
	pl.encoding = l.oneOf(fields["encoding"], "gzip", "deflate")
	pl.topics(fields["allow_topics"])
	pl.decoder(fields["decoder"])
	pl.session(fields["session"])
	pl.state(fields["state"])
	pl.announcements(f, fields["announce"])
	pl.identity(f, fields)
	pl.sections(fields)
	pl.thingOf()
	pl.warnUnused(fields)
	prof.print = fingerprint(fields, params)
	if l.within != nil {
		l.from[prof] = *l.within
	}
	p.profiles = append(p.profiles, prof)
}

// sections reads what a profile and a fragment have in common.
func (l *profileLoader) sections(fields map[string]field) {
	for i, f := range l.items(fields["presence"]) {
		l.presence(i, f)
	}
	for i, f := range l.items(fields["leave"]) {
		if r, _ := l.listen(kindLeave, i, f, "topic"); r != nil {
			l.set.rules = append(l.set.rules, r)
		}
	}
	for i, f := range l.items(fields["properties"]) {
		l.property(i, f)
	}
	for i, f := range l.items(fields["events"]) {
		l.event(i, f)
	}
	for i, f := range l.items(fields["platform"]) {
		l.upward(i, f)
	}
	l.calls(callWrite, fields["writes"])
	l.calls(callRead, fields["reads"])
	l.calls(callService, fields["services"])
	for i, f := range l.items(fields["ask"]) {
		l.ask(i, f)
	}
	l.set.expire = l.durationOrExpression(fields["expire_after"])
	l.set.queue = l.durationOrExpression(fields["queue"])
	if l.set == &l.prof.ruleSet {
		l.prof.expire, l.prof.queue = l.set.expire, l.set.queue
	}
}

// durationOrExpression reads 5m, or "=expression".
func (l *profileLoader) durationOrExpression(f field) durationSpec {
	if !f.ok() {
		return durationSpec{}
	}
	if text := resolve(f.n).Value; strings.HasPrefix(text, "=") {
		return durationSpec{x: l.note(l.expression(field{scalar(f.n, text[1:]), f.path}, l.sent()))}
	}
	return durationSpec{fixed: l.duration(f)}
}

// scalar is a text node at the place of n.
func scalar(n *yaml.Node, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: n.Line, Column: n.Column}
}

// note remembers what an expression uses, for the warnings.
func (l *profileLoader) note(x *expression) *expression {
	if x != nil {
		for _, n := range x.free {
			l.used[n] = true
		}
		for _, m := range x.members {
			l.used[m] = true
		}
		l.usesAll = l.usesAll || x.wholeDevice
	}
	return x
}

func (l *profileLoader) noteTemplate(t *template) *template {
	if t != nil {
		for _, p := range t.parts {
			l.note(p.x)
		}
	}
	return t
}

// expr, text and payload read and note.
func (l *profileLoader) expr(f field, allowed names) *expression {
	return l.note(l.expression(f, allowed))
}

func (l *profileLoader) tmpl(f field, allowed names, captures ...string) *template {
	return l.noteTemplate(l.template(f, allowed, captures...))
}

func (l *profileLoader) topics(f field) {
	for _, item := range l.items(f) {
		text, ok := l.fill(item)
		if !ok {
			continue
		}
		if !ValidFilter(text) {
			l.fail(item, "a topic filter such as home/#", "%q is not a topic filter", text)
			continue
		}
		l.prof.allowTopics = append(l.prof.allowTopics, text)
	}
}

// fill replaces ${parameter} in text that is known at load time.
func (l *profileLoader) fill(f field) (string, bool) {
	t := l.tmpl(f, l.params)
	if t == nil || l.failedAt(f) {
		return "", false
	}
	s := &scope{prof: l.prof}
	text, err := t.name(s)
	if err != nil {
		l.fail(f, "", "%s", err)
		return "", false
	}
	return text, true
}

// failedAt reports whether a problem stands at f already.
func (l *profileLoader) failedAt(f field) bool {
	for _, p := range l.problems {
		if !p.Warning && p.Path == f.path && p.File == l.file {
			return true
		}
	}
	return false
}

func (l *profileLoader) decoder(f field) {
	if !f.ok() {
		return
	}
	name := l.text(f)
	l.prof.decoder, l.prof.devices = decoderByName(name)
	if l.prof.decoder == nil && l.prof.devices == nil {
		l.fail(f, "one of "+strings.Join(decoderNames(), ", "), "there is no decoder %q", name)
	}
	l.prof.decoderName = name
}

// identity reads thing, template, identifier, description and parent.
func (l *profileLoader) identity(f field, fields map[string]field) {
	named := l.heard(nil).with("item")
	switch {
	case fields["thing"].ok():
		if l.prof.thing = l.tmpl(fields["thing"], named); l.prof.thing != nil {
			l.noPattern(fields["thing"], l.prof.thing, named)
		}
	case l.prof.decoder == nil:
		l.fail(f, "thing: a template such as acme-${id}", "the profile does not say how its Things are named")
	}
	l.prof.template = l.tmpl(fields["template"], named)
	l.prof.identifier = l.tmpl(fields["identifier"], named)
	l.prof.description = l.tmpl(fields["description"], named)
	l.prof.parent = l.expr(fields["parent"], named)
}

// announcements reads announce: one or a list.
func (l *profileLoader) announcements(at, f field) {
	items := l.items(f)
	if len(items) == 0 {
		l.fail(at, "announce: {topic: …}", "the profile does not say how its devices announce themselves")
	}
	for i, item := range items {
		l.announcement(i, item)
	}
}

// maxGather is the longest time to wait for more of an announcement.
const maxGather = time.Minute

func (l *profileLoader) announcement(i int, f field) {
	r, fields := l.listen(kindAnnounce, i, f, "topic", "let", "each", "full", "merge", "define", "empty", "gather", "creates")
	if r == nil {
		return
	}
	a := &announceRule{full: l.boolean(fields["full"]), merge: l.boolean(fields["merge"])}
	a.alone = fields["merge"].ok() && !a.merge
	r.announce = a
	a.keep = l.oneOf(fields["empty"], "leave", "ignore") == "ignore"
	if a.gather = l.duration(fields["gather"]); a.gather > maxGather {
		l.fail(fields["gather"], "at most "+maxGather.String(), "%s is too long to wait for more", a.gather)
	}
	if a.adds = fields["creates"].ok() && !l.boolean(fields["creates"]); a.adds && a.gather > 0 {
		l.fail(fields["creates"], "gather without it", "what is gathered makes one device together")
	}
	for _, n := range r.pat.names {
		l.announce[n] = true
	}
	l.anyHeard = nil
	allowed := l.base().with("topic", "retained").with(r.pat.names...)
	each := allowed.with("payload")
	if fields["each"].ok() {
		a.each = l.expr(fields["each"], each)
		allowed = allowed.with("item")
	} else {
		allowed = each
	}
	if a.full && a.each == nil {
		l.fail(fields["full"], "each beside it", "full belongs to a list")
	}
	lets, order := l.object(fields["let"])
	for _, name := range order {
		if !isIdentifier(name) || reserved[name] {
			l.fail(lets[name], "a name of letters, digits and _", "let cannot remember a value as %q", name)
			continue
		}
		if contains(r.pat.names, name) {
			l.fail(lets[name], "another name", "the topic has a level named %q already", name)
		}
		l.lets[name] = true
		a.let = append(a.let, namedExpression{name, l.expr(lets[name], allowed)})
	}
	a.define = l.expr(fields["define"], allowed.with("device"))
	l.prof.announces = append(l.prof.announces, r)
}

// thingOf settles how each rule's messages find their Things.
func (l *profileLoader) thingOf() {
	for _, r := range l.prof.announces {
		r.announce.direct = l.prof.decoder == nil && l.computable(r.pat)
		switch a := r.announce; {
		case l.prof.devices != nil && (a.gather <= 0 || !a.direct || a.each != nil):
			l.fail(field{path: r.id}, "gather: 500ms, and a thing that the levels of the topic make", "the decoder needs all announcements of a device together")
		case a.gather > 0 && a.each != nil:
			l.fail(field{path: r.id}, "one of them", "each takes a list apart, gather puts messages together")
		case a.gather > 0 && !a.direct:
			l.fail(field{path: r.id}, "a thing that the levels of the topic make", "nothing in the topic %s says which Thing the message is a part of", r.pat.text)
		}
	}
	for _, r := range l.set.rules {
		l.identify(r)
	}
}

func (l *profileLoader) computable(pat *pattern) bool {
	if l.prof.thing == nil || pat == nil {
		return false
	}
	for _, n := range l.prof.thing.free() {
		if !contains(pat.names, n) && !l.params[n] {
			return false
		}
	}
	return true
}

func (l *profileLoader) identify(r *rule) {
	switch {
	case r.presence != nil && r.presence.all:
		r.thing.mode = byProfile
	case l.dynamic || r.topic != nil && r.topic.uses("device"):
		r.thing.mode = byDevice
	case l.computable(r.pat):
		r.thing.mode = byTemplate
	default:
		var common []string
		for _, n := range r.pat.names {
			if l.announce[n] || l.lets[n] {
				common = append(common, n)
				l.used[n] = true
			}
		}
		if len(common) == 0 && r.fail {
			r.thing.mode = byProfile // its error expression tells whose failure it is
			return
		}
		if len(common) == 0 {
			l.fail(l.heardAt[r], "a level in common with the announcement, or ${device.…}",
				"nothing in the topic %s says which Thing it is of", r.pat.text)
			return
		}
		r.thing = identity{byIndex, l.signature(common)}
		if r.remembers() && r.topic == nil {
			l.prof.byIndex = append(l.prof.byIndex, r)
		}
	}
}

func (l *profileLoader) signature(common []string) int {
	for i, sig := range l.prof.signatures {
		if strings.Join(sig, "/") == strings.Join(common, "/") {
			return i
		}
	}
	l.prof.signatures = append(l.prof.signatures, common)
	return len(l.prof.signatures) - 1
}

func (l *profileLoader) warnUnused(fields map[string]field) {
	params, order := l.object(fields["parameters"])
	for _, name := range order {
		if !l.used[name] && l.prof.decoder == nil { // a decoder sees them all
			l.warn(params[name], "the parameter %q is never used", name)
		}
	}
	l.warnLevels()
	if l.usesAll {
		return
	}
	for _, item := range l.items(fields["announce"]) {
		if item.n.Kind != yaml.MappingNode {
			continue
		}
		parts, _ := l.object(item)
		lets, order := l.object(parts["let"])
		for _, name := range order {
			if !l.used[name] {
				l.warn(lets[name], "the value %q is never used", name)
			}
		}
	}
}

// spokenLevels are names that a rule itself understands.
var spokenLevels = []string{"property", "service", "event", "request"}

// warnLevels warns of levels that have a name for nothing. A decoder sees them all.
func (l *profileLoader) warnLevels() {
	if l.failed() {
		return
	}
	told := names{}
	for _, level := range l.levels {
		name := level.name
		isAnnounced := l.announce[name]
		if told[name] || l.used[name] || contains(spokenLevels, name) || isAnnounced && (l.usesAll || l.prof.decoder != nil || l.prof.devices != nil) {
			continue
		}
		told[name] = true
		l.warn(level.at, "nothing uses the level {%s}; + would do, or # for the rest of a topic", name)
	}
}

package mapping

import (
	"hash/fnv"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

const (
	yamlScalar  = yaml.ScalarNode
	yamlMapping = yaml.MappingNode
)

var (
	sendKeys  = []string{"topic", "payload", "format", "qos", "retain", "request", "reply", "fail", "finally", "timeout", "confirm"}
	replyKeys = []string{"topic", "when", "format", "encoding", "request", "numeric", "serial", "echo", "match", "result", "error", "expect", "begun"}
)

// calls reads writes, reads or services: names, each with one way or a list of them.
func (l *profileLoader) calls(k callKind, f field) {
	fields, order := l.object(f)
	for _, name := range order {
		pat, err := parseNamePattern(name)
		if err == nil && pat.exact() {
			err = CheckMemberName(name)
		}
		if err == nil && (reserved[pat.level.name] || isFunctionName(pat.level.name)) {
			l.fail(fields[name], "another name", "a part of a name cannot be called %q", pat.level.name)
		}
		if err != nil {
			l.fail(fields[name], `a name, "*", or a name with a part in braces`, "%s", err)
			continue
		}
		for i, item := range l.items(fields[name]) {
			c := &callRule{kind: k, name: pat, text: name, id: callNames[k] + "/" + name}
			if i > 0 {
				c.id += "/" + strconv.Itoa(i+1)
			}
			known := len(l.problems)
			l.call(c, item)
			if l.dynamic {
				if len(l.problems) > known {
					continue // a way that is refused in part must not be used at all
				}
				h := fnv.New32a()
				h.Write([]byte(c.id))
				c.setRoute(RouteID(h.Sum32() | 1<<31))
			}
			l.set.calls = append(l.set.calls, c)
		}
	}
}

func (l *profileLoader) call(c *callRule, f field) {
	keys := sendKeys
	switch c.kind {
	case callService:
		keys = append(append([]string{}, serviceKeys...), "declared", "request", "reply", "fail", "finally")
	case callWrite:
		keys = append(append(append([]string{}, sendKeys...), fieldKeys...), propertyKeys...)
	}
	fields, _ := l.object(f, keys...)
	if fields == nil {
		l.fail(f, "a mapping", "%s is empty", c.id)
		return
	}
	l.declareCall(c, f, fields)
	if c.kind != callService { // a service's is in its definition
		c.timeout = l.duration(fields["timeout"])
	}
	if c.timeout > maxTimeout {
		l.fail(fields["timeout"], "at most 25s, as the platform gives up at 30 s", "the time-out %s is too long", c.timeout)
	}
	if c.declared = l.boolean(fields["declared"]); c.declared && c.name.exact() {
		l.fail(fields["declared"], `"*" or a name with a part`, "a service that has its name here is declared by it")
	}
	l.confirmation(c, fields)
	l.reply(c, f, fields)
	l.requests(c, f, fields)
}

// declareCall notes the definition that a named service or write carries.
func (l *profileLoader) declareCall(c *callRule, f field, fields map[string]field) {
	switch c.kind {
	case callService:
		data := map[string]any{}
		for _, k := range serviceKeys {
			if sub := fields[k]; sub.ok() {
				data[k] = dataOf(sub.n, 0)
			}
		}
		var r defReader
		s := r.service(c.text, data)
		for _, p := range r.problems {
			l.fail(locate(f, p.path), "", "%s", p.text)
		}
		c.timeout = s.Timeout
		if fields["inputs"].ok() || fields["output"].ok() || c.name.exact() {
			c.service = s
		}
		if c.name.exact() {
			l.set.defs.service(s)
		}
	case callWrite:
		data := map[string]any{"writable": true}
		for _, k := range append(append([]string{}, fieldKeys...), propertyKeys...) {
			if sub := fields[k]; sub.ok() && k != "confirm" {
				data[k] = dataOf(sub.n, 0)
			}
		}
		if !c.name.exact() {
			return
		}
		if data["type"] == nil {
			l.set.defs.writable(PropertyName(c.text))
			return
		}
		var r defReader
		p := r.property(c.text, data)
		for _, problem := range r.problems {
			l.fail(locate(f, problem.path), "", "%s", problem.text)
		}
		l.set.defs.property(p)
	}
}

func (l *profileLoader) confirmation(c *callRule, fields map[string]field) {
	switch l.oneOf(fields["confirm"], "sent", "echo", "reply") {
	case "echo":
		c.confirm = ConfirmEcho
	case "reply":
		c.confirm = ConfirmReply
	default:
		if fields["reply"].ok() && !fields["confirm"].ok() {
			c.confirm = ConfirmReply
		}
	}
	if c.confirm == ConfirmReply && !fields["reply"].ok() {
		l.fail(fields["confirm"], "reply: where the reply comes from", "the reply is not described")
	}
}

// requests reads what is sent.
func (l *profileLoader) requests(c *callRule, f field, fields map[string]field) {
	more := []string{"request", "service", "inputs"}
	if c.kind != callService {
		more = []string{"request", "property", "value"}
	}
	var captures []string
	if c.name.level.name != "" {
		captures = []string{c.name.level.name}
	}
	allowed := l.sent(append(more, captures...)...)
	list := l.items(fields["request"])
	if t := fields["topic"]; t.ok() {
		if len(list) > 0 {
			l.fail(fields["request"], "topic and payload, or request", "both stand here")
		}
		c.send = append(c.send, l.withDefault(c, l.send(fields, allowed, captures)))
	}
	for _, item := range list {
		parts, _ := l.object(item, publicationKeys...)
		if !parts["topic"].ok() {
			l.fail(item, "topic: where to send it", "the request has no topic")
			continue
		}
		c.send = append(c.send, l.withDefault(c, l.send(parts, allowed, captures)))
	}
	l.finally(c, fields["finally"], captures)
	if len(c.send) == 0 {
		l.fail(f, "a topic to send to", "nothing is sent")
	}
	if c.request != requestNone {
		said := false
		for _, s := range c.send {
			said = said || s.topic != nil && s.topic.uses("request") || s.payload != nil && s.payload.uses("request")
		}
		if !said {
			l.fail(f, "${request} in the topic or the payload", "the reply is told by its request id, but nothing sent holds it")
		}
	}
}

// publicationKeys are the keys of something to send.
var publicationKeys = []string{"topic", "payload", "format", "qos", "retain"}

// finally reads what is sent once the call has ended: one or a list. Its text sees
// neither the inputs nor the value, since it is also sent when an answer comes
// that no call waits for.
func (l *profileLoader) finally(c *callRule, f field, captures []string) {
	if !f.ok() {
		return
	}
	what := "property"
	if c.kind == callService {
		what = "service"
	}
	allowed := l.sent(append([]string{"request", what}, captures...)...)
	for _, item := range l.items(f) {
		parts, _ := l.object(item, publicationKeys...)
		if !parts["topic"].ok() {
			l.fail(item, "topic: where to send it", "what is sent finally has no topic")
			continue
		}
		c.finally = append(c.finally, l.send(parts, allowed, captures))
	}
	if c.confirm == ConfirmSent && c.kind != callRead {
		l.fail(f, "reply beside it", "the call ends as soon as it is sent, so there is nothing to send after it")
	}
}

// send reads topic, payload, format, qos and retain of something to send.
func (l *profileLoader) send(parts map[string]field, allowed names, captures []string) sendRule {
	s := sendRule{
		topic: l.sendTopic(parts["topic"], allowed, captures...), payload: l.noteTemplate(l.payloadTemplate(parts["payload"], allowed)),
		atMostOnce: l.oneOf(parts["qos"], "1", "0") == "0",
		retain:     l.boolean(parts["retain"]),
	}
	if s.format = l.oneOf(parts["format"], sendFormats...); s.format == "" || s.payload == nil {
		return s
	}
	if lone := len(s.payload.parts) == 1 && s.payload.parts[0].x != nil; !lone && !s.payload.json {
		l.fail(parts["payload"], `one ${expression}, or JSON such as {"v": ${value}}`, "text cannot be sent as %s", s.format)
	}
	return s
}

// defaultPayloads are what is sent where no payload is given.
var defaultPayloads = [...]string{"${toJSON(inputs)}", "${toJSON(value)}", ""}

func (l *profileLoader) withDefault(c *callRule, s sendRule) sendRule {
	if s.payload == nil {
		text := defaultPayloads[c.kind]
		if s.format != "" {
			text = [...]string{"${inputs}", "${value}", ""}[c.kind]
		}
		s.payload, _ = parseTemplate(text)
	}
	return s
}

// sendTopic reads a topic to send to.
func (l *profileLoader) sendTopic(f field, allowed names, captures ...string) *template {
	if l.dynamic {
		text := l.text(f)
		if !ValidTopic(text) {
			l.fail(f, "a topic without wildcards", "%q is not a topic", shorten(text, 80))
		} else {
			l.permitted(f, text)
		}
		return literalTemplate(text)
	}
	t := l.tmpl(f, allowed, captures...)
	if t == nil {
		return nil
	}
	if t.learned() && l.prof.allowTopics == nil {
		l.fail(f, "allow_topics in the profile, as the topic is learned from payloads", "the topic starts with what a device says")
	}
	if text, fixed := t.constant(); fixed && !ValidTopic(text) {
		l.fail(f, "a topic without wildcards", "%q is not a topic", text)
	}
	l.noPattern(f, t, allowed)
	return t
}

// level is a level as a pattern writes it.
var level = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}`)

// noPattern refuses {name} in a template where ${name} is known: it would be sent as it stands.
func (l *profileLoader) noPattern(f field, t *template, allowed names) {
	for _, p := range t.parts {
		for _, m := range level.FindAllStringSubmatch(p.literal, -1) {
			if allowed[m[1]] {
				l.fail(f, "${"+m[1]+"}", "%s stands for a level only where a topic is listened to; here it would stay as it is", m[0])
				return
			}
		}
	}
}

// reply reads reply and fail.
func (l *profileLoader) reply(c *callRule, f field, fields map[string]field) {
	if !fields["reply"].ok() {
		if fields["fail"].ok() && c.confirm != ConfirmEcho {
			l.fail(fields["fail"], "reply or confirm: echo beside it", "a failure is told elsewhere, but nothing waits for it")
			return
		}
		l.failure(c, fields["fail"])
		return
	}
	parts, _ := l.object(fields["reply"], replyKeys...)
	rules := l.replyRules(c, fields["reply"], parts, false)
	if len(rules) == 0 {
		return
	}
	allowed := l.answer(c, rules)
	c.either = c.kind == callWrite && c.confirm == ConfirmEcho
	if c.confirm == ConfirmSent {
		c.confirm = ConfirmReply
	}
	c.serial = l.boolean(parts["serial"])
	c.numeric = l.boolean(parts["numeric"])
	c.echo, c.match = l.expr(parts["echo"], allowed), l.expr(parts["match"], allowed)
	c.result, c.errorExpr, c.expect = l.expr(parts["result"], allowed), l.expr(parts["error"], allowed), l.expr(parts["expect"], allowed)
	if c.begun = l.expr(parts["begun"], allowed); c.begun != nil && !fields["finally"].ok() {
		l.fail(parts["begun"], "finally beside it", "nothing is sent after the call, so it does not matter whether it has begun")
	}
	id := l.expr(parts["request"], l.heard(rules[0].pat))
	for _, r := range rules {
		switch {
		case id != nil:
			r.request, r.reqExpr = requestPayload, id
		case contains(r.pat.names, "request"):
			r.request = requestLevel
		}
		if r.request > c.request {
			c.request = r.request
		}
	}
	if c.request == requestNone && !c.serial && c.echo == nil {
		l.fail(fields["reply"], "a level {request}, request: payload.id, serial: true, or echo: a condition", "nothing says which call a reply is for")
	}
	c.replies = rules
	l.failure(c, fields["fail"])
}

// failure reads fail: {topic, error, match}.
func (l *profileLoader) failure(c *callRule, f field) {
	if !f.ok() {
		return
	}
	parts, _ := l.object(f, "topic", "when", "format", "encoding", "error", "match")
	rules := l.replyRules(c, f, parts, true)
	if len(rules) == 0 {
		return
	}
	allowed := l.answer(c, rules)
	c.failError, c.failMatch = l.expr(parts["error"], allowed), l.expr(parts["match"], allowed)
	if c.failError == nil {
		l.fail(f, "error: an expression", "the failure has no text")
	}
	c.replies = append(c.replies, rules...)
}

// replyRules makes a rule for each topic of a reply.
func (l *profileLoader) replyRules(c *callRule, f field, parts map[string]field, failure bool) []*rule {
	topics := l.items(parts["topic"])
	if len(topics) == 0 {
		l.fail(f, "topic: where the reply comes from", "the reply has no topic")
	}
	var rules []*rule
	for i, topic := range topics {
		r := l.listenTo(kindReply, f, topic, parts)
		if r == nil {
			continue
		}
		r.id = c.id + "/reply/" + strconv.Itoa(i+1)
		if failure {
			r.id = c.id + "/fail/" + strconv.Itoa(i+1)
		}
		r.call, r.fail = c, failure
		rules = append(rules, r)
		l.set.rules = append(l.set.rules, r)
	}
	return rules
}

// answer are the names of an expression on a reply.
func (l *profileLoader) answer(c *callRule, rules []*rule) names {
	allowed := l.heard(rules[0].pat).with("request")
	if c.name.level.name != "" {
		allowed = allowed.with(c.name.level.name)
	}
	if c.kind == callService {
		return allowed.with("inputs", "service")
	}
	return allowed.with("value", "property")
}

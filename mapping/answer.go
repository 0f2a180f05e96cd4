package mapping

import (
	"math"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
)

// answer says whether a reply message ends the call, and how.
func (c *caller) answer(m *Message) (alwayson.Value, error, bool) {
	none := alwayson.Value{}
	if m == nil || m.rule == nil || m.rule.call == nil || m.rule.route != c.rule.route {
		return none, nil, false
	}
	if c.contradicts(m.vars) {
		return none, nil, false
	}
	if m.msg.err != nil {
		return none, badReply(m.msg.err), true
	}
	s := &scope{prof: c.st.prof, msg: m.msg, dev: c.st.dev, reply: c.e.opt.ReplyPrefix}
	s.extra = append(append(make([]binding, 0, len(c.extra)+len(m.vars)), c.extra...), withoutRequest(m.vars)...)
	if m.rule.fail {
		return c.failure(s)
	}
	r := c.rule
	if ok, err := s.test(r.match); err != nil || !ok {
		return none, badReply(err), err != nil
	}
	if r.errorExpr != nil {
		v, err := s.eval(r.errorExpr)
		if err != nil {
			return none, badReply(err), true
		}
		if v != nil {
			return none, deviceError(v), true
		}
	}
	if r.expect != nil {
		if ok, err := s.test(r.expect); err != nil || !ok {
			if err != nil {
				return none, badReply(err), true
			}
			return none, callError(alwayson.BadGateway, "the device's reply has not the form of a reply"), true
		}
	}
	if r.echo != nil {
		ok, err := s.test(r.echo)
		if err != nil {
			return none, badReply(err), true
		}
		if !ok {
			return none, nil, false
		}
	}
	return c.result(s)
}

// begunBy reports whether a message shows that the device is at it.
func (c *caller) begunBy(m *Message) bool {
	if m == nil || m.rule == nil || m.rule.call == nil || m.rule.route != c.rule.route || m.rule.fail || m.msg.err != nil || c.contradicts(m.vars) {
		return false
	}
	s := &scope{prof: c.st.prof, msg: m.msg, dev: c.st.dev, reply: c.e.opt.ReplyPrefix}
	s.extra = append(append(make([]binding, 0, len(c.extra)+len(m.vars)), c.extra...), withoutRequest(m.vars)...)
	ok, err := s.test(c.rule.begun)
	return ok && err == nil
}

// contradicts reports a reply whose topic names another service, property or
// part of a name than the call has.
func (c *caller) contradicts(levels []binding) bool {
	for _, level := range levels {
		for _, own := range c.extra {
			if own.name == level.name && own.name != "request" && own.value != level.value {
				return true
			}
		}
	}
	return false
}

// withoutRequest leaves the levels that are not the id: the call's own counts.
func withoutRequest(vars []binding) []binding {
	for i, v := range vars {
		if v.name == "request" {
			return append(append([]binding{}, vars[:i]...), vars[i+1:]...)
		}
	}
	return vars
}

func badReply(err error) error {
	if err == nil {
		return nil
	}
	return callError(alwayson.BadGateway, "the device's reply could not be read: %s", err)
}

func (c *caller) failure(s *scope) (alwayson.Value, error, bool) {
	ok, err := s.test(c.rule.failMatch)
	if err != nil || !ok {
		return alwayson.Value{}, nil, false
	}
	v, err := s.eval(c.rule.failError)
	if err != nil || v == nil {
		return alwayson.Value{}, nil, false
	}
	return alwayson.Value{}, deviceError(v), true
}

func (c *caller) result(s *scope) (alwayson.Value, error, bool) {
	r := c.rule
	if r.kind == callWrite || r.result == nil {
		return alwayson.Value{}, nil, true
	}
	v, err := s.eval(r.result)
	if err != nil {
		return alwayson.Value{}, badReply(err), true
	}
	if v == nil {
		return alwayson.Value{}, nil, true
	}
	if c.output == nil {
		return Infer(v), nil, true
	}
	out, err := Convert(c.output, v)
	if err != nil {
		return alwayson.Value{}, callError(alwayson.BadGateway, "the device's result does not fit: %s", err), true
	}
	return out, nil, true
}

// deviceCodes are the codes of a device's error that become a status of their own.
var deviceCodes = map[int]alwayson.Code{
	400: alwayson.BadRequest, 401: alwayson.Unauthorized, 403: alwayson.Forbidden,
	404: alwayson.NotFound, 503: alwayson.ServiceUnavailable, 504: alwayson.GatewayTimeout,
}

// deviceError makes the error of what a device said: text, or {code, message}.
// Anything else is no reply.
func deviceError(v any) *CallError {
	const form = "the device's error is neither text nor {code, message}"
	const textless = "the device reports an error"
	switch v := v.(type) {
	case string:
		if strings.TrimSpace(v) == "" {
			v = textless
		}
		return callError(alwayson.InternalServerError, "%s", v)
	case map[string]any:
		message, hasMessage := v["message"].(string)
		if v["message"] != nil && !hasMessage {
			return callError(alwayson.BadGateway, form)
		}
		code, hasCode := errorCode(v["code"])
		if v["code"] != nil && !hasCode || !hasCode && !hasMessage {
			return callError(alwayson.BadGateway, form)
		}
		if strings.TrimSpace(message) == "" {
			message = textless
		}
		if !hasCode {
			return callError(alwayson.InternalServerError, "%s", message)
		}
		if status, ok := deviceCodes[code]; ok {
			return callError(status, "%s", message)
		}
		return callError(alwayson.InternalServerError, "%s (code %d)", message, code)
	}
	return callError(alwayson.BadGateway, form)
}

func errorCode(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return int(v), true
		}
	}
	return 0, false
}

// late gives what the rule sends once a call has ended, for an answer to a call that
// has ended before: what that left behind is cleared away. What it needs must
// stand in the answer's topic. It is nothing where the answer is what was so sent, or
// shows that the device is still at it.
func (c *caller) late(request string, in *Input, m *Message) func() []Publication {
	topic, payload, levels := strings.Clone(in.Topic), string(in.Payload), m.vars
	names := withoutRequest(levels)
	if c.rule.name.exact() {
		what := "property"
		if c.rule.kind == callService {
			what = "service"
		}
		names = append(names[:len(names):len(names)], binding{what, c.rule.text})
	}
	return func() []Publication {
		s := &scope{prof: c.st.prof, msg: m.msg, dev: c.st.dev, reply: c.e.opt.ReplyPrefix, now: time.Now().UnixMilli()}
		s.extra = append(names[:len(names):len(names)], binding{"request", request})
		if begun, err := s.test(c.rule.begun); c.rule.begun != nil && (begun || err != nil) {
			return nil // its end is still to come
		}
		var out []Publication
		for _, send := range c.rule.finally {
			p, err := c.publication(send, s)
			if err != nil {
				continue
			}
			if p.Topic == topic && string(p.Payload) == payload {
				return nil
			}
			out = append(out, p)
		}
		return out
	}
}

package mapping

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Handle gives what a message means: the effects of every rule that hears it,
// in the order of the rules. It never fails; what cannot be used is Rejected.
// The effects keep no part of in.
func (e *Engine) Handle(in *Input, dst []Effect) []Effect {
	h := handler{e: e, in: in, dst: dst, first: len(dst)}
	if len(in.Payload) > e.opt.Limits.PayloadBytes {
		return append(dst, &Rejected{Reason: ReasonTooLarge, Rule: "-",
			Detail: fmt.Sprintf("payload of %d bytes; at most %d are taken", len(in.Payload), e.opt.Limits.PayloadBytes)})
	}
	if !ValidTopic(in.Topic) {
		return append(dst, &Rejected{Reason: ReasonMalformed, Rule: "-", Detail: "not a topic"})
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	var buf [16]*entry
	hits := h.match(buf[:0])
	for _, ent := range hits {
		h.run(ent)
	}
	h.settle()
	if !h.heard {
		h.reject("", "-", ReasonUnknownRule, "no rule listens to the topic")
	}
	return h.dst
}

// handler works on one message. It holds e.mu for reading.
type handler struct {
	e     *Engine
	in    *Input
	dst   []Effect
	first int              // of dst: what stands before is not ours
	heard bool             // a rule's pattern matched
	note  func(why string) // tells why a rule came to nothing; nil but for Explain

	unclaimedBy []owner
	strangers   []*Upward // requests upwards of devices that are not known
	asked       bool      // a device that is known made a request upwards
	claimedBy   []*profile
	claims      [4]*profile

	msg    message // under format and encoding
	format string
	enc    string
	read   bool
	conv   converter
	levels [8]string
}

func (h *handler) match(hits []*entry) []*entry {
	hits = h.e.static.Match(h.in.Topic, hits)
	if h.e.dynamic.Len() > 0 {
		hits = h.e.dynamic.Match(h.in.Topic, hits)
	}
	if len(hits) > 1 {
		sort.SliceStable(hits, func(i, j int) bool { return hits[i].before(hits[j]) })
	}
	return hits
}

func (a *entry) before(b *entry) bool {
	if a.rule.order != b.rule.order {
		return a.rule.order < b.rule.order
	}
	if a.state != nil && b.state != nil && a.state != b.state {
		return a.state.dev.Thing < b.state.dev.Thing
	}
	return false
}

func (h *handler) reject(thing, rule string, reason Reason, detail string) {
	h.dst = append(h.dst, &Rejected{Thing: thing, Rule: rule, Reason: reason, Detail: detail})
}

func (h *handler) say(why string) {
	if h.note != nil {
		h.note(why)
	}
}

// message decodes the payload for a rule; false when it is not of its format,
// which is then Rejected.
func (h *handler) message(r *rule, thing string) bool {
	if !h.read || h.format != r.format || h.enc != r.encoding {
		h.msg.read(h.in, r.format, r.encoding, h.e.opt.Limits)
		h.format, h.enc, h.read = r.format, r.encoding, true
	}
	if h.msg.err != nil {
		h.reject(thing, r.id, payloadReason(h.msg.err), "payload: "+h.msg.err.Error())
		return false
	}
	return true
}

// run applies one rule.
func (h *handler) run(ent *entry) {
	r := ent.rule
	levels, ok := ent.pat.capture(h.in.Topic, h.levels[:0])
	if !ok {
		return
	}
	h.heard = true
	if !slices.Contains(h.in.Heard, r.prof.name) {
		h.in.Heard = append(h.in.Heard, r.prof.name)
	}
	s := scope{prof: r.prof, msg: &h.msg, names: ent.pat.names, levels: levels, reply: h.e.opt.ReplyPrefix}
	if r.kind == kindAnnounce {
		h.claim(r)
		h.announce(r, &s)
		return
	}
	if r.kind == kindPresence && r.presence.all {
		h.claim(r)
		if h.message(r, "") && h.when(r, &s, "") {
			h.presenceOf(r, &s, "")
		}
		return
	}
	var one [1]*deviceState
	states, name, fault := h.statesOf(ent, &s, one[:0])
	switch {
	case fault != "":
		h.reject(name, r.id, ReasonIdentity, fault)
	case len(states) == 0:
		h.unclaimed(r, &s, name)
	}
	if len(states) > 0 && r.thing.mode != byIndex {
		h.claim(r)
	}
	for _, st := range states {
		s.dev, s.extra = st.dev, nil
		switch ok := h.message(r, st.dev.Thing); {
		case ok && h.when(r, &s, st.dev.Thing):
			h.apply(r, &s, st)
		case !ok && r.kind == kindReply && r.request == requestLevel && !r.fail:
			h.reply(r, &s, st) // the call ends with what was wrong
		case !ok && r.kind == kindUpward:
			h.upward(r, &s, st) // the device is told what was wrong
		}
	}
}

func (h *handler) claim(r *rule) {
	if h.claimedBy == nil {
		h.claimedBy = h.claims[:0]
	}
	h.claimedBy = append(h.claimedBy, r.prof)
}

// when tests a rule's condition; an error is Rejected and means no.
func (h *handler) when(r *rule, s *scope, thing string) bool {
	return h.test(r, r.when, s, thing)
}

func (h *handler) test(r *rule, when *expression, s *scope, thing string) bool {
	ok, err := s.test(when)
	if err != nil {
		h.reject(thing, r.id, ReasonExpression, "when: "+err.Error())
		return false
	}
	if !ok {
		h.say("its condition when is not true")
	}
	return ok
}

func (h *handler) apply(r *rule, s *scope, st *deviceState) {
	switch r.kind {
	case kindPresence:
		h.presenceOf(r, s, st.dev.Thing)
	case kindLeave:
		h.dst = append(h.dst, &Left{Rule: r.id, Thing: st.dev.Thing, Source: h.in.Topic})
	case kindProperty:
		h.values(r, s, st)
	case kindEvent:
		h.event(r, s, st)
	case kindReply:
		h.reply(r, s, st)
	case kindUpward:
		h.upward(r, s, st)
	}
}

func (h *handler) presenceOf(r *rule, s *scope, thing string) {
	p := r.presence
	state := func(x *expression, key string) (v, ok bool) {
		if x == nil {
			return false, true
		}
		v, err := s.test(x)
		if err != nil {
			h.reject(thing, r.id, ReasonExpression, key+": "+err.Error())
			return false, false
		}
		return v, true
	}
	if p.hold != nil && thing != "" {
		if on, ok := state(p.hold, "hold"); ok {
			h.dst = append(h.dst, &Hold{Rule: r.id, Thing: thing, On: on})
		}
	}
	if p.asleep != nil && thing != "" {
		if on, ok := state(p.asleep, "asleep"); ok {
			h.dst = append(h.dst, &Sleep{Rule: r.id, Thing: thing, On: on})
		}
	}
	online, ok1 := state(p.online, "online")
	offline, ok2 := state(p.offline, "offline")
	if !ok1 || !ok2 || p.online == nil && p.offline == nil {
		return
	}
	switch { // one of them alone says both
	case p.online == nil:
		online = !offline
	case p.offline == nil:
		offline = !online
	}
	if online == offline {
		h.noPresence(r, thing)
		return
	}
	if st := h.e.things[thing]; st != nil && p.group != "" {
		online = st.together(r, online)
	}
	eff := &Presence{Rule: r.id, Thing: thing, Online: online, Live: !h.in.Retained}
	if thing == "" {
		eff.Profile = r.prof.name
	}
	if p.along != nil && !online {
		along, ok := state(p.along, "along")
		eff.Alone = ok && !along
	}
	h.dst = append(h.dst, eff)
}

// noPresence rejects a presence that is neither online nor offline. A payload
// that is empty says nothing: so a retained presence is taken back.
func (h *handler) noPresence(r *rule, thing string) {
	const why = "neither online nor offline is true"
	if len(h.in.Payload) == 0 {
		h.say(why)
		return
	}
	what := fmt.Sprintf("%d bytes", len(h.in.Payload))
	if utf8.Valid(h.in.Payload) {
		what = strconv.Quote(shorten(string(h.in.Payload), 40))
	}
	h.reject(thing, r.id, ReasonPresence, why+" of "+what)
}

func (h *handler) reply(r *rule, s *scope, st *deviceState) {
	eff := &Reply{Thing: st.dev.Thing, Route: r.route}
	switch r.request {
	case requestLevel:
		eff.Request, _ = s.level("request")
	case requestPayload:
		v, err := s.eval(r.reqExpr)
		if err != nil {
			h.reject(st.dev.Thing, r.id, ReasonExpression, "request: "+err.Error())
			return
		}
		text, ok := templateText(v)
		if !ok && !r.fail {
			h.say("the reply has no request id")
			return
		}
		eff.Request = text
	}
	vars := make([]binding, len(s.levels))
	for i, v := range s.levels {
		vars[i] = binding{s.names[i], strings.Clone(v)}
	}
	eff.Input = &Message{rule: r, msg: h.msg.keep(), vars: vars}
	if eff.Request != "" && len(r.call.finally) > 0 {
		eff.Late = (&caller{e: h.e, st: st, rule: r.call}).late(eff.Request, h.in, eff.Input)
	}
	h.dst = append(h.dst, eff)
}

// upward makes the effect of a device's request; a payload that cannot be used
// is its Problem.
func (h *handler) upward(r *rule, s *scope, st *deviceState) {
	u := h.upwardOf(r, s, st.dev.Thing)
	if u == nil {
		return
	}
	h.asked = true
	h.dst = append(h.dst, u)
	if h.msg.err != nil {
		u.Problem = "payload: " + h.msg.err.Error()
		return
	}
	inputs, err := s.eval(r.upward.inputs)
	switch v := inputs.(type) {
	case map[string]any:
		u.Inputs = v
	case nil:
		u.Inputs = map[string]any{}
	case string:
		if v == "" {
			u.Inputs = map[string]any{}
			break
		}
		u.Problem = "the inputs must be a JSON object, not text"
	default:
		u.Problem = "the inputs must be a JSON object, not " + kindOf(v)
	}
	if err != nil {
		u.Problem = "the inputs could not be read: " + err.Error()
	}
}

// upwardOf makes a request upwards of what its topic tells; nil when there is
// no topic to answer on, which is Rejected.
func (h *handler) upwardOf(r *rule, s *scope, thing string) *Upward {
	u := &Upward{Rule: r.id, Thing: thing}
	service, _ := s.level("service")
	request, _ := s.level("request")
	u.Service, u.Request = strings.Clone(service), strings.Clone(request)
	topic, err := r.upward.reply.topic(s)
	if err != nil {
		h.reject(thing, r.id, ReasonExpression, "reply: "+err.Error())
		return nil
	}
	u.ReplyTopic = topic
	return u
}

// stranger notes a request upwards of a device that is not known.
func (h *handler) stranger(r *rule, s *scope, name string) {
	s.dev = nil
	if u := h.upwardOf(r, s, name); u != nil {
		u.Unannounced = true
		h.strangers = append(h.strangers, u)
	}
}

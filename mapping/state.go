package mapping

import (
	"fmt"
	"time"
)

// State is what the bridge says of itself to the devices of a profile: retained,
// at QoS 1, with a will of the same moment, on a connection of its own.
type State struct {
	Topic string
	rule  *stateRule
	lim   Limits
}

type stateRule struct {
	prof            *profile
	topic           string
	online, offline *template
	again           *expression
}

// state reads state: {topic, when, online, offline, again}.
func (l *profileLoader) state(f field) {
	parts, _ := l.object(f, "topic", "when", "online", "offline", "again")
	if parts == nil {
		return
	}
	s := &scope{prof: l.prof}
	for _, key := range []string{"topic", "online", "offline"} {
		if !parts[key].ok() {
			l.fail(f, key+": what the bridge says of itself", "%s is missing", key)
			return
		}
	}
	when := l.expr(parts["when"], l.params)
	ok, err := s.test(when)
	if err != nil {
		l.fail(parts["when"], "a condition on the parameters", "%s", err)
		return
	}
	topic := l.tmpl(parts["topic"], l.params)
	st := &stateRule{prof: l.prof, again: l.expr(parts["again"], l.params.with("payload"))}
	st.online = l.noteTemplate(l.payloadTemplate(parts["online"], l.params.with("now")))
	st.offline = l.noteTemplate(l.payloadTemplate(parts["offline"], l.params.with("now")))
	if !ok || topic == nil || st.online == nil || st.offline == nil {
		return
	}
	if st.topic, err = topic.topic(s); err != nil {
		l.fail(parts["topic"], "a topic without wildcards", "%s", err)
		return
	}
	l.prof.state = st
}

// States lists what the bridge has to say of itself, each topic once.
func (e *Engine) States() []State { return e.p.States(e.opt.Limits) }

// States is Engine.States for profiles of which no Engine is made yet.
func (p *Profiles) States(lim Limits) []State {
	var out []State
	seen := map[string]bool{}
	for _, prof := range p.profiles {
		if st := prof.state; st != nil && !seen[st.topic] {
			seen[st.topic] = true
			out = append(out, State{Topic: st.topic, rule: st, lim: lim})
		}
	}
	return out
}

// Payload is what is said at a moment.
func (s State) Payload(online bool, at time.Time) ([]byte, error) {
	t := s.rule.offline
	if online {
		t = s.rule.online
	}
	payload, err := t.payload(&scope{prof: s.rule.prof, now: at.UnixMilli()})
	if err != nil {
		return nil, fmt.Errorf("the state on %s: %w", s.Topic, err)
	}
	return payload, nil
}

// Again reports whether a message that somebody else put on the topic has to be
// answered by saying once more that the bridge is there.
func (s State) Again(payload []byte) bool {
	if s.rule.again == nil || len(payload) > s.lim.PayloadBytes {
		return false
	}
	var m message
	m.read(&Input{Topic: s.Topic, Payload: payload}, "auto", "", s.lim)
	if m.err != nil {
		return true
	}
	ok, err := (&scope{prof: s.rule.prof, msg: &m}).test(s.rule.again)
	return ok || err != nil
}

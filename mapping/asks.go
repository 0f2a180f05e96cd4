package mapping

import "time"

// Asks gives the questions to send on an occasion: for one Thing, or with thing
// "" those of the profiles on connect. A question whose condition is not true,
// or whose topic cannot be made or is not allowed, is left out.
func (e *Engine) Asks(on AskOn, thing string) []Ask {
	var out []Ask
	if thing == "" {
		for _, prof := range e.p.profiles {
			out = appendAsks(out, prof.asks, on, &scope{prof: prof, reply: e.opt.ReplyPrefix, now: time.Now().UnixMilli()})
		}
		return out
	}
	st := e.state(thing)
	if st == nil || on == AskConnect {
		return nil
	}
	s := &scope{prof: st.prof, dev: st.dev, reply: e.opt.ReplyPrefix, now: time.Now().UnixMilli()}
	out = appendAsks(out, st.prof.asks, on, s)
	if st.dev.rules != nil {
		out = appendAsks(out, st.dev.rules.asks, on, s)
	}
	return out
}

func appendAsks(out []Ask, asks []*askRule, on AskOn, s *scope) []Ask {
	for _, a := range asks {
		if a.on != on {
			continue
		}
		if ok, err := s.test(a.when); err != nil || !ok {
			continue
		}
		topic, err := a.topic.topic(s)
		if err != nil || a.topic.uses("device") && !s.prof.permits(topic) {
			continue
		}
		payload, err := a.render(s)
		if err != nil {
			continue
		}
		out = append(out, Ask{Publication: Publication{Topic: topic, Payload: payload}, Every: a.every, Profile: s.prof.name})
	}
	return out
}

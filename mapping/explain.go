package mapping

// Explanation says what one rule made of a message.
type Explanation struct {
	Rule    string            // profile/section/n
	Profile string            // its profile
	Kind    string            // announce, presence, leave, properties, events, reply, platform
	Pattern string            // what it listens to
	Levels  map[string]string // the topic's named levels
	Effects []Effect          // what came out
	Why     string            // why nothing came out, for people; "" where something did
}

// Explain tells which rules hear a message and what each makes of it. The
// Engine is not changed. No explanations: no rule listens to the topic.
func (e *Engine) Explain(in *Input) []Explanation {
	if !ValidTopic(in.Topic) {
		return nil
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	var out []Explanation
	var buf [16]*entry
	all := handler{e: e, in: in}
	for _, ent := range all.match(buf[:0]) {
		ex := Explanation{Rule: ent.rule.id, Profile: ent.rule.prof.name, Kind: kindNames[ent.rule.kind], Pattern: ent.pat.text, Levels: map[string]string{}}
		levels, ok := ent.pat.capture(in.Topic, nil)
		if !ok {
			continue
		}
		for i, n := range ent.pat.names {
			ex.Levels[n] = levels[i]
		}
		h := handler{e: e, in: in}
		h.note = func(why string) { ex.Why = why }
		h.run(ent)
		h.settle()
		ex.Effects = h.dst
		if len(h.dst) > 0 {
			ex.Why = ""
		} else if ex.Why == "" {
			ex.Why = "it means nothing to this rule"
		}
		out = append(out, ex)
	}
	return out
}

package mapping

// together notes what a topic of a group says and gives what all groups of the
// device say: a group whose need is all is offline while one of its topics says so,
// any while all do, latest as the last message says; and the device is offline
// while all its groups are. A topic that has said nothing counts as online.
func (st *deviceState) together(r *rule, online bool) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.offline == nil {
		st.offline = map[string]bool{}
	}
	st.offline[groupKey(r)] = !online
	up := map[string]bool{} // by group
	for _, rules := range st.groupRules() {
		for _, r := range rules {
			if r.kind != kindPresence || r.presence.group == "" {
				continue
			}
			p := r.presence
			said := !st.offline[groupKey(r)]
			now, known := up[p.group]
			switch {
			case !known || p.need == "latest":
				up[p.group] = said
			case p.need == "any":
				up[p.group] = now || said
			default:
				up[p.group] = now && said
			}
		}
	}
	for _, u := range up {
		if u {
			return true
		}
	}
	return len(up) == 0 && online
}

// groupRules are the rules among which a device's groups are.
func (st *deviceState) groupRules() [2][]*rule {
	out := [2][]*rule{st.prof.rules}
	if st.dev.rules != nil {
		out[1] = st.dev.rules.rules
	}
	return out
}

// groupKey names what is remembered: of a group that goes by the latest message
// one word, of others a word of each topic.
func groupKey(r *rule) string {
	if r.presence.need == "latest" {
		return r.presence.group
	}
	return r.presence.group + "\x00" + r.pat.text
}

// stillSaid gives what the topics of another state's groups said, of those that st has too.
func (st *deviceState) stillSaid(old *deviceState) map[string]bool {
	old.mu.Lock()
	defer old.mu.Unlock()
	if len(old.offline) == 0 {
		return nil
	}
	kept := map[string]bool{}
	for _, rules := range st.groupRules() {
		for _, r := range rules {
			if r.kind != kindPresence || r.presence.group == "" {
				continue
			}
			if offline, said := old.offline[groupKey(r)]; said {
				kept[groupKey(r)] = offline
			}
		}
	}
	return kept
}

package mapping

import "strings"

// missed gives the filters on which the broker may have told what it retains
// before st was known: those of its own that were subscribed already, and what
// rules hear that find their devices by a level in common, filled with the
// device's words. What have, its former state, listened to is not among them.
func (e *Engine) missed(have, st *deviceState, before map[string]bool) []string {
	var found map[string]bool
	note := func(filter string) {
		if found == nil {
			found = map[string]bool{}
		}
		found[filter] = true
	}
	for _, ent := range st.entries {
		if f := ent.pat.filter; ent.rule.remembers() && (before[f] || e.covered(f)) {
			note(f)
		}
	}
	for _, r := range st.prof.byIndex {
		if f := st.sharedFilter(r); f != "" && (have == nil || have.sharedFilter(r) != f) {
			note(f)
		}
	}
	if have != nil {
		for _, ent := range have.entries {
			delete(found, ent.pat.filter)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return sortedKeys(found)
}

// remembers reports whether a retained message of the rule says what still holds.
func (r *rule) remembers() bool { return r.kind == kindPresence || r.kind == kindProperty }

// sharedFilter is what a rule hears of st and of all devices that have the same
// words in common with its topic; "" where the device has not said them.
func (st *deviceState) sharedFilter(r *rule) string {
	levels := make([]string, len(r.pat.levels))
	for i := range r.pat.levels {
		l := &r.pat.levels[i]
		switch {
		case l.name != "" && contains(st.prof.signatures[r.thing.sig], l.name):
			text, _ := templateText(st.dev.Var(l.name))
			if text == "" || !l.rest && strings.Contains(text, "/") || strings.ContainsAny(text, "+#") {
				return ""
			}
			levels[i] = l.prefix + text + l.suffix
		case l.rest:
			levels[i] = "#"
		case l.wild:
			levels[i] = "+"
		default:
			levels[i] = l.prefix
		}
	}
	if filter := strings.Join(levels, "/"); ValidFilter(filter) {
		return filter
	}
	return ""
}

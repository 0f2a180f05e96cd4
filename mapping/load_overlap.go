package mapping

import "sort"

// minimalFilters sorts filters and drops those that another covers.
func minimalFilters(filters []string) []string {
	sort.Strings(filters)
	var out []string
	for i, f := range filters {
		covered := i > 0 && filters[i-1] == f
		for j := 0; j < len(filters) && !covered; j++ {
			covered = filters[j] != f && Covers(filters[j], f)
		}
		if !covered {
			out = append(out, f)
		}
	}
	return out
}

// shadowed warns of rules that hear the same messages for the same purpose.
func (l *loader) shadowed(p *Profiles) {
	type key struct {
		filter  string
		kind    kind
		profile *profile
	}
	first := map[key]*rule{}
	for _, prof := range p.profiles {
		for _, r := range append(append([]*rule{}, prof.announces...), prof.rules...) {
			if r.topic != nil || r.kind == kindReply || r.kind == kindProperty || r.kind == kindEvent || r.when != nil {
				continue
			}
			k := key{r.pat.filter, r.kind, prof}
			if other := first[k]; other != nil {
				l.warn(l.place(r), "the rule hears the same messages as %s, and neither has a condition", other.id)
			} else {
				first[k] = r
			}
		}
	}
}

// overlaps warns of filters that match the same topics: of two profiles, since
// one device may then become two Things; and of filters of which neither covers
// the other, since a broker may deliver such a message once for each.
func (l *loader) overlaps(p *Profiles) {
	var all []*rule
	for _, prof := range p.profiles {
		all = append(append(all, prof.announces...), prof.rules...)
	}
	var heard []*rule // one for each profile and filter
	seen := map[[2]string]bool{}
	for _, r := range all {
		k := [2]string{r.prof.name, r.pat.filter}
		if r.topic == nil && !seen[k] {
			seen[k] = true
			heard = append(heard, r)
		}
	}
	told := map[[2]*profile]bool{}
	for i, a := range heard {
		for _, b := range heard[i+1:] {
			pair := [2]*profile{a.prof, b.prof}
			if told[pair] || !overlap(a.pat.filter, b.pat.filter) || share(a, b) {
				continue
			}
			switch {
			case a.prof.family != b.prof.family:
				told[pair] = true
				l.warn(l.place(b), "%s hears %s as %s, and %s as %s: a device that both know becomes two Things, unless a condition of one leaves it out",
					b.id, shared(a.pat.filter, b.pat.filter), b.pat.text, a.id, a.pat.text)
			case !Covers(a.pat.filter, b.pat.filter) && !Covers(b.pat.filter, a.pat.filter) && !coveredByOne(all, a, b):
				told[pair] = true
				l.warn(l.place(b), "the filters %s and %s overlap and neither covers the other: some brokers deliver a message on %s twice",
					a.pat.filter, b.pat.filter, shared(a.pat.filter, b.pat.filter))
			}
		}
	}
}

// share reports whether the decoders of two profiles agree whose device it is that
// announces itself.
func share(a, b *rule) bool {
	if a.kind != kindAnnounce || b.kind != kindAnnounce || a.prof.decoder == nil || b.prof.decoder == nil {
		return false
	}
	one, ok := a.prof.decoder.(Sharer)
	two, ok2 := b.prof.decoder.(Sharer)
	return ok && one.Shares(b.prof.decoderName) || ok2 && two.Shares(a.prof.decoderName)
}

// coveredByOne reports whether a third filter covers both, so that neither is subscribed.
func coveredByOne(all []*rule, a, b *rule) bool {
	for _, r := range all {
		if r.topic == nil && (Covers(r.pat.filter, a.pat.filter) || Covers(r.pat.filter, b.pat.filter)) && r.pat.filter != a.pat.filter && r.pat.filter != b.pat.filter {
			return true
		}
	}
	return false
}

package bridge

import (
	"cmp"
	"slices"
	"strings"

	"thingbridge/mapping"
)

// filters has the Bus listen to what the next Engine needs. What is new is
// subscribed before what is not needed is left, so nothing is missed between.
// Filters that stay and mean something new are subscribed once more: what is
// retained under them comes again. work and life are held.
func (r *reload) filters(clientID string) {
	b := r.b
	before, after := filterSet(r.old), filterSet(r.next)
	if topic := b.marker.topic(); topic != "" {
		before[topic] = true
	}
	b.marker.rename(clientID)
	if topic := b.marker.topic(); topic != "" {
		after[topic] = true
	}
	var subscribe, unsubscribe []string
	for f := range after {
		if !before[f] {
			subscribe = append(subscribe, f)
		}
	}
	for f := range before {
		if !after[f] {
			unsubscribe = append(unsubscribe, f)
		}
	}
	slices.Sort(subscribe)
	slices.Sort(unsubscribe)
	again := r.again(before)
	if r.next != r.old {
		b.former.add(r.old, unsubscribe)
	} else if len(unsubscribe) > 0 {
		b.keeper.filters(mapping.Change{Unsubscribe: unsubscribe})
	}
	if len(subscribe)+len(again) == 0 {
		return
	}
	b.unsettle()
	if len(subscribe) == 0 {
		subscribe = again[:1] // so that the Bus tells when all is subscribed
	}
	b.keeper.refreshed(again, subscribe)
}

func filterSet(e *mapping.Engine) map[string]bool {
	set := map[string]bool{}
	for _, f := range append(e.Filters(), e.DynamicFilters()...) {
		set[f] = true
	}
	return set
}

// again lists the filters whose retained messages are wanted once more: those of
// profiles that are new or say something else, as far as they will not be
// subscribed for the first time; and all when devices may be let in now that
// were refused before. Those with wildcards, which bring announcements, stand
// first: a Bus takes only so many.
func (r *reload) again(before map[string]bool) []string {
	profiles := r.next.NewProfiles(r.old)
	if r.lets() {
		profiles = r.next.Profiles().Names()
	}
	set := map[string]bool{}
	static := r.old.Filters()
	kept := r.b.former.kept() // the Bus has these still, and would not subscribe them anew
	for _, profile := range profiles {
		for _, f := range r.next.FiltersOf(profile) {
			covered := before[f] || kept[f]
			for i := 0; i < len(static) && !covered; i++ {
				covered = mapping.Covers(static[i], f)
			}
			if covered {
				set[f] = true
			}
		}
	}
	list := make([]string, 0, len(set))
	for f := range set {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(boolByte(isTopic(a)), boolByte(isTopic(b))), strings.Compare(a, b))
	})
	return list
}

func isTopic(filter string) bool { return !strings.ContainsAny(filter, "+#") }

// lets reports whether devices may be let in now that were refused before.
func (r *reload) lets() bool {
	a, b := r.was, r.is
	return b.limits.Things > a.limits.Things || !slices.Equal(a.things.allow.patterns, b.things.allow.patterns) ||
		!slices.Equal(a.things.deny.patterns, b.things.deny.patterns)
}

// refreshed has the keeper ask the Bus for what is retained under filters, and
// subscribe others after that.
func (k *keeper) refreshed(again, subscribe []string) {
	k.mu.Lock()
	k.refresh = append(k.refresh, again...)
	k.changes = append(k.changes, mapping.Change{Subscribe: subscribe})
	k.mu.Unlock()
	signal(k.wake)
}

// setLimit changes how many announcements are taken in a second.
func (k *keeper) setLimit(perSecond float64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.limit == nil || perSecond <= 0:
		k.limit = announcementLimit(perSecond)
		if k.limit == nil && len(k.waiting) > 0 {
			k.limit = announcementLimit(1e6) // what waits already keeps its turn
		}
	default:
		fresh := announcementLimit(perSecond)
		k.limit.SetLimit(fresh.Limit())
		k.limit.SetBurst(fresh.Burst())
	}
}

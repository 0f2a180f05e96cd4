package bridge

import (
	"slices"
	"time"

	"thingbridge/mapping"
)

const (
	formerLook  = time.Second      // how often it is looked whether an earlier Engine is still needed
	formerTime  = 40 * time.Second // longer than any call waits for a reply
	mostFormers = 4                // the earliest goes first, and its calls end by their time
)

// formers are the Engines that Reload has replaced and whose calls have not all
// ended: replies to these are found by the rules that made them. What only they
// listen to stays subscribed as long. Bridge.work guards it.
type formers struct {
	b    *Bridge
	list []former
}

type former struct {
	engine      *mapping.Engine
	until       time.Time
	unsubscribe []string // once it is no longer needed
}

// add keeps an Engine that was replaced. The first look comes after a while: a
// call may be on its way into the relay just now.
func (f *formers) add(e *mapping.Engine, unsubscribe []string) {
	if len(f.list) >= mostFormers {
		f.drop(0)
	}
	f.list = append(f.list, former{e, time.Now().Add(formerTime), unsubscribe})
	if len(f.list) == 1 {
		f.lookLater()
	}
}

// lookLater has look run between two messages: the keeper's goroutine, which ends
// calls whose time is over, must not wait until one is worked off.
func (f *formers) lookLater() {
	f.b.timers.after(formerLook, func() { f.b.bus.Between(f.look) })
}

// look drops what is no longer needed.
func (f *formers) look() {
	f.b.work.Lock()
	defer f.b.work.Unlock()
	now := time.Now()
	for i := len(f.list) - 1; i >= 0; i-- {
		if old := &f.list[i]; now.After(old.until) || f.b.relay.madeBy(old.engine) == 0 {
			f.drop(i)
		}
	}
	if len(f.list) > 0 {
		f.lookLater()
	}
}

// kept are the filters that stay subscribed for earlier Engines alone.
func (f *formers) kept() map[string]bool {
	set := map[string]bool{}
	for i := range f.list {
		for _, filter := range f.list[i].unsubscribe {
			set[filter] = true
		}
	}
	return set
}

// drop forgets one, and has unsubscribed what nothing else listens to.
func (f *formers) drop(i int) {
	gone := f.list[i].unsubscribe
	f.list = slices.Delete(f.list, i, i+1)
	engine := f.b.engine.Load()
	needed := f.kept()
	for _, filter := range append(engine.Filters(), engine.DynamicFilters()...) {
		needed[filter] = true
	}
	gone = slices.DeleteFunc(gone, func(filter string) bool { return needed[filter] || filter == f.b.marker.topic() })
	f.b.keeper.filters(mapping.Change{Unsubscribe: gone})
}

// replies offers a message to the calls that earlier Engines made; it reports
// whether it ended one.
func (f *formers) replies(in *mapping.Input) (taken bool) {
	for i := range f.list {
		old := f.list[i].engine
		if f.b.relay.madeBy(old) == 0 {
			continue
		}
		again := *in
		again.Heard = nil
		for _, e := range old.Handle(&again, nil) {
			if r, ok := e.(*mapping.Reply); ok && f.b.relay.formerReply(r, old) {
				taken = true
			}
		}
	}
	return taken
}

// formerReply offers a reply, found by the rules of an earlier Engine, to the
// calls that were made by it; it reports whether it ended one.
func (r *relay) formerReply(e *mapping.Reply, by *mapping.Engine) bool {
	r.mu.Lock()
	var waiting []*call
	if k := r.byRequest[e.Request]; e.Request != "" && k != nil && k.t.name == e.Thing && k.c.Route == e.Route {
		waiting = append(waiting, k)
	} else if rt := r.routes[routeKey{e.Thing, e.Route}]; e.Request == "" && rt != nil {
		waiting = slices.Clone(rt.calls)
	}
	waiting = slices.DeleteFunc(waiting, func(k *call) bool { return k.c.Engine != by })
	r.mu.Unlock()
	for _, k := range waiting {
		if r.answer(k, e) {
			return true
		}
	}
	return false
}

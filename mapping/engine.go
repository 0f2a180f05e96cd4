package mapping

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"thingbridge/edge/alwayson"
)

// Engine is the profiles at work: the announced devices and what they listen
// to. Its methods may be called from any goroutine; Handle is to be called from
// one, so that the order of values is kept.
type Engine struct {
	p       *Profiles
	opt     Options
	static  Matcher[*entry] // never changed
	filters []string
	filled  map[*rule]*pattern    // of announce rules with ${bridge.reply}; never changed
	heard   map[*profile][]string // whatever devices there are; never changed
	sendsTo Matcher[*profile]     // topics that profiles send to; never changed

	mu      sync.RWMutex // guards the following
	things  map[string]*deviceState
	folded  map[string]*deviceState // by lower-case name
	index   map[indexKey][]*deviceState
	sources map[string][]*deviceState // by announcing topic, where the topic does not name the Thing
	dynamic Matcher[*entry]
	refs    map[string]int            // subscriptions of dynamic filters
	sends   map[string][]*deviceState // by the topics that their own calls send to
	late    map[string]*Device        // announced, but not Put yet: Defer
	defs    map[[sha256.Size]byte]*internedDefinitions

	gatherMu    sync.Mutex // guards the following; may be taken under mu
	gathered    map[string]*gathering
	gatherBytes int
}

type indexKey struct {
	sig int
	key string
}

type internedDefinitions struct {
	defs *Definitions
	refs int
}

// deviceState is one device that was Put.
type deviceState struct {
	dev     *Device
	prof    *profile
	entries []*entry

	mu       sync.Mutex // guards the following
	inferred map[string]alwayson.BaseType
	offline  map[string]bool   // what topics of presence groups said last
	origins  map[string]string // of computed property names, see foreignName
}

// NewEngine makes an Engine without devices.
func NewEngine(p *Profiles, opt Options) *Engine {
	e := &Engine{
		p: p, opt: opt.withDefaults(), things: map[string]*deviceState{}, folded: map[string]*deviceState{},
		index: map[indexKey][]*deviceState{}, sources: map[string][]*deviceState{}, refs: map[string]int{}, filled: map[*rule]*pattern{},
		heard: map[*profile][]string{}, late: map[string]*Device{}, sends: map[string][]*deviceState{},
		defs: map[[sha256.Size]byte]*internedDefinitions{},
	}
	for _, prof := range p.profiles {
		for _, list := range [][]*rule{prof.announces, prof.rules} {
			for _, r := range list {
				e.listenStatic(r)
			}
		}
	}
	for _, prof := range p.profiles {
		e.listenSends(prof)
	}
	e.filters = minimalFilters(e.filters)
	return e
}

func (e *Engine) listenStatic(r *rule) {
	pat := r.pat
	if r.topic != nil {
		text, whole, err := r.topic.patternText(&scope{prof: r.prof, reply: e.opt.ReplyPrefix}, "x")
		if err != nil || !whole {
			return // subscribed for each device
		}
		if pat, err = parsePattern(text); err != nil {
			return
		}
		if r.kind == kindAnnounce {
			e.filled[r] = pat
		}
	}
	e.static.Add(pat.filter, &entry{rule: r, pat: pat})
	e.filters = append(e.filters, pat.filter)
	e.heard[r.prof] = append(e.heard[r.prof], pat.filter)
}

// pattern gives what a rule listens to, whole.
func (e *Engine) pattern(r *rule) *pattern {
	if p := e.filled[r]; p != nil {
		return p
	}
	return r.pat
}

// Filters gives the topic filters to subscribe whatever devices there are:
// sorted, each once, none covered by another.
func (e *Engine) Filters() []string { return append([]string(nil), e.filters...) }

// Put makes a device known, in place of what it announced before, and tells
// which filters its rules need. A *ClashError says that its name is taken; the
// Engine is then unchanged.
func (e *Engine) Put(d *Device) (Change, error) {
	prof := e.profileOf(d.Profile)
	if prof == nil {
		return Change{}, &ClashError{Thing: d.Thing, Have: d.Thing, Other: "no profile", Source: d.origin()}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	late := e.late[d.Thing] != nil
	delete(e.late, d.Thing)
	fold := strings.ToLower(d.Thing)
	have := e.folded[fold]
	if have != nil && (have.dev.Thing != d.Thing || have.dev.Profile != d.Profile || have.dev.raw != d.raw || !sharesSource(have.dev, d)) {
		return Change{}, &ClashError{Thing: d.Thing, Have: have.dev.Thing, Other: have.dev.origin(), Source: d.origin()}
	}
	if have != nil && have.dev == d {
		return Change{}, nil
	}
	if late {
		e.withoutForeign(d) // others may have been Put since it was announced
	}
	st := &deviceState{dev: d, prof: prof, inferred: maps.Clone(d.inferred), origins: maps.Clone(d.origins)}
	switch {
	case have != nil:
		d.since = have.dev.since
	case d.since == 0:
		d.since = time.Now().UnixMilli()
	}
	if have != nil {
		st.offline, st.origins = st.stillSaid(have), have.savedOrigins()
		if sameAnnouncement(have.dev, d) {
			have.mu.Lock()
			st.inferred = maps.Clone(have.inferred)
			have.mu.Unlock()
		}
	}
	st.entries = e.bind(st)
	before := e.wanted(have, st)
	if have != nil {
		e.unlink(have)
	}
	e.link(st, fold)
	e.putGathered(d)
	change := e.changed(before)
	change.Refresh = e.missed(have, st, before)
	return change, nil
}

// sameAnnouncement reports whether b was announced by the same words as a: the
// broker delivers again what it retains, and that says nothing new.
func sameAnnouncement(a, b *Device) bool {
	return slices.EqualFunc(a.Parts, b.Parts, func(p, q Part) bool { return p.Source == q.Source && bytes.Equal(p.Payload, q.Payload) })
}

// Defer tells that d was announced and is Put, or refused, only later: what is
// announced of its Thing until then is merged with it. Put, Remove and Undefer end that.
func (e *Engine) Defer(d *Device) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.late[d.Thing] = d
}

// Undefer forgets a device that waited to be Put.
func (e *Engine) Undefer(thing string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.late, thing)
}

// announced gives the device of a profile as it was announced last; raw is the
// text of its Thing's name, nil that it is another's or nobody's.
func (e *Engine) announced(thing string, prof *profile, raw string) *Device {
	d := e.late[thing]
	if d == nil {
		if st := e.things[thing]; st != nil {
			d = st.dev
		}
	}
	if d == nil || d.Profile != prof.name || d.raw != raw {
		return nil
	}
	return d
}

// origin names who announced a device.
func (d *Device) origin() string {
	if len(d.Sources) == 0 {
		return "profile " + d.Profile
	}
	return "profile " + d.Profile + " on " + d.Sources[0]
}

func sharesSource(a, b *Device) bool {
	for _, s := range a.Sources {
		i := sort.SearchStrings(b.Sources, s)
		if i < len(b.Sources) && b.Sources[i] == s {
			return true
		}
	}
	return len(a.Sources) == 0 && len(b.Sources) == 0
}

// Remove forgets a device; nothing happens when it is not known.
func (e *Engine) Remove(thing string) Change {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.late, thing)
	e.gatherMu.Lock()
	e.dropGathering(thing)
	e.gatherMu.Unlock()
	st := e.things[thing]
	if st == nil {
		return Change{}
	}
	before := e.wanted(st)
	e.unlink(st)
	return e.changed(before)
}

// wanted notes which filters of the states were subscribed before a change.
func (e *Engine) wanted(states ...*deviceState) map[string]bool {
	var before map[string]bool
	for _, st := range states {
		if st == nil {
			continue
		}
		for _, ent := range st.entries {
			if before == nil {
				before = map[string]bool{}
			}
			before[ent.pat.filter] = e.refs[ent.pat.filter] > 0
		}
	}
	return before
}

func (e *Engine) changed(before map[string]bool) Change {
	var c Change
	for _, f := range sortedKeys(before) {
		now := e.refs[f] > 0
		switch {
		case now && !before[f] && !e.covered(f):
			c.Subscribe = append(c.Subscribe, f)
		case !now && before[f] && !e.covered(f):
			c.Unsubscribe = append(c.Unsubscribe, f)
		}
	}
	return c
}

func (e *Engine) covered(filter string) bool {
	for _, f := range e.filters {
		if Covers(f, filter) {
			return true
		}
	}
	return false
}

// bind makes the entries of a device's own rules.
func (e *Engine) bind(st *deviceState) []*entry {
	var out []*entry
	s := &scope{prof: st.prof, dev: st.dev, reply: e.opt.ReplyPrefix}
	for _, r := range st.prof.rules {
		if r.topic == nil || !r.topic.uses("device") {
			continue
		}
		text, _, err := r.topic.patternText(s, "")
		if err != nil {
			continue // the device has not said it: nothing to listen to
		}
		pat, err := parsePattern(text)
		if err != nil {
			continue
		}
		pat.showBraces()
		if !st.prof.permits(pat.filter) {
			continue
		}
		out = append(out, &entry{rule: r, pat: pat, state: st})
	}
	if st.dev.rules != nil {
		slab := make([]entry, len(st.dev.rules.rules))
		for i, r := range st.dev.rules.rules {
			slab[i] = entry{rule: r, pat: r.pat, state: st}
			out = append(out, &slab[i])
		}
	}
	return out
}

// permits reports whether a topic learned from a payload may be used.
func (p *profile) permits(topic string) bool {
	if p.allowTopics == nil {
		return true // the load saw to it that the first level is fixed
	}
	for _, f := range p.allowTopics {
		if Covers(f, topic) {
			return true
		}
	}
	return false
}

// permitsLearned is permits for topics that a decoder brings: there are none
// without allow_topics.
func (p *profile) permitsLearned(topic string) bool { return p.allowTopics != nil && p.permits(topic) }

func (p *pattern) showBraces() {
	p.filter = showBraces.Replace(p.filter)
	for i := range p.levels {
		p.levels[i].prefix = showBraces.Replace(p.levels[i].prefix)
		p.levels[i].suffix = showBraces.Replace(p.levels[i].suffix)
	}
}

func (e *Engine) link(st *deviceState, fold string) {
	e.things[st.dev.Thing] = st
	e.folded[fold] = st
	for i, sig := range st.prof.signatures {
		key := indexKey{st.prof.sigBase + i, signatureOf(sig, st.dev.Var)}
		if key.key != "" { // the device has not said it: nothing finds it
			e.index[key] = append(e.index[key], st)
		}
	}
	for _, part := range st.dev.Parts {
		if part.rule != nil && !part.rule.announce.direct {
			e.sources[part.Source] = append(e.sources[part.Source], st)
		}
	}
	for _, ent := range st.entries {
		e.dynamic.Add(ent.pat.filter, ent)
		e.refs[ent.pat.filter]++
	}
	st.own(func(topic string) { e.sends[topic] = append(e.sends[topic], st) })
	if in := e.defs[st.dev.defsKey]; in != nil {
		in.refs++
	} else {
		e.defs[st.dev.defsKey] = &internedDefinitions{st.dev.Definitions, 1}
	}
}

func (e *Engine) unlink(st *deviceState) {
	delete(e.things, st.dev.Thing)
	delete(e.folded, strings.ToLower(st.dev.Thing))
	for i, sig := range st.prof.signatures {
		key := indexKey{st.prof.sigBase + i, signatureOf(sig, st.dev.Var)}
		dropState(e.index, key, st)
	}
	for _, part := range st.dev.Parts {
		dropState(e.sources, part.Source, st)
	}
	for _, ent := range st.entries {
		e.dynamic.Remove(ent.pat.filter, ent)
		if e.refs[ent.pat.filter]--; e.refs[ent.pat.filter] <= 0 {
			delete(e.refs, ent.pat.filter)
		}
	}
	st.own(func(topic string) { dropState(e.sends, topic, st) })
	if in := e.defs[st.dev.defsKey]; in != nil {
		if in.refs--; in.refs <= 0 {
			delete(e.defs, st.dev.defsKey)
		}
	}
}

func dropState[K comparable](m map[K][]*deviceState, key K, st *deviceState) {
	list := m[key]
	for i, s := range list {
		if s == st {
			if len(list) == 1 {
				delete(m, key)
			} else {
				m[key] = append(list[:i:i], list[i+1:]...)
			}
			return
		}
	}
}

// signatureOf joins the values that tell a device from a topic.
func signatureOf(sig []string, value func(string) any) string {
	if len(sig) == 1 {
		text, _ := templateText(value(sig[0]))
		return text
	}
	var b strings.Builder
	for _, name := range sig {
		text, _ := templateText(value(name))
		b.WriteString(text)
		b.WriteByte(0)
	}
	return b.String()
}

func (e *Engine) profileOf(name string) *profile { return e.p.find(name) }

func (e *Engine) state(thing string) *deviceState {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.things[thing]
}

// Device gives a known device, or nil.
func (e *Engine) Device(thing string) *Device {
	if st := e.state(thing); st != nil {
		return st.dev
	}
	return nil
}

// Devices gives the known devices, by name.
func (e *Engine) Devices() []*Device {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := make([]*Device, 0, len(e.things))
	for _, st := range e.things {
		out = append(out, st.dev)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Thing < out[j].Thing })
	return out
}

// DevicesOf gives the names of the Things that a profile's devices have.
func (e *Engine) DevicesOf(profile string) []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var out []string
	for name, st := range e.things {
		if st.dev.Profile == profile {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// DynamicFilters gives the filters that the known devices need beside Filters.
func (e *Engine) DynamicFilters() []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var out []string
	for _, f := range sortedKeys(e.refs) {
		if !e.covered(f) {
			out = append(out, f)
		}
	}
	return out
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the program instead
	return hex.EncodeToString(b[:])
}

func randomNumber() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:])>>12) | 1
}

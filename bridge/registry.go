package bridge

import (
	"slices"
	"strings"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// thing is one registered Thing. Bridge.mu guards it, but for flow, which the
// scheduler guards.
type thing struct {
	name   string          // Thing name
	device *mapping.Device // the newest that the Engine accepted
	bind   string          // platform name that the present definitions want

	offline  bool // the device's own presence says so
	alone    bool // that takes no Things along whose parent this is
	asleep   bool // the device says that it sleeps
	expired  bool // silent for longer than ExpireAfter
	leaving  bool // forgotten once its queued values are out
	expiring bool // the keeper looks at its silence
	expiry   *timer

	told      string    // the platform name given to Platform.Want, "" none
	rebind    bool      // ask the platform to look again at its definitions
	joining   bool      // a rebind is planned, because one of several announcements said something new
	browse    bool      // a rebind is planned, because a property came that nothing declared
	browsed   time.Time // when the last such was
	drainTill time.Time
	seenEpoch uint64 // the bus connection in which its announcement last came
	early     bool   // announced by a retained message before the Bridge was settled
	holdEpoch uint64 // the bus connection in which the device last said whether it is initialising
	unsure    bool   // values are kept back because it may say so yet
	wiped     bool   // the broker lost its retained announcement: that it does not come says nothing
	lastSeen  time.Time
	unheard   bool // the device has not shown itself in this run

	state     alwayson.BindState
	reason    string // the platform's, for Refused
	ours      string // the platform name that was bound last, until it is refused
	absent    bool   // bound, but there is no such Thing on the platform
	stateFrom time.Time
	counted   stateNumber // in the Bridge's tally; scheduler.mu guards it too

	known    []known // last values, sorted by name
	knownLen int     // in bytes, together
	missing  map[string]uint64
	problems *problemRing

	provision provisionState
	flow      flow
}

// known is the last value of one property.
type known struct {
	alwayson.PropertyValue
	received time.Time
	sent     uint64 // hash of the last value the platform has; 0 none
	unkept   bool   // the outbox refused it
}

// online reports whether the device itself is there.
func (t *thing) online() bool { return !t.offline && !t.expired }

// announcedLiveLocked notes that the device announced itself just now: it is
// there, unless its presence alone decides that.
func (t *thing) announcedLiveLocked() {
	if !t.device.Decided {
		t.offline, t.expired = false, false
	}
	t.provision.announcedLocked()
}

// foldName is a Thing name as the platform compares it.
func foldName(s string) string { return strings.ToLower(s) }

func bindName(d *mapping.Device) string {
	if d.Definitions != nil && d.Definitions.Identifier != "" {
		return "*" + d.Definitions.Identifier
	}
	return d.Thing
}

// reachableLocked reports whether the Thing's device, its profile and its
// parents are there: that is when it should be bound.
func (b *Bridge) reachableLocked(t *thing) bool {
	for depth := 0; ; depth++ {
		there := t.online() || depth > 0 && t.alone && !t.expired
		if !there || b.profileOff[t.device.Profile] {
			return false
		}
		if t.device.Parent == "" || depth >= maxParents {
			return true
		}
		parent := b.things[t.device.Parent]
		if parent == nil {
			return true
		}
		t = parent
	}
}

const maxParents = 8

// wantedLocked is the Thing's intent.
func (b *Bridge) wantedLocked(t *thing) bool {
	return !t.leaving && (b.settled || !t.early) && b.reachableLocked(t)
}

// familyLocked calls each for t and all Things whose parents lead to it.
func (b *Bridge) familyLocked(t *thing, depth int, each func(*thing)) {
	each(t)
	if depth >= maxParents {
		return
	}
	for name := range b.children[t.name] {
		if c := b.things[name]; c != nil && c != t {
			b.familyLocked(c, depth+1, each)
		}
	}
}

func (b *Bridge) adoptLocked(t *thing, parent string) {
	if t.device != nil && t.device.Parent != "" {
		delete(b.children[t.device.Parent], t.name)
		if len(b.children[t.device.Parent]) == 0 {
			delete(b.children, t.device.Parent)
		}
	}
	if parent != "" {
		if b.children[parent] == nil {
			b.children[parent] = map[string]struct{}{}
		}
		b.children[parent][t.name] = struct{}{}
	}
}

// thing finds a registered Thing by its name.
func (b *Bridge) thing(name string) *thing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.things[name]
}

// profileOf names the profile of a Thing's device.
func (b *Bridge) profileOf(t *thing) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return t.device.Profile
}

// bound finds the Thing that goes by a platform name.
func (b *Bridge) bound(bind string) *thing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.boundLocked(bind)
}

func (b *Bridge) boundLocked(bind string) *thing {
	return b.byBind[foldName(bind)]
}

// knownLocked returns the last value of a property, nil if none is known.
func (t *thing) knownLocked(name string) *known {
	i, ok := slices.BinarySearchFunc(t.known, name, func(k known, name string) int { return strings.Compare(k.Name, name) })
	if !ok {
		return nil
	}
	return &t.known[i]
}

// learnLocked keeps v as its property's last value. Where it does not fit into
// the Thing's bounds none is kept, rather than an old one; nil is returned then.
func (t *thing) learnLocked(v *alwayson.PropertyValue, now time.Time) *known {
	i, ok := slices.BinarySearchFunc(t.known, v.Name, func(k known, name string) int { return strings.Compare(k.Name, name) })
	before := 0
	if ok {
		before = sizeOf(&t.known[i].PropertyValue)
	}
	size := sizeOf(v)
	if !ok && len(t.known) >= maxKnown || t.knownLen-before+size > maxKnownLen {
		if ok {
			t.known = slices.Delete(t.known, i, i+1)
			t.knownLen -= before
		}
		return nil
	}
	if !ok {
		t.known = slices.Insert(t.known, i, known{PropertyValue: alwayson.PropertyValue{Name: strings.Clone(v.Name)}})
	}
	k := &t.known[i]
	k.Value, k.Time, k.Quality, k.received, k.unkept = v.Value, v.Time, v.Quality, now, false
	t.knownLen += size - before
	return k
}

// sizeOf is what a value takes in memory: about its encoding, but each cell of a
// table, which can be one byte there, as much as a value does.
func sizeOf(v *alwayson.PropertyValue) int {
	return v.EncodedSize() + cellBytes*v.Value.Unwrap().Table().Cells()
}

const cellBytes = 40

// maxKnownLen bounds the last values of one Thing, in bytes.
const maxKnownLen = 16 << 20

// maxKnown bounds the properties of one Thing whose last value is remembered.
const maxKnown = 10_000

// problem is one thing that went wrong, for people.
type problem struct {
	at    time.Time
	kind  string
	text  string
	count int
}

const problemsPerThing = 8

// problemRing keeps the newest problems, no more of each than can be shown; a repetition counts up.
type problemRing struct {
	list [problemsPerThing]problem
	n    int // how many were ever added
}

func (r *problemRing) add(kind, text string) {
	text = cut(text)
	now := time.Now()
	for i := range min(r.n, problemsPerThing) {
		if p := &r.list[i]; p.kind == kind && p.text == text {
			p.at = now
			p.count++
			return
		}
	}
	r.list[r.n%problemsPerThing] = problem{at: now, kind: kind, text: text, count: 1}
	r.n++
}

func (r *problemRing) len() int {
	if r == nil {
		return 0
	}
	return min(r.n, problemsPerThing)
}

// all returns the problems, newest first.
func (r *problemRing) all() []problem {
	if r == nil {
		return nil
	}
	list := slices.Clone(r.list[:min(r.n, problemsPerThing)])
	slices.SortFunc(list, func(a, b problem) int { return b.at.Compare(a.at) })
	return list
}

func (t *thing) problemLocked(kind, text string) {
	if t.problems == nil {
		t.problems = &problemRing{}
	}
	t.problems.add(kind, text)
}

// trouble notes a problem with a Thing, by its name; an unknown Thing's goes
// to the Bridge's own list.
func (b *Bridge) trouble(name, kind, text string) {
	text = cut(text)
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.things[name]; t != nil {
		t.problemLocked(kind, text)
		return
	}
	if name != "" {
		text = name + ": " + text
	}
	b.problems.add(kind, text)
}

const maxProblemText = 300

package bridge

import (
	"slices"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// ThingSummary is one line of a list of Things.
type ThingSummary struct {
	Name     string    `json:"name"`
	BoundAs  string    `json:"boundAs"` // platform name: the name, or "*" and the identifier
	Profile  string    `json:"profile"`
	State    string    `json:"state"` // one of the State constants
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"` // of the state on the platform
	LastSeen time.Time `json:"lastSeen"`
	Values   int       `json:"values"` // properties with a known value
	Problems int       `json:"problems"`
}

// Problem is something that went wrong with a Thing, or with nobody's.
type Problem struct {
	Time  time.Time `json:"time"` // of the last time
	Kind  string    `json:"kind"`
	Text  string    `json:"text"`
	Count int       `json:"count"`
}

// KnownValue is a property's last value.
type KnownValue struct {
	Name     string         `json:"name"`
	Value    alwayson.Value `json:"-"`
	Time     time.Time      `json:"time"` // the device's
	Received time.Time      `json:"received"`
	Quality  string         `json:"quality"`
}

// ThingDetails is all that is known of one Thing.
type ThingDetails struct {
	ThingSummary
	Sources         []string                `json:"sources"`
	Parent          string                  `json:"parent,omitempty"`
	Definitions     *mapping.Definitions    `json:"-"` // shared: not to be changed
	Known           []KnownValue            `json:"known"`
	Subscriptions   []alwayson.Subscription `json:"subscriptions"`
	MissingBindings map[string]uint64       `json:"missingBindings"` // properties that came, and have no remote binding on the platform: how many values
	QueuedRecords   int                     `json:"queuedRecords"`
	QueuedBytes     int64                   `json:"queuedBytes"`
	Oldest          time.Time               `json:"oldest,omitzero"`
	Calls           int                     `json:"calls"`
	Recent          []Problem               `json:"recentProblems"`
	LeftOut         []string                `json:"leftOut,omitempty"` // of what its device announced, and why
	Provision       string                  `json:"provision,omitempty"`
}

func (b *Bridge) summaryLocked(t *thing) ThingSummary {
	s := ThingSummary{Name: t.name, BoundAs: t.bind, Profile: t.device.Profile, State: stateNames[b.stateLocked(t)],
		Since: t.stateFrom, LastSeen: t.lastSeen, Values: len(t.known), Problems: t.problems.len()}
	if t.state == alwayson.Refused {
		s.Reason = t.reason
	}
	return s
}

// Thing gives all that is known of one Thing; ok is false when it is not registered.
func (b *Bridge) Thing(name string) (d ThingDetails, ok bool) {
	records, bytes, oldest := b.opt.Outbox.Depth(name)
	calls := b.relay.inFlightOf(name)
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.things[name]
	if t == nil {
		return d, false
	}
	b.sched.mu.Lock()
	d.ThingSummary = b.summaryLocked(t)
	if set := t.flow.current; set != nil {
		d.Subscriptions = set.list
	}
	b.sched.mu.Unlock()
	d.Sources, d.Parent, d.Definitions = t.device.Sources, t.device.Parent, t.device.Definitions
	for i := range t.known {
		k := &t.known[i]
		d.Known = append(d.Known, KnownValue{Name: k.Name, Value: k.Value, Time: time.UnixMilli(k.Time), Received: k.received, Quality: k.Quality})
	}
	d.MissingBindings = make(map[string]uint64, len(t.missing))
	for p, n := range t.missing {
		d.MissingBindings[p] = n
	}
	d.QueuedRecords, d.QueuedBytes, d.Oldest = records, bytes, oldest
	d.Calls = calls
	d.Recent, d.LeftOut = shown(t.problems), t.device.Skipped
	d.Provision = t.provision.text()
	return d, true
}

func shown(r *problemRing) []Problem {
	var list []Problem
	for _, p := range r.all() {
		list = append(list, Problem{Time: p.at, Kind: p.kind, Text: p.text, Count: p.count})
	}
	return list
}

// Metadata gives what a registered Thing's device declares, and what was inferred;
// nil when it is not registered.
func (b *Bridge) Metadata(name string) *alwayson.Metadata { return b.engine.Load().Metadata(name) }

// Status is the Bridge as a whole.
type Status struct {
	Started       time.Time         `json:"started"`
	PlatformUp    bool              `json:"platformUp"`
	PlatformSince time.Time         `json:"platformSince"`
	PlatformError string            `json:"platformError,omitempty"`
	BusUp         bool              `json:"busUp"`
	BusSince      time.Time         `json:"busSince"`
	BusError      string            `json:"busError,omitempty"`
	Things        map[string]int    `json:"things"` // by state
	CallsInFlight int               `json:"callsInFlight"`
	Pushing       int               `json:"pushing"`
	QueuedRecords int               `json:"queuedRecords"`
	QueuedBytes   int64             `json:"queuedBytes"`
	Oldest        time.Time         `json:"oldest,omitzero"`
	Clashes       map[string]string `json:"clashes,omitempty"`     // refused Things: what they clash with
	Unannounced   []Unannounced     `json:"unannounced,omitempty"` // Things that nobody announced, the latest first, at most 20
	Strangers     int               `json:"strangers,omitempty"`   // how many of these there are
	Problems      []Problem         `json:"problems"`              // of nobody's Thing
}

// Unannounced is a Thing whose messages wait, because no device announced it.
type Unannounced struct {
	Thing    string    `json:"thing"`
	Messages int       `json:"messages"` // that wait
	Last     time.Time `json:"last"`     // when the last one came, or the Bridge started
}

// Status gives the Bridge's state as a whole.
func (b *Bridge) Status() Status {
	s := Status{Started: b.startedAt, Things: b.tally.counts(), CallsInFlight: b.relay.inFlight(), Pushing: b.sched.pushing(), Clashes: map[string]string{}}
	s.QueuedRecords, s.QueuedBytes, s.Oldest = b.opt.Outbox.Depth("")
	s.Unannounced, s.Strangers = b.wait.unannounced()
	b.mu.Lock()
	defer b.mu.Unlock()
	s.PlatformUp, s.PlatformSince, s.PlatformError = b.platformUp, b.platformSince, errorText(b.platformErr)
	s.BusUp, s.BusSince, s.BusError = b.busUp, b.busSince, errorText(b.busErr)
	for name, c := range b.clashes {
		s.Clashes[name] = c.text
	}
	s.Problems = shown(&b.problems)
	return s
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// CallInFlight is one call, write or read that has not ended.
type CallInFlight struct {
	Thing    string    `json:"thing"`
	Kind     string    `json:"kind"` // "service", "write", "read"
	Name     string    `json:"name"`
	Phase    string    `json:"phase"` // "queued" behind another, "asleep" until the device shows itself, "sent"
	Started  time.Time `json:"started"`
	Deadline time.Time `json:"deadline"`
}

// CallsInFlight lists the calls in flight, oldest first.
func (b *Bridge) CallsInFlight() []CallInFlight {
	r := b.relay
	var list []CallInFlight
	r.mu.Lock()
	add := func(calls []*call) {
		for _, k := range calls {
			list = append(list, CallInFlight{Thing: k.t.name, Kind: k.kind, Name: k.c.Name, Phase: k.phase.String(), Started: k.started, Deadline: k.deadline})
		}
	}
	for _, rt := range r.routes {
		add(rt.calls)
		add(rt.queue)
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b CallInFlight) int { return a.Started.Compare(b.Started) })
	return list
}

// CallCount is how many calls are in flight.
func (b *Bridge) CallCount() int { return b.relay.inFlight() }

func (p phase) String() string {
	return [...]string{queued: "queued", asleep: "asleep", sent: "sent", over: "over"}[p]
}

func (r *relay) inFlightOf(thing string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.perThing[thing]
}

// Bound reports whether a Thing's values will go soon: it is bound, the platform
// has told what it wants, and the last push was taken.
func (b *Bridge) Bound(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.things[name]
	if t == nil || t.state != alwayson.Bound || t.absent {
		return false
	}
	b.sched.mu.Lock()
	defer b.sched.mu.Unlock()
	return t.flow.subscribed && !t.flow.hold && !t.flow.failed
}

// Dropped is to be told by the Outbox what it dropped of a Thing, and why.
func (b *Bridge) Dropped(reason, thing string, n int) {
	b.metrics.dropped(reason, n)
	b.trouble(thing, "outbox", "values were dropped: "+reason)
}

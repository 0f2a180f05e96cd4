package edgethings

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

// Manager is the registry of edge things between the platform side and the
// bridge. It implements bridge.PlatformEvents for its own Things and hands
// everything else on; it implements the REST listener's Local.
type Manager struct {
	opt     Options
	next    bridge.PlatformEvents
	log     *slog.Logger
	metrics *Metrics
	limits  atomic.Pointer[Limits] // in force
	hosts   *hosts
	agents  *agents
	wake    chan struct{}
	flights sync.WaitGroup // requests, probes and notices
	slots   chan struct{}  // of notices under way
	reading chan struct{}  // has room for the answers that are made into values at the moment
	answers atomic.Int64   // bytes of answers beyond what each may have

	platform Platform

	// changes serialises what changes the table together with Options.Names; it
	// is taken before mu, and never by the platform side's goroutine.
	changes sync.Mutex

	mu       sync.Mutex        // guards the following and all things
	things   map[string]*thing // by folded name
	up       bool              // there is a connection to the platform
	inFlight int               // requests to agents
	bytes    int               // of their JSON
	probing  int
	stopping bool
	refusals map[string]*Refusal // by folded name
	unwant   []string            // names that are forgotten and still wanted
	base     context.Context     // of every request to an agent
	breakOff context.CancelFunc
}

// thing is one registered Thing. Manager.mu guards it.
type thing struct {
	name       string // never changed
	reg        *registration
	state      state
	registered time.Time
	since      time.Time // of the state
	heard      time.Time // when the agent answered last
	next       time.Time // when it is to be probed; zero: never
	failures   int       // probes in a row
	probing    bool
	again      bool          // probe once more after the present one
	csrf       string        // the last token that the agent gave
	turn       chan struct{} // held by the one request to an agent that gives tokens

	wanted bool // the Platform was told
	bind   alwayson.BindState
	reason string        // the platform's, for Refused
	ready  bool          // bound, and the platform has told its subscriptions
	moved  chan struct{} // closed when bind or ready changes; nil: nobody waits for that

	inFlight  int
	lastWrite chan struct{} // closed when the last write of a property has ended
	notifying bool
	notify    bool // another notice is due
	problems  []bridge.Problem
}

// state of an agent.
type state uint8

const (
	waiting state = iota // registered, has not answered yet
	alive
	silent
)

func (s state) String() string {
	return [...]string{waiting: "waiting", alive: "alive", silent: "silent"}[s]
}

// New makes a Manager with the registrations that Options.Store kept; next is
// told of everything that is not its own. It starts no goroutine. An error means that
// the Options are not complete or that the Store cannot be read.
func New(opt Options, next bridge.PlatformEvents) (*Manager, error) {
	if err := opt.fill(); err != nil {
		return nil, err
	}
	h, err := newHosts(opt.Hosts, opt.Own)
	if err != nil {
		return nil, fmt.Errorf("edge things: hosts: %w", err)
	}
	m := &Manager{opt: opt, next: next, log: opt.Logger, hosts: h, wake: make(chan struct{}, 1), slots: make(chan struct{}, mostProbes), reading: make(chan struct{}, readers), things: map[string]*thing{}, refusals: map[string]*Refusal{}}
	m.limits.Store(&opt.Limits)
	m.agents = newAgents(h, opt.TLS)
	m.base, m.breakOff = context.WithCancel(context.Background())
	if m.metrics = opt.Metrics; m.metrics == nil {
		if m.metrics, err = NewMetrics(nil); err != nil {
			return nil, err
		}
	}
	m.metrics.of.Store(m)
	if opt.Store != nil {
		if err := opt.Store.LoadEdgeThings(m.restore); err != nil {
			return nil, fmt.Errorf("edge things: read the registrations: %w", err)
		}
	}
	return m, nil
}

// SetLimits puts other limits into force, for requests that come from now on. What
// is in flight beyond them goes on. Any goroutine may call it.
func (m *Manager) SetLimits(l Limits) {
	l.fill()
	m.limits.Store(&l)
}

// readers is how many answers are made into values at once: a short one can hold a
// large table.
const readers = 4

// Attach gives the Manager the side that it binds on, before Run.
func (m *Manager) Attach(p Platform) { m.platform = p }

// fold is a name as the platform compares it.
func fold(name string) string { return strings.ToLower(name) }

// restore takes in a registration of the last run; what the configuration does
// not allow any more is forgotten.
func (m *Manager) restore(name string, data []byte) error {
	reg := &registration{}
	if err := json.Unmarshal(data, reg); err != nil || reg.Name == "" {
		m.log.Warn("kept registration of an edge thing cannot be read, it is forgotten", "thing", name, "error", err)
		return nil
	}
	if problem := m.admit(reg, false); problem != nil {
		m.log.Warn("kept registration of an edge thing is not taken any more, it is forgotten", "thing", name, "reason", problem.Reason)
		return m.opt.Store.DeleteEdgeThing(name)
	}
	return nil
}

// admit takes a registration in: a new one, or one that replaces another of
// its name; keep has the Store keep it, in the order in which registrations are taken
// in and back. nil: done.
func (m *Manager) admit(reg *registration, keep bool) *alwayson.Response {
	if reg.Port != 0 {
		if why := m.hosts.refusal(reg.Host, reg.Port); why != "" {
			return alwayson.Fail(alwayson.Forbidden, why)
		}
	}
	m.changes.Lock()
	defer m.changes.Unlock()
	m.mu.Lock()
	t, n := m.things[fold(reg.Name)], len(m.things)
	m.mu.Unlock()
	switch {
	case t != nil && t.name != reg.Name:
		return alwayson.Fail(alwayson.PreconditionFailed, fmt.Sprintf("the name %q is taken by the edge thing %q: the platform does not tell upper case from lower", reg.Name, t.name))
	case t == nil && n >= m.opt.Max:
		return alwayson.Fail(alwayson.ServiceUnavailable, fmt.Sprintf("%d edge things are registered already (rest.edge_things.max)", n))
	case t == nil:
		if err := m.opt.Names.Reserve(reg.Name, "the edge thing "+reg.Name); err != nil {
			return alwayson.Fail(alwayson.PreconditionFailed, err.Error())
		}
	}
	m.enter(reg)
	if keep {
		m.save(reg)
	}
	return nil
}

// enter puts a registration into the table.
func (m *Manager) enter(reg *registration) {
	now := time.Now()
	m.mu.Lock()
	t := m.things[fold(reg.Name)]
	fresh := t == nil
	if fresh {
		t = &thing{name: reg.Name, registered: now, since: now, turn: make(chan struct{}, 1)}
		m.things[fold(reg.Name)] = t
	}
	delete(m.refusals, fold(reg.Name))
	changed := fresh || *t.reg != *reg
	if !fresh && t.reg.address() != reg.address() {
		t.csrf = "" // it is the other agent's
	}
	t.reg, t.failures = reg, 0
	if reg.Port == 0 {
		m.setLocked(t, alive)
	}
	t.probeLocked(now)
	m.mu.Unlock()
	signal(m.wake)
	if changed {
		m.log.Info("edge thing registered", "thing", reg.Name, "address", reg.address(), "keepalive", reg.Keepalive, "timeout", reg.Timeout)
	}
}

// probeLocked has the agent probed at a time.
func (t *thing) probeLocked(at time.Time) {
	switch {
	case t.reg.Port == 0:
		t.next = time.Time{}
	case t.probing:
		t.again = true
	default:
		t.next = at
	}
}

// setLocked changes an agent's state.
func (m *Manager) setLocked(t *thing, s state) {
	if t.state != s {
		t.state, t.since = s, time.Now()
	}
}

// forget takes a Thing out and gives its name back; false: there is none.
func (m *Manager) forget(name string) bool {
	m.changes.Lock()
	defer m.changes.Unlock()
	m.mu.Lock()
	t := m.things[fold(name)]
	if t == nil {
		m.mu.Unlock()
		return false
	}
	delete(m.things, fold(name))
	t.movedLocked()
	if t.wanted {
		m.unwant = append(m.unwant, t.name)
	}
	m.mu.Unlock()
	signal(m.wake)
	if m.opt.Store != nil {
		if err := m.opt.Store.DeleteEdgeThing(t.name); err != nil {
			m.log.Error("registration of an edge thing cannot be deleted", "thing", t.name, "error", err)
		}
	}
	m.opt.Names.Release(t.name)
	return true
}

// save keeps a registration. changes is held.
func (m *Manager) save(reg *registration) {
	if m.opt.Store == nil {
		return
	}
	var err error
	if reg.Passing {
		err = m.opt.Store.DeleteEdgeThing(reg.Name)
	} else if data, e := json.Marshal(reg); e != nil {
		err = e
	} else {
		err = m.opt.Store.SaveEdgeThing(reg.Name, data)
	}
	if err != nil {
		m.log.Error("registration of an edge thing cannot be kept", "thing", reg.Name, "error", err)
	}
}

// find gives the Thing of a platform name, nil if it is none of ours.
func (m *Manager) find(name string) *thing {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.things[fold(name)]
}

const problemsPerThing = 8

// problemLocked notes what went wrong with a Thing; a repetition counts up.
func (t *thing) problemLocked(kind, text string) {
	text = cut(text)
	now := time.Now()
	for i := range t.problems {
		if p := &t.problems[i]; p.Kind == kind && p.Text == text {
			p.Time = now
			p.Count++
			return
		}
	}
	if len(t.problems) >= problemsPerThing {
		t.problems = t.problems[1:]
	}
	t.problems = append(t.problems, bridge.Problem{Time: now, Kind: kind, Text: text, Count: 1})
}

// cut bounds a text that is remembered.
func cut(text string) string {
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package mapping

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Session is the state of a protocol whose messages mean something only one
// after the other: numbered messages, aliases, births and deaths. It stands in
// front of the rules: it takes every message that its profiles listen to, and
// gives by a Turn the ones that the rules are to see, each of which can be
// understood by itself. What waits for a Thing's announcement, or in a queue on
// disk, is such a message, so nothing behind a Session depends on its state.
//
// A Session is used by one goroutine. It keeps no reference to an Input or its
// payload, is bounded in all that it remembers, and counts what it refuses.
type Session interface {
	// Message takes one message.
	Message(in *Input, t *Turn)
	// Elapsed is called once the time that Turn.WakeAt named has come.
	Elapsed(t *Turn)
	// Connected says that the broker connection stands and everything is
	// subscribed; kept, that the broker had kept the subscriptions meanwhile.
	Connected(kept bool, t *Turn)
	// Disconnected says that messages may be missed from here on.
	Disconnected(t *Turn)
	// Known tells of a device that was announced in an earlier run.
	Known(d *Device)
}

// NewSession makes a Session of a profile's parameters. An error says which
// parameter cannot be used, for people.
type NewSession func(params map[string]any, lim Limits) (Session, error)

// Turn is what a Session gives back.
type Turn struct {
	Now   time.Time
	Steps []Step          // in order
	Send  []Ask           // to devices, in order, each once
	Count map[Counted]int // what happened
	Tells []Tell          // for the log

	name string // of the session
	prof string // of a profile of it
	at   time.Time
}

// Counted is something that happened in a session: a word of a closed set.
type Counted struct{ Session, Event string }

// Step is a message for the rules, or what the Session itself found out.
type Step struct {
	Input  *Input
	Effect Effect // where Input is nil
	Topic  string // that the Effect is of
}

// Tell is one line for the log; equal ones are told once in a while.
type Tell struct {
	Key  string // tells equal ones; "": none are equal, and it is no trouble
	Text string
	Args []any // keys and values
}

// Pass has the rules see a message.
func (t *Turn) Pass(in Input) { t.Steps = append(t.Steps, Step{Input: &in}) }

// Refuse says why a message on topic, or a part of it, comes to nothing.
func (t *Turn) Refuse(topic string, reason Reason, format string, args ...any) {
	t.Steps = append(t.Steps, Step{Topic: topic, Effect: &Rejected{Rule: t.name + "/session", Reason: reason, Detail: fmt.Sprintf(format, args...)}})
}

// Ask has something sent to a device.
func (t *Turn) Ask(p Publication) {
	t.Send = append(t.Send, Ask{Publication: p, Profile: t.prof})
}

// Happened counts something.
func (t *Turn) Happened(event string) {
	if t.Count == nil {
		t.Count = map[Counted]int{}
	}
	t.Count[Counted{t.name, event}]++
}

// Note has a line logged that tells of no trouble.
func (t *Turn) Note(text string, args ...any) { t.Tells = append(t.Tells, Tell{"", text, args}) }

// Tell has a line logged.
func (t *Turn) Tell(key, text string, args ...any) { t.Tells = append(t.Tells, Tell{key, text, args}) }

// WakeAt has Elapsed called at that time; of several the earliest counts.
func (t *Turn) WakeAt(at time.Time) {
	if t.at.IsZero() || at.Before(t.at) {
		t.at = at
	}
}

// Wake is when Elapsed is to be called; zero: not.
func (t *Turn) Wake() time.Time { return t.at }

// sessionKind is a session that profiles name.
type sessionKind struct {
	name   string
	family int // profiles of one preset share it
	make   NewSession
	params map[string]any
}

var (
	sessionsMu   sync.RWMutex
	sessionMaker = map[string]NewSession{}
)

// RegisterSession makes a session known as `session: NAME`. It panics when the
// name is taken. Call it from init only.
func RegisterSession(name string, f NewSession) {
	sessionsMu.Lock()
	defer sessionsMu.Unlock()
	if sessionMaker[name] != nil {
		panic("mapping: session " + name + " is registered twice")
	}
	sessionMaker[name] = f
}

func (l *profileLoader) session(f field) {
	if !f.ok() {
		return
	}
	name := l.text(f)
	sessionsMu.RLock()
	f2, known := sessionMaker[name]
	names := sortedKeys(sessionMaker)
	sessionsMu.RUnlock()
	if !known {
		l.fail(f, "one of "+strings.Join(names, ", "), "there is no session %q", name)
		return
	}
	if _, err := f2(l.prof.params, Limits{}); err != nil {
		l.fail(f, "", "%s", err)
		return
	}
	for p := range l.prof.params {
		l.used[p] = true // a session sees them all
	}
	l.prof.session = &sessionKind{name: name, family: l.family, make: f2, params: l.prof.params}
}

// Sessions are the sessions of an Engine's profiles. They are used by one goroutine.
type Sessions struct {
	list []*runningSession
}

type runningSession struct {
	name    string
	kind    *sessionKind
	profile string // the first of its profiles
	of      []*profile
	lim     Limits
	Session Session
	topics  Matcher[struct{}]
}

// SessionsAfter makes the sessions that the profiles name and lets those of
// another Engine go on whose profiles and limits are the same. fresh are the
// others, which know nothing yet; nil when there are none.
func (e *Engine) SessionsAfter(former *Sessions) (s, fresh *Sessions) {
	s, fresh = &Sessions{}, &Sessions{}
	made := map[*profile]Session{}
	for _, run := range e.planned() {
		if old := former.like(run); old != nil {
			run.Session = old.Session
		} else {
			var err error
			if run.Session, err = run.kind.make(run.kind.params, run.lim); err != nil {
				continue // the load saw to it
			}
			fresh.list = append(fresh.list, run)
			for _, prof := range run.of {
				made[prof] = run.Session
			}
		}
		s.list = append(s.list, run)
	}
	if len(fresh.list) > 0 {
		for _, d := range e.Devices() {
			if session := made[e.profileOf(d.Profile)]; session != nil {
				session.Known(d)
			}
		}
	}
	return s.orNone(), fresh.orNone()
}

// Ending gives those sessions of a former Engine that would not go on with this
// one; nil when there are none.
func (e *Engine) Ending(former *Sessions) *Sessions {
	if former == nil {
		return nil
	}
	next := &Sessions{list: e.planned()}
	ending := &Sessions{}
	for _, run := range former.list {
		if next.like(run) == nil {
			ending.list = append(ending.list, run)
		}
	}
	return ending.orNone()
}

func (s *Sessions) orNone() *Sessions {
	if len(s.list) == 0 {
		return nil
	}
	return s
}

// like finds the session of the same profiles under the same limits.
func (s *Sessions) like(run *runningSession) *runningSession {
	if s == nil {
		return nil
	}
	for _, old := range s.list {
		if old.name == run.name && old.lim == run.lim && slices.EqualFunc(old.of, run.of, (*profile).same) {
			return old
		}
	}
	return nil
}

// Sessions makes the sessions that the profiles name, and tells them of the
// devices that are known; nil when there are none.
func (e *Engine) Sessions() *Sessions {
	s, _ := e.SessionsAfter(nil)
	return s
}

// planned are the sessions that the profiles name, not made yet.
func (e *Engine) planned() (list []*runningSession) {
	byFamily := map[string]*runningSession{}
	for _, prof := range e.p.profiles {
		k := prof.session
		if k == nil {
			continue
		}
		key := fmt.Sprintf("%d/%s", k.family, k.name)
		run := byFamily[key]
		if run == nil {
			run = &runningSession{name: k.name, kind: k, profile: prof.name, lim: e.opt.Limits}
			byFamily[key] = run
			list = append(list, run)
		}
		run.of = append(run.of, prof)
		for _, rules := range [][]*rule{prof.announces, prof.rules} {
			for _, r := range rules {
				if r.topic == nil {
					run.topics.Add(r.pat.filter, struct{}{})
				}
			}
		}
	}
	return list
}

// Message hands a message to the session that listens to its topic; false when
// none does, and the rules are to see it as it is.
func (s *Sessions) Message(in *Input, t *Turn) bool {
	if s == nil {
		return false
	}
	for _, run := range s.list {
		var hit [1]struct{}
		if len(run.topics.Match(in.Topic, hit[:0])) > 0 {
			t.name, t.prof = run.name, run.profile
			run.Session.Message(in, t)
			return true
		}
	}
	return false
}

// Elapsed lets every session see to what is due.
func (s *Sessions) Elapsed(t *Turn) {
	s.each(t, func(one Session) { one.Elapsed(t) })
}

// Connected tells every session.
func (s *Sessions) Connected(kept bool, t *Turn) {
	s.each(t, func(one Session) { one.Connected(kept, t) })
}

// Disconnected tells every session.
func (s *Sessions) Disconnected(t *Turn) {
	s.each(t, func(one Session) { one.Disconnected(t) })
}

func (s *Sessions) each(t *Turn, f func(Session)) {
	if s == nil {
		return
	}
	for _, run := range s.list {
		t.name, t.prof = run.name, run.profile
		f(run.Session)
	}
}

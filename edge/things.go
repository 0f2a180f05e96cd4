package edge

import (
	"strings"
	"sync"
	"time"

	"thingbridge/edge/alwayson"
)

// thing is what the client knows of one name. The table's mu guards it.
type thing struct {
	name   string
	wanted bool // intent
	// held says that a BIND naming it was sent on the present session and not
	// refused since: the platform may think it bound, so requests for it are
	// served, and an UNBIND is due when it is no longer wanted.
	held     bool
	fresh    bool // in table.fresh
	leaving  bool // in table.gone
	state    alwayson.BindState
	reason   string
	attempts int       // failed BINDs in a row
	retryAt  time.Time // zero: not to be tried again by itself
	sync     syncing
}

// table is the set of Things that should be bound and the set of those that
// are. The binder closes the gap; want and unwant only change intent.
type table struct {
	events *executor
	h      Handler
	kick   chan struct{} // there is work for the binder

	mu      sync.Mutex // guards the following and all things
	session *session   // the authenticated one, nil for none
	byName  map[string]*thing
	folded  map[string]*thing // by lower-case name, of those in byName
	fresh   []*thing          // to be bound as soon as possible
	gone    []*thing          // perhaps to be unbound
	next    time.Time         // no retry is due before; zero: none is due
	wanted  int
	count   [alwayson.Refused + 1]int // wanted Things by state
	asks    asking
}

func newTable(events *executor, h Handler) *table {
	return &table{events: events, h: h, kick: make(chan struct{}, 1), byName: map[string]*thing{}, folded: map[string]*thing{}}
}

func (t *table) signal() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// want adds names to the intent.
func (t *table) want(names []string) {
	t.mu.Lock()
	for _, name := range names {
		th := t.byName[name]
		if th == nil {
			if name == "" {
				continue
			}
			th = &thing{name: name}
			t.byName[name] = th
			t.folded[strings.ToLower(name)] = th
		}
		if th.wanted {
			continue
		}
		th.wanted, th.state, th.reason, th.attempts = true, alwayson.Unbound, "", 0
		t.wanted++
		t.count[th.state]++
		t.refreshLocked(th)
	}
	t.mu.Unlock()
	t.signal()
}

// unwant takes names out of the intent.
func (t *table) unwant(names []string) {
	t.mu.Lock()
	for _, name := range names {
		th := t.byName[name]
		if th == nil || !th.wanted {
			continue
		}
		th.wanted, th.retryAt = false, time.Time{}
		t.wanted--
		t.count[th.state]--
		t.forgetSyncLocked(th)
		switch {
		case !th.held:
			t.removeLocked(th)
		case !th.leaving:
			th.leaving = true
			t.gone = append(t.gone, th)
		}
	}
	t.mu.Unlock()
	t.signal()
}

// rebind makes a wanted name's BIND due at once.
func (t *table) rebind(name string) {
	t.mu.Lock()
	if th := t.byName[name]; th != nil && th.wanted {
		th.attempts = 0
		t.refreshLocked(th)
	}
	t.mu.Unlock()
	t.signal()
}

// refreshLocked makes a BIND due at once. Without a session up does that, so
// that Things which come and go meanwhile leave nothing behind.
func (t *table) refreshLocked(th *thing) {
	th.retryAt = time.Time{}
	if !th.fresh && t.session != nil {
		th.fresh = true
		t.fresh = append(t.fresh, th)
	}
}

func (t *table) removeLocked(th *thing) {
	if t.byName[th.name] == th {
		delete(t.byName, th.name)
	}
	if folded := strings.ToLower(th.name); t.folded[folded] == th {
		delete(t.folded, folded)
	}
}

// setStateLocked changes a wanted Thing's state and tells the handler.
func (t *table) setStateLocked(th *thing, state alwayson.BindState, reason string) {
	if !th.wanted || th.state == state && th.reason == reason {
		return
	}
	t.count[th.state]--
	t.count[state]++
	th.state, th.reason = state, reason
	t.events.post(func() { t.h.BindChanged(th.name, state, reason) })
}

// find returns the name under which a Thing is served, if it is. The platform
// may write it in another case.
func (t *table) find(name string) (*thing, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	th := t.byName[name]
	if th == nil || !th.held {
		th = t.folded[strings.ToLower(name)]
	}
	return th, th != nil && th.held
}

// up makes s the session that Things are bound on.
func (t *table) up(s *session) {
	t.mu.Lock()
	t.session = s
	for _, th := range t.byName {
		th.attempts = 0
		t.refreshLocked(th)
	}
	t.mu.Unlock()
	t.signal()
}

// down forgets all that was true of the session that ended.
func (t *table) down(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.session = nil
	t.asks = asking{}
	t.fresh, t.gone, t.next = nil, nil, time.Time{}
	for _, th := range t.byName {
		th.held, th.fresh, th.leaving, th.retryAt = false, false, false, time.Time{}
		th.sync = syncing{}
		if !th.wanted {
			t.removeLocked(th)
			continue
		}
		t.setStateLocked(th, alwayson.Unbound, reason)
	}
}

// state tells how a wanted Thing stands.
func (t *table) state(name string) (alwayson.BindState, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if th := t.byName[name]; th != nil && th.wanted {
		return th.state, th.reason
	}
	return alwayson.Unbound, ""
}

// counts gives the wanted, bound and refused Things.
func (t *table) counts() (wanted, bound, refused int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wanted, t.count[alwayson.Bound], t.count[alwayson.Refused]
}

// takeFresh takes Things that are to be bound at once, up to most names and
// bytes. Things that are bound already go apart, so that a refusal of a new one
// does not touch them.
func (t *table) takeFresh(most, bytes int) []*thing {
	t.mu.Lock()
	defer t.mu.Unlock()
	var batch []*thing
	i := 0
	for ; i < len(t.fresh) && len(batch) < most; i++ {
		th := t.fresh[i]
		if th.wanted {
			bytes -= len(th.name) + nameCost
			if len(batch) > 0 && (bytes < 0 || (th.state == alwayson.Bound) != (batch[0].state == alwayson.Bound)) {
				break
			}
			batch = append(batch, th)
		}
		th.fresh = false
		t.fresh[i] = nil
	}
	t.fresh = t.fresh[i:]
	return batch
}

// takeGone takes Things whose UNBIND is due.
func (t *table) takeGone(most, bytes int) []*thing {
	t.mu.Lock()
	defer t.mu.Unlock()
	var batch []*thing
	i := 0
	for ; i < len(t.gone) && len(batch) < most; i++ {
		th := t.gone[i]
		if th.held && !th.wanted {
			bytes -= len(th.name) + nameCost
			if len(batch) > 0 && bytes < 0 {
				break
			}
			batch = append(batch, th)
		}
		th.leaving = false
		t.gone[i] = nil
	}
	t.gone = t.gone[i:]
	return batch
}

// takeHeld takes everything that an orderly end has to unbind.
func (t *table) takeHeld() []*thing {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*thing
	for _, th := range t.byName {
		if th.held {
			all = append(all, th)
		}
	}
	return all
}

// takeDue takes refused and unanswered Things whose time has come, together with
// those that would be due soon, so that they go in one BIND; otherwise it tells
// when to look again. A Thing whose UNBIND failed is queued for the next one.
func (t *table) takeDue(now time.Time, soon time.Duration) (due []*thing, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next.IsZero() || t.next.After(now) {
		return nil, t.next
	}
	t.next = time.Time{}
	for _, th := range t.byName {
		if th.retryAt.IsZero() {
			continue
		}
		if th.retryAt.After(now.Add(soon)) {
			t.retryLocked(th, th.retryAt)
			continue
		}
		th.retryAt = time.Time{}
		switch {
		case th.wanted:
			due = append(due, th)
		case !th.leaving:
			th.leaving = true
			t.gone = append(t.gone, th)
		}
	}
	return due, now
}

// retryLocked has takeDue find th at a time.
func (t *table) retryLocked(th *thing, at time.Time) {
	th.retryAt = at
	if t.next.IsZero() || at.Before(t.next) {
		t.next = at
	}
}

// nameCost is what a name costs in a BIND beside its bytes, at most.
const nameCost = 4

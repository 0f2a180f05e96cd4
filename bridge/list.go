package bridge

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Order is what a list of Things is sorted by; Things that are equal in it are
// sorted by name, upwards.
type Order string

// Orders.
const (
	ByName     Order = "name"
	ByState    Order = "state"
	ByProfile  Order = "profile"
	BySince    Order = "since"
	ByLastSeen Order = "lastSeen"
	ByValues   Order = "values"
	ByProblems Order = "problems"
)

// Orders lists what Things can be sorted by.
func Orders() []Order {
	return []Order{ByName, ByState, ByProfile, BySince, ByLastSeen, ByValues, ByProblems}
}

// Selection chooses a part of the Things; zero fields choose all.
type Selection struct {
	Text    string // part of the name, in any case
	Prefix  string // begin of the name, in any case
	State   string // one of the State constants, or StateTrouble
	Profile string
	Order   Order // zero: ByName
	Reverse bool
	Offset  int
	Limit   int // 0: no limit

	Others []ThingSummary // Things that are no devices, to be listed among the Bridge's
}

// StateTrouble chooses the Things that have problems, whatever their state.
const StateTrouble = "trouble"

// States gives what Selection.State can be.
func States() []string { return append(slices.Clone(stateNames[1:]), StateTrouble) }

// Selected is what a Selection chose.
type Selected struct {
	Things []ThingSummary // from Offset, at most Limit
	Total  int            // that match
	States map[string]int // of those that match all but State, by state; and StateTrouble
}

// chunk is for how many Things in a row a list keeps the locks.
const chunk = 512

// eachThing calls f for every Thing, with mu and sched.mu held. It gives the locks back
// now and then, so that values and calls get through meanwhile: what it sees is a look,
// no snapshot.
func (b *Bridge) eachThing(f func(t *thing)) {
	lock := func() { b.mu.Lock(); b.sched.mu.Lock() }
	unlock := func() { b.sched.mu.Unlock(); b.mu.Unlock() }
	lock()
	defer unlock()
	n := 0
	for _, t := range b.things { // a map may change while it is ranged over
		f(t)
		if n++; n%chunk == 0 {
			unlock()
			lock()
		}
	}
}

// listed is a Thing that matches and what it is sorted by.
type listed struct {
	t     *thing
	other *ThingSummary // instead of t
	name  string
	text  string
	num   int64
}

// Select lists Things. Its time grows with all Things, what it copies with Limit.
func (b *Bridge) Select(q Selection) Selected {
	text, prefix := strings.ToLower(q.Text), strings.ToLower(q.Prefix)
	out := Selected{States: map[string]int{}}
	var list []listed
	// look counts a Thing and reports whether it is one of those to be listed.
	look := func(name, profile, state string, problems int) bool {
		if q.Profile != "" && profile != q.Profile || !nameFits(name, text, prefix) {
			return false
		}
		out.States[state]++
		if problems > 0 {
			out.States[StateTrouble]++
		}
		return q.State == "" || q.State == state || q.State == StateTrouble && problems > 0
	}
	b.eachThing(func(t *thing) {
		if state := stateNames[b.stateLocked(t)]; look(t.name, t.device.Profile, state, t.problems.len()) {
			list = append(list, sortedBy(t, q.Order, state))
		}
	})
	for i := range q.Others {
		if o := &q.Others[i]; look(o.Name, o.Profile, o.State, o.Problems) {
			list = append(list, otherBy(o, q.Order))
		}
	}
	out.Total = len(list)
	sign, names := 1, 1
	if q.Reverse {
		sign = -1
	}
	if q.Order == ByName || q.Order == "" {
		names = sign
	}
	slices.SortFunc(list, func(a, b listed) int {
		return cmp.Or(sign*cmp.Compare(a.num, b.num), sign*strings.Compare(a.text, b.text), names*strings.Compare(a.name, b.name))
	})
	list = list[min(q.Offset, len(list)):]
	if q.Limit > 0 {
		list = list[:min(q.Limit, len(list))]
	}
	out.Things = make([]ThingSummary, len(list))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sched.mu.Lock()
	defer b.sched.mu.Unlock()
	for i, l := range list {
		if l.other != nil {
			out.Things[i] = *l.other
		} else {
			out.Things[i] = b.summaryLocked(l.t)
		}
	}
	return out
}

// nameFits compares without case; text and prefix are in lower case.
func nameFits(name, text, prefix string) bool {
	if text == "" && prefix == "" {
		return true
	}
	name = strings.ToLower(name)
	return strings.Contains(name, text) && strings.HasPrefix(name, prefix)
}

func sortedBy(t *thing, o Order, state string) listed {
	l := listed{t: t, name: t.name}
	switch o {
	case ByState:
		l.text = state
	case ByProfile:
		l.text = t.device.Profile
	case BySince:
		l.num = unixNano(t.stateFrom)
	case ByLastSeen:
		l.num = unixNano(t.lastSeen)
	case ByValues:
		l.num = int64(len(t.known))
	case ByProblems:
		l.num = int64(t.problems.len())
	}
	return l
}

func otherBy(t *ThingSummary, o Order) listed {
	l := listed{other: t, name: t.Name}
	switch o {
	case ByState:
		l.text = t.State
	case ByProfile:
		l.text = t.Profile
	case BySince:
		l.num = unixNano(t.Since)
	case ByLastSeen:
		l.num = unixNano(t.LastSeen)
	case ByValues:
		l.num = int64(t.Values)
	case ByProblems:
		l.num = int64(t.Problems)
	}
	return l
}

// unixNano is 0 for no time, which has none.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

package bridge

// earlyPresence remembers what devices that are not announced yet say about being
// there, since a retained status may come before the retained announcement. It
// holds at most limit names; beyond that a random one goes. Bridge.mu guards it.
type earlyPresence struct {
	limit int
	said  map[string]earlySaid
}

// earlySaid is what a device said before it was announced; the zero value: nothing.
type earlySaid struct {
	offline, online, alone, hold, asleep bool
}

func newEarlyPresence(limit int) *earlyPresence {
	return &earlyPresence{limit: limit, said: map[string]earlySaid{}}
}

// change has what is known of a name changed.
func (e *earlyPresence) change(name string, how func(*earlySaid)) {
	s, known := e.said[name]
	how(&s)
	if s == (earlySaid{}) {
		delete(e.said, name)
		return
	}
	if !known && len(e.said) >= e.limit {
		for other := range e.said {
			delete(e.said, other)
			break
		}
	}
	e.said[name] = s
}

// take returns what the device said, and forgets it.
func (e *earlyPresence) take(name string) earlySaid {
	s := e.said[name]
	delete(e.said, name)
	return s
}

func (e *earlyPresence) forget(name string) { delete(e.said, name) }

package bridge

// earlyPresence remembers the presence of devices that are not announced yet,
// since a retained status may come before the retained announcement. It holds at
// most limit names; beyond that a random one goes. Bridge.mu guards it.
type earlyPresence struct {
	limit   int
	offline map[string]struct{}
}

func newEarlyPresence(limit int) *earlyPresence {
	return &earlyPresence{limit: limit, offline: map[string]struct{}{}}
}

func (e *earlyPresence) put(name string, offline bool) {
	if !offline {
		delete(e.offline, name)
		return
	}
	if len(e.offline) >= e.limit {
		for other := range e.offline {
			delete(e.offline, other)
			break
		}
	}
	e.offline[name] = struct{}{}
}

// take returns whether the device said it is offline, and forgets it.
func (e *earlyPresence) take(name string) bool {
	_, off := e.offline[name]
	delete(e.offline, name)
	return off
}

func (e *earlyPresence) forget(name string) { delete(e.offline, name) }

package edgethings

import (
	"slices"
	"time"
)

// Refusal is a registration that was refused, with how often it was tried.
type Refusal struct {
	Name    string    `json:"name"`
	Address string    `json:"address,omitempty"`
	Reason  string    `json:"reason"`
	Count   int       `json:"count"`
	Last    time.Time `json:"last"`

	told time.Time // by the log
}

const (
	mostRefusals  = 1000        // kept
	shownRefusals = 20          // told at a time
	refusalTime   = time.Hour   // without another attempt, then it is forgotten
	refusalPause  = time.Minute // between two lines of the log about one name
)

// refused notes a refused registration and logs it where it is news: an agent
// repeats one that is refused every few seconds. One that is refused for ever other reasons
// has a line a minute.
func (m *Manager) refused(reg *registration, reason string) {
	now := time.Now()
	m.mu.Lock()
	if len(m.refusals) >= mostRefusals {
		for key, r := range m.refusals {
			if now.Sub(r.Last) > refusalTime {
				delete(m.refusals, key)
			}
		}
	}
	r := m.refusals[fold(reg.Name)]
	news := r == nil || r.Reason != reason || now.Sub(r.Last) > refusalTime
	if news {
		told := time.Time{}
		if r != nil {
			told = r.told
		}
		r = &Refusal{Name: reg.Name, Address: reg.address(), Reason: reason, told: told}
	}
	if news = news && now.Sub(r.told) >= refusalPause; news {
		r.told = now
	}
	r.Count++
	r.Last = now
	if m.refusals[fold(reg.Name)] != nil || len(m.refusals) < mostRefusals {
		m.refusals[fold(reg.Name)] = r
	} else {
		news = false // a flood is counted, and not told one by one
	}
	m.mu.Unlock()
	if news {
		m.log.Warn("registration of an edge thing refused", "thing", reg.Name, "address", reg.address(), "reason", reason)
	}
}

// Refusals lists the registrations that were refused lately and not accepted
// since, the newest first, at most 20.
func (m *Manager) Refusals() []Refusal {
	m.mu.Lock()
	var list []Refusal
	for _, r := range m.refusals {
		if time.Since(r.Last) <= refusalTime {
			list = append(list, *r)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b Refusal) int { return b.Last.Compare(a.Last) })
	return list[:min(len(list), shownRefusals)]
}

package edgethings

import (
	"slices"
	"strings"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

// Profile stands for the family of edge things where Things are listed.
const Profile = "edge-thing"

// Thing is all that is known of one edge thing. It shows no secret.
type Thing struct {
	bridge.ThingSummary
	Address    string           `json:"address,omitempty"` // of its agent; none: it cannot be called
	Agent      string           `json:"agent"`             // waiting, alive or silent
	Keepalive  string           `json:"keepalive"`
	Timeout    string           `json:"timeout"`
	Persist    bool             `json:"persist"`
	LogIn      bool             `json:"logIn"` // it registered with a user or password
	Registered time.Time        `json:"registered"`
	Calls      int              `json:"calls"`
	Recent     []bridge.Problem `json:"recentProblems"`
}

// Things lists the edge things, sorted by name.
func (m *Manager) Things() []Thing {
	m.mu.Lock()
	list := make([]Thing, 0, len(m.things))
	for _, t := range m.things {
		list = append(list, t.shownLocked())
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b Thing) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Thing gives one edge thing; ok is false when there is none of that name.
func (m *Manager) Thing(name string) (t Thing, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.things[fold(name)]
	if found == nil {
		return t, false
	}
	return found.shownLocked(), true
}

// Agents counts the edge things by the state of their agents.
func (m *Manager) Agents() map[string]int {
	n := map[string]int{waiting.String(): 0, alive.String(): 0, silent.String(): 0}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.things {
		n[t.state.String()]++
	}
	return n
}

func (t *thing) shownLocked() Thing {
	shown := Thing{
		Address: t.reg.address(), Agent: t.state.String(), Keepalive: t.reg.Keepalive.String(), Timeout: t.reg.Timeout.String(),
		Persist: t.reg.Persist, LogIn: t.reg.User != "" || t.reg.Password != "", Registered: t.registered, Calls: t.inFlight,
		Recent: slices.Clone(t.problems),
	}
	slices.Reverse(shown.Recent)
	shown.ThingSummary = bridge.ThingSummary{
		Name: t.name, BoundAs: t.name, Profile: Profile, State: t.shownState(), Reason: t.reason, Since: t.since, LastSeen: t.heard, Problems: len(t.problems),
	}
	return shown
}

// shownState is the Thing's state in the words that all Things share.
func (t *thing) shownState() string {
	switch {
	case t.state != alive:
		return bridge.StateOffline
	case t.bind == alwayson.Refused:
		return bridge.StateRefused
	case t.bind == alwayson.Binding:
		return bridge.StateBinding
	case t.ready:
		return bridge.StateReady
	case t.bind == alwayson.Bound:
		return bridge.StateBound
	}
	return bridge.StateUnbound
}

// list is the result of GetEdgeThings. It shows no secret.
func (m *Manager) list() *alwayson.InfoTable {
	fields := []alwayson.Field{
		{Name: "name", Type: alwayson.TypeString}, {Name: "host", Type: alwayson.TypeString}, {Name: "port", Type: alwayson.TypeNumber},
		{Name: "proto", Type: alwayson.TypeString}, {Name: "path", Type: alwayson.TypeString}, {Name: "keepalive", Type: alwayson.TypeNumber},
		{Name: "timeout", Type: alwayson.TypeNumber}, {Name: "persist", Type: alwayson.TypeBoolean}, {Name: "isConnected", Type: alwayson.TypeBoolean},
	}
	table := &alwayson.InfoTable{Fields: fields}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range sortedNames(m.things) {
		t := m.things[key]
		table.Rows = append(table.Rows, []alwayson.Value{
			alwayson.NewString(t.name), alwayson.NewString(t.reg.Host), alwayson.NewNumber(float64(t.reg.Port)),
			alwayson.NewString(t.reg.Proto), alwayson.NewString(t.reg.Path), alwayson.NewNumber(float64(t.reg.Keepalive.Milliseconds())),
			alwayson.NewNumber(float64(t.reg.Timeout.Milliseconds())), alwayson.NewBoolean(t.reg.Persist), alwayson.NewBoolean(t.state == alive && t.bind == alwayson.Bound),
		})
	}
	return table
}

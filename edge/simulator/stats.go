package simulator

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// counters count since New.
type counters struct {
	connections, badUpgrades, authRefused, idleClosed, slowClosed atomic.Uint64
	binds, bindsRefused, unbinds                                  atomic.Uint64
	messagesIn, badMessages, wrongSession, unknownMethods         atomic.Uint64
	requests, calls, callsTimedOut, lateAnswers, badMetadata      atomic.Uint64
	pushes, values, valuesDropped                                 atomic.Uint64
	notAsked, unbound, null, badType                              atomic.Uint64
	events, eventsUnknown                                         atomic.Uint64
}

func (c *counters) drop(why string) {
	switch why {
	case droppedNotAsked:
		c.notAsked.Add(1)
	case droppedUnbound:
		c.unbound.Add(1)
	case droppedNull:
		c.null.Add(1)
	case droppedType:
		c.badType.Add(1)
	}
}

// Stats are the platform's counters since New. The JSON names are those of
// GET /simulator/stats.
type Stats struct {
	Connections     uint64            `json:"connections"`     // upgraded
	BadUpgrades     uint64            `json:"badUpgrades"`     // requests for the WebSocket that were none
	AuthRefused     uint64            `json:"authRefused"`     //
	IdleClosed      uint64            `json:"idleClosed"`      // closed after IdleTimeout
	SlowClosed      uint64            `json:"slowClosed"`      // closed because the edge did not read
	Binds           uint64            `json:"binds"`           // BIND messages
	BindsRefused    uint64            `json:"bindsRefused"`    //
	Unbinds         uint64            `json:"unbinds"`         // UNBIND messages
	Messages        uint64            `json:"messages"`        // received, chunks counted each
	BadMessages     uint64            `json:"badMessages"`     // undecodable
	WrongSession    uint64            `json:"wrongSession"`    // with another session's id
	UnknownMethods  uint64            `json:"unknownMethods"`  //
	Requests        uint64            `json:"requests"`        // of edges
	Calls           uint64            `json:"calls"`           // to edges
	CallsTimedOut   uint64            `json:"callsTimedOut"`   //
	LateAnswers     uint64            `json:"lateAnswers"`     // answers that nothing waited for
	BadMetadata     uint64            `json:"badMetadata"`     // unreadable answers to GetMetadata
	Pushes          uint64            `json:"pushes"`          // UpdateSubscribedPropertyValues
	Values          uint64            `json:"values"`          // stored
	ValuesDropped   uint64            `json:"valuesDropped"`   //
	DroppedByReason map[string]uint64 `json:"droppedByReason"` //
	Events          uint64            `json:"events"`          // kept
	EventsUnknown   uint64            `json:"eventsUnknown"`   // refused: the Thing does not define them
}

// Stats gives the counters.
func (p *Platform) Stats() Stats {
	c := &p.stats
	return Stats{
		Connections: c.connections.Load(), BadUpgrades: c.badUpgrades.Load(), AuthRefused: c.authRefused.Load(),
		IdleClosed: c.idleClosed.Load(), SlowClosed: c.slowClosed.Load(),
		Binds: c.binds.Load(), BindsRefused: c.bindsRefused.Load(), Unbinds: c.unbinds.Load(),
		Messages: c.messagesIn.Load(), BadMessages: c.badMessages.Load(), WrongSession: c.wrongSession.Load(), UnknownMethods: c.unknownMethods.Load(),
		Requests: c.requests.Load(), Calls: c.calls.Load(), CallsTimedOut: c.callsTimedOut.Load(), LateAnswers: c.lateAnswers.Load(),
		BadMetadata: c.badMetadata.Load(),
		Pushes:      c.pushes.Load(), Values: c.values.Load(), ValuesDropped: c.valuesDropped.Load(),
		DroppedByReason: map[string]uint64{
			droppedNotAsked: c.notAsked.Load(), droppedUnbound: c.unbound.Load(), droppedNull: c.null.Load(), droppedType: c.badType.Load(),
		},
		Events: c.events.Load(), EventsUnknown: c.eventsUnknown.Load(),
	}
}

// ConnectionInfo is one edge connection. The JSON names are those of GET
// /simulator/connections.
type ConnectionInfo struct {
	ID            uint64    `json:"id"` // counts connections from 1
	Remote        string    `json:"remote"`
	Since         time.Time `json:"since"`
	LastSeen      time.Time `json:"lastSeen"`
	Authenticated bool      `json:"authenticated"`
	Session       uint32    `json:"session"`
	Gateway       string    `json:"gateway"`
	GatewayType   string    `json:"gatewayType"`
	Dead          bool      `json:"dead"`      // ended, but its names are held
	Bound         []string  `json:"bound"`     // names that a Thing claims, as the edge spells them
	Unclaimed     []string  `json:"unclaimed"` // names that no Thing claims
	WaitingCalls  int       `json:"waitingCalls"`
}

// Connections lists the edge connections, by id; dead ones while they hold names.
func (p *Platform) Connections() []ConnectionInfo {
	p.mu.RLock()
	defer p.mu.RUnlock()
	out := make([]ConnectionInfo, 0, len(p.conns))
	for c := range p.conns {
		out = append(out, c.infoLocked(false))
	}
	for c := range p.held {
		out = append(out, c.infoLocked(true))
	}
	slices.SortFunc(out, func(a, b ConnectionInfo) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (c *conn) infoLocked(dead bool) ConnectionInfo {
	info := ConnectionInfo{
		ID: c.id, Remote: c.remote, Since: c.started, LastSeen: time.Unix(0, c.lastSeen.Load()),
		Authenticated: c.session.Load() != 0, Session: c.session.Load(), Dead: dead,
		Bound: []string{}, Unclaimed: []string{}, WaitingCalls: c.calls.waiting(),
	}
	if c.gateway != nil {
		info.Gateway, info.GatewayType = c.gateway.Name, c.gateway.Type
	}
	for _, ep := range c.endpoints {
		if ep.thing.Load() != nil {
			info.Bound = append(info.Bound, ep.name)
		} else {
			info.Unclaimed = append(info.Unclaimed, ep.name)
		}
	}
	slices.Sort(info.Bound)
	slices.Sort(info.Unclaimed)
	return info
}

// compareNames orders names without case.
func compareNames(a, b string) int {
	return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
}

package bridge

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// Bounds of what is remembered for people.
const (
	seenEvents     = 1024 // latest events, over all Things
	seenEventBytes = 2048 // an event's data beyond that is not remembered
	seenRejections = 500  // rules and reasons; the least recent makes room
	seenLinks      = 64   // latest changes of a connection
)

// Names of the two connections.
const (
	LinkBroker   = "broker"
	LinkPlatform = "platform"
)

// SeenEvent is an event that a device sent.
type SeenEvent struct {
	Thing    string    `json:"thing"`
	Name     string    `json:"name"`
	Time     time.Time `json:"time"` // the device's
	Received time.Time `json:"received"`
	Data     any       `json:"data,omitempty"`     // one object
	TooLarge bool      `json:"tooLarge,omitempty"` // to be remembered

	table *alwayson.InfoTable
}

// Rejection is what one rule refused for one reason, with the latest example.
type Rejection struct {
	Rule   string    `json:"rule"`
	Reason string    `json:"reason"`
	Count  int       `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Thing  string    `json:"thing,omitempty"`
	Topic  string    `json:"topic,omitempty"`
	Detail string    `json:"detail"`
}

// LinkChange is the begin or the end of a connection.
type LinkChange struct {
	Time   time.Time `json:"time"`
	Up     bool      `json:"up"`
	Reason string    `json:"reason,omitempty"`
}

// seen remembers what happened lately, for people. All of it is bounded.
type seen struct {
	// mu guards the following.
	mu         sync.Mutex
	events     []SeenEvent // a ring
	eventPos   int
	rejections map[rejectionKey]*Rejection
	links      map[string][]LinkChange // oldest first
}

type rejectionKey struct{ rule, reason string }

// event remembers an event whose record has size bytes.
func (s *seen) event(e *mapping.Event, now time.Time, size int) {
	it := SeenEvent{Thing: e.Thing, Name: e.Name, Time: e.Time, Received: now, table: e.Data}
	if size > seenEventBytes {
		it.table, it.TooLarge = nil, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) < seenEvents {
		s.events = append(s.events, it)
		return
	}
	s.events[s.eventPos] = it
	s.eventPos = (s.eventPos + 1) % seenEvents
}

// reject counts a rejection and keeps it as its rule's example.
func (s *seen) reject(e *mapping.Rejected, topic string) {
	key := rejectionKey{e.Rule, string(e.Reason)}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rejections[key]
	if r == nil {
		if s.rejections == nil {
			s.rejections = map[rejectionKey]*Rejection{}
		}
		if len(s.rejections) >= seenRejections {
			s.forgetRejectionLocked()
		}
		r = &Rejection{Rule: e.Rule, Reason: string(e.Reason), First: now}
		s.rejections[key] = r
	}
	r.Count++
	r.Last, r.Thing, r.Topic, r.Detail = now, e.Thing, cutTopic(topic), cut(e.Detail)
}

func (s *seen) forgetRejectionLocked() {
	var oldest rejectionKey
	var at time.Time
	for key, r := range s.rejections {
		if at.IsZero() || r.Last.Before(at) {
			oldest, at = key, r.Last
		}
	}
	delete(s.rejections, oldest)
}

func (s *seen) link(name string, up bool, err error) {
	c := LinkChange{Time: time.Now(), Up: up, Reason: cut(errorText(err))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links == nil {
		s.links = map[string][]LinkChange{}
	}
	list := append(s.links[name], c)
	if len(list) > seenLinks {
		list = slices.Delete(list, 0, len(list)-seenLinks)
	}
	s.links[name] = list
}

// Events gives the latest events of a Thing, or of all with an empty name, the
// newest first, at most so many. Those of all Things crowd each other out.
func (b *Bridge) Events(thing string, most int) []SeenEvent {
	s := &b.seen
	s.mu.Lock()
	var list []SeenEvent
	for i := range s.events {
		e := &s.events[(s.eventPos+len(s.events)-1-i)%len(s.events)]
		if thing != "" && e.Thing != thing {
			continue
		}
		if list = append(list, *e); len(list) == most {
			break
		}
	}
	s.mu.Unlock()
	for i := range list {
		if rows, _ := mapping.ToJSON(alwayson.NewTable(list[i].table)).([]any); len(rows) > 0 {
			list[i].Data = rows[0]
		}
		list[i].table = nil
	}
	return list
}

// Rejections lists what was refused, the latest first.
func (b *Bridge) Rejections() []Rejection {
	b.seen.mu.Lock()
	list := make([]Rejection, 0, len(b.seen.rejections))
	for _, r := range b.seen.rejections {
		list = append(list, *r)
	}
	b.seen.mu.Unlock()
	slices.SortFunc(list, func(a, b Rejection) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Reason, b.Reason))
	})
	return list
}

// LinkChanges gives a connection's latest changes, oldest first.
func (b *Bridge) LinkChanges(name string) []LinkChange {
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	return slices.Clone(b.seen.links[name])
}

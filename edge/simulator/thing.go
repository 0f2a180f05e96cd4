package simulator

import (
	"sync"
	"sync/atomic"
	"time"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/restjson"
)

// thing is one Thing as the platform keeps it.
type thing struct {
	name     string // never changes
	template string // never changes
	remote   bool   // its template is RemoteThing or extends it; never changes
	builtin  bool   // part of every platform, cannot be deleted

	auto  atomic.Bool              // invented from a BIND: its definitions follow its GetMetadata
	asked atomic.Bool              // its edge has answered GetMetadata, or let it be
	claim atomic.Pointer[endpoint] // the binding that claims it; written under Platform.mu

	mu          sync.Mutex // guards the following
	identifier  string
	description string
	enabled     bool
	valueStream string
	lastConn    time.Time
	metadata    []byte // GetMetadata's last answer, as it came
	props       map[string]*property
	propOrder   []string
	byEdge      map[string][]*property // remotely bound ones, by remote name
	services    map[string]*service
	svcOrder    []string
	events      map[string]*event
	eventOrder  []string
	pushes      ring[Pushed]
	eventLog    ring[Event]
}

// property is a property of a Thing: its definition, binding, value and history.
type property struct {
	def      alwayson.PropertyDefinition
	fallback alwayson.Value // defaultValue
	logged   bool
	binding  *propertyBinding // nil: local
	known    bool             // a value was stored
	value    alwayson.PropertyValue
	stored   time.Time // when, by our clock
	history  ring[alwayson.PropertyValue]
}

// propertyBinding is a remote binding of a property.
type propertyBinding struct {
	edgeName  string
	push      alwayson.PushType
	threshold float64
	cacheTime int64 // ms; 0: read from the edge each time, below 0: never
	timeout   int64 // ms, kept and shown only
	foldType  string
	startType string
}

// service is a service definition of a Thing.
type service struct {
	def      alwayson.ServiceDefinition
	remote   bool
	edgeName string
}

// event is an event definition of a Thing.
type event struct {
	def    alwayson.EventDefinition
	remote bool
}

func newThing(name, template string, remote bool, o *Options) *thing {
	return &thing{
		name: name, template: template, remote: remote, enabled: true,
		props: map[string]*property{}, byEdge: map[string][]*property{},
		services: map[string]*service{}, events: map[string]*event{},
		pushes: newRing[Pushed](o.PushLimit), eventLog: newRing[Event](o.EventLimit),
	}
}

// bound gives the live binding of t, nil if there is none.
func (t *thing) bound() *endpoint { return t.claim.Load() }

// addPropertyLocked adds or replaces a property. A replaced one keeps value and
// history when its base type stays.
func (t *thing) addPropertyLocked(p *property, o *Options) {
	name := p.def.Name
	if old := t.props[name]; old != nil {
		if old.def.Type == p.def.Type {
			p.known, p.value, p.stored, p.history = old.known, old.value, old.stored, old.history
		}
	} else {
		t.propOrder = append(t.propOrder, name)
	}
	if p.history.limit == 0 {
		p.history = newRing[alwayson.PropertyValue](o.HistoryLimit)
	}
	t.props[name] = p
	t.indexLocked()
}

func (t *thing) removePropertyLocked(name string) {
	delete(t.props, name)
	t.propOrder = without(t.propOrder, name)
	t.indexLocked()
}

// indexLocked rebuilds byEdge after any change of properties or bindings.
func (t *thing) indexLocked() {
	clear(t.byEdge)
	for _, name := range t.propOrder {
		if p := t.props[name]; p.binding != nil {
			t.byEdge[p.binding.edgeName] = append(t.byEdge[p.binding.edgeName], p)
		}
	}
}

func (t *thing) addServiceLocked(s *service) {
	if t.services[s.def.Name] == nil {
		t.svcOrder = append(t.svcOrder, s.def.Name)
	}
	t.services[s.def.Name] = s
}

func (t *thing) addEventLocked(e *event) {
	if t.events[e.def.Name] == nil {
		t.eventOrder = append(t.eventOrder, e.def.Name)
	}
	t.events[e.def.Name] = e
}

// storeLocked makes v the property's value and adds it to its history.
func (p *property) storeLocked(v alwayson.PropertyValue, now time.Time) {
	p.known, p.value, p.stored = true, v, now
	p.history.add(v)
}

// readLocked gives the stored value, else the default, else NOTHING.
func (p *property) readLocked() alwayson.Value {
	if p.known {
		return p.value.Value
	}
	return p.fallback
}

// accept gives v under the property's own name and type; false: it does not fit.
func (p *property) accept(v alwayson.PropertyValue) (alwayson.PropertyValue, bool) {
	value, ok := restjson.Coerce(v.Value, p.def.Type)
	if !ok {
		return v, false
	}
	v.Name, v.Value = p.def.Name, value
	return v, true
}

func without(list []string, name string) []string {
	out := list[:0]
	for _, s := range list {
		if s != name {
			out = append(out, s)
		}
	}
	return out
}

// ring keeps the newest limit entries.
type ring[T any] struct {
	limit   int
	first   int // index of the oldest, once full
	entries []T
	dropped uint64
}

func newRing[T any](limit int) ring[T] { return ring[T]{limit: max(limit, 0)} }

// add appends v; when the ring is full the oldest entry goes.
func (r *ring[T]) add(v T) {
	switch {
	case r.limit <= 0:
	case len(r.entries) < r.limit:
		r.entries = append(r.entries, v)
		return
	default:
		r.entries[r.first] = v
		r.first = (r.first + 1) % r.limit
	}
	r.dropped++
}

// list gives the entries, oldest first, in a slice of the caller's own.
func (r *ring[T]) list() []T {
	out := make([]T, 0, len(r.entries))
	out = append(out, r.entries[r.first:]...)
	return append(out, r.entries[:r.first]...)
}

// keep drops the entries for which f is false.
func (r *ring[T]) keep(f func(T) bool) {
	list := r.list()
	kept := list[:0]
	for _, v := range list {
		if f(v) {
			kept = append(kept, v)
		}
	}
	r.entries, r.first = kept, 0
}

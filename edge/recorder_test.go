package edge

import (
	"slices"
	"strings"
	"sync"

	"thingbridge/edge/alwayson"
)

// recorder is a Handler that notes what it is told.
type recorder struct {
	onRequest func(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response))
	values    []alwayson.PropertyValue

	mu     sync.Mutex
	events []string
	subs   map[string][]alwayson.Subscription
	downs  []error
	served int
	bound  map[string]bool
}

func (r *recorder) note(parts ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, strings.Join(parts, " "))
}

func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.events, "; ")
}

func (r *recorder) PlatformUp(uint64) { r.note("up") }
func (r *recorder) PlatformDown(_ uint64, err error) {
	r.mu.Lock()
	r.downs = append(r.downs, err)
	r.mu.Unlock()
	r.note("down")
}

func (r *recorder) BindChanged(name string, state alwayson.BindState, reason string) {
	r.note(strings.TrimSpace(name + " " + state.String() + " " + reason))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bound == nil {
		r.bound = map[string]bool{}
	}
	r.bound[name] = state == alwayson.Bound
}

func (r *recorder) Subscribed(name string, subs []alwayson.Subscription) {
	r.note(name, "subscribed")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subs == nil {
		r.subs = map[string][]alwayson.Subscription{}
	}
	r.subs[name] = subs
}

func (r *recorder) CurrentValues(string) []alwayson.PropertyValue { return r.values }

func (r *recorder) Request(name string, method alwayson.Code, req *alwayson.Request, respond func(*alwayson.Response)) {
	r.mu.Lock()
	r.served++
	r.mu.Unlock()
	r.mu.Lock()
	f := r.onRequest
	r.mu.Unlock()
	if f != nil {
		f(name, method, req, respond)
		return
	}
	respond(alwayson.OK(alwayson.NewTable(alwayson.NewResult(alwayson.NewString(req.Name)))))
}

// lost are the causes of the connections' ends.
func (r *recorder) lost() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.downs)
}

// subscribed are a Thing's subscriptions.
func (r *recorder) subscribed(name string) []alwayson.Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.subs[name]
}

func (r *recorder) subscribedCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.subs)
}

func (r *recorder) boundCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, b := range r.bound {
		if b {
			n++
		}
	}
	return n
}

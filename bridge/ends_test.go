package bridge_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// farPlatform stands where the WebSocket ends: it binds what it is asked to
// bind, subscribes what its model names and stores what is pushed.
type farPlatform struct {
	events bridge.PlatformEvents
	jobs   *jobs

	mu      sync.Mutex
	up      bool
	session uint64
	wanted  map[string]bool
	log     []string // want, unwant, rebind
	model   map[string][]alwayson.Subscription
	refuse  map[string]string
	manual  bool // answers to pushes are given by the test
	waiting []pending
	pushes  []pushed
	calls   []*alwayson.Request
	judge   func(req *alwayson.Request) (*alwayson.Response, error)
	maxBody int
	resets  []string
	misses  int // requests while there was no connection
}

type pending struct {
	req  *alwayson.Request
	done func(*alwayson.Response, error)
}

type pushed struct {
	thing string
	event string
	vals  []alwayson.PropertyValue
}

// jobs is one goroutine that makes the far end's calls, as the real ends have.
type jobs struct {
	mu   sync.Mutex
	list []func()
	wake chan struct{}
}

func newJobs() *jobs { return &jobs{wake: make(chan struct{}, 1)} }

func (j *jobs) add(f func()) {
	j.mu.Lock()
	j.list = append(j.list, f)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *jobs) run(ctx context.Context) {
	for {
		j.mu.Lock()
		list := j.list
		j.list = nil
		j.mu.Unlock()
		for _, f := range list {
			f()
		}
		if len(list) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-j.wake:
		}
	}
}

func (p *farPlatform) Want(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range names {
		p.wanted[n] = true
		p.log = append(p.log, "want "+n)
		if p.up {
			p.bindLocked(n)
		}
	}
}

func (p *farPlatform) Unwant(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range names {
		delete(p.wanted, n)
		p.log = append(p.log, "unwant "+n)
		p.jobs.add(func() { p.events.BindChanged(n, alwayson.Unbound, "") })
	}
}

func (p *farPlatform) Rebind(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, "rebind "+name)
	if p.up {
		p.bindLocked(name)
	}
}

func (p *farPlatform) bindLocked(name string) {
	reason, refused := p.refuse[name]
	subs, there := p.model[name]
	p.jobs.add(func() {
		p.events.BindChanged(name, alwayson.Binding, "")
		if refused {
			p.events.BindChanged(name, alwayson.Refused, reason)
			return
		}
		p.events.BindChanged(name, alwayson.Bound, "")
		if there {
			p.events.Subscribed(name, subs)
		}
	})
}

func (p *farPlatform) Start(method alwayson.Code, req *alwayson.Request, timeout time.Duration, done func(*alwayson.Response, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.up {
		p.misses++
		p.jobs.add(func() { done(nil, alwayson.ErrNotConnected) })
		return
	}
	w := pending{req, done}
	if p.manual {
		p.waiting = append(p.waiting, w)
		return
	}
	p.answerLocked(w)
}

func (p *farPlatform) answerLocked(w pending) {
	if p.judge != nil {
		if resp, err := p.judge(w.req); resp != nil || err != nil {
			p.jobs.add(func() { w.done(resp, err) })
			return
		}
	}
	p.storeLocked(w.req)
	p.jobs.add(func() { w.done(alwayson.OK(alwayson.Value{}), nil) })
}

func (p *farPlatform) storeLocked(req *alwayson.Request) {
	switch {
	case req.Characteristic == alwayson.Events:
		p.pushes = append(p.pushes, pushed{thing: req.Entity, event: req.Name})
	case req.Name == "UpdateSubscribedPropertyValues":
		p.pushes = append(p.pushes, pushed{thing: req.Entity, vals: valuesOf(req)})
	default:
		p.calls = append(p.calls, req)
	}
}

func valuesOf(req *alwayson.Request) []alwayson.PropertyValue {
	table := req.Params.Cell(0, "values").Table()
	var vals []alwayson.PropertyValue
	for i := range table.Rows {
		vals = append(vals, alwayson.PropertyValue{Name: table.Cell(i, "name").Text(), Value: table.Cell(i, "value").Unwrap(),
			Time: table.Cell(i, "time").Millis(), Quality: table.Cell(i, "quality").Text()})
	}
	return vals
}

// answer answers the oldest push that waits.
func (p *farPlatform) answer(t *testing.T, resp *alwayson.Response, err error) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		t.Fatal("no push waits for an answer")
	}
	w := p.waiting[0]
	p.waiting = p.waiting[1:]
	if err == nil && resp.Code.IsSuccess() {
		p.storeLocked(w.req)
	}
	p.jobs.add(func() { w.done(resp, err) })
}

func (p *farPlatform) MaxBody() int {
	if p.maxBody == 0 {
		return 1 << 20
	}
	return p.maxBody
}

func (p *farPlatform) Reconnect(reason string) {
	p.mu.Lock()
	p.resets = append(p.resets, reason)
	p.mu.Unlock()
	p.down()
	p.connect()
}

func (p *farPlatform) connect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = true
	p.session++
	s := p.session
	p.jobs.add(func() { p.events.PlatformUp(s) })
	for n := range p.wanted {
		p.bindLocked(n)
	}
}

func (p *farPlatform) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = false
	s, lost := p.session, p.waiting
	p.waiting = nil
	p.jobs.add(func() {
		for _, w := range lost {
			w.done(nil, alwayson.ErrConnectionLost)
		}
		p.events.PlatformDown(s, io.ErrUnexpectedEOF)
	})
}

// got lists what was stored, as "thing.property=value" and "thing!event".
func (p *farPlatform) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, x := range p.pushes {
		if x.event != "" {
			list = append(list, x.thing+"!"+x.event)
		}
		for _, v := range x.vals {
			list = append(list, x.thing+"."+v.Name+"="+string(mapping.AppendJSON(nil, v.Value)))
		}
	}
	return list
}

func (p *farPlatform) history() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

func (p *farPlatform) isWanted(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted[name]
}

// farBus stands where the broker is: it keeps what is published, and the
// marker comes back by itself.
type farBus struct {
	events bridge.BusEvents
	jobs   *jobs

	mu        sync.Mutex
	filters   map[string]bool
	published []bridge.Publication
	device    func(p bridge.Publication) // what a device does on a message
	fail      error
	slow      bool          // the broker confirms only when it is told to
	held      []func(error) // what it has not confirmed
	noMarker  bool
	refreshed []string
	retains   map[string]string // topic to payload: what comes when it is refreshed
	forgetful bool              // the broker had not kept the session
	resets    []string
}

func (f *farBus) Reconnect(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resets = append(f.resets, reason)
}

func (f *farBus) SessionKept() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.forgetful
}

func (f *farBus) Subscribe(filters ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range filters {
		f.filters[s] = true
	}
}

func (f *farBus) Unsubscribe(filters ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range filters {
		delete(f.filters, s)
	}
}

func (f *farBus) Refresh(topics ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshed = append(f.refreshed, topics...)
	for _, topic := range topics {
		if payload, ok := f.retains[topic]; ok {
			f.jobs.add(func() {
				f.events.Message(&bridge.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retained: true, Received: time.Now()})
			})
		}
	}
}

func (f *farBus) Between(call func()) { f.jobs.add(call) }

func (f *farBus) Refreshed(done func()) { f.jobs.add(done) }

func (f *farBus) Publish(p bridge.Publication, done func(error)) {
	f.mu.Lock()
	err, device := f.fail, f.device
	if err == nil {
		f.published = append(f.published, p)
	}
	marker := !f.noMarker && strings.HasSuffix(p.Topic, "/marker")
	if f.slow && !marker && done != nil {
		f.held = append(f.held, done)
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	f.jobs.add(func() {
		if done != nil {
			done(err)
		}
		if err != nil {
			return
		}
		if marker {
			f.events.Message(&bridge.Message{Topic: p.Topic, Payload: p.Payload, QoS: 1, Received: time.Now()})
		} else if device != nil {
			device(p)
		}
	})
}

// confirm ends the n-th of the publications that are held.
func (f *farBus) confirm(n int, err error) {
	f.mu.Lock()
	done := f.held[n]
	f.mu.Unlock()
	f.jobs.add(func() { done(err) })
	synctest.Wait()
}

// sent lists what was published but the marker, as "topic payload".
func (f *farBus) sent() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, p := range f.published {
		if !strings.HasSuffix(p.Topic, "/marker") {
			list = append(list, p.Topic+" "+string(p.Payload))
		}
	}
	return list
}

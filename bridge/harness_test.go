package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"thingbridge/bridge"
	"thingbridge/bridge/outbox"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is one bridge between its two far ends, in a synctest bubble.
type rig struct {
	t        *testing.T
	b        *bridge.Bridge
	platform *farPlatform
	bus      *farBus
	outbox   bridge.Outbox
	stop     func()
	acked    map[string]int
	mu       sync.Mutex
}

type setup func(o *bridge.Options)

func native(t *testing.T) *mapping.Engine {
	t.Helper()
	profiles, problems := mapping.Load(nil, "test.yaml", nil)
	for _, p := range problems {
		if !p.Warning {
			t.Fatal(p)
		}
	}
	return mapping.NewEngine(profiles, mapping.Options{})
}

// newRig makes and runs a bridge whose platform knows Things by the given model.
func newRig(t *testing.T, model map[string][]alwayson.Subscription, options ...setup) *rig {
	t.Helper()
	box, err := outbox.NewMemory(outbox.Options{HoldMax: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	opt := bridge.Options{Engine: native(t), Outbox: box, ClientID: "test", Logger: slog.New(slog.DiscardHandler)}
	for _, f := range options {
		f(&opt)
	}
	b, err := bridge.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, b: b, outbox: opt.Outbox, acked: map[string]int{},
		platform: &farPlatform{events: b, jobs: newJobs(), wanted: map[string]bool{}, model: model, refuse: map[string]string{}},
		bus:      &farBus{events: b, jobs: newJobs(), filters: map[string]bool{}}}
	b.Attach(r.platform, r.bus)
	ctx, cancel := context.WithCancel(t.Context())
	far, endFar := context.WithCancel(context.Background())
	var wg, ends sync.WaitGroup
	wg.Go(func() { _ = b.Run(ctx) })
	ends.Go(func() { r.platform.jobs.run(far) })
	ends.Go(func() { r.bus.jobs.run(far) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		r.mustTally()
		endFar()
		ends.Wait()
		_ = box.Close()
	})
	return r
}

// bubble runs a test in a synctest bubble with a connected rig.
func bubble(t *testing.T, model map[string][]alwayson.Subscription, test func(*rig), options ...setup) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, model, options...)
		defer r.stop()
		r.platform.connect()
		r.bus.jobs.add(func() { r.b.BusUp(1) })
		synctest.Wait()
		test(r)
	})
}

// live and retained hand over one QoS 1 message and let everything settle.
func (r *rig) live(topic, payload string)     { r.message(topic, payload, false); synctest.Wait() }
func (r *rig) retained(topic, payload string) { r.message(topic, payload, true); synctest.Wait() }

func (r *rig) message(topic, payload string, retained bool) {
	m := &bridge.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retained: retained, Received: time.Now()}
	m.AckFunc = func() {
		r.mu.Lock()
		r.acked[topic+" "+payload]++
		r.mu.Unlock()
	}
	r.bus.jobs.add(func() { r.b.Message(m) })
}

func (r *rig) acks(topic, payload string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked[topic+" "+payload]
}

// request makes a request of the platform and returns where its answer comes.
func (r *rig) request(thing string, method alwayson.Code, req *alwayson.Request) chan *alwayson.Response {
	answer := make(chan *alwayson.Response, 2)
	r.platform.jobs.add(func() { r.b.Request(thing, method, req, func(resp *alwayson.Response) { answer <- resp }) })
	return answer
}

func (r *rig) service(thing, name string, inputs ...alwayson.Named) chan *alwayson.Response {
	var params *alwayson.InfoTable
	if len(inputs) > 0 {
		params = alwayson.OneRow(inputs...)
	}
	return r.request(thing, alwayson.Post, alwayson.ServiceRequest(alwayson.EntityThing, thing, name, params))
}

// reply has the device answer every service request with the payload.
func (r *rig) device(f func(topic string, payload []byte)) {
	r.bus.mu.Lock()
	r.bus.device = func(p bridge.Publication) { f(p.Topic, p.Payload) }
	r.bus.mu.Unlock()
}

func (r *rig) state(thing string) string {
	d, ok := r.b.Thing(thing)
	if !ok {
		return "forgotten"
	}
	return d.State
}

func (r *rig) mustState(thing, want string) {
	r.t.Helper()
	if got := r.state(thing); got != want {
		r.t.Fatalf("state of %s is %s, want %s", thing, got, want)
	}
}

func (r *rig) mustGot(want ...string) {
	r.t.Helper()
	if got := r.platform.got(); !slices.Equal(got, want) {
		r.t.Fatalf("the platform got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (r *rig) answered(c chan *alwayson.Response) *alwayson.Response {
	r.t.Helper()
	synctest.Wait()
	select {
	case resp := <-c:
		if len(c) > 0 {
			r.t.Fatal("answered twice")
		}
		return resp
	default:
		r.t.Fatal("not answered")
		return nil
	}
}

func (r *rig) mustFail(c chan *alwayson.Response, code alwayson.Code, text string) {
	r.t.Helper()
	resp := r.answered(c)
	if resp.Code != code || !strings.Contains(resp.Reason, text) {
		r.t.Fatalf("answer is %s %q, want %s and %q", resp.Code, resp.Reason, code, text)
	}
}

func subs(names ...string) []alwayson.Subscription {
	var list []alwayson.Subscription
	for _, n := range names {
		list = append(list, alwayson.Subscription{EdgeName: n, Push: alwayson.PushAlways})
	}
	return list
}

func pump(names ...string) map[string][]alwayson.Subscription {
	return map[string][]alwayson.Subscription{"pump-1": subs(names...)}
}

func num(n int) string { return fmt.Sprintf("%d", n) }

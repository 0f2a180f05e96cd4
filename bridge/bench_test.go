package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"thingbridge/bridge"
	"thingbridge/bridge/outbox"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// quickPlatform binds at once and takes every push.
type quickPlatform struct {
	b    *bridge.Bridge
	jobs *jobs
	subs []alwayson.Subscription
	vals atomic.Int64
	n    atomic.Int64
}

func (p *quickPlatform) Want(names ...string) {
	for _, n := range names {
		p.jobs.add(func() {
			p.b.BindChanged(n, alwayson.Bound, "")
			p.b.Subscribed(n, p.subs)
			p.n.Add(1)
		})
	}
}
func (p *quickPlatform) Unwant(...string) {}
func (p *quickPlatform) Rebind(string)    {}
func (p *quickPlatform) MaxBody() int     { return 1 << 20 }
func (p *quickPlatform) Start(_ alwayson.Code, req *alwayson.Request, _ time.Duration, done func(*alwayson.Response, error)) {
	p.vals.Add(int64(len(req.Params.Cell(0, "values").Table().Rows)))
	p.jobs.add(func() { done(alwayson.OK(alwayson.Value{}), nil) })
}

type quickBus struct{ jobs *jobs }

func (quickBus) Subscribe(...string)   {}
func (quickBus) Unsubscribe(...string) {}
func (q quickBus) Between(call func()) { q.jobs.add(call) }
func (q quickBus) Publish(_ bridge.Publication, done func(error)) {
	if done != nil {
		q.jobs.add(func() { done(nil) })
	}
}

func benchRig(b *testing.B, things int) (*bridge.Bridge, *quickPlatform) {
	b.Helper()
	profiles, _ := mapping.Load(nil, "bench.yaml", nil)
	box, err := outbox.NewMemory(outbox.Options{HoldMax: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	br, err := bridge.New(bridge.Options{Engine: mapping.NewEngine(profiles, mapping.Options{}), Outbox: box, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	p := &quickPlatform{b: br, jobs: newJobs(), subs: subs("temp", "flow", "on")}
	br.Attach(p, quickBus{p.jobs})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = br.Run(ctx) })
	wg.Go(func() { p.jobs.run(ctx) })
	b.Cleanup(func() { cancel(); wg.Wait(); _ = box.Close() })
	p.jobs.add(func() { br.PlatformUp(1) })
	p.jobs.add(func() { br.BusUp(1) }) // the broker has told all that it retains
	for i := range things {
		br.Message(&bridge.Message{Topic: fmt.Sprintf("things/thing-%d/announce", i), Payload: []byte(`{"properties":{"temp":"NUMBER"}}`), Retained: true})
	}
	until(func() bool { return p.n.Load() == int64(things) })
	return br, p
}

func until(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}

// BenchmarkIdleThing prints what one bound Thing costs, engine and bridge together.
func BenchmarkIdleThing(b *testing.B) {
	const n = 20_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		br, _ := benchRig(b, n)
		took := time.Since(start)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/thing")
		b.ReportMetric(n/took.Seconds(), "announcements/s")
		runtime.KeepAlive(br)
	}
}

// BenchmarkValues is the way of a value from Message to the platform's answer.
func BenchmarkValues(b *testing.B) {
	for _, perMessage := range []int{1, 3} {
		b.Run(fmt.Sprintf("%d_per_message", perMessage), func(b *testing.B) {
			br, p := benchRig(b, 100)
			payload := []byte(`{"temp":21.5,"flow":3,"on":true}`)
			if perMessage == 1 {
				payload = []byte(`{"temp":21.5}`)
			}
			topics := make([]string, 100)
			for i := range topics {
				topics[i] = fmt.Sprintf("things/thing-%d/properties", i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				br.Message(&bridge.Message{Topic: topics[i%100], Payload: payload, QoS: 1, Received: time.Now()})
			}
			until(func() bool { return p.vals.Load() == int64(b.N*perMessage) })
		})
	}
}

// BenchmarkSelect is one page of the list of many Things, as the console's page asks.
func BenchmarkSelect(b *testing.B) {
	for _, things := range []int{10_000, 50_000} {
		br, _ := benchRig(b, things)
		for name, q := range map[string]bridge.Selection{
			"first":  {Limit: 100},
			"search": {Text: "-99", Order: bridge.ByLastSeen, Reverse: true, Limit: 100},
			"last":   {Order: bridge.ByState, Offset: things - 100, Limit: 100},
		} {
			b.Run(fmt.Sprintf("%d/%s", things, name), func(b *testing.B) {
				for b.Loop() {
					br.Select(q)
				}
			})
		}
		b.Run(fmt.Sprintf("%d/findings", things), func(b *testing.B) {
			for b.Loop() {
				br.Findings()
			}
		})
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"thingbridge/edge/alwayson"
	"thingbridge/edge/simulator"
)

const (
	callThings  = 256 // so that each call in flight has a device of its own
	callConns   = 16  // connections that these devices share
	callService = "Double"
	callTimeout = 8 * time.Second
)

var callAnnouncement = []byte(`{"services":{"Double":{"inputs":{"x":{"type":"NUMBER"}},"output":{"type":"NUMBER"}}}}`)

func callThing(i int) string { return "caller-" + strconv.Itoa(i) }

// devices answer calls of the service Double. They are the same for the bridge
// and for calls made directly over MQTT.
type devices struct {
	conns []*wire
	group sync.WaitGroup
}

func startDevices(address string) (*devices, error) {
	d := &devices{}
	for c := range callConns {
		w, err := dialWire(address, "bench-devices-"+strconv.Itoa(c))
		if err != nil {
			d.stop()
			return nil, err
		}
		d.conns = append(d.conns, w)
		var filters []string
		for i := c; i < callThings; i += callConns {
			filters = append(filters, "things/"+callThing(i)+"/services/+/request/+")
		}
		if err := w.subscribe(filters...); err != nil {
			d.stop()
			return nil, err
		}
		d.group.Go(func() { answer(w) })
	}
	announcer, err := dialWire(address, "bench-announcer")
	if err != nil {
		d.stop()
		return nil, err
	}
	defer announcer.close()
	err = announcer.publishAll(callThings, func(i int) ([]byte, []byte) {
		return []byte("things/" + callThing(i) + "/announce"), callAnnouncement
	}, true)
	if err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *devices) stop() {
	for _, w := range d.conns {
		w.close()
	}
	d.group.Wait()
}

// answer replies to each request until the connection ends; replies to requests
// that came together go out together.
func answer(w *wire) {
	var in incoming
	var topic []byte
	reply := []byte(`{"result":42.5}`)
	for w.read(&in) == nil {
		if in.kind == packetPublish {
			if in.qos > 0 {
				w.ack(in.id)
			}
			if at := bytes.LastIndex(in.topic, []byte("/request/")); at >= 0 {
				topic = append(append(append(topic[:0], in.topic[:at]...), "/reply/"...), in.topic[at+len("/request/"):]...)
				w.publish(topic, reply, 1, false)
			}
		}
		if w.r.Buffered() == 0 && w.flush() != nil {
			return
		}
	}
}

// caller makes one call and waits for its end.
type caller func(ctx context.Context, thing int) error

// callResult is what many calls came to.
type callResult struct {
	took      []time.Duration // sorted
	elapsed   time.Duration
	perSecond float64
	p50, p99  time.Duration
	calls     int
	failed    int
	firstErr  error
}

// err says how many calls failed and why the first of them did; nil if none.
func (r callResult) err(which string) error {
	if r.failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d calls %s failed: %w", r.failed, r.failed+r.calls, which, r.firstErr)
}

// closedLoop keeps `inFlight` calls in flight for a time.
func closedLoop(inFlight int, limit time.Duration, call caller) callResult {
	ctx, cancel := context.WithTimeout(context.Background(), limit+callTimeout)
	defer cancel()
	var c collector
	var group sync.WaitGroup
	started := time.Now()
	for i := range inFlight {
		group.Go(func() {
			var took []time.Duration
			for time.Since(started) < limit {
				at := time.Now()
				if err := call(ctx, i%callThings); err != nil {
					c.fail(err)
					continue
				}
				took = append(took, time.Since(at))
			}
			c.add(took)
		})
	}
	group.Wait()
	return c.result(time.Since(started))
}

// alternate keeps calls of two ways in flight, in turns, so that what else the
// machine does falls on both alike. It also gives the processor time that
// `busy` used during b's turns.
func alternate(inFlight int, limit time.Duration, a, b caller, busy func() time.Duration) (ra, rb callResult, cpu time.Duration) {
	const turns = 8
	for range turns {
		ra = ra.and(closedLoop(inFlight, limit/turns, a))
		before := busy()
		rb = rb.and(closedLoop(inFlight, limit/turns, b))
		cpu += busy() - before
	}
	return ra, rb, cpu
}

// and joins the results of two times.
func (r callResult) and(other callResult) callResult {
	c := collector{took: append(r.took, other.took...), failed: r.failed + other.failed, first: r.firstErr}
	if c.first == nil {
		c.first = other.firstErr
	}
	return c.result(r.elapsed + other.elapsed)
}

// openLoop starts calls at a fixed rate, whatever became of those before.
func openLoop(perSecond float64, limit time.Duration, call caller) callResult {
	ctx, cancel := context.WithTimeout(context.Background(), limit+callTimeout)
	defer cancel()
	var c collector
	var group sync.WaitGroup
	started := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; time.Since(started) < limit; <-tick.C {
		for due := int(perSecond * time.Since(started).Seconds()); n < due; n++ {
			thing := n % callThings
			group.Go(func() {
				at := time.Now()
				if err := call(ctx, thing); err != nil {
					c.fail(err)
					return
				}
				c.add([]time.Duration{time.Since(at)})
			})
		}
	}
	group.Wait()
	return c.result(time.Since(started))
}

// collector gathers the times of calls.
type collector struct {
	mu     sync.Mutex // guards the following
	took   []time.Duration
	failed int
	first  error
}

func (c *collector) add(took []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, took...)
}

func (c *collector) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed++
	if c.first == nil {
		c.first = err
	}
}

func (c *collector) result(elapsed time.Duration) callResult {
	slices.Sort(c.took)
	return callResult{
		took: c.took, elapsed: elapsed,
		perSecond: float64(len(c.took)) / elapsed.Seconds(), calls: len(c.took), failed: c.failed, firstErr: c.first,
		p50: quantile(c.took, 0.50), p99: quantile(c.took, 0.99),
	}
}

// quantile of sorted times; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// callPlatform is a simulated platform in this process, so that a call starts
// without REST.
type callPlatform struct {
	*simulator.Platform
	stop  context.CancelFunc
	ended chan error
}

func startCallPlatform() (*callPlatform, error) {
	p, err := simulator.New(simulator.Options{AppKey: appKey})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &callPlatform{Platform: p, stop: cancel, ended: make(chan error, 1)}
	go func() { c.ended <- p.Run(ctx) }()
	return c, nil
}

func (c *callPlatform) close() error {
	c.stop()
	return <-c.ended
}

// caller calls through the platform, the bridge and the broker.
func (c *callPlatform) caller() caller {
	params := alwayson.OneRow(alwayson.Named{Name: "x", Value: alwayson.NewNumber(21.25)})
	return func(ctx context.Context, thing int) error {
		req := alwayson.ServiceRequest(alwayson.EntityThing, callThing(thing), callService, params)
		resp, err := c.Call(ctx, alwayson.Post, req)
		if err != nil {
			return err
		}
		if !resp.Code.IsSuccess() {
			return fmt.Errorf("%s: %s", resp.Code, resp.Reason)
		}
		return nil
	}
}

// directCaller is the limit for calls: the same devices asked over MQTT without
// a bridge. As the bridge it has one connection for what goes out and one for
// what comes in, and one standing subscription.
type directCaller struct {
	in, out paho.Client
	next    atomic.Uint64

	mu   sync.Mutex // guards the following
	open map[string]chan struct{}
}

func startDirectCaller(address string) (*directCaller, error) {
	d := &directCaller{open: map[string]chan struct{}{}}
	var err error
	if d.in, err = connectPaho(address, "bench-direct", d.reply); err != nil {
		return nil, err
	}
	if d.out, err = connectPaho(address, "bench-direct-out", nil); err == nil {
		err = settled(d.in.Subscribe("things/+/services/+/reply/+", 1, nil))
	}
	if err != nil {
		d.in.Disconnect(0)
		return nil, err
	}
	return d, nil
}

func (d *directCaller) stop() {
	d.in.Disconnect(100)
	d.out.Disconnect(100)
}

func (d *directCaller) reply(_ paho.Client, m paho.Message) {
	topic := m.Topic()
	id := topic[len(topic)-16:]
	d.mu.Lock()
	answered := d.open[id]
	delete(d.open, id)
	d.mu.Unlock()
	if answered != nil {
		close(answered)
	}
}

var errNoReply = errors.New("no reply")

func (d *directCaller) call(ctx context.Context, thing int) error {
	id := fmt.Sprintf("%016x", d.next.Add(1))
	answered := make(chan struct{})
	d.mu.Lock()
	d.open[id] = answered
	d.mu.Unlock()
	d.out.Publish("things/"+callThing(thing)+"/services/"+callService+"/request/"+id, 1, false, []byte(`{"x":21.25}`))
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return errNoReply
	}
}

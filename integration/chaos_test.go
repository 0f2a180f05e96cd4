package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	chaosFew     = 5   // kills, in passing
	chaosMany    = 100 // with CHAOS=1
	chaosWorkers = 4
	chaosThings  = 10 // of each worker
	chaosPace    = 50 * time.Millisecond
	pubackWait   = 3 * time.Second
	settleWait   = 60 * time.Second // at the end, without anything new arriving
	// A failure repeats what was pushed and not answered or not written off yet:
	// some tenths of a second of each Thing's values.
	doublesPerFault = 10
)

// TestChaos publishes numbered values at QoS 1 while the bridge is killed again
// and again and everything around it fails in between, and wants every number
// whose PUBACK the device saw to be at the platform, in order per Thing.
func TestChaos(t *testing.T) {
	kills := chaosFew
	if os.Getenv("CHAOS") == "1" {
		kills = chaosMany
	}
	kills = int(numberVar(t, "CHAOS_KILLS", uint64(kills)))
	seed := numberVar(t, "CHAOS_SEED", uint64(time.Now().UnixNano()%1e9))
	t.Logf("CHAOS_SEED=%d", seed)
	c := newChaos(t, rand.New(rand.NewPCG(seed, 0)))
	start := time.Now()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	fleet := c.startFleet(ctx)
	for i := range kills {
		c.round(i)
	}
	stop()
	sent := fleet()
	c.settle(sent)
	r := c.judge(sent)
	t.Logf("%s", c.table(r, time.Since(start)))
	if r.lost > 0 || r.disordered > 0 {
		t.Errorf("%d numbers lost, %d out of order", r.lost, r.disordered)
		for _, line := range slices.Concat(r.examples, slices.Sorted(maps.Keys(c.refused))) {
			t.Log(line)
		}
	}
	faults := 0
	for _, n := range c.done {
		faults += n
	}
	if most := faults * len(c.things) * doublesPerFault; r.double > most {
		t.Errorf("%d values came more than once; %d failures explain %d", r.double, faults, most)
	}
	if c.bridge.p.ended() {
		t.Errorf("the bridge ended by itself: %v", c.bridge.p.err)
	}
}

// numberVar reads an environment variable.
func numberVar(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("%s=%q; expected a number", name, text)
	}
	return n
}

type chaos struct {
	t      *testing.T
	rand   *rand.Rand
	broker *broker
	plat   *platform
	front  *toxiproxy.Proxy // in front of the platform, for the bridge alone
	bridge *bridge
	things []string
	// got is what reached the platforms of the past, by Thing, in order.
	got     map[string][]arrival
	refused map[string]bool // what a platform did not store, in words
	done    map[string]int  // faults by kind
}

// arrival is a number that reached a platform.
type arrival struct {
	n          int
	platform   int // counts the platforms from 0
	connection uint64
	push       uint64
	at         time.Time
}

func (a arrival) String() string {
	return fmt.Sprintf("%d (platform %d, connection %d, push %d, %s)", a.n, a.platform, a.connection, a.push, a.at.Format("05.000"))
}

func newChaos(t *testing.T, r *rand.Rand) *chaos {
	t.Helper()
	c := &chaos{t: t, rand: r, got: make(map[string][]arrival), refused: make(map[string]bool), done: make(map[string]int)}
	c.broker = newBroker(t)
	for i := range chaosWorkers * chaosThings {
		c.things = append(c.things, fmt.Sprintf("chaos-%02d", i))
	}
	c.plat = newPlatform(t, "--strict", "--things", c.thingsFile())
	c.front = newProxy(t, "platform", c.plat.address)
	d := newDevice(t, c.broker, "announcer")
	for _, thing := range c.things {
		d.announce(thing, `{"properties": {"n": {"type": "NUMBER", "push": "ALWAYS"}}}`)
	}
	d.client.Disconnect(100)
	c.bridge = newBridge(t, c.broker, c.plat.webSocket(c.front.Listen), "")
	// The broker keeps the values for the bridge once its session exists.
	t.Logf("%d Things bound after %v", len(c.things), c.plat.waitBound(c.things...).Round(time.Millisecond))
	return c
}

// thingsFile defines the Things on the platform, so that a restarted one knows
// what it wants of them from the first moment, as a real one does.
func (c *chaos) thingsFile() string {
	c.t.Helper()
	var b strings.Builder
	for _, thing := range c.things {
		fmt.Fprintf(&b, "- {name: %s, properties: {n: {type: NUMBER, push: ALWAYS}}}\n", thing)
	}
	file := filepath.Join(c.t.TempDir(), "things.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// startFleet starts the publishers; the function it gives waits for their end.
func (c *chaos) startFleet(ctx context.Context) func() map[string]*publisher {
	all := make(map[string]*publisher)
	var wg sync.WaitGroup
	for w := range chaosWorkers {
		var mine []*publisher
		for _, thing := range c.things[w*chaosThings : (w+1)*chaosThings] {
			p := &publisher{thing: thing}
			all[thing] = p
			mine = append(mine, p)
		}
		wg.Go(func() { publish(ctx, c.broker.url(), fmt.Sprintf("fleet-%d", w), mine) })
	}
	return func() map[string]*publisher {
		wg.Wait()
		return all
	}
}

// publish sends one number of each publisher in turn, and after an error the
// same number again on a new connection.
func publish(ctx context.Context, url, clientID string, all []*publisher) {
	tick := time.NewTicker(chaosPace)
	defer tick.Stop()
	for ctx.Err() == nil {
		client := mqtt.NewClient(mqttOptions(url, clientID).SetConnectTimeout(pubackWait))
		if token := client.Connect(); token.WaitTimeout(pubackWait) && token.Error() == nil {
			publishUntilError(ctx, client, all, tick)
		}
		client.Disconnect(0)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func publishUntilError(ctx context.Context, client mqtt.Client, all []*publisher, tick *time.Ticker) {
	for {
		for _, p := range all {
			if ctx.Err() != nil || p.send(client, pubackWait) != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pause lets things go on for a random time.
func (c *chaos) pause(least, most time.Duration) {
	<-time.After(least + time.Duration(c.rand.Int64N(int64(most-least))))
}

// round makes one thing fail, then kills the bridge.
func (c *chaos) round(i int) {
	c.pause(50*time.Millisecond, 1200*time.Millisecond)
	switch i % 5 {
	case 0:
		c.fault("platform cut", func() {
			c.front.Stop()
			c.pause(0, 500*time.Millisecond)
			up(c.t, c.front)
		})
	case 1:
		c.fault("platform stalled", func() {
			c.plat.do("POST", "/simulator/faults", map[string]any{"kind": "stall", "for": "1s"})
		})
	case 2:
		c.fault("platform killed", c.killPlatform)
	case 3:
		c.fault("broker stopped", func() {
			c.broker.stop()
			c.pause(0, 500*time.Millisecond)
			c.broker.restart()
		})
	case 4:
		c.fault("broker cut", func() {
			c.broker.proxy.Stop()
			c.pause(0, 500*time.Millisecond)
			up(c.t, c.broker.proxy)
		})
	}
	c.pause(0, 800*time.Millisecond)
	c.fault("bridge killed", func() {
		c.bridge.p.kill()
		c.bridge.start()
	})
}

func (c *chaos) fault(kind string, do func()) {
	c.t.Logf("%s %s", time.Now().Format("05.000"), kind)
	do()
	c.done[kind]++
}

// killPlatform cuts the bridge off at a random moment, writes down what the
// platform has, which a kill makes it forget, and kills it.
func (c *chaos) killPlatform() {
	c.front.Stop()
	eventually(c.t, "the platform has noticed that the bridge is gone", func() string {
		var all []struct{ ID int }
		if err := c.plat.read(&all, "/simulator/connections"); err != nil {
			return err.Error()
		}
		if len(all) > 0 {
			return fmt.Sprintf("%d connections", len(all))
		}
		return ""
	})
	for thing, numbers := range c.present() {
		c.got[thing] = append(c.got[thing], numbers...)
	}
	c.plat.p.kill()
	c.pause(0, 500*time.Millisecond)
	c.plat.start()
	up(c.t, c.front)
}

// present reads what reached the present platform, by Thing, in order.
func (c *chaos) present() map[string][]arrival {
	c.t.Helper()
	out := make(map[string][]arrival)
	for _, thing := range c.things {
		all, err := c.plat.pushes(thing)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, v := range all {
			var n float64
			if err := json.Unmarshal(v.Value, &n); err != nil {
				c.t.Fatalf("%s: value %s: %v", thing, v.Value, err)
			}
			if v.Dropped != "" {
				c.refused[fmt.Sprintf("%s: %v was answered and not stored: %s", thing, n, v.Dropped)] = true
				continue
			}
			out[thing] = append(out[thing], arrival{int(n), c.done["platform killed"], v.Connection, v.Push, v.Received})
		}
	}
	return out
}

// settle waits until the last numbers have arrived, or nothing arrives any more.
func (c *chaos) settle(sent map[string]*publisher) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	before, since := -1, time.Now()
	for time.Since(since) < settleWait {
		missing, total := 0, 0
		for thing, numbers := range c.present() {
			total += len(numbers)
			if len(numbers) == 0 || numbers[len(numbers)-1].n < sent[thing].last {
				missing++
			}
		}
		if missing == 0 && total > 0 {
			return
		}
		if total != before {
			before, since = total, time.Now()
		}
		<-tick.C
	}
}

// result is the judgement over all Things.
type result struct {
	acknowledged, again, arrived, lost, disordered, double int
	examples                                               []string
}

// judge compares what the devices know to be taken with what reached the platform.
func (c *chaos) judge(sent map[string]*publisher) (r result) {
	now := c.present()
	for _, thing := range c.things {
		p := sent[thing]
		r.acknowledged += p.last
		r.again += p.again
		c.judgeThing(&r, p, append(c.got[thing], now[thing]...))
	}
	return r
}

// judgeThing wants every number up to the last acknowledged one, each for the
// first time after the one before it.
func (c *chaos) judgeThing(r *result, p *publisher, got []arrival) {
	seen := make(map[int]bool)
	highest := arrival{}
	for _, a := range got {
		if seen[a.n] {
			r.double++
			continue
		}
		seen[a.n] = true
		r.arrived++
		if a.n < highest.n {
			r.disordered++
			r.examples = append(r.examples, fmt.Sprintf("%s: %v came first after %v", p.thing, a, highest))
			continue
		}
		highest = a
	}
	for n := 1; n <= p.last; n++ {
		if !seen[n] {
			r.lost++
			r.examples = append(r.examples, fmt.Sprintf("%s: %d of %d never came", p.thing, n, p.last))
		}
	}
}

func (c *chaos) table(r result, took time.Duration) string {
	var b strings.Builder
	line := func(what string, v any) { fmt.Fprintf(&b, "  %-42s %v\n", what, v) }
	b.WriteString("\n")
	for _, kind := range []string{"bridge killed", "platform killed", "platform cut", "platform stalled", "broker stopped", "broker cut"} {
		line(kind, c.done[kind])
	}
	line("Things", len(c.things))
	line("values acknowledged to the devices", r.acknowledged)
	line("values that devices had to send again", r.again)
	line("values at the platform", r.arrived)
	line("of them more than once", r.double)
	line("out of order", r.disordered)
	line("answered by the platform and not stored", len(c.refused))
	line("lost", r.lost)
	line("time", took.Round(time.Second))
	return b.String()
}

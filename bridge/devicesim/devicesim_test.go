package devicesim

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"thingbridge/bridge/mqttbus/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 10 * time.Second

type heard struct {
	topic, payload string
	retained       bool
}

// listen subscribes a witness and gives what it hears.
func listen(t *testing.T, b *broker.Broker, filters ...string) (paho.Client, <-chan heard) {
	t.Helper()
	ch := make(chan heard, 100_000)
	o := paho.NewClientOptions().AddBroker(b.URL()).SetClientID("witness").SetProtocolVersion(4).SetAutoReconnect(false)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		ch <- heard{m.Topic(), string(m.Payload()), m.Retained()}
	})
	c := paho.NewClient(o)
	for _, token := range []func() paho.Token{c.Connect, func() paho.Token {
		ask := make(map[string]byte)
		for _, f := range filters {
			ask[f] = 1
		}
		return c.SubscribeMultiple(ask, nil)
	}} {
		if token := token(); !token.WaitTimeout(limit) || token.Error() != nil {
			t.Fatal("witness:", token.Error())
		}
	}
	t.Cleanup(func() { c.Disconnect(50) })
	return c, ch
}

func until(t *testing.T, ch <-chan heard, what string, ok func(heard) bool) heard {
	t.Helper()
	end := time.After(limit)
	for {
		select {
		case h := <-ch:
			if ok(h) {
				return h
			}
		case <-end:
			t.Fatalf("not heard within %v: %s", limit, what)
		}
	}
}

func startBroker(t *testing.T) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func simulate(t *testing.T, o Options) (s *Simulator, stop func()) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case <-ended:
		case <-time.After(limit):
			t.Error("Run did not end")
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func TestANativeDeviceAnnouncesItselfAnswersAndLeaves(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "things/pump-1/#")
	_, stop := simulate(t, Options{Access: Access{Broker: b.URL()}, Interval: 20 * time.Millisecond, OneConnectionPerDevice: true})
	announce := until(t, ch, "announcement", func(h heard) bool { return h.topic == "things/pump-1/announce" })
	if !json.Valid([]byte(announce.payload)) {
		t.Fatalf("announcement is no JSON: %s", announce.payload)
	}
	until(t, ch, "online", func(h heard) bool { return h.topic == "things/pump-1/status" && h.payload == "online" })
	for range 3 {
		h := until(t, ch, "values", func(h heard) bool { return h.topic == "things/pump-1/properties" })
		var v struct {
			Values map[string]any
			Time   int64
		}
		if err := json.Unmarshal([]byte(h.payload), &v); err != nil || len(v.Values) != 4 || v.Time == 0 {
			t.Fatalf("values %s: %v", h.payload, err)
		}
	}
	cases := []struct {
		name, send, payload, topic, want string
	}{
		{"adds", "services/Add/request/r1", `{"a":1.5,"b":2}`, "services/Add/reply/r1", `{"result":3.5}`},
		{"resets", "services/Reset/request/r2", `{"hard":true}`, "services/Reset/reply/r2", `{"result":"reset number 1 done"}`},
		{"fails", "services/Fail/request/r3", `{}`, "services/Fail/reply/r3", `{"error":"simulated failure"}`},
		{"answers late", "services/Slow/request/r4", `{"seconds":0.1}`, "services/Slow/reply/r4", `{"result":"waited 0.1 s"}`},
		{"misses an input", "services/Add/request/r5", `{"a":1}`, "services/Add/reply/r5", `{"error":{"code":400,"message":"an input is missing"}}`},
		{"does not know a service", "services/Nope/request/r6", `{}`, "services/Nope/reply/r6", `{"error":{"code":404,"message":"no service \"Nope\" here"}}`},
		{"echoes a write", "properties/setpoint/set", `42.5`, "properties/setpoint", `42.5`},
		{"replies to a write", "properties/mode/set/w1", `"manual"`, "properties/mode/reply/w1", `{}`},
		{"gives a property", "properties/mode/get", ``, "properties/mode", `"manual"`},
		{"refuses a write", "properties/mode/set/w2", `"fast"`, "properties/mode/reply/w2", `{"error":{"code":400,"message":"mode \"fast\"; expected one of [auto manual off]"}}`},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c.Publish("things/pump-1/"+tc.send, 1, false, tc.payload).WaitTimeout(limit)
			h := until(t, ch, tc.topic, func(h heard) bool { return h.topic == "things/pump-1/"+tc.topic })
			if h.payload != tc.want && tc.topic != "properties/mode" {
				t.Fatalf("answered %s, expected %s", h.payload, tc.want)
			}
		})
	}
	stop()
	until(t, ch, "offline", func(h heard) bool { return h.topic == "things/pump-1/status" && h.payload == "offline" })
}

func TestTheBrokerTellsWhenADevicesConnectionBreaks(t *testing.T) {
	b := startBroker(t)
	_, ch := listen(t, b, "things/+/status")
	s, _ := simulate(t, Options{Access: Access{Broker: b.URL()}, Count: 2, OneConnectionPerDevice: true})
	status := func(name, state string) {
		t.Helper()
		until(t, ch, name+" "+state, func(h heard) bool { return h.topic == "things/"+name+"/status" && h.payload == state })
	}
	for range 2 {
		until(t, ch, "online", func(h heard) bool { return h.payload == "online" })
	}
	if !b.Kick("devicesim-pump-2") {
		t.Fatal("no such connection")
	}
	status("pump-2", "offline")
	status("pump-2", "online") // it comes back by itself
	if names := s.Names(); !slices.Equal(names, []string{"pump-1", "pump-2"}) {
		t.Errorf("names %v", names)
	}
}

func TestManyDevicesShareConnections(t *testing.T) {
	b := startBroker(t)
	_, ch := listen(t, b, "things/+/properties")
	s, _ := simulate(t, Options{Access: Access{Broker: b.URL()}, Count: 1200, Prefix: "d", Interval: 100 * time.Millisecond})
	seen := make(map[string]int)
	for len(seen) < 1200 {
		seen[until(t, ch, "values", func(heard) bool { return true }).topic]++
	}
	until(t, ch, "all 1200 devices to be online", func(heard) bool {
		st := s.Stats()
		return st.Online == 1200 && st.Sent >= 1200
	})
}

func TestEqualSeedsGiveEqualValues(t *testing.T) {
	run := func(seed uint64) string {
		var out strings.Builder
		s, err := New(Options{Access: Access{Broker: "tcp://x"}, Seed: seed, Count: 2})
		if err != nil {
			t.Fatal(err)
		}
		now := time.UnixMilli(0)
		for _, d := range s.crew(0, s.names).devices {
			for range 100 {
				for _, m := range d.tick(now) {
					fmt.Fprintf(&out, "%s %s\n", m.topic, m.payload)
				}
			}
		}
		return out.String()
	}
	if first, again := run(1), run(1); first != again || first == run(2) {
		t.Fatal("the seed does not decide")
	}
}

func TestLoadRepeatsWhatWasNotAcknowledged(t *testing.T) {
	b := startBroker(t)
	_, ch := listen(t, b, "things/+/properties")
	const things, each = 10, 1000
	l, err := NewLoad(LoadOptions{Access: Access{Broker: b.URL()}, Things: things, PerThing: each, Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := l.Announce(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	last := make(map[string]int64)
	for n := 0; len(last) < things || total(last) < things*each; n++ {
		h := until(t, ch, "value", func(heard) bool { return true })
		if n == 1000 || n == 4000 {
			b.Kick("load-stream-1")
		}
		var v struct{ Values map[string]int64 }
		if err := json.Unmarshal([]byte(h.payload), &v); err != nil {
			t.Fatal(err)
		}
		switch seq := v.Values[LoadProperty]; {
		case seq == last[h.topic]+1:
			last[h.topic] = seq
		case seq <= last[h.topic]:
			// again, because its acknowledgement was lost
		default:
			t.Fatalf("%s: %d after %d", h.topic, seq, last[h.topic])
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for thing, n := range l.Acknowledged() {
		if n != each {
			t.Errorf("%s: acknowledged up to %d", thing, n)
		}
	}
	if l.Sent() == things*each {
		t.Error("nothing was published again; the test proves nothing")
	}
}

func total(m map[string]int64) (sum int64) {
	for _, n := range m {
		sum += n
	}
	return sum
}

func TestWrongOptionsAreRefused(t *testing.T) {
	_, err := New(Options{Family: "nope", Count: -1, Prefix: "a/b"})
	for _, want := range []string{"no broker", `family "nope"`, "expected one of ", "negative", `prefix "a/b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in %v", want, err)
		}
	}
	if _, err := NewLoad(LoadOptions{}); err == nil {
		t.Error("a load without a broker was accepted")
	}
}

func FuzzNativeHandle(f *testing.F) {
	for _, s := range [][2]string{
		{"things/p/services/Add/request/1", `{"a":1,"b":2}`}, {"things/p/properties/mode/set", `"off"`},
		{"things/p/properties/setpoint/set/9", `1e400`}, {"things/p/properties/temp/get", ""}, {"things/p/", "null"},
		{"things/p/services/Slow/request/1", `{"seconds":1e300}`}, {"things/p/services/Reset/request/x", `[]`},
	} {
		f.Add(s[0], []byte(s[1]))
	}
	s, err := New(Options{Access: Access{Broker: "tcp://x"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		d := s.crew(0, []string{"p"}).devices[0]
		for _, m := range append(d.handle(topic, payload, time.UnixMilli(0)), d.tick(time.UnixMilli(1))...) {
			if !json.Valid(m.payload) || m.delay < 0 || m.delay > time.Hour {
				t.Fatalf("%s: %s after %v", m.topic, m.payload, m.delay)
			}
		}
	})
}

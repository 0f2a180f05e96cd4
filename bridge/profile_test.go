package bridge_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
	"thingbridge/mapping"
)

// profile makes a rig's Engine from YAML.
func profile(t *testing.T, text string) setup {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	profiles, problems := mapping.Load(doc.Content[0], "test.yaml", nil)
	for _, p := range problems {
		if !p.Warning {
			t.Fatal(p)
		}
	}
	return func(o *bridge.Options) { o.Engine = mapping.NewEngine(profiles, mapping.Options{}) }
}

const acme = `
- name: acme
  thing: acme-${id}
  announce: {topic: "acme/{id}/hello"}
  presence:
    - {topic: "acme/{id}/status", online: 'payload == "online"', offline: 'payload == "offline"'}
    - {topic: "acme/bridge", all: true, online: 'payload == "up"', offline: 'payload == "down"'}
  expire_after: 5m
  properties:
    - {topic: "acme/{id}/data", values: payload}
  services:
    Slow:
      output: NUMBER
      request: {topic: "acme/${id}/slow", payload: "x"}
      reply: {topic: "acme/{id}/slow/done", serial: true, result: payload.result}
  ask:
    - {on: connect, topic: "acme/all/get", payload: "all"}
    - {on: announce, topic: "acme/${id}/get", payload: "state", every: 1m}
`

func TestSilenceMeansOfflineAndAWordMeansOnline(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"acme-1": subs("v")}, func(r *rig) {
		r.live("acme/1/hello", "{}")
		r.mustState("acme-1", bridge.StateReady)
		for range 3 {
			time.Sleep(4 * time.Minute)
			r.live("acme/1/data", `{"v":1}`)
			r.mustState("acme-1", bridge.StateReady)
		}
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		r.mustState("acme-1", bridge.StateOffline)
		r.retained("acme/1/data", `{"v":2}`)
		r.mustState("acme-1", bridge.StateOffline)
		r.live("acme/1/data", `{"v":3}`)
		r.mustState("acme-1", bridge.StateReady)
	}, profile(t, acme))
}

func TestADeviceThatFellSilentIsAskedWhenItIsBack(t *testing.T) {
	text := strings.Replace(acme, "  ask:\n", "  ask:\n    - {on: presence, topic: \"acme/${id}/back\"}\n", 1)
	bubble(t, map[string][]alwayson.Subscription{"acme-1": subs("v")}, func(r *rig) {
		asked := func() int {
			time.Sleep(time.Second)
			return r.sentTo("acme/1/back")
		}
		r.live("acme/1/hello", "{}")
		r.live("acme/1/data", `{"v":1}`)
		if n := asked(); n != 0 {
			t.Fatalf("asked %d times before it was away", n)
		}
		time.Sleep(5*time.Minute + time.Second)
		r.live("acme/1/data", `{"v":2}`)
		r.live("acme/1/data", `{"v":3}`)
		if n := asked(); n != 1 {
			t.Fatalf("asked %d times when it was back, not once", n)
		}
		r.live("acme/1/status", "offline")
		time.Sleep(6 * time.Minute)
		r.live("acme/1/data", `{"v":4}`)
		if n := asked(); n != 1 {
			t.Fatal("asked although it says that it is offline")
		}
	}, profile(t, text))
}

func TestPresenceOfAWholeProfile(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"acme-1": nil, "acme-2": nil}, func(r *rig) {
		r.retained("acme/1/hello", "{}")
		r.retained("acme/2/hello", "{}")
		r.live("acme/2/status", "offline")
		r.live("acme/bridge", "down")
		r.mustState("acme-1", bridge.StateOffline)
		r.live("acme/bridge", "up")
		r.mustState("acme-1", bridge.StateReady)
		r.mustState("acme-2", bridge.StateOffline)
	}, profile(t, acme))
}

func TestSerialCallsGoOneByOne(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"acme-1": nil}, func(r *rig) {
		r.live("acme/1/hello", "{}")
		time.Sleep(time.Second)
		before := len(r.bus.sent())
		one, two, three := r.service("acme-1", "Slow"), r.service("acme-1", "Slow"), r.service("acme-1", "Slow")
		synctest.Wait()
		if n := len(r.bus.sent()) - before; n != 1 {
			t.Fatalf("%d requests are on their way, want one", n)
		}
		r.live("acme/1/slow/done", `{"result":1}`)
		r.live("acme/1/slow/done", `{"result":2}`)
		for i, c := range []chan *alwayson.Response{one, two} {
			if v := alwayson.Result(r.answered(c).Content, "result"); v.Number() != float64(i+1) {
				t.Errorf("call %d got %v", i+1, v)
			}
		}
		time.Sleep(11 * time.Second)
		r.mustFail(three, alwayson.GatewayTimeout, "")
		r.live("acme/1/slow/done", `{"result":3}`)
		if n := r.b.Status().CallsInFlight; n != 0 {
			t.Errorf("%d calls in flight", n)
		}
	}, profile(t, acme))
}

func TestAsksAreThrottledAndRepeated(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"acme-1": nil}, func(r *rig) {
		r.live("acme/1/hello", "{}")
		r.live("acme/1/hello", "{}")
		time.Sleep(time.Second)
		want := []string{"acme/all/get all", "acme/1/get state"}
		if got := r.bus.sent(); !slices.Equal(got, want) {
			t.Fatalf("sent %q, want %q", got, want)
		}
		time.Sleep(2*time.Minute + time.Second)
		if n := len(r.bus.sent()); n != 4 {
			t.Errorf("%d asks after two intervals, want 4", n)
		}
		r.live("acme/1/status", "offline")
		time.Sleep(10 * time.Minute)
		if n := len(r.bus.sent()); n != 4 {
			t.Errorf("%d asks, want no more of a device that is offline", n)
		}
	}, profile(t, acme))
}

const sleepy = `
- name: sleepy
  thing: ${id}
  queue: 1h
  announce: {topic: "s/{id}/hello"}
  properties:
    - {topic: "s/{id}/data", values: payload}
  writes:
    level: {type: NUMBER, topic: "s/${id}/set", payload: "${value}"}
  services:
    Ping:
      request: {topic: "s/${id}/ping/${request}", payload: "x"}
      reply: {topic: "s/{id}/pong/{request}", result: payload}
`

func TestASleepingDeviceGetsItsCallsWhenItWakes(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"d": subs("v")}, func(r *rig) {
		r.live("s/d/hello", "{}")
		time.Sleep(time.Minute)
		level := func(v float64) chan *alwayson.Response {
			return r.request("d", alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "d", "level", alwayson.OneRow(num1("level", v))))
		}
		for _, v := range []float64{1, 2} {
			if resp := r.answered(level(v)); resp.Code != alwayson.Success {
				t.Fatalf("a write to a sleeping device: %s %s", resp.Code, resp.Reason)
			}
		}
		ping := r.service("d", "Ping")
		time.Sleep(11 * time.Second)
		r.mustFail(ping, alwayson.GatewayTimeout, "sleeps")
		r.service("d", "Ping")
		synctest.Wait()
		if sent := r.bus.sent(); len(sent) != 0 {
			t.Fatalf("sent to a sleeping device: %q", sent)
		}
		r.live("s/d/data", `{"v":1}`)
		sent := r.bus.sent()
		if len(sent) != 2 || sent[0] != "s/d/set 2" || !strings.HasPrefix(sent[1], "s/d/ping/") {
			t.Errorf("sent %q, want the newest write and the ping", sent)
		}
	}, profile(t, sleepy))
}

const untold = `
- name: untold
  thing: ${device.serial}
  announce: {topic: "u/{id}/hello", let: {serial: payload.serial}}
  properties:
    - {topic: "u/{id}/data", values: payload}
`

func TestMessagesWhoseThingCannotBeToldAreNotKeptWhenTheyHaveMadeRoom(t *testing.T) {
	bubble(t, nil, func(r *rig) {
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for i := range 100 {
			m := &bridge.Message{Topic: "u/1/data", Payload: []byte(`{"v":"` + num(i) + strings.Repeat("x", 900_000) + `"}`), Received: time.Now()}
			r.bus.jobs.add(func() { r.b.Message(m) })
			synctest.Wait()
		}
		if grown := int(heap()-before) >> 20; grown > 20 {
			t.Errorf("%d MiB are kept of 86 MiB, of which 1 MiB may wait", grown)
		}
	}, profile(t, untold))
}

func TestMessagesWhoseThingCannotBeToldWaitForTheAnnouncement(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"SN7": subs("v")}, func(r *rig) {
		r.live("u/1/data", `{"v":1}`)
		r.live("u/2/data", `{"v":99}`)
		r.live("u/1/data", `{"v":2}`)
		if r.acks("u/1/data", `{"v":1}`) != 0 {
			t.Error("acknowledged before anybody has it")
		}
		r.live("u/1/hello", `{"serial":"SN7"}`)
		r.live("u/1/data", `{"v":3}`)
		r.mustGot("SN7.v=1", "SN7.v=2", "SN7.v=3")
		for _, p := range []string{`{"v":1}`, `{"v":2}`} {
			if r.acks("u/1/data", p) != 1 {
				t.Errorf("%s is acknowledged %d times", p, r.acks("u/1/data", p))
			}
		}
		if r.acks("u/2/data", `{"v":99}`) != 0 {
			t.Error("the other device's is acknowledged early")
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if r.acks("u/2/data", `{"v":99}`) != 1 {
			t.Error("the broker is kept waiting")
		}
		for i := range 600 {
			r.live("u/3/data", `{"v":`+num(i)+`}`)
		}
		r.platform.mu.Lock()
		r.platform.model["SN8"] = subs("v")
		r.platform.mu.Unlock()
		r.live("u/3/hello", `{"serial":"SN8"}`)
		got := r.platform.got()
		if n := len(got) - 3; n < 400 || n > 500 || got[len(got)-1] != "SN8.v=599" {
			t.Errorf("%d of 600 values waited, the last %s", n, got[len(got)-1])
		}
	}, profile(t, untold))
}

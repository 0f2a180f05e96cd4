package bridge_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
	"thingbridge/edge/alwayson"
)

const plugs = `
- name: plugs
  thing: plug-${id}
  announce: {topic: "plug/{id}/hello"}
  services:
    Power: {timeout: 5s, output: STRING, request: {topic: "plug/${id}/power", payload: "x"}, reply: {topic: "plug/{id}/power/done", serial: true, result: payload}}
    Dimmer: {timeout: 5s, output: STRING, request: {topic: "plug/${id}/dimmer", payload: "x"}, reply: {topic: "plug/{id}/dimmer/done", serial: true, result: payload}}
`

func TestADeviceHasOneSerialCallAtATimeWhateverItsServices(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"plug-1": subs(), "plug-2": subs()}, func(r *rig) {
		r.live("plug/1/hello", "{}")
		r.live("plug/2/hello", "{}")
		var mu sync.Mutex
		var sent []string
		r.device(func(topic string, _ []byte) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, topic)
		})
		mustSent := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(sent, want) {
				r.t.Fatalf("sent %v, want %v", sent, want)
			}
		}
		power, dimmer := r.service("plug-1", "Power"), r.service("plug-1", "Dimmer")
		time.Sleep(time.Second)
		again := r.service("plug-1", "Power")
		other := r.service("plug-2", "Dimmer")
		mustSent("plug/1/power", "plug/2/dimmer")
		r.live("plug/2/dimmer/done", `"b"`)
		if resp := r.answered(other); resp.Code != alwayson.Success {
			r.t.Errorf("the other device's call: %v", resp)
		}
		r.live("plug/1/power/done", `"a"`)
		if resp := r.answered(power); resp.Code != alwayson.Success {
			r.t.Errorf("the first call: %v", resp)
		}
		mustSent("plug/1/power", "plug/2/dimmer", "plug/1/dimmer")
		time.Sleep(6 * time.Second) // the second is not answered, and the third never has its turn
		r.mustFail(dimmer, alwayson.GatewayTimeout, "")
		r.mustFail(again, alwayson.GatewayTimeout, "busy with earlier calls")
		last := r.service("plug-1", "Dimmer")
		mustSent("plug/1/power", "plug/2/dimmer", "plug/1/dimmer")
		r.live("plug/1/dimmer/done", `"late"`) // the second's
		mustSent("plug/1/power", "plug/2/dimmer", "plug/1/dimmer", "plug/1/dimmer")
		if len(last) > 0 {
			r.t.Fatal("a late reply ended the next call")
		}
		r.live("plug/1/dimmer/done", `"c"`)
		if resp := r.answered(last); resp.Code != alwayson.Success {
			r.t.Errorf("a call after those whose time was over: %v", resp)
		}
		if n := r.b.Status().CallsInFlight; n != 0 {
			r.t.Errorf("%d calls are still in flight", n)
		}
	}, profile(t, plugs), func(o *bridge.Options) { o.Limits.CallsPerThing = 10 })
}

func TestALateReplyIsWaitedForNoLongerThanItsCallHad(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"plug-1": subs()}, func(r *rig) {
		r.live("plug/1/hello", "{}")
		lost := r.service("plug-1", "Power")
		time.Sleep(5 * time.Second)
		r.mustFail(lost, alwayson.GatewayTimeout, "did not answer within 5s")
		time.Sleep(time.Second)
		next := r.service("plug-1", "Power")
		time.Sleep(3 * time.Second)
		if n := r.sentTo("plug/1/power"); n != 1 {
			t.Errorf("%d requests were sent while the first's reply may come, want 1", n)
		}
		time.Sleep(1500 * time.Millisecond)
		if n := r.sentTo("plug/1/power"); n != 2 {
			t.Errorf("%d requests were sent, want 2", n)
		}
		r.live("plug/1/power/done", `"a"`)
		if resp := r.answered(next); resp.Code != alwayson.Success {
			t.Errorf("the next call: %v", resp)
		}
	}, profile(t, plugs))
}

func TestWhatWaitsForALateReplyEndsWithItsDevice(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"plug-1": subs()}, func(r *rig) {
		r.live("plug/1/hello", "{}")
		lost := r.service("plug-1", "Power")
		time.Sleep(5 * time.Second)
		r.mustFail(lost, alwayson.GatewayTimeout, "")
		next := r.service("plug-1", "Power")
		synctest.Wait()
		r.live("plug/1/hello", "")
		r.mustFail(next, alwayson.ServiceUnavailable, "has left")
		r.live("plug/1/hello", "{}")
		time.Sleep(time.Minute)
		again := r.service("plug-1", "Power")
		synctest.Wait()
		r.live("plug/1/power/done", `"a"`)
		if resp := r.answered(again); resp.Code != alwayson.Success {
			t.Errorf("a call when it is back: %v", resp)
		}
	}, profile(t, plugs))
}

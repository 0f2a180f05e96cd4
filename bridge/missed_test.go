package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/bridge"
)

// sites is of devices that have a gateway's presence and the weather in common.
const sites = `
- name: acme
  thing: ${id}
  announce: {topic: "acme/{site}/{id}/hello", let: {pre: payload.pre}}
  presence: {topic: "acme/{site}/gateway", online: payload == "online", offline: payload == "offline"}
  properties:
    - {topic: "acme/{site}/weather/{property}", value: payload}
    - {topic: "acme/shared/${device.pre}/{property}", value: payload}
`

func TestWhatWasToldBeforeADeviceWasKnownIsAskedForAgain(t *testing.T) {
	for _, c := range []struct {
		name, gateway, want string
		before              bool // another device hears it, too
	}{
		{"a gateway is offline", "offline", "offline", false},
		{"a gateway is offline, whose first device is known for long", "offline", "offline", true},
		{"a gateway is online", "online", "ready", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, things("one", "two"), profile(t, sites))
				defer r.stop()
				r.platform.connect()
				r.bus.retains = map[string]string{"acme/s1/gateway": c.gateway}
				r.bus.jobs.add(func() { r.b.BusUp(1) })
				r.retained("acme/s1/gateway", c.gateway)
				time.Sleep(time.Minute)
				if c.before {
					r.live("acme/s1/one/hello", `{"pre": "p"}`)
					r.retained("acme/s1/gateway", c.gateway)
					time.Sleep(time.Minute)
				}
				r.live("acme/s1/two/hello", `{"pre": "p"}`)
				time.Sleep(time.Second)
				synctest.Wait()
				r.mustState("two", c.want)
			})
		})
	}
}

func TestOneQuestionIsForManyDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, profile(t, sites), func(o *bridge.Options) { o.Limits.AnnouncementsPerSecond = -1 })
		defer r.stop()
		r.bus.jobs.add(func() { r.b.BusUp(1) })
		time.Sleep(time.Minute)
		for i := range 100 {
			r.message("acme/s1/"+string(rune('a'+i%26))+string(rune('a'+i/26))+"/hello", `{"pre": "p"}`, false)
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		asked := map[string]int{}
		for _, f := range r.bus.refreshed {
			asked[f]++
		}
		for _, f := range []string{"acme/s1/gateway", "acme/s1/weather/+", "acme/shared/p/+"} {
			if asked[f] == 0 || asked[f] > 2 {
				t.Errorf("%s is asked for %d times of %v", f, asked[f], asked)
			}
		}
	})
}

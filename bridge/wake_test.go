package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"thingbridge/edge/alwayson"
)

// A call and the device's message come at the same moment; whichever is first, the
// device is awake then.
func TestACallIsSentWhenItsDeviceWakesAtTheSameMoment(t *testing.T) {
	bubble(t, map[string][]alwayson.Subscription{"d": subs("v")}, func(r *rig) {
		r.live("s/d/hello", "{}")
		for i := range 500 {
			time.Sleep(time.Minute)
			before := len(r.bus.sent())
			var write bool
			if write = i%2 == 0; write {
				r.message("s/d/data", `{"v":1}`, false)
				r.request("d", alwayson.Put, alwayson.PropertyRequest(alwayson.EntityThing, "d", "level", alwayson.OneRow(num1("level", 1))))
			} else {
				r.service("d", "Ping")
				r.message("s/d/data", `{"v":1}`, false)
			}
			synctest.Wait()
			if n := len(r.bus.sent()) - before; n != 1 {
				t.Fatalf("%d: %d messages were sent, write %v", i, n, write)
			}
		}
	}, profile(t, sleepy))
}

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

const sleeperProfile = `profiles:
  - name: sleeper
    thing: ${id}
    queue: 1h
    announce: {topic: "sleepers/{id}/hello"}
    properties: [{topic: "sleepers/{id}/data", values: payload}]
    writes:
      level: {type: NUMBER, topic: "sleepers/${id}/set/level", payload: "${value}"}
      mode: {type: STRING, topic: "sleepers/${id}/set/mode", payload: "${value}"}
`

// TestAWriteToASleepingDeviceOutlivesAKill kills the bridge at once after each
// SUCCESS that it gave for a write to a device that sleeps.
func TestAWriteToASleepingDeviceOutlivesAKill(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	d := newDevice(t, b, "sleeper")
	d.listen("sleepers/+/set/#")
	d.retain("sleepers/s1/hello", "{}") // what the broker kept says nothing of its being awake
	br := newBridge(t, b, s.webSocket(s.address), sleeperProfile)
	put := func(property string, v any) {
		t.Helper()
		br.waitReady()
		s.waitBound("s1")
		a := s.do(http.MethodPut, "/Thingworx/Things/s1/Properties/"+property, map[string]any{property: v})
		if a.code != http.StatusOK {
			t.Fatalf("write of %s: %d %s", property, a.code, a.body)
		}
		br.p.kill()
		s.waitBound()
		br.start()
	}
	put("level", 1)
	put("mode", "eco")
	put("level", 2)
	br.waitReady()
	s.waitBound("s1")
	if got := d.got("sleepers/s1/set"); len(got) != 0 {
		t.Fatalf("sent while the device sleeps: %v", got)
	}
	if n := br.mustMetric("thingbridge_promised_writes"); n != 2 {
		t.Errorf("%v writes are promised, want 2", n)
	}

	d.publish("sleepers/s1/data", `{"level": 0}`)
	got := func() string { // the device's client hands over in no order; the rig in bridge/ looks at that
		all := d.got("sleepers/s1/set")
		has := func(topic, payload string) bool {
			return slices.Contains(all, received{"sleepers/s1/set/" + topic, payload, false})
		}
		if len(all) != 2 || !has("mode", "eco") || !has("level", "2") {
			return fmt.Sprint(all)
		}
		return ""
	}
	t.Logf("sent after %v", eventually(t, "the device has its writes", got).Round(time.Millisecond))
	eventually(t, "none is left", func() string {
		if n := br.mustMetric("thingbridge_promised_writes"); n != 0 {
			return fmt.Sprint(n, " are promised")
		}
		return ""
	})
	br.p.stop(t)
	br.start()
	br.waitReady()
	s.waitBound("s1")
	d.publish("sleepers/s1/data", `{"level": 2}`)
	s.waitProperty("s1", "level", "2")
	if again := got(); again != "" {
		t.Errorf("after one more restart: %s", again)
	}
	br.p.stop(t)
}

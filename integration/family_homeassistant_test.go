package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestHomeAssistant goes the whole way with two simulated pumps: one announces
// itself as a device, the other component by component.
func TestHomeAssistant(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "profiles: [{preset: homeassistant}]\n")
	br.waitReady()
	d := newDevice(t, b, "witness")
	d.listen("homeassistant/#")
	d.listen("acme/#")
	sim := start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "homeassistant",
		"--count", "2", "--prefix", "p", "--interval", "200ms")
	s.waitBound("p1", "p2")
	for _, want := range [][3]string{{"p1", "run", "true"}, {"p1", "mode", `"running"`}, {"p2", "switch_run", "true"}, {"p2", "sensor_mode", `"running"`}} {
		s.waitProperty(want[0], want[1], want[2])
	}
	put := func(thing, property string, v any) answer {
		return s.do(http.MethodPut, "/Thingworx/Things/"+thing+"/Properties/"+property, map[string]any{property: v})
	}
	put("p1", "setpoint", 7.5).want(t, http.StatusOK)
	s.waitProperty("p1", "setpoint", "7.5")
	put("p1", "setpoint", 99).want(t, http.StatusBadRequest, "30")
	put("p2", "switch_run", false).want(t, http.StatusOK)
	s.waitProperty("p2", "sensor_mode", `"stopped"`)
	s.waitProperty("p2", "sensor_flow", "0")
	s.call("p2", "button_reset_Press", nil).want(t, http.StatusOK)
	s.waitProperty("p2", "sensor_mode", `"running"`)

	_, shown := runOnce(t, "things", "p1", "--console", "http://"+br.console)
	if !strings.Contains(shown, "left out") || !strings.Contains(shown, "the function states is not supported") {
		t.Errorf("what is left out is not shown:\n%s", shown)
	}

	// An announcement that comes live does not bring back who is offline.
	d.retain("acme/p2/status", "offline")
	s.waitBound("p1")
	d.publish("homeassistant/status", "online")
	eventually(t, "the pump announces itself again", func() string {
		again := 0
		for _, m := range d.got("homeassistant/button/p2/reset/config") {
			if !m.retained {
				again++
			}
		}
		if again < 2 {
			return "not yet"
		}
		return ""
	})
	d.publish("acme/p1/state", `{"flow": 1, "on": true, "setpoint": 8}`)
	s.waitProperty("p1", "setpoint", "8")
	s.waitBound("p1")
	d.retain("acme/p2/status", "online")
	s.waitBound("p1", "p2")

	// After a restart the birth message has all announced again; then a component is
	// taken out. The Thing goes with its last.
	before := len(d.got("homeassistant/button/p2/reset/config"))
	br.p.kill()
	br.start()
	br.waitReady()
	s.waitBound("p1", "p2")
	eventually(t, "the pump announces itself once more", func() string {
		if len(d.got("homeassistant/button/p2/reset/config")) == before {
			return "not yet"
		}
		return ""
	})
	s.call("p2", "button_reset_Press", nil).want(t, http.StatusOK)
	eventually(t, "the service is gone", func() string {
		d.retain("homeassistant/button/p2/reset/config", "") // each time: the pump may be announcing itself just now
		if a := s.call("p2", "button_reset_Press", nil); a.code != http.StatusNotFound {
			return http.StatusText(a.code)
		}
		return ""
	})
	put("p2", "switch_run", true).want(t, http.StatusOK)
	eventually(t, "the other pump has left", func() string {
		d.retain("homeassistant/device/p1/config", "")
		bound, _, err := s.connected()
		if err != nil || len(bound) != 1 || bound[0] != "p2" {
			return fmt.Sprint(bound, err)
		}
		return ""
	})
	sim.stop(t)
	s.waitBound()
	br.p.stop(t)
}

package integration

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// TestZigbee2MQTT goes the whole way with the family's simulated devices: a lamp,
// a door sensor, and a valve that is stuck.
func TestZigbee2MQTT(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "profiles: [{preset: zigbee2mqtt}]\n")
	br.waitReady()
	d := newDevice(t, b, "witness")
	d.listen("zigbee2mqtt/bridge/devices")
	sim := start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "zigbee2mqtt",
		"--count", "3", "--prefix", "z-", "--interval", "100ms")
	ids := zigbeeIDs(t, d)
	lamp, sensor, valve := ids["hall/z-1"], ids["z-2"], ids["z-3"]
	t.Logf("bound %v after the start", s.waitBound(lamp, sensor, valve, "zigbee2mqtt").Round(time.Millisecond))

	s.waitProperty(sensor, "contact", "true")
	s.waitProperty(lamp, "state", "false")
	s.waitProperty(lamp, "friendly_name", `"hall/z-1"`)
	s.waitProperty("zigbee2mqtt", "permit_join", "false")

	put := func(thing, property string, v any) answer {
		return s.do(http.MethodPut, "/Thingworx/Things/"+thing+"/Properties/"+property, map[string]any{property: v})
	}
	if a := put(lamp, "state", true); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitProperty(lamp, "state", "true")
	if a := s.call(lamp, "state_toggle", nil); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitProperty(lamp, "state", "false")

	failed := put(valve, "valve", true)
	failed.want(t, http.StatusInternalServerError, "the valve is stuck")
	if failed.took > 5*time.Second {
		t.Errorf("the failure took %v: it was not told by the log", failed.took)
	}
	put(lamp, "brightness", 999).want(t, http.StatusBadRequest, "254")

	if a := s.call("zigbee2mqtt", "permit_join", map[string]any{"time": 60}); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitProperty("zigbee2mqtt", "permit_join", "true")
	s.call("zigbee2mqtt", "device_remove", map[string]any{"id": "nobody"}).want(t, http.StatusInternalServerError, "does not exist")

	if a := s.call("zigbee2mqtt", "device_rename", map[string]any{"from": "z-2", "to": "cellar/door"}); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitProperty(sensor, "friendly_name", `"cellar/door"`)
	if a := s.call("zigbee2mqtt", "device_remove", map[string]any{"id": "z-3"}); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitBound(lamp, sensor, "zigbee2mqtt")

	d.retain("zigbee2mqtt/hall/z-1/availability", `{"state":"offline"}`)
	s.waitBound(sensor, "zigbee2mqtt")
	sim.stop(t)
	s.waitBound()
	br.p.stop(t)
}

// zigbeeIDs gives the ieee_address of each simulated device, by friendly name.
func zigbeeIDs(t *testing.T, d *device) map[string]string {
	t.Helper()
	ids := map[string]string{}
	eventually(t, "the list of devices", func() string {
		got := d.got("zigbee2mqtt/bridge/devices")
		if len(got) == 0 {
			return "there is none"
		}
		var list []struct {
			Type         string
			IeeeAddress  string `json:"ieee_address"`
			FriendlyName string `json:"friendly_name"`
		}
		if err := json.Unmarshal([]byte(got[len(got)-1].payload), &list); err != nil {
			return err.Error()
		}
		for _, item := range list {
			ids[item.FriendlyName] = item.IeeeAddress
		}
		return ""
	})
	return ids
}

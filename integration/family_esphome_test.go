package integration

import (
	"net/http"
	"strings"
	"testing"
)

// TestESPHome has both presets, whose announcements are both of one simulated node:
// there is one Thing.
func TestESPHome(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "profiles: [{preset: homeassistant}, {preset: esphome}]\n")
	br.waitReady()
	d := newDevice(t, b, "witness")
	d.listen("homeassistant/sensor/+/temperature/config")
	sim := start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "esphome",
		"--count", "1", "--prefix", "node-", "--interval", "200ms")
	mac := ""
	eventually(t, "the node announces itself", func() string {
		for _, m := range d.got("homeassistant/") {
			_, rest, _ := strings.Cut(m.payload, `"ids":"`)
			mac, _, _ = strings.Cut(rest, `"`)
		}
		if mac == "" {
			return "not yet"
		}
		return ""
	})
	s.waitBound(mac)
	s.waitProperty(mac, "switch_relay", "false")
	s.waitProperty(mac, "sensor_humidity", "55.5") // of no announcement
	put := func(property string, v any) answer {
		return s.do(http.MethodPut, "/Thingworx/Things/"+mac+"/Properties/"+property, map[string]any{property: v})
	}
	put("switch_relay", true).want(t, http.StatusOK)
	s.waitProperty(mac, "switch_relay", "true")
	put("light_lamp_brightness", 77).want(t, http.StatusOK)
	s.waitProperty(mac, "light_lamp", "true")
	s.waitProperty(mac, "light_lamp_brightness", "77")
	s.call(mac, "switch_relay_Toggle", nil).want(t, http.StatusOK)
	s.waitProperty(mac, "switch_relay", "false")

	d.retain("homeassistant/switch/node-1/relay/config", "")
	d.retain("homeassistant/sensor/node-1/temperature/config", "")
	d.retain("homeassistant/light/node-1/lamp/config", "")
	d.publish("node-1/sensor/humidity/state", "44.5") // its own discovery is left
	s.waitProperty(mac, "sensor_humidity", "44.5")
	s.waitBound(mac)
	sim.stop(t)
	s.waitBound()
	br.p.stop(t)
}

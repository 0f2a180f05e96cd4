package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestShelly goes the whole way with simulated devices of the second generation.
func TestShelly(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "profiles: [{preset: shelly}, {preset: shelly-gen1}]\n")
	br.waitReady()
	d := newDevice(t, b, "witness")
	sim := start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "shelly",
		"--count", "2", "--prefix", "plug-", "--interval", "200ms")
	t.Logf("bound %v after the start", s.waitBound("plug-1", "plug-2").Round(time.Millisecond))
	s.waitProperty("plug-1", "Model", `"SIM-001"`)
	s.waitProperty("plug-1", "switch0_output", "true")
	s.waitProperty("plug-1", "switch0_voltage", "230.1")
	s.waitProperty("plug-1", "wifi_rssi", "-60")

	put := func(property string, v any) answer {
		return s.do(http.MethodPut, "/Thingworx/Things/plug-1/Properties/"+property, map[string]any{property: v})
	}
	if a := put("switch0_output", false); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitProperty("plug-1", "switch0_output", "false")
	if got := fmt.Sprint(s.call("plug-1", "Switch_Set", map[string]any{"id": 0, "on": true}).cell(t, "result")); !strings.Contains(got, "was_on:false") {
		t.Errorf("Switch_Set: %s", got)
	}
	s.waitProperty("plug-1", "switch0_output", "true")
	s.call("plug-1", "Switch_Set", map[string]any{"id": 9, "on": true}).want(t, http.StatusInternalServerError, "value 9 not found", "-105")
	s.call("plug-1", "Call", map[string]any{"method": "Nothing.Here"}).want(t, http.StatusNotFound, "No handler")
	if got := fmt.Sprint(s.call("plug-1", "Call", map[string]any{"method": "Switch.GetConfig", "params": map[string]any{"id": 0}}).cell(t, "result")); !strings.Contains(got, "in_mode:follow") {
		t.Errorf("Switch.GetConfig: %s", got)
	}
	if a := s.call("plug-1", "Shelly_Reboot", nil); a.code != http.StatusOK {
		t.Errorf("Shelly_Reboot: %d %s", a.code, a.body)
	}

	br.p.kill()
	br.start()
	br.waitReady()
	s.waitBound("plug-1", "plug-2")
	if a := put("switch0_output", false); a.code != http.StatusOK {
		t.Fatalf("after a restart: %d %s", a.code, a.body)
	}
	d.retain("plug-1/online", "")
	s.waitBound("plug-2")
	sim.stop(t)
	s.waitBound()
	br.p.stop(t)
}

// TestShellyGen1 does so with devices of the first generation, which the bridge
// must ask to announce themselves: they were there before it.
func TestShellyGen1(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	sim := start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "shelly-gen1",
		"--count", "2", "--prefix", "r", "--interval", "200ms")
	d := newDevice(t, b, "witness")
	d.listen("shellies/shelly1pm-r2/relay/0")
	eventually(t, "the devices are there", func() string {
		if len(d.got("shellies/shelly1pm-r2/relay/0")) == 0 {
			return "no value yet"
		}
		return ""
	})
	br := newBridge(t, b, s.webSocket(s.address), "profiles: [{preset: shelly}, {preset: shelly-gen1}]\n")
	br.waitReady()
	const one, two = "shelly1pm-r1", "shelly1pm-r2"
	t.Logf("bound %v after the start", s.waitBound(one, two).Round(time.Millisecond))
	s.waitProperty(one, "relay0", "true")
	s.waitProperty(one, "temperature", "40.5")
	if a := s.do(http.MethodPut, "/Thingworx/Things/"+one+"/Properties/relay0", map[string]any{"relay0": false}); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitProperty(one, "relay0", "false")
	s.waitProperty(one, "relay0_power", "0")
	if a := s.call(one, "Relay0_Toggle", nil); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitProperty(one, "relay0", "true")
	s.call(one, "Fly", nil).want(t, http.StatusNotFound, "Fly")
	sim.stop(t)
	s.waitBound()
	br.p.stop(t)
}

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTasmota goes the whole way with simulated plugs.
func TestTasmota(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "profiles: [{preset: tasmota}]\n")
	br.waitReady()
	d := newDevice(t, b, "witness")
	d.listen("tasmota/discovery/+/config")
	sim := start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "tasmota",
		"--count", "2", "--prefix", "plug-", "--interval", "200ms")
	plugs := tasmotaThings(t, d, "plug-1", "plug-2")
	plug := plugs["plug-1"]
	t.Logf("bound %v after the start", s.waitBound(plug, plugs["plug-2"]).Round(time.Millisecond))
	s.waitProperty(plug, "DeviceName", `"plug-1"`)
	s.waitProperty(plug, "POWER1", "true")
	s.waitProperty(plug, "ENERGY_Voltage", "230")
	s.waitProperty(plug, "DS18B20_Id", `"01A2B3"`)

	put := s.do(http.MethodPut, "/Thingworx/Things/"+plug+"/Properties/POWER1", map[string]any{"POWER1": false})
	if put.code != http.StatusOK {
		t.Fatalf("%d %s", put.code, put.body)
	}
	s.waitProperty(plug, "POWER1", "false")
	if got := s.call(plug, "Toggle1", nil).cell(t, "result"); got != true {
		t.Errorf("the relay is %v after Toggle1", got)
	}
	s.waitProperty(plug, "POWER1", "true")
	if got := fmt.Sprint(s.call(plug, "Command", map[string]any{"name": "TelePeriod", "payload": "60"}).cell(t, "result")); !strings.Contains(got, "TelePeriod:60") {
		t.Errorf("TelePeriod: %s", got)
	}
	if got := fmt.Sprint(s.call(plug, "Status", map[string]any{"n": 8}).cell(t, "result")); !strings.Contains(got, "StatusSNS") {
		t.Errorf("Status: %s", got)
	}
	s.call(plug, "Command", map[string]any{"name": "Fly"}).want(t, http.StatusNotFound, "does not know the command Fly")
	s.call(plug, "Command", map[string]any{"name": "a/b"}).want(t, http.StatusBadRequest)

	br.p.kill()
	br.start()
	br.waitReady()
	s.waitBound(plug, plugs["plug-2"])
	mac := strings.TrimPrefix(plug, "tasmota-")
	d.retain("tasmota/discovery/"+mac+"/config", "")
	d.retain("tasmota/discovery/"+mac+"/sensors", "")
	s.waitBound(plugs["plug-2"])
	sim.stop(t)
	s.waitBound()
	br.p.stop(t)
}

// tasmotaThings gives the Things of simulated devices, by their topics.
func tasmotaThings(t *testing.T, d *device, names ...string) map[string]string {
	t.Helper()
	things := map[string]string{}
	eventually(t, "the devices announce themselves", func() string {
		for _, m := range d.got("tasmota/discovery/") {
			for _, name := range names {
				if strings.Contains(m.payload, fmt.Sprintf(`"t":%q`, name)) {
					things[name] = "tasmota-" + strings.Split(m.topic, "/")[2]
				}
			}
		}
		if len(things) < len(names) {
			return fmt.Sprintf("%q", things)
		}
		return ""
	})
	return things
}

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const sparkplugProfile = "profiles: [{preset: sparkplug-b, with: {host_id: plant 7, rebirth_interval: 1s}}]\n"

// TestSparkplug goes the whole way with a simulated edge node and three devices.
func TestSparkplug(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), sparkplugProfile)
	br.waitReady()
	nodes := func() *process {
		return start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "sparkplug-b",
			"--count", "2", "--prefix", "line-", "--interval", "200ms")
	}
	sim := nodes()
	all := []string{"Plant A.line", "Plant A.line.line-1", "Plant A.line.line-2"}
	t.Logf("bound %v after the start", s.waitBound(all...).Round(time.Millisecond))
	const device = "Plant A.line.line-1"
	s.waitProperty(device, "Outputs_Running", "true")
	s.waitProperty("Plant A.line", "Devices", "2")

	put := func(property string, value any) answer {
		return s.do(http.MethodPut, "/Thingworx/Things/Plant%20A.line.line-1/Properties/"+property, map[string]any{property: value})
	}
	put("Setpoint", 61).want(t, http.StatusOK)
	s.waitProperty(device, "Setpoint", "61")
	put("Outputs_Running", false).want(t, http.StatusOK)
	s.waitProperty(device, "Outputs_Running", "false")
	put("Inputs_Temperature", 3).want(t, http.StatusMethodNotAllowed)
	s.call("Plant A.line", "ScanRate", map[string]any{"value": 250}).want(t, http.StatusOK)
	s.waitProperty("Plant A.line", "Node Control_Scan Rate", "250")
	s.call("Plant A.line", "Rebirth", nil).want(t, http.StatusOK)

	// A kill of the bridge: the Things are there at once, the births are asked for.
	br.p.kill()
	br.start()
	br.waitReady()
	s.waitBound(all...)
	put("Setpoint", 62).want(t, http.StatusOK)
	// A kill of the node: its death takes all. One that dies while the bridge is away too.
	sim.kill()
	s.waitBound()
	sim = nodes()
	s.waitBound(all...)
	br.p.kill()
	sim.kill()
	br.start()
	br.waitReady()
	s.waitBound()
	// And back.
	sim = nodes()
	s.waitBound(all...)
	b.stop()
	b.restart()
	s.waitBound(all...)
	sim.stop(t)
	s.waitBound()
	br.p.stop(t)
}

// TestAThousandSparkplugDevices has one edge node with 1,000 devices die and come
// back: every Thing is unbound and bound again.
func TestAThousandSparkplugDevices(t *testing.T) {
	const count = 1000
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), sparkplugProfile)
	br.waitReady()
	all := []string{"Plant A.unit"}
	for i := range count {
		all = append(all, fmt.Sprintf("Plant A.unit.unit-%d", i+1))
	}
	nodes := func() *process {
		return start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "sparkplug-b",
			"--count", fmt.Sprint(count), "--prefix", "unit-", "--interval", "5s")
	}
	took := func(what string, since time.Time) {
		t.Logf("%s: %v", what, time.Since(since).Round(time.Millisecond))
	}
	since := time.Now()
	sim := nodes()
	s.waitBound(all...)
	took("1,001 births, all bound and ready", since)
	s.waitProperty(all[count], "Setpoint", "55")

	since = time.Now()
	s.call("Plant A.unit", "Rebirth", nil).want(t, http.StatusOK)
	took("the node's answer to Rebirth", since)
	since = time.Now()
	s.do(http.MethodPut, "/Thingworx/Things/Plant%20A.unit.unit-1000/Properties/Setpoint", map[string]any{"Setpoint": 77}).want(t, http.StatusOK)
	took("a write to the last device, confirmed behind 1,000 births", since)
	s.waitBound(all...)

	since = time.Now()
	sim.kill()
	s.waitBound()
	took("node death, all unbound", since)
	since = time.Now()
	sim = nodes()
	s.waitBound(all...)
	took("reborn, all bound and ready again", since)

	br.p.kill()
	br.start()
	since = time.Now()
	s.waitBound(all...)
	took("the bridge killed and started, all bound and ready", since)
	sim.stop(t)
	s.waitBound()
	if out := br.p.tail(); strings.Contains(out, "messages are missing") {
		t.Errorf("a gap in the numbers that nothing made:\n%s", out)
	}
	br.p.stop(t)
}

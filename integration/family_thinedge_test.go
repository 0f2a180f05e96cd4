package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestThinEdge goes the whole way with a simulated main device and its children.
func TestThinEdge(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	// What a device measures it does not declare, so somebody has made its bindings.
	things := filepath.Join(t.TempDir(), "things.yaml")
	if err := os.WriteFile(things, []byte("- {name: gw-c1, properties: {environment_current_L1: {type: NUMBER}, twin_name: {type: STRING}, alarm_door: {type: STRING}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newPlatform(t, "--things", things)
	br := newBridge(t, b, s.webSocket(s.address), "profiles: [{preset: thin-edge, with: {prefix: gw-}}]\n")
	br.waitReady()
	d := newDevice(t, b, "witness")
	d.listen("te/+/+/+/+/cmd/+/+")
	d.retain("te/device/c1///a/door", `{"severity": "major", "text": "it is open"}`) // before its device is registered
	sim := start(t, "simulate devices", binary, "simulate", "devices", "--broker", b.url(), "--family", "thin-edge",
		"--count", "2", "--prefix", "c", "--interval", "200ms")
	first := []string{"gw-c1", "gw-c1_driver", "gw-main", "gw-main_tedge-agent"}
	all := append(slices.Clone(first), "gw-c2", "gw-c2_driver")
	t.Logf("bound %v after the start", s.waitBound(all...).Round(time.Millisecond))

	s.waitProperty("gw-c1", "environment_current_L1", "9.5")
	s.waitProperty("gw-c1", "twin_name", `"Simulated c1"`)
	s.waitProperty("gw-main", "entity_type", `"device"`)
	s.waitProperty("gw-c1", "alarm_door", `"major"`)
	d.retain("te/device/c1///a/door", "")
	s.waitProperty("gw-c1", "alarm_door", `""`)

	if got := fmt.Sprint(s.call("gw-main", "software_list", nil).cell(t, "result")); !strings.Contains(got, "nodered") {
		t.Errorf("software_list: %s", got)
	}
	if got := fmt.Sprint(s.call("gw-c1", "log_upload", map[string]any{"type": "driver", "lines": 10}).cell(t, "result")); !strings.Contains(got, "log_upload/driver") {
		t.Errorf("log_upload: %s", got)
	}
	s.call("gw-c1", "log_upload", map[string]any{"type": "other"}).want(t, http.StatusInternalServerError, "there is no such log")
	s.call("gw-c1", "software_list", nil).want(t, http.StatusNotFound, "software_list")
	if got := fmt.Sprint(s.call("gw-main", "restart", map[string]any{"why": "a test"}).cell(t, "result")); !strings.Contains(got, "a test") {
		t.Errorf("restart, with an input that nobody declared: %s", got)
	}
	commands := waitCleared(t, d, 4)

	d.retain("te/device/c1/service/driver/status/health", `{"status": "down"}`)
	s.waitThing("gw-c1_driver", false)
	d.retain("te/device/c1/service/driver/status/health", `{"status": "up"}`)
	s.waitBound(all...)

	// A bridge that was killed takes back what it left behind.
	br.p.kill()
	_, mark, _ := strings.Cut(commands[0], "-thingbridge-")
	left := "te/device/c1///cmd/restart/left-thingbridge-" + mark
	d.retain(left, `{"status": "successful"}`)
	br.start()
	br.waitReady()
	s.waitBound(all...)
	waitCleared(t, d, 5)

	d.retain("te/device/c2/service/driver", "")
	d.retain("te/device/c2//", "")
	s.waitBound(first...)
	// The agent of the main device speaks for it, and what belongs to it goes along.
	d.retain("te/device/main/service/tedge-agent/status/health", `{"status": "down"}`)
	s.waitBound()
	d.retain("te/device/main/service/tedge-agent/status/health", `{"status": "up"}`)
	s.waitBound(first...)
	sim.stop(t)
	s.waitBound()
	br.p.stop(t)
}

// waitCleared waits until n commands were made and each was cleared, and gives their topics.
func waitCleared(t *testing.T, d *device, n int) (topics []string) {
	t.Helper()
	eventually(t, "the commands are cleared", func() string {
		said := map[string]string{}
		for _, m := range d.got("te/") {
			if m.payload == "" {
				said[m.topic] += "cleared"
			} else {
				said[m.topic] += ""
			}
		}
		topics = topics[:0]
		for topic, clear := range said {
			if clear == "" {
				return topic + " is left"
			}
			topics = append(topics, topic)
		}
		if len(topics) != n {
			return fmt.Sprintf("%d commands, want %d", len(topics), n)
		}
		return ""
	})
	return topics
}

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func put(s *platform, thing, property string, v any) answer {
	return s.do(http.MethodPut, "/Thingworx/Things/"+thing+"/Properties/"+property, map[string]any{property: v})
}

func (a answer) ok(t *testing.T) {
	t.Helper()
	if a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
}

// TestHomie goes the whole way with simulated devices of both versions under one
// preset: presses with a valve each, and an input module that describes itself
// in some 280 messages.
func TestHomie(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), "profiles: [{preset: homie}]\n")
	br.waitReady()
	d := newDevice(t, b, "witness")
	five := start(t, "simulate homie5", binary, "simulate", "devices", "--broker", b.url(), "--family", "homie5", "--count", "1", "--prefix", "press-", "--interval", "200ms")
	four := start(t, "simulate homie4", binary, "simulate", "devices", "--broker", b.url(), "--family", "homie4", "--count", "1", "--prefix", "module-", "--interval", "100ms")
	t.Logf("bound %v after the start", s.waitBound("press-1", "press-1-valve", "module-1").Round(time.Millisecond))

	s.waitProperty("press-1", "drive_mode", `"auto"`)
	s.waitProperty("press-1-valve", "root", `"press-1"`)
	s.waitProperty("module-1", "inputs_ai-40", "5")
	s.waitProperty("module-1", "state", `"ready"`)

	put(s, "press-1", "drive_speed", 1200).ok(t)
	s.waitProperty("press-1", "drive_speed", "1200")
	put(s, "module-1", "drive_running", false).ok(t)
	s.waitProperty("module-1", "drive_running", "false")
	put(s, "press-1", "drive_speed", 3001).want(t, http.StatusBadRequest, "over the maximum 3000")
	put(s, "module-1", "drive_mode", "fast").want(t, http.StatusBadRequest, "not one of the permitted values")
	// The target confirms before the valve has moved; 44 is rounded to the step of 10.
	put(s, "press-1-valve", "valve_position", 44).ok(t)
	s.waitProperty("press-1-valve", "valve_position", "40")
	s.call("press-1", "panel_beep", map[string]any{"value": 2}).ok(t)
	s.call("press-1", "panel_beep", map[string]any{"value": 9}).want(t, http.StatusBadRequest, "over the maximum 5")
	eventually(t, "the button is an event", func() string {
		var events []struct{ Name string }
		if err := s.read(&events, "/simulator/events", "thing", "press-1"); err != nil {
			return err.Error()
		}
		for _, e := range events {
			if e.Name == "panel_button" {
				return ""
			}
		}
		return fmt.Sprint(events)
	})

	br.p.kill()
	br.start()
	br.waitReady()
	s.waitBound("press-1", "press-1-valve", "module-1")
	d.retain("homie/5/press-1/$state", "lost")
	s.waitBound("module-1")
	d.retain("homie/5/press-1/$state", "ready")
	s.waitBound("press-1", "press-1-valve", "module-1")
	d.retain("homie/5/press-1/$state", "sleeping")
	s.waitProperty("press-1", "state", `"sleeping"`)
	asleep := make(chan answer, 1)
	go func() { asleep <- put(s, "press-1", "drive_speed", 900) }()
	eventually(t, "the write waits", func() string {
		var status struct{ Bridge struct{ CallsInFlight int } }
		if body := br.api("/api/v1/status", &status); status.Bridge.CallsInFlight == 0 {
			return "no call is in flight: " + body
		}
		return ""
	})
	d.retain("homie/5/press-1/$state", "ready")
	(<-asleep).ok(t)
	s.waitProperty("press-1", "drive_speed", "900")

	five.stop(t)
	s.waitBound("module-1")
	d.retain("homie/module-1/$homie", "")
	s.waitBound()
	four.stop(t)
	if out := br.p.output(); strings.Contains(out, "level=ERROR") {
		t.Errorf("the bridge complains:\n%s", out)
	}
	br.p.stop(t)
}

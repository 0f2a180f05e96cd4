package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// acmeProfile is a device family whose services are all declared, so that a
// service that does not exist can be told from one that does not answer.
const acmeProfile = `profiles:
  - preset: native
  - name: acme
    thing: acme-${id}
    announce: {topic: "acme/{id}/hello"}
    services:
      Reset:
        output: STRING
        timeout: 2s
        request: {topic: "acme/${id}/cmd/reset/${request}", payload: "${toJSON(inputs)}"}
        reply: {topic: "acme/{id}/cmd/reset/{request}/reply", result: payload.result, error: payload.error}
`

// TestDevicesOnABroker goes the whole way from a device's announcement to the
// platform's REST and back.
func TestDevicesOnABroker(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	br := newBridge(t, b, s.webSocket(s.address), acmeProfile)
	t.Logf("ready after %v", br.waitReady().Round(time.Millisecond))
	for name, scenario := range map[string]func(t *testing.T, d *device, s *platform){
		"an announcement binds a Thing":                         announceBinds,
		"a call with three typed inputs gets its result":        typedCall,
		"the device's own error reaches the caller":             deviceError,
		"a call that nobody answers ends at its time":           noReply,
		"an unknown Thing and an unknown service are not found": notFound,
		"a value reaches the platform with type, time, quality": valueArrives,
		"a property is written, confirmed and read":             propertyWrite,
		"an event reaches the platform":                         eventArrives,
		"20 KB go both ways":                                    bigCall,
		"a Thing whose announcement is taken back leaves":       leaves,
		"inputs that do not fit are refused before the device":  badInputs,
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			scenario(t, newDevice(t, b, "device-"+fmt.Sprint(time.Now().UnixNano())), &s)
		})
	}
	t.Run("a killed device's will takes its Thing offline", func(t *testing.T) {
		s := *s
		s.t = t
		kill := startDevice(t, b, "mortal-1")
		s.waitThing("mortal-1", true)
		kill()
		t.Logf("unbound %v after the kill", s.waitThing("mortal-1", false).Round(time.Millisecond))
	})
	br.p.stop(t)
	s.waitBound()
}

func announceBinds(t *testing.T, d *device, s *platform) {
	d.announce("pump-1", "{}")
	t.Logf("bound %v after the announcement", s.waitThing("pump-1", true).Round(time.Millisecond))
}

func typedCall(t *testing.T, d *device, s *platform) {
	inputs := make(chan string, 1)
	d.serve("mixer-1", "Mix", func(in string) string {
		inputs <- in
		return `{"result": "mixed 3 at 0.5"}`
	})
	d.announce("mixer-1", `{"services": {"Mix": {"description": "mixes",
		"inputs": {"count": "INTEGER", "ratio": "NUMBER", "hot": {"type": "BOOLEAN", "required": true}}, "output": "STRING"}}}`)
	s.waitThing("mixer-1", true)
	a := s.call("mixer-1", "Mix", map[string]any{"count": 3, "ratio": 0.5, "hot": true})
	if got := a.cell(t, "result"); got != "mixed 3 at 0.5" {
		t.Fatalf("result %v", got)
	}
	if !strings.Contains(a.body, `"STRING"`) {
		t.Fatalf("the result's type is not STRING: %s", a.body)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(<-inputs), &got); err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"count": 3.0, "ratio": 0.5, "hot": true}; !reflect.DeepEqual(got, want) {
		t.Fatalf("the device got %v; want %v", got, want)
	}
	t.Logf("a call takes %v", s.call("mixer-1", "Mix", map[string]any{"count": 3, "ratio": 0.5, "hot": true}).took.Round(time.Microsecond))
	<-inputs
}

func deviceError(t *testing.T, d *device, s *platform) {
	d.serve("valve-1", "Open", func(string) string { return `{"error": "the valve is stuck"}` })
	d.serve("valve-1", "Close", func(string) string { return `{"error": {"code": 503, "message": "busy closing"}}` })
	d.announce("valve-1", `{"services": {"Open": {}, "Close": {}}}`)
	s.waitThing("valve-1", true)
	s.call("valve-1", "Open", nil).want(t, http.StatusInternalServerError, "the valve is stuck")
	s.call("valve-1", "Close", nil).want(t, http.StatusServiceUnavailable, "busy closing")
}

func noReply(t *testing.T, d *device, s *platform) {
	d.serve("mute-1", "Speak", func(string) string { return "" })
	d.announce("mute-1", `{"services": {"Speak": {"timeout": "1s"}}}`)
	s.waitThing("mute-1", true)
	a := s.call("mute-1", "Speak", nil)
	a.want(t, http.StatusGatewayTimeout)
	if a.took < 900*time.Millisecond || a.took > 4*time.Second {
		t.Fatalf("it ended after %v; its time is 1 s", a.took)
	}
	if n := len(d.got("things/mute-1/")); n != 1 {
		t.Fatalf("the device was asked %d times", n)
	}
	t.Logf("ended after %v: %s", a.took.Round(time.Millisecond), strings.TrimSpace(a.body))
}

func notFound(t *testing.T, d *device, s *platform) {
	s.call("nobody-1", "Reset", nil).want(t, http.StatusNotFound, "nobody-1")
	d.retain("acme/7/hello", `{"kind": "pump"}`)
	s.waitThing("acme-7", true)
	s.call("acme-7", "Explode", nil).want(t, http.StatusNotFound, "Explode")
}

func valueArrives(t *testing.T, d *device, s *platform) {
	d.announce("meter-1", `{"properties": {"temp": {"type": "NUMBER", "push": "ALWAYS"}, "label": "STRING", "on": "BOOLEAN", "raw": "JSON"}}`)
	s.waitThing("meter-1", true)
	d.publish("things/meter-1/properties", `{"values": {"temp": 21.5, "label": "x", "on": true, "raw": {"a": [1]}}, "time": "2026-01-02T03:04:05.678Z", "quality": "BAD"}`)
	s.waitProperty("meter-1", "temp", "21.5")
	s.waitProperty("meter-1", "label", `"x"`)
	s.waitProperty("meter-1", "on", "true")
	all, err := s.pushes("meter-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.Name == "temp" && string(v.Value) == "21.5" {
			if v.Time != time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC).UnixMilli() || v.Quality != "BAD" {
				t.Fatalf("%+v", v)
			}
			return
		}
	}
	t.Fatalf("temp was not pushed: %+v", all)
}

func propertyWrite(t *testing.T, d *device, s *platform) {
	d.listen("things/heater-1/properties/+/set")
	d.announce("heater-1", `{"properties": {"setpoint": {"type": "NUMBER", "writable": true, "confirm": "echo"}, "mode": {"type": "STRING", "writable": true}}}`)
	s.waitThing("heater-1", true)
	if a := s.do(http.MethodPut, "/Thingworx/Things/heater-1/Properties/mode", map[string]any{"mode": "eco"}); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	eventually(t, "the device is told the mode", func() string {
		if got := d.got("things/heater-1/properties/mode/set"); len(got) != 1 || got[0].payload != `"eco"` || got[0].retained {
			return fmt.Sprintf("%+v", got)
		}
		return ""
	})
	echoed := make(chan answer, 1)
	go func() {
		echoed <- s.do(http.MethodPut, "/Thingworx/Things/heater-1/Properties/setpoint", map[string]any{"setpoint": 22.5})
	}()
	eventually(t, "the device is told the setpoint", func() string {
		if got := d.got("things/heater-1/properties/setpoint/set"); len(got) != 1 || got[0].payload != "22.5" {
			return fmt.Sprintf("%+v", got)
		}
		return ""
	})
	d.publish("things/heater-1/properties/setpoint", "22.5")
	if a := <-echoed; a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	s.waitProperty("heater-1", "setpoint", "22.5")
}

func eventArrives(t *testing.T, d *device, s *platform) {
	d.announce("alarm-1", `{"events": {"Alarm": {"fields": {"code": {"type": "INTEGER"}, "text": "STRING"}}}}`)
	s.waitThing("alarm-1", true)
	d.publish("things/alarm-1/events/Alarm", `{"code": 7, "text": "too hot"}`)
	eventually(t, "the event is at the platform", func() string {
		var events []struct {
			Name string
			Data map[string]any
		}
		if err := s.read(&events, "/simulator/events", "thing", "alarm-1"); err != nil {
			return err.Error()
		}
		if len(events) != 1 || events[0].Name != "Alarm" || events[0].Data["code"] != 7.0 || events[0].Data["text"] != "too hot" {
			return fmt.Sprintf("%+v", events)
		}
		return ""
	})
}

func bigCall(t *testing.T, d *device, s *platform) {
	big := strings.Repeat("0123456789abcdef", 20<<10/16)
	d.serve("echo-1", "Echo", func(in string) string {
		var inputs struct{ Text string }
		if err := json.Unmarshal([]byte(in), &inputs); err != nil {
			return `{"error": "not JSON"}`
		}
		return `{"result": "` + inputs.Text + `!"}`
	})
	d.announce("echo-1", `{"services": {"Echo": {"inputs": {"text": "STRING"}, "output": "STRING"}}}`)
	s.waitThing("echo-1", true)
	if got := s.call("echo-1", "Echo", map[string]any{"text": big}).cell(t, "result"); got != big+"!" {
		t.Fatalf("%d bytes came back; want %d", len(fmt.Sprint(got)), len(big)+1)
	}
}

func leaves(t *testing.T, d *device, s *platform) {
	d.announce("guest-1", "{}")
	s.waitThing("guest-1", true)
	d.announce("guest-1", "")
	s.waitThing("guest-1", false)
	d.announce("guest-1", "{}")
	s.waitThing("guest-1", true)
}

func badInputs(t *testing.T, d *device, s *platform) {
	d.serve("strict-1", "Set", func(string) string { return "{}" })
	d.announce("strict-1", `{"services": {"Set": {"inputs": {"level": {"type": "INTEGER", "required": true}}}}}`)
	s.waitThing("strict-1", true)
	s.call("strict-1", "Set", map[string]any{}).want(t, http.StatusBadRequest, "level")
	if got := d.got("things/strict-1/"); len(got) != 0 {
		t.Fatalf("the device was asked: %+v", got)
	}
	if a := s.call("strict-1", "Set", map[string]any{"level": 3}); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
}

package integration

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// exampleProfiles are the profiles of an example, as a configuration has them.
func exampleProfiles(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../examples/" + name + "/thingbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Profiles yaml.Node }
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(map[string]any{"profiles": &doc.Profiles})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestSmallBinaryDevices goes the whole way with the examples: LoRaWAN, Modbus
// registers, CBOR and MessagePack, all on one bridge.
func TestSmallBinaryDevices(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newPlatform(t)
	var profiles strings.Builder
	profiles.WriteString("profiles:\n")
	for _, name := range []string{"lorawan", "modbus", "cbor", "msgpack"} {
		profiles.WriteString(strings.TrimPrefix(exampleProfiles(t, name), "profiles:\n"))
	}
	br := newBridge(t, b, s.webSocket(s.address), profiles.String())
	br.waitReady()
	for _, family := range [][2]string{{"lorawan", "24e124136b"}, {"modbus", "gw-"}, {"cbor", "c-pump-"}, {"msgpack", "m-pump-"}} {
		start(t, "simulate "+family[0], binary, "simulate", "devices", "--broker", b.url(), "--family", family[0], "--count", "1",
			"--prefix", family[1], "--interval", "100ms")
	}
	const lora, drive = "lora-24e124136b1", "gw-1-1"
	s.waitBound(lora, drive, "c-pump-1", "m-pump-1")

	s.waitProperty(lora, "battery", "3.6")
	s.waitProperty(lora, "interval", "15")
	put(s, lora, "interval", 60).ok(t)
	s.waitProperty(lora, "interval", "60")
	put(s, lora, "interval", 0).want(t, http.StatusBadRequest, "below the minimum 1")

	s.waitProperty(drive, "stage", "3")
	s.waitProperty(drive, "running", "true")
	put(s, drive, "setpoint", 22.57).ok(t)
	s.waitProperty(drive, "setpoint", "22.6")
	put(s, drive, "limit", 4294967295).ok(t)
	s.waitProperty(drive, "limit", "4294967295")

	for _, pump := range []string{"c-pump-1", "m-pump-1"} {
		s.waitProperty(pump, "firmware", `"2.1.0"`)
		put(s, pump, "setpoint", 33.25).ok(t)
		s.waitProperty(pump, "setpoint", "33.25")
		if got := s.call(pump, "Do", map[string]any{"command": "reset"}).cell(t, "result"); got != "counted from 0" {
			t.Errorf("%s: %v", pump, got)
		}
		s.call(pump, "Do", map[string]any{"command": "fly"}).want(t, http.StatusInternalServerError, "not known")
	}
	br.p.stop(t)
}

package main

import (
	"fmt"
	"strings"
)

// welcome says what runs where, and what to try.
func (s *story) welcome() string {
	host, port := s.places.mqtt.IP.String(), s.places.mqtt.Port
	curl := fmt.Sprintf("curl -s -H 'appKey: %s' -H 'Accept: application/json' -H 'Content-Type: application/json'", demoKey)
	publish := fmt.Sprintf("mosquitto_pub -h %s -p %d -q 1", host, port)
	first := s.ours[0]
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("thingbridge demo: everything runs in this process, in memory. Ctrl-C ends it.")
	say("")
	say("  MQTT broker         tcp://%s:%d", host, port)
	say("  platform's REST     %s   (application key: %s)", s.places.rest, demoKey)
	say("  bridge's page       %s   (also /readyz, /metrics, /api/v1/things)", s.places.console)
	say("  simulated devices   %s to %s", first, s.ours[len(s.ours)-1])
	say("")
	say("Try in another terminal, as the platform's user:")
	say("")
	say("  %s %s/Things/%s/Properties/temp", curl, s.places.rest, first)
	say(`  %s -X POST -d '{"a": 2, "b": 3}' %s/Things/%s/Services/Add`, curl, s.places.rest, first)
	say(`  %s -X PUT -d '{"setpoint": 42}' %s/Things/%s/Properties/setpoint`, curl, s.places.rest, first)
	say("")
	say("and as a device of your own:")
	say("")
	say(`  %s -r -t things/my-device/announce -m '{"properties": {"level": "NUMBER"}}'`, publish)
	say("  %s -t things/my-device/properties/level -m 12.5", publish)
	say("  %s %s/Things/my-device/Properties/level", curl, s.places.rest)
	say("  %s -r -n -t things/my-device/announce      # it leaves", publish)
	say("")
	say("What happens:")
	say("")
	return b.String()
}

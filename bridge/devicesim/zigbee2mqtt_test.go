package devicesim

import (
	"strings"
	"testing"
	"time"
)

func TestZigbee2MQTTListsSetsAndRenames(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "zigbee2mqtt/#")
	s, stop := simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "zigbee2mqtt", Count: 3, Prefix: "d", Interval: time.Hour, DevicesPerConnection: 1})
	list := until(t, ch, "the list", func(h heard) bool { return h.topic == "zigbee2mqtt/bridge/devices" })
	for _, part := range []string{`"Coordinator"`, `"hall/d1"`, `"d2"`, `"d3"`, `"value_toggle"`} {
		if !strings.Contains(list.payload, part) {
			t.Errorf("the list lacks %s: %s", part, list.payload)
		}
	}
	until(t, ch, "the last state", func(h heard) bool { return h.topic == "zigbee2mqtt/d3" })
	for _, tc := range []struct{ name, send, payload, topic, want string }{
		{"a set is shown", "hall/d1/set", `{"brightness":7}`, "hall/d1", `"brightness":7`},
		{"a toggle is shown", "hall/d1/set", `{"state":"TOGGLE"}`, "hall/d1", `"state":"ON"`},
		{"a get is answered", "hall/d1/get", `{"state":""}`, "hall/d1", `"state":"ON"`},
		{"a stuck device is in the log", "d3/set", `{"valve":"OPEN"}`, "bridge/logging", `Publish 'set' 'valve' to 'd3' failed: 'Error: `},
		{"a value out of range is in the log", "hall/d1/set", `{"brightness":700}`, "bridge/logging", `'brightness'`},
		{"a set of nobody is in the log", "d9/set", `{"x":1}`, "bridge/logging", `d9/set`},
		{"joining is permitted", "bridge/request/permit_join", `{"time":60,"transaction":"t1"}`, "bridge/response/permit_join", `"transaction":"t1"`},
		{"a bad request is an error", "bridge/request/permit_join", `{"transaction":2}`, "bridge/response/permit_join", `"status":"error","transaction":2`},
		{"an unknown request is an error", "bridge/request/backup", ``, "bridge/response/backup", `"status":"error"`},
		{"a rename moves the topic", "bridge/request/device/rename", `{"from":"d2","to":"cellar/d2"}`, "cellar/d2", `"temperature"`},
		{"a renamed device has its topic", "cellar/d2/get", ``, "cellar/d2", `"temperature"`},
		{"a name that is taken is an error", "bridge/request/device/rename", `{"from":"d3","to":"cellar/d2"}`, "bridge/response/device/rename", `Failed to rename`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c.Publish("zigbee2mqtt/"+tc.send, 1, false, tc.payload).WaitTimeout(limit)
			until(t, ch, tc.want, func(h heard) bool {
				return h.topic == "zigbee2mqtt/"+tc.topic && strings.Contains(h.payload, tc.want)
			})
		})
	}
	c.Publish("zigbee2mqtt/bridge/request/device/remove", 1, false, `{"id":"d3"}`).WaitTimeout(limit)
	until(t, ch, "a list without it", func(h heard) bool {
		return h.topic == "zigbee2mqtt/bridge/devices" && !strings.Contains(h.payload, `"d3"`)
	})
	if n := s.Stats().Online; n != 3 {
		t.Errorf("%d devices are online", n)
	}
	stop()
	until(t, ch, "goodbye", func(h heard) bool {
		return h.topic == "zigbee2mqtt/bridge/state" && h.payload == `{"state":"offline"}`
	})
	until(t, ch, "goodbye of a device", func(h heard) bool {
		return h.topic == "zigbee2mqtt/cellar/d2/availability" && h.payload == `{"state":"offline"}`
	})
}

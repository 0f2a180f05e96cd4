package devicesim

import (
	"strings"
	"testing"
	"time"
)

func TestAHomeAssistantPumpAnnouncesItselfAgainWhenAsked(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "homeassistant/#", "acme/#")
	_, stop := simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "homeassistant", Prefix: "p", Count: 2, Interval: time.Hour, OneConnectionPerDevice: true})
	wanted := map[string]bool{"homeassistant/device/p1/config": true, "homeassistant/switch/p2/run/config": true, "acme/p1/status": true, "acme/p2/status": true}
	until(t, ch, "both forms", func(h heard) bool {
		delete(wanted, h.topic)
		return len(wanted) == 0
	})
	c.Publish("homeassistant/status", 1, false, "online")
	until(t, ch, "announced again", func(h heard) bool { return h.topic == "homeassistant/button/p2/reset/config" })
	c.Publish("acme/p1/setpoint/set", 1, false, "7.5")
	until(t, ch, "state", func(h heard) bool { return h.topic == "acme/p1/state" && strings.Contains(h.payload, `"setpoint":7.5`) })
	c.Publish("acme/p1/run/set", 1, false, "0")
	until(t, ch, "stopped", func(h heard) bool { return h.topic == "acme/p1/state" && strings.Contains(h.payload, `"on":false`) })
	stop()
	until(t, ch, "goodbye", func(h heard) bool { return h.topic == "acme/p1/status" && h.payload == "offline" })
}

func TestAnESPHomeNodeAnnouncesItselfBothWays(t *testing.T) {
	b := startBroker(t)
	c, ch := listen(t, b, "homeassistant/#", "esphome/discover/+", "n1/#")
	simulate(t, Options{Access: Access{Broker: b.URL()}, Family: "esphome", Prefix: "n", Interval: time.Hour, OneConnectionPerDevice: true})
	until(t, ch, "own", func(h heard) bool { return h.topic == "esphome/discover/n1" })
	until(t, ch, "a component", func(h heard) bool { return h.topic == "homeassistant/light/n1/lamp/config" })
	until(t, ch, "nan", func(h heard) bool { return h.topic == "n1/sensor/temperature/state" && h.payload == "nan" })
	c.Publish("esphome/discover", 1, false, "")
	until(t, ch, "own again", func(h heard) bool { return h.topic == "esphome/discover/n1" })
	c.Publish("n1/switch/relay/command", 1, false, "TOGGLE")
	until(t, ch, "relay", func(h heard) bool { return h.topic == "n1/switch/relay/state" && h.payload == "ON" })
	c.Publish("n1/light/lamp/command", 1, false, `{"state":"ON","brightness":9}`)
	until(t, ch, "lamp", func(h heard) bool { return strings.Contains(h.payload, `"brightness":9`) })
}

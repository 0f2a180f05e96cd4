package devicesim

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

func init() {
	families["esphome"] = family{make: newESPHome, owner: esphomeOwner}
}

// esphome is a node with a thermometer, a relay and a lamp. It announces itself both
// ways that ESPHome has; its node name is its name.
type esphome struct {
	name, mac string
	rng       *rand.Rand

	relay, lamp bool
	brightness  int
	ticks       int
}

func newESPHome(name string, rng *rand.Rand) device {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &esphome{name: name, mac: fmt.Sprintf("02%010x", h.Sum64()&(1<<40-1)), rng: rng, brightness: 128}
}

func esphomeOwner(topic string) string {
	if topic == "esphome/discover" {
		return everyone
	}
	name, _, _ := strings.Cut(topic, "/")
	return name
}

func (d *esphome) say(topic string, v any) message {
	m := message{topic: topic, qos: 1, retain: true}
	if text, ok := v.(string); ok {
		m.payload = []byte(text)
	} else if b, err := json.Marshal(v); err == nil {
		m.payload = b
	}
	return m
}

func (d *esphome) will() *message {
	m := d.say(d.name+"/status", "offline")
	return &m
}

func (d *esphome) goodbye() []message { return []message{*d.will()} }

func (d *esphome) filters() []string {
	return []string{"esphome/discover", d.name + "/+/+/command"}
}

func (d *esphome) component(kind, object string, more map[string]any) message {
	config := map[string]any{
		"name": object, "stat_t": fmt.Sprintf("%s/%s/%s/state", d.name, kind, object), "avty_t": d.name + "/status",
		"uniq_id": "ESP" + kind + object,
		"dev": map[string]any{"ids": d.mac, "name": d.name, "sw": "2025.5.1 (config hash 0x01020304)", "mdl": "esp32dev", "mf": "Espressif",
			"cns": [][]string{{"mac", d.mac}}},
	}
	for k, v := range more {
		config[k] = v
	}
	return d.say(fmt.Sprintf("homeassistant/%s/%s/%s/config", kind, d.name, object), config)
}

func (d *esphome) discover() message {
	return d.say("esphome/discover/"+d.name, map[string]any{"ip": "192.0.2.1", "name": d.name, "friendly_name": "Node " + d.name, "port": 6053,
		"version": "2025.5.1", "mac": d.mac, "platform": "ESP32", "board": "esp32dev", "network": "wifi"})
}

func (d *esphome) hello(now time.Time) []message {
	out := []message{
		d.discover(),
		d.component("sensor", "temperature", map[string]any{"unit_of_meas": "°C", "dev_cla": "temperature", "stat_cla": "measurement"}),
		d.component("switch", "relay", map[string]any{"cmd_t": d.name + "/switch/relay/command"}),
		d.component("light", "lamp", map[string]any{"schema": "json", "sup_clrm": []string{"brightness"}, "cmd_t": d.name + "/light/lamp/command"}),
		d.say(d.name+"/status", "online"), d.state("switch", "relay"), d.state("light", "lamp"),
	}
	return append(out, d.tick(now)...)
}

// tick sends the temperature, the first time nan: the sensor is not ready then. The
// humidity is announced nowhere.
func (d *esphome) tick(time.Time) []message {
	text := fmt.Sprintf("%.2f", 21+d.rng.NormFloat64())
	if d.ticks++; d.ticks == 1 {
		text = "nan"
	}
	return []message{d.say(d.name+"/sensor/temperature/state", text), d.say(d.name+"/sensor/humidity/state", "55.5")}
}

func (d *esphome) state(kind, object string) message {
	topic := fmt.Sprintf("%s/%s/%s/state", d.name, kind, object)
	if kind == "switch" {
		return d.say(topic, onOff(d.relay))
	}
	return d.say(topic, map[string]any{"state": onOff(d.lamp), "brightness": d.brightness, "color_mode": "brightness"})
}

func onOff(on bool) string {
	if on {
		return "ON"
	}
	return "OFF"
}

func (d *esphome) handle(topic string, payload []byte, _ time.Time) []message {
	switch topic {
	case "esphome/discover":
		return []message{d.discover()}
	case d.name + "/switch/relay/command":
		switch string(payload) {
		case "ON", "OFF":
			d.relay = string(payload) == "ON"
		case "TOGGLE":
			d.relay = !d.relay
		}
		return []message{d.state("switch", "relay")}
	case d.name + "/light/lamp/command":
		var command struct {
			State      string
			Brightness *int
		}
		if json.Unmarshal(payload, &command) != nil {
			return nil
		}
		d.lamp = command.State == "ON"
		if command.Brightness != nil {
			d.brightness = *command.Brightness
		}
		return []message{d.state("light", "lamp")}
	}
	return nil
}

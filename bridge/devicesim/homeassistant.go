package devicesim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

func init() {
	families["homeassistant"] = family{make: newHomeAssistant, owner: homeAssistantOwner}
}

// homeAssistant is a pump that announces itself by Home Assistant's discovery:
// every second one with one announcement for the device, the others with one for
// each component.
type homeAssistant struct {
	name   string
	single bool
	rng    *rand.Rand

	on       bool
	setpoint float64
	flow     float64
}

func newHomeAssistant(name string, rng *rand.Rand) device {
	last := name[len(name)-1]
	return &homeAssistant{name: name, single: last >= '0' && last <= '9' && (last-'0')%2 == 0, rng: rng, on: true, setpoint: 20}
}

const homeAssistantRoot = "acme/"

func homeAssistantOwner(topic string) string {
	if topic == "homeassistant/status" {
		return everyone
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(topic, homeAssistantRoot), "/")
	return name
}

func (d *homeAssistant) topic(rest string) string { return homeAssistantRoot + d.name + "/" + rest }

func (d *homeAssistant) will() *message {
	return &message{topic: d.topic("status"), payload: []byte("offline"), qos: 1, retain: true}
}

func (d *homeAssistant) goodbye() []message { return []message{*d.will()} }

func (d *homeAssistant) filters() []string { return []string{"homeassistant/status", d.topic("+/set")} }

// components are what the pump has, by their keys.
func (d *homeAssistant) components() map[string]map[string]any {
	return map[string]map[string]any{
		"flow": {"p": "sensor", "name": "Flow", "uniq_id": d.name + "_flow", "unit_of_meas": "L/min", "stat_cla": "measurement",
			"stat_t": d.topic("state"), "val_tpl": "{{ value_json.flow | round(2) }}"},
		"mode": {"p": "sensor", "name": "Mode", "uniq_id": d.name + "_mode", "stat_t": d.topic("state"),
			"val_tpl": "{{ 'running' if value_json.on else 'stopped' }}"},
		"run": {"p": "switch", "name": "Run", "uniq_id": d.name + "_run", "stat_t": d.topic("state"), "cmd_t": d.topic("run/set"),
			"val_tpl": "{{ value_json.on }}", "pl_on": "1", "pl_off": "0", "stat_on": "True", "stat_off": "False"},
		"setpoint": {"p": "number", "name": "Setpoint", "uniq_id": d.name + "_setpoint", "min": 5, "max": 30, "unit_of_meas": "L/min",
			"stat_t": d.topic("state"), "cmd_t": d.topic("setpoint/set"), "val_tpl": "{{ value_json.setpoint }}"},
		"reset": {"p": "button", "name": "Reset", "uniq_id": d.name + "_reset", "cmd_t": d.topic("reset/set")},
		"odd": {"p": "sensor", "name": "Odd", "uniq_id": d.name + "_odd", "stat_t": d.topic("state"),
			"val_tpl": "{{ states('sensor.elsewhere') }}"},
	}
}

func (d *homeAssistant) announce() []message {
	shared := map[string]any{
		"dev": map[string]any{"ids": []string{d.name}, "name": "Pump " + d.name, "mf": "Acme", "mdl": "P-200", "sw": "2.1"},
		"o":   map[string]any{"name": "devicesim"}, "avty_t": d.topic("status"),
	}
	say := func(topic string, v map[string]any) message {
		b, err := json.Marshal(v)
		if err != nil {
			b = nil
		}
		return message{topic: topic, payload: b, qos: 1, retain: true}
	}
	if !d.single {
		shared["cmps"] = d.components()
		return []message{say("homeassistant/device/"+d.name+"/config", shared)}
	}
	var out []message
	for key, c := range d.components() {
		for k, v := range shared {
			c[k] = v
		}
		out = append(out, say(fmt.Sprintf("homeassistant/%s/%s/%s/config", c["p"], d.name, key), c))
	}
	return out
}

func (d *homeAssistant) hello(now time.Time) []message {
	out := append(d.announce(), message{topic: d.topic("status"), payload: []byte("online"), qos: 1, retain: true})
	return append(out, d.tick(now)...)
}

func (d *homeAssistant) tick(time.Time) []message {
	d.flow = 0
	if d.on {
		d.flow = d.setpoint + d.rng.NormFloat64()/10
	}
	return []message{d.state()}
}

func (d *homeAssistant) state() message {
	return message{topic: d.topic("state"), qos: 1, retain: true,
		payload: fmt.Appendf(nil, `{"flow":%.4f,"on":%v,"setpoint":%v}`, math.Max(d.flow, 0), d.on, d.setpoint)}
}

func (d *homeAssistant) handle(topic string, payload []byte, now time.Time) []message {
	switch topic {
	case "homeassistant/status":
		if string(payload) == "online" {
			return append(d.announce(), d.state())
		}
		return nil
	case d.topic("run/set"):
		d.on = string(payload) == "1"
	case d.topic("setpoint/set"):
		if f, err := strconv.ParseFloat(string(payload), 64); err == nil {
			d.setpoint = f
		}
	case d.topic("reset/set"):
		d.on, d.setpoint = true, 20
	default:
		return nil
	}
	return d.tick(now)
}

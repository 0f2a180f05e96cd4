package devicesim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// native is a device that speaks the bridge's own topics.
type native struct {
	name string
	rng  *rand.Rand

	temp     float64
	running  bool
	setpoint float64
	mode     string
	resets   int
}

const nativeRoot = "things/"

var nativeModes = []string{"auto", "manual", "off"}

// nativeAnnouncement declares what every native device has.
const nativeAnnouncement = `{
  "description": "simulated pump",
  "properties": {
    "temp": {"type": "NUMBER", "description": "temperature of the motor", "push": "VALUE", "unit": "°C"},
    "running": {"type": "BOOLEAN", "description": "the motor turns", "push": "VALUE"},
    "setpoint": {"type": "NUMBER", "description": "temperature to hold", "push": "VALUE", "writable": true, "confirm": "echo", "unit": "°C", "min": 0, "max": 100},
    "mode": {"type": "STRING", "description": "who decides", "push": "VALUE", "writable": true, "confirm": "reply", "values": ["auto", "manual", "off"]}
  },
  "services": {
    "Reset": {"description": "restarts the pump", "inputs": {"hard": {"type": "BOOLEAN", "required": true}}, "output": {"type": "STRING"}},
    "Add": {"description": "adds two numbers", "inputs": {"a": {"type": "NUMBER", "required": true}, "b": {"type": "NUMBER", "required": true}}, "output": {"type": "NUMBER"}},
    "Fail": {"description": "always fails"},
    "Slow": {"description": "answers after some seconds", "inputs": {"seconds": {"type": "NUMBER", "required": true}}, "output": {"type": "STRING"}, "timeout": "20s"}
  },
  "events": {
    "Alarm": {"description": "the motor is too hot", "fields": {"code": {"type": "INTEGER"}, "text": {"type": "STRING"}}}
  }
}`

func newNative(name string, rng *rand.Rand) device {
	return &native{
		name: name, rng: rng,
		temp: 20 + 5*rng.Float64(), running: true, setpoint: 20 + math.Round(rng.Float64()*40), mode: nativeModes[0],
	}
}

func nativeOwner(topic string) string {
	rest, ok := strings.CutPrefix(topic, nativeRoot)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func (d *native) topic(parts ...string) string {
	return nativeRoot + d.name + "/" + strings.Join(parts, "/")
}

func (d *native) status(s string) message {
	return message{topic: d.topic("status"), payload: []byte(s), qos: 1, retain: true}
}

func (d *native) will() *message {
	m := d.status("offline")
	return &m
}

func (d *native) goodbye() []message { return []message{d.status("offline")} }

func (d *native) filters() []string {
	return []string{
		d.topic("properties/+/set"), d.topic("properties/+/set/+"), d.topic("properties/+/get"),
		d.topic("services/+/request/+"),
	}
}

func (d *native) hello(now time.Time) []message {
	announce := message{topic: d.topic("announce"), payload: []byte(nativeAnnouncement), qos: 1, retain: true}
	return []message{announce, d.status("online"), d.values(now)}
}

func (d *native) tick(now time.Time) []message {
	target := 20.0
	if d.running && d.mode != "off" {
		target = d.setpoint
	}
	d.temp += (target-d.temp)*0.1 + d.rng.NormFloat64()*0.3
	out := []message{d.values(now)}
	if d.rng.IntN(60) == 0 {
		out = append(out, d.json(map[string]any{"code": d.rng.IntN(100), "text": "motor too hot"}, "events/Alarm"))
	}
	return out
}

func (d *native) property(name string) any {
	switch name {
	case "temp":
		return math.Round(d.temp*100) / 100
	case "running":
		return d.running
	case "setpoint":
		return d.setpoint
	case "mode":
		return d.mode
	}
	return nil
}

func (d *native) values(now time.Time) message {
	values := make(map[string]any)
	for _, name := range []string{"temp", "running", "setpoint", "mode"} {
		values[name] = d.property(name)
	}
	return d.json(map[string]any{"values": values, "time": now.UnixMilli()}, "properties")
}

func (d *native) json(v any, parts ...string) message {
	b, err := json.Marshal(v)
	if err != nil {
		b = fmt.Appendf(nil, `{"error":%q}`, err.Error())
	}
	return message{topic: d.topic(parts...), payload: b, qos: 1}
}

func (d *native) handle(topic string, payload []byte, now time.Time) []message {
	parts := strings.Split(strings.TrimPrefix(topic, d.topic()), "/")
	switch {
	case len(parts) == 3 && parts[0] == "properties" && parts[2] == "get":
		if v := d.property(parts[1]); v != nil {
			return []message{d.json(v, "properties", parts[1])}
		}
	case len(parts) == 3 && parts[0] == "properties" && parts[2] == "set":
		if d.write(parts[1], payload) == nil {
			return []message{d.json(d.property(parts[1]), "properties", parts[1])}
		}
	case len(parts) == 4 && parts[0] == "properties" && parts[2] == "set":
		return d.writeWithReply(parts[1], parts[3], payload)
	case len(parts) == 4 && parts[0] == "services" && parts[2] == "request":
		return d.call(parts[1], parts[3], payload, now)
	}
	return nil
}

func (d *native) writeWithReply(property, request string, payload []byte) []message {
	reply := map[string]any{}
	out := []message{}
	if err := d.write(property, payload); err != nil {
		reply["error"] = map[string]any{"code": 400, "message": err.Error()}
	} else {
		out = append(out, d.json(d.property(property), "properties", property))
	}
	return append(out, d.json(reply, "properties", property, "reply", request))
}

func (d *native) write(property string, payload []byte) error {
	switch property {
	case "running":
		return json.Unmarshal(payload, &d.running)
	case "setpoint":
		var v float64
		if err := json.Unmarshal(payload, &v); err != nil {
			return err
		}
		if v < 0 || v > 100 {
			return fmt.Errorf("setpoint %v; expected 0 to 100", v)
		}
		d.setpoint = v
		return nil
	case "mode":
		var v string
		if err := json.Unmarshal(payload, &v); err != nil {
			return err
		}
		if !slices.Contains(nativeModes, v) {
			return fmt.Errorf("mode %q; expected one of %v", v, nativeModes)
		}
		d.mode = v
		return nil
	}
	return fmt.Errorf("property %q cannot be written", property)
}

// inputs are those of all services together.
type inputs struct {
	Hard    *bool    `json:"hard"`
	A       *float64 `json:"a"`
	B       *float64 `json:"b"`
	Seconds *float64 `json:"seconds"`
}

func (d *native) call(service, request string, payload []byte, now time.Time) []message {
	reply, delay := d.serve(service, payload)
	m := d.json(reply, "services", service, "reply", request)
	m.delay = delay
	if service == "Reset" {
		return []message{m, d.values(now)}
	}
	return []message{m}
}

func (d *native) serve(service string, payload []byte) (reply map[string]any, delay time.Duration) {
	var in inputs
	if err := json.Unmarshal(payload, &in); err != nil {
		return failure(400, "the inputs are not a JSON object: "+err.Error()), 0
	}
	switch {
	case service == "Reset" && in.Hard != nil:
		d.resets++
		d.running = true
		if *in.Hard {
			d.temp, d.mode = 20, nativeModes[0]
		}
		return map[string]any{"result": fmt.Sprintf("reset number %d done", d.resets)}, 0
	case service == "Add" && in.A != nil && in.B != nil:
		return map[string]any{"result": *in.A + *in.B}, 0
	case service == "Fail":
		return map[string]any{"error": "simulated failure"}, 0
	case service == "Slow" && in.Seconds != nil:
		s := min(max(*in.Seconds, 0), 3600)
		return map[string]any{"result": fmt.Sprintf("waited %g s", s)}, time.Duration(s * float64(time.Second))
	case slices.Contains([]string{"Reset", "Add", "Slow"}, service):
		return failure(400, "an input is missing"), 0
	}
	return failure(404, fmt.Sprintf("no service %q here", service)), 0
}

func failure(code int, text string) map[string]any {
	return map[string]any{"error": map[string]any{"code": code, "message": text}}
}

package devicesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

func init() {
	families["zigbee2mqtt"] = family{make: newZigbee, gateway: newZigbeeBridge, owner: func(string) string { return "" }}
}

const zigbeeBase = "zigbee2mqtt/"

// zigbeeKind is what a simulated Zigbee device is; they take turns.
type zigbeeKind int

const (
	zigbeeLamp   zigbeeKind = iota // can be set and asked
	zigbeeSensor                   // only reports
	zigbeeStuck                    // a valve: each set fails
	zigbeeKinds
)

// zigbee is one Zigbee device as Zigbee2MQTT shows it. What is sent to it comes
// by the bridge, which knows its present name.
type zigbee struct {
	ieee     string
	friendly string
	kind     zigbeeKind
	gone     bool
	rng      *rand.Rand
	state    map[string]any
}

func newZigbee(name string, rng *rand.Rand) device {
	h := fnv.New32a()
	h.Write([]byte(name))
	return &zigbee{ieee: fmt.Sprintf("0x00158d00%08x", h.Sum32()), friendly: name, rng: rng}
}

// become settles what the device is.
func (d *zigbee) become(kind zigbeeKind) {
	d.kind = kind
	switch kind {
	case zigbeeLamp:
		d.friendly = "hall/" + d.friendly
		d.state = map[string]any{"state": "OFF", "brightness": 100.0}
	case zigbeeSensor:
		d.state = map[string]any{"temperature": 20.0, "contact": true, "battery": 87.0}
	default:
		d.state = map[string]any{"valve": "CLOSE"}
	}
	d.state["linkquality"] = float64(60 + d.rng.IntN(160))
}

func (d *zigbee) will() *message    { return nil }
func (d *zigbee) filters() []string { return nil }

func (d *zigbee) handle(string, []byte, time.Time) []message { return nil }

func (d *zigbee) hello(time.Time) []message {
	if d.gone {
		return nil
	}
	return []message{d.availability("online"), d.report()}
}

func (d *zigbee) goodbye() []message {
	if d.gone {
		return nil
	}
	return []message{d.availability("offline")}
}

func (d *zigbee) tick(time.Time) []message {
	if d.gone {
		return nil
	}
	if t, ok := d.state["temperature"].(float64); ok {
		d.state["temperature"] = math.Round((t+d.rng.NormFloat64()*0.2)*100) / 100
		d.state["contact"] = d.rng.IntN(20) > 0
	}
	return []message{d.report()}
}

func (d *zigbee) availability(state string) message {
	return zigbeeMessage(d.friendly+"/availability", map[string]any{"state": state}, true)
}

func (d *zigbee) report() message { return zigbeeMessage(d.friendly, d.state, false) }

func zigbeeMessage(topic string, v any, retain bool) message {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("null")
	}
	return message{topic: zigbeeBase + topic, payload: b, qos: 1, retain: retain}
}

// set changes one attribute; shown says that the state shows it.
func (d *zigbee) set(key string, v any) (shown bool, err error) {
	switch {
	case d.kind == zigbeeStuck && key == "valve":
		return false, errors.New("command genOnOff failed (the valve is stuck)")
	case d.kind != zigbeeLamp:
	case key == "effect" || key == "identify":
		return false, nil
	case key == "state" && v == "TOGGLE":
		d.state[key] = map[any]string{"ON": "OFF", "OFF": "ON"}[d.state[key]]
		return true, nil
	case key == "state" && (v == "ON" || v == "OFF"):
		d.state[key] = v
		return true, nil
	case key == "brightness":
		if f, ok := v.(float64); ok && f >= 0 && f <= 254 {
			d.state[key] = f
			return true, nil
		}
	}
	return false, fmt.Errorf("no converter for %v", v)
}

// exposed are the definitions by kind, as Zigbee2MQTT words them.
var exposed = [zigbeeKinds]string{
	zigbeeLamp: `{"model": "SIM-L", "vendor": "Simulated", "description": "Dimmable lamp", "exposes": [
		{"type": "light", "features": [
			{"type": "binary", "name": "state", "property": "state", "access": 7, "value_on": "ON", "value_off": "OFF", "value_toggle": "TOGGLE"},
			{"type": "numeric", "name": "brightness", "property": "brightness", "access": 7, "value_min": 0, "value_max": 254}]},
		{"type": "enum", "name": "effect", "property": "effect", "access": 2, "values": ["blink", "breathe"]},
		{"type": "enum", "name": "identify", "property": "identify", "access": 2, "values": ["identify"]},
		{"type": "numeric", "name": "linkquality", "property": "linkquality", "access": 1, "unit": "lqi", "value_min": 0, "value_max": 255}]}`,
	zigbeeSensor: `{"model": "SIM-S", "vendor": "Simulated", "description": "Door sensor", "exposes": [
		{"type": "numeric", "name": "temperature", "property": "temperature", "access": 1, "unit": "°C"},
		{"type": "binary", "name": "contact", "property": "contact", "access": 1, "value_on": false, "value_off": true},
		{"type": "numeric", "name": "battery", "property": "battery", "access": 1, "unit": "%", "value_min": 0, "value_max": 100},
		{"type": "numeric", "name": "linkquality", "property": "linkquality", "access": 1, "unit": "lqi", "value_min": 0, "value_max": 255}]}`,
	zigbeeStuck: `{"model": "SIM-V", "vendor": "Simulated", "description": "Valve that is stuck", "exposes": [
		{"type": "binary", "name": "valve", "property": "valve", "access": 7, "value_on": "OPEN", "value_off": "CLOSE"},
		{"type": "numeric", "name": "linkquality", "property": "linkquality", "access": 1, "unit": "lqi", "value_min": 0, "value_max": 255}]}`,
}

// zigbeeBridge is Zigbee2MQTT itself.
type zigbeeBridge struct {
	devices []*zigbee
	joining bool
}

func newZigbeeBridge(devices []device) device {
	b := &zigbeeBridge{}
	for i, d := range devices {
		if z, ok := d.(*zigbee); ok {
			z.become(zigbeeKind(i) % zigbeeKinds)
			b.devices = append(b.devices, z)
		}
	}
	return b
}

func (b *zigbeeBridge) will() *message {
	m := zigbeeMessage("bridge/state", map[string]any{"state": "offline"}, true)
	return &m
}

func (b *zigbeeBridge) goodbye() []message       { return []message{*b.will()} }
func (b *zigbeeBridge) tick(time.Time) []message { return nil }
func (b *zigbeeBridge) hello(time.Time) []message {
	return []message{zigbeeMessage("bridge/state", map[string]any{"state": "online"}, true), b.info(), b.list()}
}

// filters are wide enough for names with one slash.
func (b *zigbeeBridge) filters() []string {
	return []string{
		zigbeeBase + "bridge/request/#",
		zigbeeBase + "+/set", zigbeeBase + "+/+/set", zigbeeBase + "+/get", zigbeeBase + "+/+/get",
	}
}

func (b *zigbeeBridge) info() message {
	return zigbeeMessage("bridge/info", map[string]any{
		"version": "2.0.0-simulated", "permit_join": b.joining, "restart_required": false, "log_level": "info",
		"network": map[string]any{"channel": 11}, "coordinator": map[string]any{"type": "simulated"},
	}, true)
}

func (b *zigbeeBridge) list() message {
	list := []any{map[string]any{
		"ieee_address": "0x00124b0000000000", "type": "Coordinator", "friendly_name": "Coordinator",
		"disabled": false, "definition": nil, "interview_completed": true,
	}}
	for _, d := range b.devices {
		if !d.gone {
			list = append(list, map[string]any{
				"ieee_address": d.ieee, "type": "Router", "friendly_name": d.friendly, "disabled": false, "supported": true,
				"interviewing": false, "interview_completed": true, "definition": json.RawMessage(exposed[d.kind]),
			})
		}
	}
	return zigbeeMessage("bridge/devices", list, true)
}

// find gives the device of a friendly name or an ieee_address.
func (b *zigbeeBridge) find(name any) *zigbee {
	i := slices.IndexFunc(b.devices, func(d *zigbee) bool { return !d.gone && (d.friendly == name || d.ieee == name) })
	if i < 0 {
		return nil
	}
	return b.devices[i]
}

func (b *zigbeeBridge) handle(topic string, payload []byte, _ time.Time) []message {
	topic = strings.TrimPrefix(topic, zigbeeBase)
	if path, ok := strings.CutPrefix(topic, "bridge/request/"); ok {
		return b.request(path, payload)
	}
	if name, ok := strings.CutSuffix(topic, "/get"); ok {
		if d := b.find(name); d != nil {
			return []message{d.report()}
		}
		return nil
	}
	name := strings.TrimSuffix(topic, "/set")
	d := b.find(name)
	var values map[string]any
	if d == nil || json.Unmarshal(payload, &values) != nil {
		return []message{b.fault("Invalid message on " + topic)}
	}
	var out []message
	report := false
	for key, v := range values {
		shown, err := d.set(key, v)
		report = report || shown
		if err != nil {
			out = append(out, b.fault(fmt.Sprintf("Publish 'set' '%s' to '%s' failed: 'Error: %v'", key, name, err)))
		}
	}
	if report {
		out = append(out, d.report())
	}
	return out
}

// fault is said in the log only, as Zigbee2MQTT does.
func (b *zigbeeBridge) fault(text string) message {
	return zigbeeMessage("bridge/logging", map[string]any{"level": "error", "message": "z2m: " + text, "namespace": "z2m"}, false)
}

// request answers one of the bridge's own services.
func (b *zigbeeBridge) request(path string, payload []byte) []message {
	var in map[string]any
	if json.Unmarshal(payload, &in) != nil {
		in = map[string]any{}
	}
	data, more, fault := b.serve(path, in)
	response := map[string]any{"data": data, "status": "ok"}
	if fault != "" {
		response = map[string]any{"data": map[string]any{}, "status": "error", "error": fault}
	}
	if id, ok := in["transaction"]; ok {
		response["transaction"] = id
	}
	return append([]message{zigbeeMessage("bridge/response/"+path, response, false)}, more...)
}

func (b *zigbeeBridge) serve(path string, in map[string]any) (data map[string]any, more []message, fault string) {
	switch path {
	case "permit_join":
		seconds, ok := in["time"].(float64)
		if !ok {
			return nil, nil, "Invalid payload"
		}
		b.joining = seconds > 0
		return map[string]any{"time": seconds}, []message{b.info()}, ""
	case "health_check":
		return map[string]any{"healthy": true}, nil, ""
	case "restart":
		return map[string]any{}, b.hello(time.Time{}), ""
	case "device/remove":
		d := b.find(in["id"])
		if d == nil {
			return nil, nil, fmt.Sprintf("Device '%v' does not exist", in["id"])
		}
		d.gone = true
		return map[string]any{"id": in["id"]}, append(d.cleared(), b.list()), ""
	case "device/rename":
		d := b.find(in["from"])
		to, ok := in["to"].(string)
		if d == nil || !ok || to == "" || b.find(to) != nil {
			return nil, nil, fmt.Sprintf("Failed to rename '%v' to '%v'", in["from"], in["to"])
		}
		more = d.cleared()
		from := d.friendly
		d.friendly = to
		return map[string]any{"from": from, "to": to}, append(more, b.list(), d.availability("online"), d.report()), ""
	}
	return nil, nil, "Not simulated: " + path
}

// cleared takes back what is retained under the device's name.
func (d *zigbee) cleared() []message {
	return []message{{topic: zigbeeBase + d.friendly + "/availability", qos: 1, retain: true}}
}

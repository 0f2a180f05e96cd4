package devicesim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

func init() {
	families["shelly"] = family{make: newShelly, owner: shellyOwner}
	families["shelly-gen1"] = family{make: newShellyGen1, owner: shellyGen1Owner}
}

// shelly is a switch with a meter and an input, second generation. Its id is its name.
type shelly struct {
	name string
	rng  *rand.Rand

	on    bool
	power float64 // W
	total float64 // Wh
}

func newShelly(name string, rng *rand.Rand) device {
	return &shelly{name: name, rng: rng, on: true, total: math.Round(rng.Float64() * 1000)}
}

func shellyOwner(topic string) string {
	name, rest, _ := strings.Cut(topic, "/")
	if rest != "rpc" {
		return ""
	}
	return name
}

func (d *shelly) online(v string) message {
	return message{topic: d.name + "/online", payload: []byte(v), qos: 1, retain: true}
}

func (d *shelly) will() *message {
	m := d.online("false")
	return &m
}

func (d *shelly) goodbye() []message          { return []message{d.online("false")} }
func (d *shelly) filters() []string           { return []string{d.name + "/rpc"} }
func (d *shelly) hello(_ time.Time) []message { return []message{d.online("true")} }

func (d *shelly) send(topic string, v any) message {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("{}")
	}
	return message{topic: topic, payload: b, qos: 1}
}

// notify makes a notification.
func (d *shelly) notify(method string, params map[string]any, now time.Time) message {
	params["ts"] = float64(now.UnixMilli()) / 1000
	return d.send(d.name+"/events/rpc", map[string]any{"src": d.name, "dst": d.name + "/events", "method": method, "params": params})
}

func (d *shelly) tick(now time.Time) []message {
	d.power = 0
	if d.on {
		d.power = math.Round((60+5*d.rng.NormFloat64())*10) / 10
	}
	d.total = math.Round((d.total+d.power/3600)*1000) / 1000
	out := []message{d.notify("NotifyStatus", map[string]any{"switch:0": map[string]any{
		"id": 0, "apower": d.power, "aenergy": map[string]any{"total": d.total, "by_minute": []float64{0, 0, 0}, "minute_ts": now.Unix()},
	}}, now)}
	if d.rng.IntN(60) == 0 {
		out = append(out, d.notify("NotifyEvent", map[string]any{"events": []any{map[string]any{
			"component": "input:0", "id": 0, "event": "single_push", "ts": float64(now.UnixMilli()) / 1000,
		}}}, now))
	}
	return out
}

func (d *shelly) status(now time.Time) map[string]any {
	return map[string]any{
		"input:0": map[string]any{"id": 0, "state": false},
		"switch:0": map[string]any{
			"id": 0, "source": "init", "output": d.on, "apower": d.power, "voltage": 230.1, "current": math.Round(d.power/230*1000) / 1000,
			"aenergy":     map[string]any{"total": d.total, "by_minute": []float64{0, 0, 0}, "minute_ts": now.Unix()},
			"temperature": map[string]any{"tC": 40.5, "tF": 104.9},
		},
		"sys": map[string]any{"mac": "020000000000", "uptime": 3600, "unixtime": now.Unix()}, "wifi": map[string]any{"status": "got ip", "rssi": -60},
	}
}

// shellyRequest is one RPC frame.
type shellyRequest struct {
	ID     json.RawMessage `json:"id"`
	Src    string          `json:"src"`
	Method string          `json:"method"`
	Params struct {
		ID *int  `json:"id"`
		On *bool `json:"on"`
	} `json:"params"`
}

func (d *shelly) handle(_ string, payload []byte, now time.Time) []message {
	var r shellyRequest
	if json.Unmarshal(payload, &r) != nil || r.Src == "" || strings.ContainsAny(r.Src, "+#") {
		return nil
	}
	reply := map[string]any{"id": r.ID, "src": d.name, "dst": r.Src}
	was := d.on
	if result, fault := d.call(&r, now); fault != nil {
		reply["error"] = fault
	} else {
		reply["result"] = result
	}
	out := []message{d.send(r.Src+"/rpc", reply)}
	if d.on != was {
		out = append(out, d.notify("NotifyStatus", map[string]any{"switch:0": map[string]any{"id": 0, "output": d.on, "source": "MQTT"}}, now))
	}
	return out
}

func (d *shelly) call(r *shellyRequest, now time.Time) (result any, fault map[string]any) {
	wrong := func(code int, format string, args ...any) map[string]any {
		return map[string]any{"code": code, "message": fmt.Sprintf(format, args...)}
	}
	if strings.HasPrefix(r.Method, "Switch.") && r.Params.ID == nil {
		return nil, wrong(-103, "Missing required argument 'id'!")
	}
	if strings.HasPrefix(r.Method, "Switch.") && *r.Params.ID != 0 {
		return nil, wrong(-105, "Argument 'id', value %d not found!", *r.Params.ID)
	}
	was := d.on
	switch r.Method {
	case "Shelly.GetDeviceInfo":
		return map[string]any{"name": nil, "id": d.name, "mac": "020000000000", "model": "SIM-001", "gen": 2, "ver": "1.4.4", "app": "Simulated", "auth_en": false}, nil
	case "Shelly.GetStatus":
		return d.status(now), nil
	case "Shelly.GetConfig":
		return map[string]any{"sys": map[string]any{"device": map[string]any{"name": d.name}}}, nil
	case "Shelly.GetComponents":
		return map[string]any{"components": []any{}, "cfg_rev": 1, "offset": 0, "total": 0}, nil
	case "Shelly.Reboot":
		return nil, nil
	case "Switch.GetConfig":
		return map[string]any{"id": 0, "name": nil, "in_mode": "follow", "initial_state": "restore_last"}, nil
	case "Switch.Toggle":
		d.on = !d.on
		return map[string]any{"was_on": was}, nil
	case "Switch.Set":
		if r.Params.On == nil {
			return nil, wrong(-103, "Missing required argument 'on'!")
		}
		d.on = *r.Params.On
		return map[string]any{"was_on": was}, nil
	}
	return nil, wrong(404, "No handler for %s", r.Method)
}

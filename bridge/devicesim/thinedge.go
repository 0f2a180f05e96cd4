package devicesim

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

func init() {
	families["thin-edge"] = family{make: newThinEdgeChild, gateway: newThinEdgeMain, owner: thinEdgeOwner}
}

const (
	thinEdgeRoot = "te/"
	thinEdgeHot  = 26 // °C, from which a child raises its alarm
)

// thinEdge is a device of thin-edge.io with a service: a child device, which
// measures, or the main device, whose agent speaks for it.
type thinEdge struct {
	name    string // in its topics
	service string // the name of its service
	rng     *rand.Rand
	heat    float64
	alarm   bool
	logs    []string // that can be uploaded; of a child
}

func newThinEdgeChild(name string, rng *rand.Rand) device {
	return &thinEdge{name: name, service: "driver", rng: rng, heat: 20, logs: []string{"driver", "system"}}
}

func newThinEdgeMain([]device) device { return &thinEdge{name: "main", service: "tedge-agent"} }

// thinEdgeOwner names the child device that a command is for, "" for the main one.
func thinEdgeOwner(topic string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(topic, thinEdgeRoot+"device/"), "/")
	if name == "main" {
		return ""
	}
	return name
}

func thinEdgeMessage(topic string, v any, retain bool) message {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("null")
	}
	return message{topic: topic, payload: b, qos: 1, retain: retain}
}

// own is a message on a channel of the device's own.
func (d *thinEdge) own(channel string, v any, retain bool) message {
	return thinEdgeMessage(thinEdgeRoot+"device/"+d.name+"//"+channel, v, retain)
}

// of is one on a channel of its service.
func (d *thinEdge) of(channel string, v any, retain bool) message {
	return thinEdgeMessage(thinEdgeRoot+"device/"+d.name+"/service/"+d.service+channel, v, retain)
}

func (d *thinEdge) health(status string) message {
	return d.of("/status/health", map[string]any{"status": status, "pid": 1}, true)
}

func (d *thinEdge) will() *message {
	m := d.health("down")
	return &m
}

func (d *thinEdge) goodbye() []message { return []message{d.health("down")} }

func (d *thinEdge) filters() []string {
	return []string{thinEdgeRoot + "device/" + d.name + "/+/+/cmd/+/+"}
}

func (d *thinEdge) hello(now time.Time) []message {
	kind := "child-device"
	if d.logs == nil {
		kind = "device"
	}
	out := []message{
		d.own("", map[string]any{"@type": kind, "name": "Simulated " + d.name, "type": "simulator"}, true),
		d.of("", map[string]any{"@type": "service", "name": d.service, "type": "systemd"}, true),
		d.health("up"),
		d.own("/twin/name", "Simulated "+d.name, true),
		d.own("/twin/device_OS", map[string]any{"family": "Simulated", "version": 1}, true),
		d.own("/cmd/restart", map[string]any{}, true),
	}
	if d.logs != nil {
		out = append(out, d.own("/cmd/log_upload", map[string]any{"types": d.logs, "description": "Upload a log file"}, true))
	} else {
		out = append(out, d.own("/cmd/software_list", map[string]any{"types": []string{"apt"}}, true))
	}
	return append(out, d.tick(now)...)
}

func (d *thinEdge) tick(now time.Time) []message {
	if d.logs == nil {
		return []message{d.own("/m/", map[string]any{"uptime": now.Unix() % 86400, "time": now.UTC().Format(time.RFC3339Nano)}, false)}
	}
	d.heat = math.Round((d.heat+d.rng.NormFloat64())*10) / 10
	out := []message{d.own("/m/environment", map[string]any{
		"temperature": d.heat, "current": map[string]any{"L1": 9.5, "L2": 1.3}, "time": float64(now.UnixMilli()) / 1000}, false)}
	if hot := d.heat >= thinEdgeHot; hot != d.alarm {
		d.alarm = hot
		out = append(out, d.alarmed())
	}
	return out
}

// alarmed raises the alarm, or clears it.
func (d *thinEdge) alarmed() message {
	m := d.own("/a/temperature_high", map[string]any{"severity": "major", "text": "it is hot"}, true)
	if !d.alarm {
		m.payload = nil
	}
	return m
}

// handle moves a new command on: by way of executing to its end.
func (d *thinEdge) handle(topic string, payload []byte, _ time.Time) []message {
	var command map[string]any
	if json.Unmarshal(payload, &command) != nil || command["status"] != "init" {
		return nil // cleared, or what it said itself
	}
	levels := strings.Split(topic, "/")
	if len(levels) != 8 {
		return nil
	}
	command["status"] = "executing"
	out := []message{thinEdgeMessage(topic, command, true)}
	command["status"] = "successful"
	switch levels[6] {
	case "software_list":
		command["currentSoftwareList"] = []any{map[string]any{"type": "apt", "modules": []any{map[string]any{"name": "nodered", "version": "1.0.0"}}}}
	case "log_upload":
		d.upload(command)
	}
	out = append(out, thinEdgeMessage(topic, command, true))
	return append(out, thinEdgeMessage(strings.Join(levels[:5], "/")+"/e/"+levels[6], map[string]any{"text": "done with " + levels[6]}, false))
}

func (d *thinEdge) upload(command map[string]any) {
	for _, log := range d.logs {
		if command["type"] == log {
			command["tedgeUrl"] = "http://127.0.0.1:8000/te/v1/files/" + d.name + "/log_upload/" + log
			return
		}
	}
	command["status"], command["reason"] = "failed", "there is no such log"
}

package devicesim

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

func init() {
	families["tasmota"] = family{make: newTasmota, owner: tasmotaOwner}
}

// tasmota is a plug with one relay and a meter. Its topics hold its name, its
// discovery messages its MAC address.
type tasmota struct {
	name, mac string
	rng       *rand.Rand

	on     bool
	power  float64 // W
	total  float64 // kWh
	period int     // TelePeriod, s
}

func newTasmota(name string, rng *rand.Rand) device {
	return &tasmota{name: name, mac: tasmotaMAC(name), rng: rng, on: true, total: math.Round(rng.Float64()*1000) / 10, period: 300}
}

// tasmotaMAC makes a locally administered MAC address of a name.
func tasmotaMAC(name string) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	return fmt.Sprintf("02%010X", h.Sum64()&(1<<40-1))
}

func tasmotaOwner(topic string) string {
	rest, ok := strings.CutPrefix(topic, "cmnd/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func (d *tasmota) json(topic string, retain bool, v any) message {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("{}")
	}
	return message{topic: topic, payload: b, retain: retain}
}

func (d *tasmota) lwt(text string) message {
	return message{topic: "tele/" + d.name + "/LWT", payload: []byte(text), qos: 1, retain: true}
}

func (d *tasmota) will() *message {
	m := d.lwt("Offline")
	return &m
}

func (d *tasmota) goodbye() []message { return []message{d.lwt("Offline")} }

func (d *tasmota) filters() []string { return []string{"cmnd/" + d.name + "/+"} }

func (d *tasmota) hello(now time.Time) []message {
	discovery := "tasmota/discovery/" + d.mac
	return append([]message{d.lwt("Online"),
		d.json(discovery+"/config", true, d.config()),
		d.json(discovery+"/sensors", true, map[string]any{"sn": d.sensors(now), "ver": 1}),
	}, d.tick(now)...)
}

func (d *tasmota) config() map[string]any {
	return map[string]any{
		"ip": "192.0.2.1", "dn": d.name, "fn": []any{"Plug", nil, nil, nil, nil, nil, nil, nil}, "hn": "tasmota-" + d.mac[8:],
		"mac": d.mac, "md": "Simulated Plug", "ty": 0, "if": 0, "ofln": "Offline", "onln": "Online",
		"state": []string{"OFF", "ON", "TOGGLE", "HOLD"}, "sw": "14.2.0", "t": d.name, "ft": "%prefix%/%topic%/",
		"tp": []string{"cmnd", "stat", "tele"}, "rl": []int{1, 0, 0, 0, 0, 0, 0, 0}, "swc": []int{-1}, "swn": []any{nil}, "btn": []int{0},
		"so": map[string]int{"4": 0, "114": 0}, "lk": 1, "lt_st": 0, "bat": 0, "dslp": 0, "sho": []int{}, "sht": []int{}, "ver": 1,
	}
}

// clock is Tasmota's time: local, without a zone.
func clock(now time.Time) string { return now.UTC().Format("2006-01-02T15:04:05") }

func (d *tasmota) sensors(now time.Time) map[string]any {
	return map[string]any{
		"Time": clock(now),
		"ENERGY": map[string]any{
			"TotalStartTime": "2025-01-01T00:00:00", "Total": d.total, "Power": d.power, "Voltage": 230,
			"Current": math.Round(d.power/230*1000) / 1000,
		},
		"DS18B20": map[string]any{"Id": "01A2B3", "Temperature": math.Round((20+d.power/100)*10) / 10}, "TempUnit": "C",
	}
}

func (d *tasmota) state(now time.Time) map[string]any {
	return map[string]any{"Time": clock(now), "Uptime": "0T01:00:00", "POWER": d.power1(), "Wifi": map[string]any{"AP": 1, "RSSI": 70 + d.rng.IntN(20)}}
}

func (d *tasmota) power1() string {
	if d.on {
		return "ON"
	}
	return "OFF"
}

func (d *tasmota) tick(now time.Time) []message {
	d.power = 0
	if d.on {
		d.power = math.Round((40+5*d.rng.NormFloat64())*10) / 10
	}
	d.total = math.Round((d.total+d.power/1e5)*1e5) / 1e5
	return []message{d.json("tele/"+d.name+"/STATE", false, d.state(now)), d.json("tele/"+d.name+"/SENSOR", false, d.sensors(now))}
}

func (d *tasmota) handle(topic string, payload []byte, now time.Time) []message {
	command := strings.TrimPrefix(topic, "cmnd/"+d.name+"/")
	result := func(v map[string]any) []message { return []message{d.json("stat/"+d.name+"/RESULT", false, v)} }
	switch strings.ToLower(command) {
	case "power", "power1", "power0":
		d.switched(strings.ToUpper(string(payload)))
		return append(result(map[string]any{"POWER": d.power1()}), message{topic: "stat/" + d.name + "/POWER", payload: []byte(d.power1())})
	case "status":
		return d.status(string(payload), now)
	case "teleperiod":
		if n, err := strconv.Atoi(string(payload)); err == nil && n >= 10 && n <= 3600 {
			d.period = n
		}
		return result(map[string]any{"TelePeriod": d.period})
	}
	return result(map[string]any{"Command": "Unknown"})
}

func (d *tasmota) switched(how string) {
	switch how {
	case "ON", "1":
		d.on = true
	case "OFF", "0":
		d.on = false
	case "TOGGLE", "2":
		d.on = !d.on
	}
}

func (d *tasmota) status(n string, now time.Time) []message {
	body := map[string]any{}
	switch n {
	case "8", "10":
		body["StatusSNS"] = d.sensors(now)
	case "11":
		body["StatusSTS"] = d.state(now)
	case "", "0":
		n = ""
		body["Status"] = map[string]any{"Module": 0, "DeviceName": d.name, "Topic": d.name, "Power": d.power1()}
	default:
		body["StatusPRM"] = map[string]any{"BootCount": 1}
	}
	return []message{d.json("stat/"+d.name+"/STATUS"+n, false, body)}
}

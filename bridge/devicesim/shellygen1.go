package devicesim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

const shelliesRoot = "shellies/"

// shellyGen1 is a relay with a meter, first generation. Its id is its name.
type shellyGen1 struct {
	name string
	rng  *rand.Rand

	on    bool
	power float64 // W
}

func newShellyGen1(name string, rng *rand.Rand) device {
	return &shellyGen1{name: "shelly1pm-" + name, rng: rng, on: true}
}

func shellyGen1Owner(topic string) string {
	if topic == shelliesRoot+"command" {
		return everyone
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(topic, shelliesRoot+"shelly1pm-"), "/")
	return name
}

func (d *shellyGen1) say(retain bool, text string, parts ...string) message {
	return message{topic: shelliesRoot + d.name + "/" + strings.Join(parts, "/"), payload: []byte(text), qos: 1, retain: retain}
}

func (d *shellyGen1) will() *message {
	m := d.say(true, "false", "online")
	return &m
}

func (d *shellyGen1) goodbye() []message { return []message{d.say(true, "false", "online")} }

func (d *shellyGen1) filters() []string {
	return []string{shelliesRoot + "command", shelliesRoot + d.name + "/command", shelliesRoot + d.name + "/relay/0/command"}
}

func (d *shellyGen1) hello(now time.Time) []message {
	return append([]message{d.say(true, "true", "online"), d.announce()}, d.tick(now)...)
}

func (d *shellyGen1) announce() message {
	return message{topic: shelliesRoot + "announce", qos: 1, payload: fmt.Appendf(nil,
		`{"id":%q,"model":"SHSW-PM","mac":"020000000000","ip":"192.0.2.1","new_fw":false,"fw_ver":"20230913-112003"}`, d.name)}
}

func (d *shellyGen1) state() message {
	if d.on {
		return d.say(false, "on", "relay", "0")
	}
	return d.say(false, "off", "relay", "0")
}

func (d *shellyGen1) tick(time.Time) []message {
	d.power = 0
	if d.on {
		d.power = math.Round((60+5*d.rng.NormFloat64())*100) / 100
	}
	return []message{d.state(), d.say(false, fmt.Sprintf("%.2f", d.power), "relay", "0", "power"), d.say(false, "40.5", "temperature")}
}

func (d *shellyGen1) handle(topic string, payload []byte, now time.Time) []message {
	if !strings.HasSuffix(topic, "/relay/0/command") {
		switch string(payload) {
		case "announce":
			return []message{d.announce()}
		case "update":
			return d.tick(now)
		}
		return nil
	}
	switch string(payload) {
	case "on":
		d.on = true
	case "off":
		d.on = false
	case "toggle":
		d.on = !d.on
	default:
		return nil
	}
	return []message{d.state()}
}

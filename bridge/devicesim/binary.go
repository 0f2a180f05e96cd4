package devicesim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"thingbridge/mapping"
)

// Small devices that send bytes. Their profiles stand in examples.
func init() {
	families["lorawan"] = family{make: newLoRaWAN, owner: levelOwner(3)}
	families["modbus"] = family{make: newModbus, owner: levelOwner(1)}
	families["cbor"] = family{make: newCompact("cbor"), owner: levelOwner(1)}
	families["msgpack"] = family{make: newCompact("msgpack"), owner: levelOwner(1)}
}

// levelOwner names the device by a level of the topic.
func levelOwner(level int) func(string) string {
	return func(topic string) string {
		if levels := strings.Split(topic, "/"); len(levels) > level {
			return levels[level]
		}
		return ""
	}
}

// silent is what all of them have in common: they say no goodbye.
type silent struct{}

func (silent) will() *message     { return nil }
func (silent) goodbye() []message { return nil }

// lorawan is a climate sensor behind ChirpStack.
type lorawan struct {
	silent
	eui     string
	rng     *rand.Rand
	count   int
	minutes uint16 // between two uplinks, as it was told
}

func newLoRaWAN(name string, rng *rand.Rand) device {
	return &lorawan{eui: name, rng: rng, minutes: 15}
}

func (d *lorawan) base() string      { return "application/app-1/device/" + d.eui }
func (d *lorawan) filters() []string { return []string{d.base() + "/command/down"} }

func (d *lorawan) hello(now time.Time) []message { return d.tick(now) }

// uplink is what the sensor sends on port 2.
func (d *lorawan) uplink() []byte {
	b := []byte{0}
	if d.count%20 == 0 {
		b[0] |= 1 // the door is open
	}
	b = binary.BigEndian.AppendUint16(b, 3600)
	b = binary.BigEndian.AppendUint16(b, uint16(int16(math.Round(215+10*d.rng.NormFloat64()))))
	b = append(b, byte(2*(40+d.rng.IntN(20))))
	return binary.BigEndian.AppendUint16(b, d.minutes)
}

func (d *lorawan) tick(now time.Time) []message {
	d.count++
	b, err := json.Marshal(map[string]any{
		"time":       now.UTC().Format(time.RFC3339Nano),
		"deviceInfo": map[string]any{"applicationId": "app-1", "deviceName": "Cold room " + d.eui, "devEui": d.eui, "deviceProfileName": "acme-climate"},
		"fCnt":       d.count, "fPort": 2, "data": base64.StdEncoding.EncodeToString(d.uplink()),
		"rxInfo": []any{map[string]any{"gatewayId": "0016c001ff10a235", "rssi": -60 - d.rng.IntN(40), "snr": 7.5}},
	})
	if err != nil {
		return nil
	}
	return []message{{topic: d.base() + "/event/up", payload: b}}
}

// handle takes the downlink that ChirpStack would send: command 1 sets the interval.
func (d *lorawan) handle(_ string, payload []byte, now time.Time) []message {
	var down struct {
		DevEUI string `json:"devEui"`
		FPort  int    `json:"fPort"`
		Data   []byte `json:"data"`
	}
	if json.Unmarshal(payload, &down) != nil || down.DevEUI != d.eui || down.FPort != 10 || len(down.Data) != 3 || down.Data[0] != 1 {
		return nil
	}
	d.minutes = binary.BigEndian.Uint16(down.Data[1:])
	return d.tick(now)
}

// modbus is a gateway that publishes the holding registers of one drive as they are.
type modbus struct {
	silent
	name string
	rng  *rand.Rand
	regs [12]uint16
}

func newModbus(name string, rng *rand.Rand) device {
	d := &modbus{name: name, rng: rng}
	d.regs[0] = 0x0301 // running, stage 3
	d.long(1, 1_234_567)
	d.regs[4] = uint16(0xffff) // power is scaled by 10^-1
	d.regs[8] = 215            // set point, 0.1 °C
	d.long(9, 100_000)         // limit of energy
	return d
}

// long writes 32 bits over two registers, the low word first.
func (d *modbus) long(at int, v uint32) { d.regs[at], d.regs[at+1] = uint16(v), uint16(v>>16) }

func (d *modbus) base() string                  { return "modbus/" + d.name + "/1" }
func (d *modbus) filters() []string             { return []string{d.base() + "/write"} }
func (d *modbus) hello(now time.Time) []message { return d.tick(now) }

func (d *modbus) tick(time.Time) []message {
	energy := uint32(d.regs[1]) | uint32(d.regs[2])<<16
	d.long(1, energy+1)
	d.regs[3] = uint16(int16(math.Round(float64(d.regs[8]) + 5*d.rng.NormFloat64())))
	d.regs[5] = uint16(7400 + d.rng.IntN(100))
	bits := math.Float32bits(float32(49.9 + d.rng.Float64()/5))
	d.long(6, bits)
	var b []byte
	for _, r := range d.regs {
		b = binary.BigEndian.AppendUint16(b, r)
	}
	return []message{{topic: d.base() + "/holding", payload: b}}
}

// handle writes registers: the first one's number, then their values.
func (d *modbus) handle(_ string, payload []byte, now time.Time) []message {
	if len(payload) < 4 || len(payload)%2 != 0 {
		return nil
	}
	at := int(binary.BigEndian.Uint16(payload))
	for i := 2; i < len(payload); i += 2 {
		if at < 8 || at >= len(d.regs) {
			break // the others cannot be written
		}
		d.regs[at] = binary.BigEndian.Uint16(payload[i:])
		at++
	}
	return d.tick(now)
}

// compact is a pump that speaks CBOR or MessagePack, values and commands alike.
type compact struct {
	format   string
	name     string
	rng      *rand.Rand
	setpoint float64
	seq      int
}

func newCompact(format string) func(string, *rand.Rand) device {
	return func(name string, rng *rand.Rand) device {
		return &compact{format: format, name: name, rng: rng, setpoint: 20}
	}
}

func (d *compact) base() string { return d.format + "/" + d.name }

func (d *compact) say(topic string, retain bool, v any) []message {
	b, err := mapping.Encode(d.format, v)
	if err != nil {
		return nil
	}
	return []message{{topic: d.base() + "/" + topic, payload: b, qos: 1, retain: retain}}
}

func (d *compact) status(text string) message {
	return message{topic: d.base() + "/status", payload: []byte(text), qos: 1, retain: true}
}

func (d *compact) will() *message     { m := d.status("offline"); return &m }
func (d *compact) goodbye() []message { return []message{d.status("offline")} }
func (d *compact) filters() []string  { return []string{d.base() + "/set", d.base() + "/call"} }

func (d *compact) hello(now time.Time) []message {
	out := d.say("hello", true, map[string]any{"model": "P-200", "fw": []any{2, 1, 0}})
	return append(append(out, d.status("online")), d.tick(now)...)
}

func (d *compact) tick(now time.Time) []message {
	d.seq++
	return d.say("state", false, map[string]any{
		"t": now.UnixMilli(), "seq": d.seq, "setpoint": d.setpoint, "flow": math.Round((d.setpoint+d.rng.NormFloat64())*100) / 100,
		"ok": true, "raw": []byte{byte(d.seq >> 8), byte(d.seq), 0xff},
	})
}

func (d *compact) handle(topic string, payload []byte, now time.Time) []message {
	v, err := mapping.Decode(d.format, payload)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil
	}
	if strings.HasSuffix(topic, "/set") {
		switch f := m["setpoint"].(type) {
		case int:
			d.setpoint = float64(f)
		case float64:
			d.setpoint = f
		}
		return d.tick(now)
	}
	reply := map[string]any{"id": m["id"], "error": "not known"}
	if m["do"] == "reset" {
		d.seq = 0
		reply = map[string]any{"id": m["id"], "result": "counted from 0"}
	}
	return d.say("reply", false, reply)
}

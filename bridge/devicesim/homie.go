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
	families["homie4"] = family{make: newHomie4, owner: func(topic string) string { return homieOwner(topic, 1) }}
	families["homie5"] = family{make: newHomie5, owner: func(topic string) string { return homieOwner(topic, 2) }}
}

// homieInputs is how many analog inputs a Homie 4 device has: with six attributes
// each it says some 280 messages of itself.
const homieInputs = 40

// homieValve is what the child of a Homie 5 device has behind its root's name.
const homieValve = "-valve"

// homie is a device of version 4, an input module with a drive; or of version 5, a
// press with a child, its valve, whose position takes a moment to change.
type homie struct {
	base  string // its topics begin so
	name  string
	root  string // id; of a child
	nodes []string
	props map[string]*homieProp // by node/property
	order []string
	rng   *rand.Rand
	child *homie // of version 5
	turn  int
}

type homieProp struct {
	name, datatype, format, unit string
	settable, momentary, slow    bool
	value                        string
}

func (d *homie) add(path string, p homieProp) {
	node, _, _ := strings.Cut(path, "/")
	if d.props == nil {
		d.props = map[string]*homieProp{}
	}
	if len(d.nodes) == 0 || d.nodes[len(d.nodes)-1] != node {
		d.nodes = append(d.nodes, node)
	}
	d.props[path] = &p
	d.order = append(d.order, path)
}

func newHomie4(name string, rng *rand.Rand) device {
	d := &homie{base: "homie/" + name, name: "Module " + name, rng: rng}
	d.addDrive()
	for i := range homieInputs {
		d.add(fmt.Sprintf("inputs/ai-%d", i+1), homieProp{name: fmt.Sprintf("Input %d", i+1), datatype: "float", format: "0:10", unit: "V", value: "5"})
	}
	return d
}

func newHomie5(name string, rng *rand.Rand) device {
	d := &homie{base: "homie/5/" + name, name: "Press " + name, rng: rng}
	d.addDrive()
	d.add("drive/next-service", homieProp{name: "Next service", datatype: "datetime", settable: true, value: "2026-12-01T08:00:00Z"})
	d.child = &homie{base: d.base + homieValve, name: "Valve of " + name, root: name, rng: rng}
	d.child.add("valve/position", homieProp{name: "Position", datatype: "integer", format: "0:100:10", unit: "%", settable: true, slow: true, value: "0"})
	return d
}

func (d *homie) addDrive() {
	d.add("drive/speed", homieProp{name: "Speed", datatype: "integer", format: "0:3000", unit: "rpm", settable: true, value: "1450"})
	d.add("drive/temperature", homieProp{name: "Temperature", datatype: "float", format: "-20:120", unit: "°C", value: "40"})
	d.add("drive/running", homieProp{name: "Running", datatype: "boolean", settable: true, value: "true"})
	d.add("drive/mode", homieProp{name: "Mode", datatype: "enum", format: "setup,auto,hand", settable: true, value: "auto"})
	d.add("panel/button", homieProp{name: "Button", datatype: "enum", format: "start,stop", momentary: true})
	d.add("panel/beep", homieProp{name: "Beep", datatype: "integer", format: "1:5", settable: true, momentary: true})
}

// homieOwner is the level that names the device; a child's is its root's.
func homieOwner(topic string, level int) string {
	levels := strings.Split(topic, "/")
	if len(levels) <= level {
		return ""
	}
	return strings.TrimSuffix(levels[level], homieValve)
}

func (d *homie) five() bool { return strings.HasPrefix(d.base, "homie/5/") }

func (d *homie) kept(path, payload string) message {
	return message{topic: d.base + "/" + path, payload: []byte(payload), qos: 1, retain: true}
}

func (d *homie) will() *message {
	m := d.kept("$state", "lost")
	return &m
}

func (d *homie) goodbye() []message {
	out := []message{d.kept("$state", "disconnected")}
	if d.child != nil {
		out = append(out, d.child.goodbye()...)
	}
	return out
}

func (d *homie) filters() []string {
	out := []string{d.base + "/+/+/set"}
	if d.child != nil {
		out = append(out, d.child.filters()...)
	}
	return out
}

func (d *homie) hello(now time.Time) []message {
	out := []message{d.kept("$state", "init")}
	if d.five() {
		out = append(out, d.kept("$description", d.description()))
	} else {
		out = append(out, d.attributes()...)
	}
	for _, path := range d.order {
		if p := d.props[path]; !p.momentary {
			out = append(out, d.kept(path, p.value))
			if p.slow {
				out = append(out, d.kept(path+"/$target", p.value))
			}
		}
	}
	out = append(out, d.kept("$state", "ready"))
	if d.child != nil {
		out = append(out, d.child.hello(now)...)
	}
	return out
}

func (d *homie) attributes() []message {
	out := []message{d.kept("$homie", "4.0.0"), d.kept("$name", d.name), d.kept("$nodes", strings.Join(d.nodes, ","))}
	ids := map[string][]string{}
	for _, path := range d.order {
		p := d.props[path]
		node, id, _ := strings.Cut(path, "/")
		ids[node] = append(ids[node], id)
		out = append(out, d.kept(path+"/$name", p.name), d.kept(path+"/$datatype", p.datatype),
			d.kept(path+"/$settable", strconv.FormatBool(p.settable)), d.kept(path+"/$retained", strconv.FormatBool(!p.momentary)))
		if p.format != "" {
			out = append(out, d.kept(path+"/$format", p.format))
		}
		if p.unit != "" {
			out = append(out, d.kept(path+"/$unit", p.unit))
		}
	}
	for _, node := range d.nodes {
		out = append(out, d.kept(node+"/$name", node), d.kept(node+"/$type", "simulated"), d.kept(node+"/$properties", strings.Join(ids[node], ",")))
	}
	return out
}

func (d *homie) description() string {
	nodes := map[string]any{}
	for _, node := range d.nodes {
		props := map[string]any{}
		for _, path := range d.order {
			n, id, _ := strings.Cut(path, "/")
			if n != node {
				continue
			}
			p := d.props[path]
			prop := map[string]any{"name": p.name, "datatype": p.datatype, "settable": p.settable, "retained": !p.momentary}
			if p.format != "" {
				prop["format"] = p.format
			}
			if p.unit != "" {
				prop["unit"] = p.unit
			}
			props[id] = prop
		}
		nodes[node] = map[string]any{"name": node, "properties": props}
	}
	doc := map[string]any{"homie": "5.0", "version": 1, "name": d.name, "nodes": nodes}
	if d.root != "" {
		doc["root"] = d.root
	}
	if d.child != nil {
		_, id, _ := strings.Cut(strings.TrimPrefix(d.child.base, "homie/"), "/")
		doc["children"] = []string{id}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return "{}"
	}
	return string(b)
}

// tick moves the temperature and one input, and presses the button now and then.
func (d *homie) tick(time.Time) []message {
	d.turn++
	var out []message
	set := func(path string, v float64) {
		p := d.props[path]
		p.value = strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
		out = append(out, d.kept(path, p.value))
	}
	set("drive/temperature", 40+5*d.rng.NormFloat64())
	if !d.five() {
		set(fmt.Sprintf("inputs/ai-%d", 1+d.turn%homieInputs), 10*d.rng.Float64())
	}
	if d.turn%10 == 0 {
		out = append(out, message{topic: d.base + "/panel/button", payload: []byte("start"), qos: 1})
	}
	return out
}

// valveTime is how long a slow property takes to be what it shall be.
const valveTime = 300 * time.Millisecond

func (d *homie) handle(topic string, payload []byte, now time.Time) []message {
	path, ok := strings.CutPrefix(strings.TrimSuffix(topic, "/set"), d.base+"/")
	if !ok {
		if d.child != nil {
			return d.child.handle(topic, payload, now)
		}
		return nil
	}
	p := d.props[path]
	value := string(payload)
	if p == nil || !p.settable || !p.takes(value) {
		return nil // says nothing, as Homie devices do
	}
	if p.momentary {
		return []message{{topic: d.base + "/" + path, payload: payload, qos: 1}}
	}
	p.value = value
	m := d.kept(path, value)
	if !p.slow {
		return []message{m}
	}
	m.delay = valveTime
	return []message{d.kept(path+"/$target", value), m}
}

func (p *homieProp) takes(value string) bool {
	switch p.datatype {
	case "boolean":
		return value == "true" || value == "false"
	case "enum":
		for _, v := range strings.Split(p.format, ",") {
			if v == value {
				return true
			}
		}
		return false
	case "datetime":
		_, err := time.Parse(time.RFC3339, value)
		return err == nil
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return false
	}
	for i, bound := range strings.SplitN(p.format, ":", 3) {
		if limit, err := strconv.ParseFloat(bound, 64); err == nil && (i == 0 && f < limit || i == 1 && f > limit) {
			return false
		}
	}
	return true
}

package devicesim

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"thingbridge/mapping/sparkplug"
)

func init() {
	families["sparkplug-b"] = family{make: newSpark, gateway: newSparkNode, owner: func(string) string { return "" }}
}

const (
	sparkSpace = "spBv1.0/"
	sparkGroup = "Plant A"
)

// spark is one device of an edge node. The node gives its messages their numbers
// and hands it what is sent to it.
type spark struct {
	name string
	node *sparkNode
	rng  *rand.Rand
	base uint64 // its metrics' aliases count from here

	temperature float64
	running     bool
	setpoint    int
	total       int
}

func newSpark(name string, rng *rand.Rand) device {
	return &spark{name: name, rng: rng, temperature: 20, running: true, setpoint: 55, total: int(rng.Int64N(100_000))}
}

func (d *spark) will() *message                             { return nil }
func (d *spark) filters() []string                          { return nil }
func (d *spark) goodbye() []message                         { return nil }
func (d *spark) handle(string, []byte, time.Time) []message { return nil }

// sparkMetric is one metric: its number among the aliases, and what it is.
type sparkMetric struct {
	name string
	kind sparkplug.DataType
	unit string
	ro   bool
}

var sparkMetrics = []sparkMetric{
	{name: "Inputs/Temperature", kind: sparkplug.Float, unit: "°C", ro: true},
	{name: "Outputs/Running", kind: sparkplug.Boolean},
	{name: "Setpoint", kind: sparkplug.Int32, unit: "°C"},
	{name: "Total", kind: sparkplug.Int64, unit: "l", ro: true},
}

func (d *spark) value(i int) any {
	return []any{math.Round(d.temperature*10) / 10, d.running, d.setpoint, d.total}[i]
}

// metrics gives metrics by number: in a birth with name and properties, else by
// alias alone.
func (d *spark) metrics(now time.Time, birth bool, which ...int) []sparkplug.Metric {
	var out []sparkplug.Metric
	for _, i := range which {
		def := sparkMetrics[i]
		m := sparkValue(def.name, def.kind, d.value(i), now)
		alias := d.base + uint64(i)
		m.Alias = &alias
		if birth && def.unit != "" {
			_ = m.SetProperty("engUnit", sparkplug.String, def.unit) // text always fits
		}
		if birth && def.ro {
			_ = m.SetProperty("readOnly", sparkplug.Boolean, true)
		}
		if !birth {
			m.Name, m.Type = "", sparkplug.Unknown
		}
		out = append(out, m)
	}
	return out
}

// sparkValue makes a metric of a value that fits its type.
func sparkValue(name string, kind sparkplug.DataType, v any, now time.Time) sparkplug.Metric {
	m, err := sparkplug.NewMetric(name, kind, v)
	if err != nil {
		m = sparkplug.Metric{Name: name, Type: kind, Null: true}
	}
	at := uint64(now.UnixMilli())
	m.Timestamp = &at
	return m
}

func (d *spark) hello(now time.Time) []message {
	return []message{d.node.message("DBIRTH", d.name, d.metrics(now, true, 0, 1, 2, 3), now)}
}

func (d *spark) tick(now time.Time) []message {
	d.temperature += d.rng.NormFloat64() * 0.2
	d.total += d.rng.IntN(10)
	return []message{d.node.message("DDATA", d.name, d.metrics(now, false, 0, 3), now)}
}

// set takes a command's metrics; what it took is reported.
func (d *spark) set(p *sparkplug.Payload, now time.Time) []message {
	var changed []int
	for i := range p.Metrics {
		for n, def := range sparkMetrics {
			if def.name != p.Metrics[i].Name || def.ro {
				continue
			}
			v, err := p.Metrics[i].Plain(def.kind)
			if err != nil {
				continue
			}
			switch v := v.(type) {
			case bool:
				d.running = v
			case int:
				d.setpoint = v
			}
			changed = append(changed, n)
		}
	}
	if changed == nil {
		return nil
	}
	return []message{d.node.message("DDATA", d.name, d.metrics(now, false, changed...), now)}
}

// sparkNode is the edge node: it has the connection, its death, and the numbers.
type sparkNode struct {
	name    string
	devices []*spark
	bdSeq   int
	seq     uint64
	born    time.Time
	rate    int // ms
}

func newSparkNode(devices []device) device {
	n := &sparkNode{name: "node", bdSeq: -1, rate: 1000}
	for i, d := range devices {
		s, ok := d.(*spark)
		if !ok {
			continue
		}
		if name := strings.TrimRight(s.name, "0123456789-_ "); i == 0 && name != "" {
			n.name = name
		}
		s.node, s.base = n, uint64(100+i*len(sparkMetrics))
		n.devices = append(n.devices, s)
	}
	return n
}

// message makes the node's next message.
func (n *sparkNode) message(kind, device string, metrics []sparkplug.Metric, now time.Time) message {
	at, seq := uint64(now.UnixMilli()), n.seq
	n.seq = (n.seq + 1) % 256
	topic := sparkSpace + sparkGroup + "/" + kind + "/" + n.name
	if device != "" {
		topic += "/" + device
	}
	return message{topic: topic, payload: (&sparkplug.Payload{Timestamp: &at, Seq: &seq, Metrics: metrics}).Append(nil)}
}

func (n *sparkNode) death() message {
	m, _ := sparkplug.NewMetric("bdSeq", sparkplug.Int64, n.bdSeq) // a small number fits
	return message{topic: sparkSpace + sparkGroup + "/NDEATH/" + n.name, payload: (&sparkplug.Payload{Metrics: []sparkplug.Metric{m}}).Append(nil), qos: 1}
}

// will is asked for at each connection: its death has the next number.
func (n *sparkNode) will() *message {
	n.bdSeq = (n.bdSeq + 1) % 256
	m := n.death()
	return &m
}

func (n *sparkNode) goodbye() []message { return []message{n.death()} }

func (n *sparkNode) filters() []string {
	return []string{sparkSpace + sparkGroup + "/NCMD/" + n.name, sparkSpace + sparkGroup + "/DCMD/" + n.name + "/+"}
}

func (n *sparkNode) hello(now time.Time) []message {
	n.seq, n.born = 0, now
	return []message{n.message("NBIRTH", "", []sparkplug.Metric{
		sparkValue("bdSeq", sparkplug.Int64, n.bdSeq, now),
		sparkValue("Node Control/Rebirth", sparkplug.Boolean, false, now),
		sparkValue("Node Control/Reboot", sparkplug.Boolean, false, now),
		sparkValue("Node Control/Scan Rate", sparkplug.Int64, n.rate, now),
		sparkValue("Devices", sparkplug.UInt16, len(n.devices), now),
		sparkValue("Uptime", sparkplug.UInt32, 0, now),
	}, now)}
}

func (n *sparkNode) tick(now time.Time) []message {
	return []message{n.message("NDATA", "", []sparkplug.Metric{sparkValue("Uptime", sparkplug.UInt32, int(now.Sub(n.born).Seconds()), now)}, now)}
}

func (n *sparkNode) handle(topic string, payload []byte, now time.Time) []message {
	p, err := sparkplug.Parse(payload)
	levels := strings.Split(topic, "/")
	if err != nil || len(levels) < 4 {
		return nil
	}
	if len(levels) == 5 {
		for _, d := range n.devices {
			if d.name == levels[4] {
				return d.set(p, now)
			}
		}
		return nil
	}
	var out []message
	for i := range p.Metrics {
		m := &p.Metrics[i]
		v, _ := m.Plain(sparkplug.Unknown)
		switch {
		case m.Name == "Node Control/Scan Rate":
			if rate, ok := v.(int); ok && rate > 0 {
				n.rate = rate
				out = append(out, n.message("NDATA", "", []sparkplug.Metric{sparkValue(m.Name, sparkplug.Int64, n.rate, now)}, now))
			}
		case m.Name == "Node Control/Rebirth" && v == true:
			out = append(out, n.hello(now)...)
			for _, d := range n.devices {
				out = append(out, d.hello(now)...)
			}
		}
	}
	return out
}

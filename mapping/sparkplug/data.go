package sparkplug

import (
	"strings"

	"thingbridge/mapping"
)

// passBirth gives the definitions on the birth's topic, then the values on that
// of data.
func (s *session) passBirth(n *node, d *device, m *message, t *mapping.Turn) {
	in := *m.in
	in.Payload = definitions(m.payload).Append(nil)
	t.Pass(in)
	named, kind, name := n.own, "NDATA", ""
	if d != nil {
		named, kind, name = d.metrics, "DDATA", d.name
	}
	out := &Payload{Timestamp: m.payload.Timestamp}
	for i := range m.payload.Metrics {
		metric := &m.payload.Metrics[i]
		if k := named[metric.Name]; k != nil && k.property != "" {
			s.add(out, metric, k, m.in.Topic, t)
		}
	}
	in.Topic = s.topic(n, kind, name)
	s.pass(out, &in, t)
}

// data gives the values of NDATA and DDATA with the properties' names.
func (s *session) data(n *node, m *message, t *mapping.Turn) {
	named, of, born := n.own, (*device)(nil), n.born
	if m.kind == "DDATA" {
		d := n.devices[m.device]
		if d == nil {
			t.Happened("unborn")
			t.Refuse(m.in.Topic, mapping.ReasonIdentity, "the birth of the device %q has not come", cut(m.device))
			s.ask(n, "the birth of a device has not come", t)
			return
		}
		named, of, born = d.metrics, d, n.born && d.born
	}
	why := ""
	if !born {
		t.Happened("unborn")
		why = "its births may have been missed"
	}
	out := &Payload{Timestamp: m.payload.Timestamp}
	var strays strays
	for i := range m.payload.Metrics {
		metric := &m.payload.Metrics[i]
		k := named[metric.Name]
		if metric.Name == "" && metric.Alias != nil {
			k = n.aliases[*metric.Alias]
			if k == nil || k.of != of {
				t.Happened("unknown_alias")
				t.Refuse(m.in.Topic, mapping.ReasonIdentity, "the alias %d is of no birth that came since the broker was connected", *metric.Alias)
				why = "an alias is not known"
				continue
			}
		}
		switch {
		case k == nil && (metric.Name == "" || metric.Type == Unknown || baseType(metric.Type, false) == ""):
			t.Happened("unknown_metric")
			t.Refuse(m.in.Topic, mapping.ReasonIdentity, "no birth lists the metric %q", cut(metric.Name))
			why = "a metric is not known"
			continue
		case k == nil:
			t.Happened("unknown_metric")
			why = "a metric is not known"
			if k = strays.take(named, metric); k == nil {
				continue
			}
		}
		if k.property != "" {
			s.add(out, metric, k, m.in.Topic, t)
		}
	}
	in := *m.in
	s.pass(out, &in, t)
	if why != "" {
		s.ask(n, why, t)
	}
}

// strays are the properties of the births, by name: a message's metrics that no
// birth lists are taken under their own names unless another metric has that property.
type strays map[string]struct{}

// take gives a metric that no birth lists; nil when its property is another's.
func (p *strays) take(named metrics, metric *Metric) *known {
	if *p == nil {
		*p = make(strays, len(named))
		for _, k := range named {
			(*p)[k.property] = struct{}{}
		}
	}
	property := propertyName(metric.Name)
	if _, taken := (*p)[property]; taken {
		return nil
	}
	return &known{property: property, kind: metric.Type}
}

// add adds a metric under its property's name, if its value can be read.
func (s *session) add(out *Payload, m *Metric, k *known, topic string, t *mapping.Turn) {
	kind := k.kind
	if kind == Unknown {
		kind = m.Type
	}
	if _, err := m.Plain(kind); err != nil {
		t.Refuse(topic, mapping.ReasonType, "%s: %s", k.property, err)
		return
	}
	c := *m
	c.Name, c.Alias, c.Type, c.meta = k.property, nil, kind, nil
	if !strings.Contains(string(c.props), "Quality") {
		c.props = nil
	}
	out.Metrics = append(out.Metrics, c)
}

func (s *session) pass(p *Payload, in *mapping.Input, t *mapping.Turn) {
	if len(p.Metrics) == 0 {
		return
	}
	in.Payload = p.Append(nil)
	t.Pass(*in)
}

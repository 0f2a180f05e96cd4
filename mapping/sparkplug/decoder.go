package sparkplug

import (
	"fmt"
	"math"
	"time"

	"thingbridge/mapping"
)

func init() {
	mapping.RegisterFormat("sparkplug-b", decodePlain)
	mapping.RegisterFunction("sparkplugCommand", command)
	mapping.RegisterDecoder("sparkplug-b", decoder{})
	mapping.RegisterSession("sparkplug-b", newSession)
}

// decodePlain is the format: an object with timestamp, seq and metrics, each
// with name, alias, type, value, timestamp, historical, null and quality as far as
// they are there. A value that cannot be read is nil, and error says why.
func decodePlain(b []byte, lim mapping.Limits) (any, error) {
	p, err := Parse(b)
	if err == nil {
		p, err = p.unpacked(lim.PayloadBytes)
	}
	if err != nil {
		return nil, err
	}
	if lim.ListItems > 0 && len(p.Metrics) > lim.ListItems {
		return nil, fmt.Errorf("%d metrics: %w", len(p.Metrics), mapping.ErrTooLarge)
	}
	metrics := make([]any, len(p.Metrics))
	for i := range p.Metrics {
		metrics[i] = p.plainMetric(&p.Metrics[i])
	}
	out := map[string]any{"metrics": metrics}
	if p.Timestamp != nil {
		out["timestamp"] = whole(*p.Timestamp)
	}
	if p.Seq != nil {
		out["seq"] = whole(*p.Seq)
	}
	return out, nil
}

// whole is a number of the wire as the language has it.
func whole(n uint64) any {
	if n > math.MaxInt64 {
		return float64(n)
	}
	return int(n)
}

func (p *Payload) plainMetric(m *Metric) map[string]any {
	out := make(map[string]any, 6)
	if m.Name != "" {
		out["name"] = m.Name
	}
	if m.Alias != nil {
		out["alias"] = whole(*m.Alias)
	}
	if m.Type != Unknown {
		out["type"] = m.Type.String()
	}
	switch {
	case m.Timestamp != nil:
		out["timestamp"] = whole(*m.Timestamp)
	case p.Timestamp != nil:
		out["timestamp"] = whole(*p.Timestamp)
	}
	if m.Historical {
		out["historical"] = true
	}
	v, err := m.Plain(Unknown)
	switch {
	case err != nil:
		out["error"] = err.Error()
	case v == nil:
		out["null"], out["quality"] = true, "BAD"
	default:
		out["value"] = v
	}
	if q := m.quality(); q != "" {
		out["quality"] = q
	}
	return out
}

// quality is what the property Quality says; "" where there is none.
func (m *Metric) quality() string {
	if m.props == nil {
		return ""
	}
	switch property(m.Properties(), "Quality") {
	case 192:
		return "GOOD"
	case 0:
		return "BAD"
	case 500: // stale
		return "UNKNOWN"
	}
	return ""
}

// command is sparkplugCommand([name, type], value, now): the payload of a command.
func command(args ...any) (any, error) {
	if len(args) != 3 {
		return nil, fmt.Errorf("sparkplugCommand takes a metric, a value and the time")
	}
	metric, ok := args[0].([]any)
	if !ok || len(metric) != 2 {
		return nil, fmt.Errorf("the device's birth lists no such metric, or not as one that can be written")
	}
	name, _ := metric[0].(string)
	word, _ := metric[1].(string)
	t, ok := ParseDataType(word)
	now, _ := args[2].(int)
	if !ok || name == "" || now <= 0 {
		return nil, fmt.Errorf("sparkplugCommand takes [name, type], a value and the time")
	}
	return Command(name, t, args[1], time.UnixMilli(int64(now)))
}

// Command makes the payload of an NCMD or DCMD: one metric, by its name.
func Command(name string, t DataType, plain any, now time.Time) ([]byte, error) {
	m, err := NewMetric(name, t, plain)
	if err != nil {
		return nil, err
	}
	at := uint64(now.UnixMilli())
	m.Timestamp = &at
	return (&Payload{Timestamp: &at, Metrics: []Metric{m}}).Append(nil), nil
}

// decoder makes a Thing of a birth. It takes the definitions that the session
// leaves, and any birth as it is on the wire.
type decoder struct{}

// Decode implements mapping.Decoder. The levels are group and node, and dev for
// a device; the parameters are those of the preset.
func (decoder) Decode(in *mapping.DecoderInput) ([]mapping.Fragment, error) {
	p, err := Parse(in.Payload)
	if err != nil {
		return nil, err
	}
	opt, err := optionsOf(in.Parameters)
	if err != nil {
		return nil, err
	}
	dev, isDevice := in.Levels["dev"]
	f := mapping.Fragment{Thing: opt.prefix + in.Levels["group"] + "." + in.Levels["node"]}
	if isDevice {
		f.Thing += "." + dev
	}
	metrics, skipped := list(p, !isDevice)
	f.Skipped = skipped
	properties := make(map[string]any, len(metrics))
	written := map[string]any{}
	for _, m := range metrics {
		def, writable := m.define(&opt)
		properties[m.property] = def
		if writable {
			written[m.property] = []any{m.Name, m.Type.String()}
		}
	}
	f.Rules = map[string]any{"properties": properties}
	f.Let = map[string]any{"metrics": written}
	if !isDevice {
		if services := controls(p, in.Topic, &opt); len(services) > 0 {
			f.Rules["services"] = services
		}
	}
	return []mapping.Fragment{f}, nil
}

// define makes the property's definition.
func (m *listed) define(opt *options) (def map[string]any, writable bool) {
	def = map[string]any{"type": baseType(m.Type, opt.uint64AsNumber)}
	props := m.Properties()
	if unit, ok := property(props, "engUnit", "engUnits", "Engineering Unit", "unit").(string); ok {
		def["unit"] = unit
	}
	description, _ := property(props, "Documentation").(string)
	if text := m.description(); text != "" {
		description = text
	}
	if m.Name != m.property && description == "" {
		description = m.Name
	}
	if description != "" {
		def["description"] = description
	}
	if spec, is := integers[m.Type]; is && m.Type < Float && m.Type != Int32 && spec.bits < 64 {
		low, high := spec.bounds()
		def["min"], def["max"] = int(low), int(high)
	}
	if m.Type == Float {
		def["single"] = true
	}
	switch {
	case m.Type == DataSetType:
		if fields := m.columns(opt); len(fields) > 0 {
			def["fields"] = fields
		}
	case m.Type != TemplateType && opt.writes && property(props, "readOnly", "ReadOnly") != true:
		def["writable"], def["confirm"] = true, "echo"
		return def, true
	}
	return def, false
}

// columns are the fields of a data set's property.
func (m *listed) columns(opt *options) map[string]any {
	if m.Value.field != fieldDataSet {
		return nil
	}
	set, err := parseDataSet(m.Value.bytes)
	if err != nil {
		return nil
	}
	fields := make(map[string]any, len(set.columns))
	for i, c := range set.columns {
		if base := baseType(set.types[i], opt.uint64AsNumber); base != "" && mapping.CheckMemberName(c) == nil {
			fields[c] = map[string]any{"type": base}
		}
	}
	return fields
}

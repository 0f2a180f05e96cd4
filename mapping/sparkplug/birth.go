package sparkplug

import (
	"fmt"
	"strings"
	"unicode"

	"thingbridge/mapping"
)

// Metrics of an edge node that are no values: its death's number, and commands.
const (
	bdSeqName      = "bdSeq"
	rebirthName    = "Node Control/Rebirth"
	rebootName     = "Node Control/Reboot"
	nextServerName = "Node Control/Next Server"
)

// scanRateNames are the names that the scan rate goes by.
var scanRateNames = []string{"Node Control/Scan Rate", "Node Control/Scan Rate ms", "Node Control/ScanRate"}

// listed is a metric of a birth that becomes a property.
type listed struct {
	*Metric
	property string
}

// list gives the metrics of a birth that become properties, and why others do
// not. Of two that want one property's name the first has it.
func list(p *Payload, ofNode bool) (out []listed, skipped []string) {
	taken := map[string]string{}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if ofNode && (m.Name == bdSeqName || m.Name == rebirthName || m.Name == rebootName || m.Name == nextServerName) || m.defines() {
			continue
		}
		property := propertyName(m.Name)
		why := ""
		if m.Name == "" {
			why = "it has no name"
		} else if err := mapping.CheckMemberName(property); err != nil {
			why = err.Error()
		} else if baseType(m.Type, false) == "" {
			why = fmt.Sprintf("the data type %d is not one of a metric", m.Type)
		} else if other, is := taken[property]; is {
			why = fmt.Sprintf("the property %q is that of the metric %q", property, other)
		}
		if why != "" {
			skipped = append(skipped, fmt.Sprintf("metric %q is left out: %s", cut(m.Name), why))
			continue
		}
		taken[property] = m.Name
		out = append(out, listed{m, property})
	}
	return out, skipped
}

func cut(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// defines reports a template's definition, which is a type and no value.
func (m *Metric) defines() bool {
	if m.Type != TemplateType || m.Value.field != fieldTemplate {
		return false
	}
	t, err := parseTemplate(m.Value.bytes)
	return err == nil && t.definition
}

// propertyName makes a property's name of a metric's.
func propertyName(metric string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, strings.TrimSpace(strings.ToValidUTF8(metric, "_")))
}

// baseType is the platform's type for a metric's; "" for what is none.
func baseType(t DataType, uint64AsNumber bool) string {
	switch t {
	case Int8, Int16, Int32, UInt8, UInt16:
		return "INTEGER"
	case UInt32, Int64:
		return "LONG"
	case UInt64:
		if uint64AsNumber {
			return "NUMBER"
		}
		return "STRING"
	case Float, Double:
		return "NUMBER"
	case Boolean:
		return "BOOLEAN"
	case String, Text, UUID:
		return "STRING"
	case DateTime:
		return "DATETIME"
	case DataSetType:
		return "INFOTABLE"
	case Bytes, File:
		return "BLOB"
	case TemplateType:
		return "JSON"
	}
	if t >= Int8Array && t <= DateTimeArray {
		return "JSON"
	}
	return ""
}

// keptProperties are the properties of a metric that its definition is made of.
var keptProperties = []string{"engUnit", "engUnits", "Engineering Unit", "unit", "readOnly", "ReadOnly", "Documentation"}

// definitions gives a birth without all that changes from one birth to the next:
// values, times, aliases and numbers.
func definitions(p *Payload) *Payload {
	out := &Payload{Metrics: make([]Metric, 0, len(p.Metrics))}
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if m.Name == bdSeqName {
			continue
		}
		d := Metric{Name: m.Name, Type: m.Type, meta: m.meta, props: keepProperties(m)}
		switch {
		case m.defines():
			d.Value = m.Value
		case m.Type == DataSetType && m.Value.field == fieldDataSet:
			if set, err := parseDataSet(m.Value.bytes); err == nil {
				_ = d.SetDataSet(set.columns, set.types, nil) // no rows that could not fit
			}
		}
		out.Metrics = append(out.Metrics, d)
	}
	return out
}

func keepProperties(m *Metric) []byte {
	if m.props == nil {
		return nil
	}
	var kept Metric
	have := m.Properties()
	for _, name := range keptProperties {
		for _, p := range have {
			if p.Key == name && p.Value != nil {
				_ = kept.SetProperty(p.Key, p.Type, p.Value) // it was read as that type
			}
		}
	}
	return kept.props
}

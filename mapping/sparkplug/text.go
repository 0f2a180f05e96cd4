package sparkplug

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// textPayload is a payload as people write it, in JSON.
type textPayload struct {
	Timestamp *uint64      `json:"timestamp"`
	Seq       *uint64      `json:"seq"`
	Metrics   []textMetric `json:"metrics"`
}

type textMetric struct {
	Name        string         `json:"name"`
	Alias       *uint64        `json:"alias"`
	Timestamp   *uint64        `json:"timestamp"`
	Type        string         `json:"type"`
	Value       any            `json:"value"`
	Historical  bool           `json:"historical"`
	Transient   bool           `json:"transient"`
	Description string         `json:"description"`
	Properties  map[string]any `json:"properties"`
	Columns     [][2]string    `json:"columns"` // of a DataSet: name and type
	Rows        [][]any        `json:"rows"`
	Template    string         `json:"template"` // of a Template: what it is an instance of
	Definition  bool           `json:"definition"`
	Members     []textMetric   `json:"members"`
}

// FromJSON makes a payload of {"seq", "timestamp", "metrics": [{"name", "alias",
// "timestamp", "type", "value", "historical", "description", "properties"}]}. A
// metric without a value is null. A DataSet has columns, [name, type] each, and
// rows; a Template has template, definition and members.
func FromJSON(b []byte) (*Payload, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	var in textPayload
	if err := dec.Decode(&in); err != nil {
		return nil, err
	}
	p := &Payload{Timestamp: in.Timestamp, Seq: in.Seq}
	for i := range in.Metrics {
		m, err := in.Metrics[i].metric()
		if err != nil {
			return nil, err
		}
		p.Metrics = append(p.Metrics, m)
	}
	return p, nil
}

func (x *textMetric) metric() (Metric, error) {
	var m Metric
	t, known := ParseDataType(x.Type)
	switch {
	case x.Type != "" && !known:
		return m, fmt.Errorf("metric %q: there is no data type %q", x.Name, x.Type)
	case t == DataSetType:
		if err := x.dataSet(&m); err != nil {
			return m, fmt.Errorf("metric %q: %w", x.Name, err)
		}
	case t == TemplateType:
		members := make([]Metric, len(x.Members))
		for i := range x.Members {
			var err error
			if members[i], err = x.Members[i].metric(); err != nil {
				return m, err
			}
		}
		m.SetTemplate(x.Template, x.Definition, members)
	case x.Value == nil:
		m = Metric{Type: t, Null: true}
	default:
		kind := t
		if !known { // in data the birth's type counts
			kind = guess(x.Value)
		}
		var err error
		if m, err = NewMetric(x.Name, kind, plainOf(x.Value)); err != nil {
			return m, err
		}
		m.Type = t
	}
	m.Name, m.Alias, m.Timestamp, m.Historical, m.Transient = x.Name, x.Alias, x.Timestamp, x.Historical, x.Transient
	if x.Description != "" {
		m.SetDescription(x.Description)
	}
	for _, key := range slices.Sorted(maps.Keys(x.Properties)) {
		if err := m.SetProperty(key, guess(x.Properties[key]), plainOf(x.Properties[key])); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (x *textMetric) dataSet(m *Metric) error {
	var columns []string
	var types []DataType
	for _, c := range x.Columns {
		t, ok := ParseDataType(c[1])
		if !ok {
			return fmt.Errorf("column %q: there is no data type %q", c[0], c[1])
		}
		columns, types = append(columns, c[0]), append(types, t)
	}
	rows := make([][]any, len(x.Rows))
	for i, row := range x.Rows {
		for _, cell := range row {
			rows[i] = append(rows[i], plainOf(cell))
		}
	}
	return m.SetDataSet(columns, types, rows)
}

// guess is the type that a value has when nothing says it.
func guess(v any) DataType {
	switch v := v.(type) {
	case bool:
		return Boolean
	case json.Number:
		if _, err := strconv.ParseInt(v.String(), 10, 32); err == nil {
			return Int32
		}
		return Double
	}
	return String
}

// plainOf makes the language's values of decoded JSON.
func plainOf(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return int(n)
		}
		if _, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return v.String()
		}
		f, _ := v.Float64()
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainOf(v[i])
		}
		return out
	}
	return v
}

// String shows the metrics, for people.
func (p *Payload) String() string {
	var b strings.Builder
	for i := range p.Metrics {
		if i > 0 {
			b.WriteString(", ")
		}
		m := &p.Metrics[i]
		fmt.Fprintf(&b, "%s %s", m.Name, m.Type)
		v, err := m.Plain(Unknown)
		switch {
		case err != nil:
			fmt.Fprintf(&b, " (%s)", err)
		case v == nil:
			b.WriteString(" null")
		default:
			fmt.Fprintf(&b, " %v", v)
		}
	}
	return b.String()
}

package sparkplug

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"thingbridge/mapping"
)

// Payload is one message.
type Payload struct {
	Timestamp *uint64 // milliseconds
	Seq       *uint64
	UUID      string
	Body      []byte
	Metrics   []Metric
}

// Metric is one metric as it stands on the wire. Its bytes are the payload's own.
type Metric struct {
	Name       string // "": known by its alias
	Alias      *uint64
	Timestamp  *uint64 // milliseconds
	Type       DataType
	Historical bool
	Transient  bool
	Null       bool
	Value      Value

	meta, props []byte // messages, not yet read
}

// Value is a value on the wire: the field that holds it, and what it holds.
type Value struct {
	field protowire.Number // 0: none
	bits  uint64           // of int, long, float, double and boolean
	bytes []byte           // of string, bytes, dataset and template
}

// Fields of a value.
const (
	fieldInt      protowire.Number = 10
	fieldLong     protowire.Number = 11
	fieldFloat    protowire.Number = 12
	fieldDouble   protowire.Number = 13
	fieldBoolean  protowire.Number = 14
	fieldString   protowire.Number = 15
	fieldBytes    protowire.Number = 16
	fieldDataSet  protowire.Number = 17
	fieldTemplate protowire.Number = 18
)

// limits of what one payload may hold.
const (
	maxMetrics = 10_000 // of a payload or a template
	maxNesting = 16     // templates and property sets in one another
	maxColumns = 1_000  // of a data set
)

// ErrMalformed says that bytes are not a Sparkplug payload.
var ErrMalformed = errors.New("not a Sparkplug B payload")

// fieldsOf calls f for each field of a message. v is the content of a field of
// bytes, n the value of a number.
func fieldsOf(b []byte, f func(num protowire.Number, typ protowire.Type, n uint64, v []byte) error) error {
	for len(b) > 0 {
		num, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return ErrMalformed
		}
		b = b[size:]
		var n uint64
		var v []byte
		switch typ {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var n32 uint32
			n32, size = protowire.ConsumeFixed32(b)
			n = uint64(n32)
		case protowire.Fixed64Type:
			n, size = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(num, typ, b)
		}
		if size < 0 {
			return ErrMalformed
		}
		b = b[size:]
		if err := f(num, typ, n, v); err != nil {
			return err
		}
	}
	return nil
}

// wants reports whether a field has the wire type that it must have.
func wants(typ, want protowire.Type, what string) error {
	if typ != want {
		return fmt.Errorf("%w: %s is of another wire type", ErrMalformed, what)
	}
	return nil
}

// Parse reads a payload. The result refers to b.
func Parse(b []byte) (*Payload, error) {
	p := &Payload{}
	err := fieldsOf(b, func(num protowire.Number, typ protowire.Type, n uint64, v []byte) error {
		switch num {
		case 1:
			p.Timestamp = &n
			return wants(typ, protowire.VarintType, "timestamp")
		case 2:
			if err := wants(typ, protowire.BytesType, "metrics"); err != nil {
				return err
			}
			if len(p.Metrics) >= maxMetrics {
				return fmt.Errorf("over %d metrics: %w", maxMetrics, mapping.ErrTooLarge)
			}
			m, err := parseMetric(v)
			if err != nil {
				return fmt.Errorf("metric %d: %w", len(p.Metrics)+1, err)
			}
			p.Metrics = append(p.Metrics, m)
		case 3:
			p.Seq = &n
			return wants(typ, protowire.VarintType, "seq")
		case 4:
			p.UUID = string(v)
			return wants(typ, protowire.BytesType, "uuid")
		case 5:
			p.Body = v
			return wants(typ, protowire.BytesType, "body")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func parseMetric(b []byte) (Metric, error) {
	var m Metric
	err := fieldsOf(b, func(num protowire.Number, typ protowire.Type, n uint64, v []byte) error {
		want := protowire.VarintType
		switch num {
		case 1:
			m.Name, want = string(v), protowire.BytesType
		case 2:
			m.Alias = &n
		case 3:
			m.Timestamp = &n
		case 4:
			m.Type = DataType(min(n, math.MaxUint32))
		case 5:
			m.Historical = n != 0
		case 6:
			m.Transient = n != 0
		case 7:
			m.Null = n != 0
		case 8:
			m.meta, want = v, protowire.BytesType
		case 9:
			m.props, want = v, protowire.BytesType
		case fieldInt, fieldLong, fieldBoolean:
			m.Value = Value{field: num, bits: n}
		case fieldFloat:
			m.Value, want = Value{field: num, bits: n}, protowire.Fixed32Type
		case fieldDouble:
			m.Value, want = Value{field: num, bits: n}, protowire.Fixed64Type
		case fieldString, fieldBytes, fieldDataSet, fieldTemplate:
			m.Value, want = Value{field: num, bytes: v}, protowire.BytesType
		default:
			return nil
		}
		return wants(typ, want, fmt.Sprintf("field %d", num))
	})
	return m, err
}

// Append writes the payload.
func (p *Payload) Append(dst []byte) []byte {
	if p.Timestamp != nil {
		dst = appendNumber(dst, 1, *p.Timestamp)
	}
	for i := range p.Metrics {
		dst = appendMessage(dst, 2, p.Metrics[i].append)
	}
	if p.Seq != nil {
		dst = appendNumber(dst, 3, *p.Seq)
	}
	if p.UUID != "" {
		dst = appendBytes(dst, 4, []byte(p.UUID))
	}
	if p.Body != nil {
		dst = appendBytes(dst, 5, p.Body)
	}
	return dst
}

func (m *Metric) append(dst []byte) []byte {
	if m.Name != "" {
		dst = appendBytes(dst, 1, []byte(m.Name))
	}
	if m.Alias != nil {
		dst = appendNumber(dst, 2, *m.Alias)
	}
	if m.Timestamp != nil {
		dst = appendNumber(dst, 3, *m.Timestamp)
	}
	if m.Type != Unknown {
		dst = appendNumber(dst, 4, uint64(m.Type))
	}
	for i, set := range [...]bool{m.Historical, m.Transient, m.Null} {
		if set {
			dst = appendNumber(dst, protowire.Number(5+i), 1)
		}
	}
	if m.meta != nil {
		dst = appendBytes(dst, 8, m.meta)
	}
	if m.props != nil {
		dst = appendBytes(dst, 9, m.props)
	}
	return m.Value.append(dst)
}

func (v *Value) append(dst []byte) []byte {
	switch v.field {
	case 0:
		return dst
	case fieldFloat:
		return protowire.AppendFixed32(protowire.AppendTag(dst, v.field, protowire.Fixed32Type), uint32(v.bits))
	case fieldDouble:
		return protowire.AppendFixed64(protowire.AppendTag(dst, v.field, protowire.Fixed64Type), v.bits)
	case fieldString, fieldBytes, fieldDataSet, fieldTemplate:
		return appendBytes(dst, v.field, v.bytes)
	}
	return appendNumber(dst, v.field, v.bits)
}

func appendNumber(dst []byte, num protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), n)
}

func appendBytes(dst []byte, num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), b)
}

func appendMessage(dst []byte, num protowire.Number, write func([]byte) []byte) []byte {
	return appendBytes(dst, num, write(nil))
}

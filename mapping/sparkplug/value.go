package sparkplug

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"thingbridge/mapping"
)

// Plain gives a metric's value as the mapping language has values: nil, bool,
// int, float64, string, []byte, lists and objects. An integer over 63 bits is
// text. t is the type that the birth gave; Unknown: the metric's own.
func (m *Metric) Plain(t DataType) (any, error) {
	if t == Unknown {
		t = m.Type
	}
	if m.Null || m.Value.field == 0 {
		return nil, nil
	}
	return m.Value.plain(t, 0)
}

func (v *Value) plain(t DataType, depth int) (any, error) {
	switch t {
	case Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64:
		return v.integer(t)
	case DateTime:
		return v.integer(Int64)
	case Float, Double:
		return v.float()
	case Boolean:
		if v.field == fieldBoolean || v.field == fieldInt && v.bits <= 1 {
			return v.bits != 0, nil
		}
	case String, Text, UUID:
		if v.field == fieldString {
			return text(v.bytes)
		}
	case Bytes, File:
		if v.field == fieldBytes {
			return append([]byte{}, v.bytes...), nil
		}
	case DataSetType:
		if v.field == fieldDataSet {
			set, err := parseDataSet(v.bytes)
			if err != nil {
				return nil, err
			}
			return set.plain()
		}
	case TemplateType:
		if v.field == fieldTemplate {
			return plainTemplate(v.bytes, depth)
		}
	default:
		if t >= Int8Array && t <= DateTimeArray && v.field == fieldBytes {
			return plainArray(t, v.bytes)
		}
		if t < Int8Array || t > DateTimeArray {
			return nil, fmt.Errorf("the data type %d is not one of a metric", t)
		}
	}
	return nil, fmt.Errorf("the value is no %s: it stands in field %d", t, v.field)
}

// integer reads what stands in the unsigned fields as two's complement; 8 and
// 16 bits may be as wide as their type or as the field.
func (v *Value) integer(t DataType) (any, error) {
	if v.field != fieldInt && v.field != fieldLong {
		return nil, fmt.Errorf("the value is no %s: it stands in field %d", t, v.field)
	}
	spec := integers[t]
	if t == UInt64 {
		if v.bits > math.MaxInt64 {
			return strconv.FormatUint(v.bits, 10), nil
		}
		return int(v.bits), nil
	}
	n := int64(v.bits)
	if spec.signed && spec.bits < 64 {
		switch {
		case v.bits>>spec.bits == 0: // as wide as the type
			n = int64(v.bits<<(64-spec.bits)) >> (64 - spec.bits)
		case v.bits>>32 == 0: // as wide as the field
			n = int64(int32(v.bits))
		}
	}
	low, high := spec.bounds()
	if spec.bits < 64 && (n < low || n > high) {
		return nil, fmt.Errorf("%d is no %s", n, t)
	}
	return int(n), nil
}

func (v *Value) float() (any, error) {
	switch v.field {
	case fieldFloat:
		f := math.Float32frombits(uint32(v.bits))
		if f != f || math.IsInf(float64(f), 0) {
			return float64(f), nil
		}
		return mapping.SingleNumber(f), nil
	case fieldDouble:
		return math.Float64frombits(v.bits), nil
	}
	return nil, fmt.Errorf("the value is no number: it stands in field %d", v.field)
}

func text(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("the text is not UTF-8")
	}
	return string(b), nil
}

// Property is one of a metric's properties.
type Property struct {
	Key   string
	Type  DataType
	Value any // nil: null
}

// Properties reads the metric's properties; what is no plain value is left out.
func (m *Metric) Properties() []Property {
	var keys []string
	var values [][]byte
	err := fieldsOf(m.props, func(num protowire.Number, typ protowire.Type, _ uint64, v []byte) error {
		switch {
		case num == 1 && typ == protowire.BytesType && len(keys) < maxColumns:
			keys = append(keys, string(v))
		case num == 2 && typ == protowire.BytesType && len(values) < maxColumns:
			values = append(values, v)
		}
		return nil
	})
	if err != nil || len(keys) != len(values) {
		return nil
	}
	var out []Property
	for i, k := range keys {
		p := Property{Key: k}
		var v Value
		null := false
		if fieldsOf(values[i], func(num protowire.Number, _ protowire.Type, n uint64, b []byte) error {
			switch num {
			case 1:
				p.Type = DataType(min(n, math.MaxUint32))
			case 2:
				null = n != 0
			case 3, 4, 5, 6, 7: // int, long, float, double, boolean
				v = Value{field: num + 7, bits: n}
			case 8:
				v = Value{field: fieldString, bytes: b}
			}
			return nil
		}) != nil || v.field == 0 && !null {
			continue
		}
		if !null {
			plain, err := v.plain(p.Type, 0)
			if err != nil {
				continue
			}
			p.Value = plain
		}
		out = append(out, p)
	}
	return out
}

// property gives the first of the named properties that has a value, or nil.
func property(list []Property, names ...string) any {
	for _, name := range names {
		for _, p := range list {
			if p.Key == name && p.Value != nil {
				return p.Value
			}
		}
	}
	return nil
}

// description is the metadata's text.
func (m *Metric) description() string {
	out := ""
	_ = fieldsOf(m.meta, func(num protowire.Number, typ protowire.Type, _ uint64, v []byte) error {
		if num == 8 && typ == protowire.BytesType && utf8.Valid(v) {
			out = string(v)
		}
		return nil
	})
	return out
}

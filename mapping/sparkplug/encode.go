package sparkplug

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// NewMetric makes a metric of a plain value: what Plain gives, or the JSON form of
// it. nil makes a null.
func NewMetric(name string, t DataType, plain any) (Metric, error) {
	m := Metric{Name: name, Type: t}
	if plain == nil {
		m.Null = true
		return m, nil
	}
	v, err := encode(t, plain)
	if err != nil {
		return Metric{}, fmt.Errorf("%s: %w", name, err)
	}
	m.Value = v
	return m, nil
}

func unfit(t DataType, plain any) error { return fmt.Errorf("%v is no %s", plain, t) }

func encode(t DataType, plain any) (Value, error) {
	switch t {
	case Int8, Int16, Int32, UInt8, UInt16, UInt32:
		n, err := encodeInteger(t, plain)
		return Value{field: fieldInt, bits: n & math.MaxUint32}, err
	case Int64, UInt64:
		n, err := encodeInteger(t, plain)
		return Value{field: fieldLong, bits: n}, err
	case DateTime:
		n, err := encodeTime(plain)
		return Value{field: fieldLong, bits: n}, err
	case Float, Double:
		f, ok := number(plain)
		if !ok {
			return Value{}, unfit(t, plain)
		}
		if t == Float {
			if math.Abs(f) > math.MaxFloat32 && !math.IsInf(f, 0) {
				return Value{}, unfit(t, plain)
			}
			return Value{field: fieldFloat, bits: uint64(math.Float32bits(float32(f)))}, nil
		}
		return Value{field: fieldDouble, bits: math.Float64bits(f)}, nil
	case Boolean:
		b, ok := plain.(bool)
		if !ok {
			return Value{}, unfit(t, plain)
		}
		v := Value{field: fieldBoolean}
		if b {
			v.bits = 1
		}
		return v, nil
	case String, Text, UUID:
		s, ok := plain.(string)
		if !ok {
			return Value{}, unfit(t, plain)
		}
		return Value{field: fieldString, bytes: []byte(s)}, nil
	case Bytes, File:
		b, err := encodeBytes(t, plain)
		return Value{field: fieldBytes, bytes: b}, err
	}
	if t >= Int8Array && t <= DateTimeArray {
		list, ok := plain.([]any)
		if !ok {
			return Value{}, unfit(t, plain)
		}
		b, err := encodeArray(t, list)
		return Value{field: fieldBytes, bytes: b}, err
	}
	return Value{}, fmt.Errorf("a %s cannot be sent", t)
}

// number reads any number.
func number(plain any) (float64, bool) {
	switch n := plain.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	case string:
		f, err := strconv.ParseFloat(n, 64)
		return f, err == nil
	}
	return 0, false
}

// encodeInteger gives two's complement; text stands for what is over 63 bits.
func encodeInteger(t DataType, plain any) (uint64, error) {
	spec := integers[t]
	var n int64
	switch p := plain.(type) {
	case int:
		n = int64(p)
	case float64:
		if p != math.Trunc(p) || math.Abs(p) >= 1<<63 {
			return 0, unfit(t, plain)
		}
		n = int64(p)
	case string:
		if t == UInt64 {
			u, err := strconv.ParseUint(p, 10, 64)
			if err != nil {
				return 0, unfit(t, plain)
			}
			return u, nil
		}
		var err error
		if n, err = strconv.ParseInt(p, 10, 64); err != nil {
			return 0, unfit(t, plain)
		}
	default:
		return 0, unfit(t, plain)
	}
	low, high := spec.bounds()
	if t == UInt64 {
		high = math.MaxInt64
	}
	if n < low || n > high {
		return 0, fmt.Errorf("%d is no %s: it must be from %d to %d", n, t, low, high)
	}
	return uint64(n), nil
}

func encodeTime(plain any) (uint64, error) {
	if s, ok := plain.(string); ok {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return 0, unfit(DateTime, plain)
		}
		return uint64(at.UnixMilli()), nil
	}
	return encodeInteger(Int64, plain)
}

func encodeBytes(t DataType, plain any) ([]byte, error) {
	switch p := plain.(type) {
	case []byte:
		return p, nil
	case string:
		if b, err := base64.StdEncoding.DecodeString(p); err == nil {
			return b, nil
		}
	}
	return nil, unfit(t, plain)
}

func encodeArray(t DataType, list []any) ([]byte, error) {
	switch t {
	case BooleanArray:
		out := binary.LittleEndian.AppendUint32(nil, uint32(len(list)))
		out = append(out, make([]byte, (len(list)+7)/8)...)
		for i, item := range list {
			b, ok := item.(bool)
			if !ok {
				return nil, unfit(Boolean, item)
			}
			if b {
				out[4+i/8] |= 0x80 >> (i % 8)
			}
		}
		return out, nil
	case StringArray:
		var out []byte
		for _, item := range list {
			s, ok := item.(string)
			if !ok || bytes.IndexByte([]byte(s), 0) >= 0 {
				return nil, unfit(String, item)
			}
			out = append(append(out, s...), 0)
		}
		return out, nil
	}
	var out []byte
	size := arraySize(t)
	for _, item := range list {
		v, err := encode(itemOf[t], item)
		if err != nil {
			return nil, err
		}
		var wide [8]byte
		binary.LittleEndian.PutUint64(wide[:], v.bits)
		out = append(out, wide[:size]...)
	}
	return out, nil
}

var itemOf = map[DataType]DataType{
	Int8Array: Int8, Int16Array: Int16, Int32Array: Int32, Int64Array: Int64, UInt8Array: UInt8, UInt16Array: UInt16,
	UInt32Array: UInt32, UInt64Array: UInt64, FloatArray: Float, DoubleArray: Double, DateTimeArray: DateTime,
}

// SetDataSet gives the metric a table: columns, their types, and rows of plain values.
func (m *Metric) SetDataSet(columns []string, types []DataType, rows [][]any) error {
	b := appendNumber(nil, 1, uint64(len(columns)))
	for _, c := range columns {
		b = appendBytes(b, 2, []byte(c))
	}
	for _, t := range types {
		b = appendNumber(b, 3, uint64(t))
	}
	for i, row := range rows {
		if len(row) != len(columns) {
			return fmt.Errorf("row %d has %d cells, the table %d columns", i+1, len(row), len(columns))
		}
		var cells []byte
		for j, plain := range row {
			v, err := encode(types[j], plain)
			if err != nil {
				return fmt.Errorf("row %d: %w", i+1, err)
			}
			cells = appendMessage(cells, 1, func(b []byte) []byte { return appendElement(b, v, 9) })
		}
		b = appendBytes(b, 4, cells)
	}
	m.Type, m.Value = DataSetType, Value{field: fieldDataSet, bytes: b}
	return nil
}

// SetTemplate gives the metric a template: a definition, or an instance of ref.
func (m *Metric) SetTemplate(ref string, definition bool, members []Metric) {
	var b []byte
	for i := range members {
		b = appendMessage(b, 2, members[i].append)
	}
	if ref != "" {
		b = appendBytes(b, 4, []byte(ref))
	}
	if definition {
		b = appendNumber(b, 5, 1)
	}
	m.Type, m.Value = TemplateType, Value{field: fieldTemplate, bytes: b}
}

// SetProperty adds a property.
func (m *Metric) SetProperty(key string, t DataType, plain any) error {
	keys, values := splitProperties(m.props)
	v, err := encode(t, plain)
	if err != nil {
		return err
	}
	values = appendMessage(values, 2, func(b []byte) []byte { return appendElement(appendNumber(b, 1, uint64(t)), v, 7) })
	m.props = append(appendBytes(keys, 1, []byte(key)), values...)
	return nil
}

// splitProperties parts the keys from the values.
func splitProperties(b []byte) (keys, values []byte) {
	_ = fieldsOf(b, func(num protowire.Number, _ protowire.Type, _ uint64, v []byte) error {
		switch num {
		case 1:
			keys = appendBytes(keys, 1, v)
		case 2:
			values = appendBytes(values, 2, v)
		}
		return nil
	})
	return keys, values
}

// SetDescription gives the metric a text for people.
func (m *Metric) SetDescription(text string) { m.meta = appendBytes(nil, 8, []byte(text)) }

// appendElement writes a value of a row or of a property, whose field numbers
// are smaller than a metric's by a constant.
func appendElement(dst []byte, v Value, smaller protowire.Number) []byte {
	num := v.field - smaller
	switch v.field {
	case fieldFloat:
		return protowire.AppendFixed32(protowire.AppendTag(dst, num, protowire.Fixed32Type), uint32(v.bits))
	case fieldDouble:
		return protowire.AppendFixed64(protowire.AppendTag(dst, num, protowire.Fixed64Type), v.bits)
	case fieldString:
		return appendBytes(dst, num, v.bytes)
	}
	return appendNumber(dst, num, v.bits)
}

package sparkplug

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"thingbridge/mapping"
)

// dataSet is a table: 1 number of columns, 2 columns, 3 types, 4 rows.
type dataSet struct {
	columns []string
	types   []DataType
	rows    [][]byte
}

func parseDataSet(b []byte) (*dataSet, error) {
	d := &dataSet{}
	err := fieldsOf(b, func(num protowire.Number, typ protowire.Type, n uint64, v []byte) error {
		switch {
		case num == 2 && typ == protowire.BytesType:
			if len(d.columns) >= maxColumns {
				return fmt.Errorf("a data set of over %d columns: %w", maxColumns, mapping.ErrTooLarge)
			}
			d.columns = append(d.columns, string(v))
		case num == 3 && typ == protowire.VarintType:
			d.types = append(d.types, DataType(min(n, math.MaxUint32)))
		case num == 3 && typ == protowire.BytesType: // packed
			for len(v) > 0 {
				n, size := protowire.ConsumeVarint(v)
				if size < 0 {
					return ErrMalformed
				}
				d.types, v = append(d.types, DataType(min(n, math.MaxUint32))), v[size:]
			}
		case num == 4 && typ == protowire.BytesType:
			if len(d.rows) >= maxMetrics {
				return fmt.Errorf("a data set of over %d rows: %w", maxMetrics, mapping.ErrTooLarge)
			}
			d.rows = append(d.rows, v)
		}
		return nil
	})
	if err == nil && len(d.columns) != len(d.types) {
		err = fmt.Errorf("%w: a data set of %d columns and %d types", ErrMalformed, len(d.columns), len(d.types))
	}
	return d, err
}

// plain gives the rows as objects.
func (d *dataSet) plain() (any, error) {
	out := make([]any, 0, min(len(d.rows), 64))
	cells := 0
	for i, row := range d.rows {
		object := make(map[string]any, min(len(d.columns), 64))
		col := 0
		err := fieldsOf(row, func(num protowire.Number, _ protowire.Type, _ uint64, v []byte) error {
			if num != 1 {
				return nil
			}
			if col >= len(d.columns) {
				return fmt.Errorf("%w: the row has over %d cells", ErrMalformed, len(d.columns))
			}
			plain, err := d.cell(v, d.types[col])
			if err != nil {
				return fmt.Errorf("column %q: %w", d.columns[col], err)
			}
			object[d.columns[col]] = plain
			col++
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		if cells += len(object); cells > maxMetrics*10 {
			return nil, fmt.Errorf("a data set of over %d cells: %w", maxMetrics*10, mapping.ErrTooLarge)
		}
		out = append(out, object)
	}
	return out, nil
}

// cell reads a value of a row: fields 1 to 6 are int, long, float, double,
// boolean, string.
func (d *dataSet) cell(b []byte, t DataType) (any, error) {
	var v Value
	err := fieldsOf(b, func(num protowire.Number, _ protowire.Type, n uint64, bytes []byte) error {
		if num >= 1 && num <= 6 {
			v = Value{field: num + 9, bits: n, bytes: bytes}
		}
		return nil
	})
	if err != nil || v.field == 0 {
		return nil, err
	}
	return v.plain(t, 0)
}

// template is an instance or a definition: 1 version, 2 metrics, 3 parameters,
// 4 template_ref, 5 is_definition.
type template struct {
	version, ref string
	definition   bool
	metrics      []Metric
	parameters   [][]byte
}

func parseTemplate(b []byte) (*template, error) {
	t := &template{}
	err := fieldsOf(b, func(num protowire.Number, typ protowire.Type, n uint64, v []byte) error {
		switch {
		case num == 1:
			t.version = string(v)
		case num == 2 && typ == protowire.BytesType:
			m, err := parseMetric(v)
			if err != nil {
				return err
			}
			if t.metrics = append(t.metrics, m); len(t.metrics) > maxMetrics {
				return fmt.Errorf("a template of over %d metrics: %w", maxMetrics, mapping.ErrTooLarge)
			}
		case num == 3 && typ == protowire.BytesType && len(t.parameters) < maxColumns:
			t.parameters = append(t.parameters, v)
		case num == 4:
			t.ref = string(v)
		case num == 5:
			t.definition = n != 0
		}
		return nil
	})
	return t, err
}

// plainTemplate gives an object {template, version, metrics, parameters}.
func plainTemplate(b []byte, depth int) (any, error) {
	if depth >= maxNesting {
		return nil, fmt.Errorf("templates nest deeper than %d levels: %w", maxNesting, mapping.ErrTooLarge)
	}
	t, err := parseTemplate(b)
	if err != nil {
		return nil, err
	}
	metrics := make(map[string]any, len(t.metrics))
	for i := range t.metrics {
		m := &t.metrics[i]
		if m.Null || m.Value.field == 0 {
			metrics[m.Name] = nil
			continue
		}
		if metrics[m.Name], err = m.Value.plain(m.Type, depth+1); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	out := map[string]any{"template": t.ref, "metrics": metrics}
	if t.version != "" {
		out["version"] = t.version
	}
	if len(t.parameters) > 0 {
		parameters := map[string]any{}
		for _, p := range t.parameters {
			if err := addParameter(parameters, p); err != nil {
				return nil, err
			}
		}
		out["parameters"] = parameters
	}
	return out, nil
}

// addParameter reads 1 name, 2 type, 3 int, 4 long, 5 float, 6 double, 7
// boolean, 8 string.
func addParameter(into map[string]any, b []byte) error {
	var name string
	var t DataType
	var v Value
	err := fieldsOf(b, func(num protowire.Number, _ protowire.Type, n uint64, bytes []byte) error {
		switch {
		case num == 1:
			name = string(bytes)
		case num == 2:
			t = DataType(min(n, math.MaxUint32))
		case num >= 3 && num <= 8:
			v = Value{field: num + 7, bits: n, bytes: bytes}
		}
		return nil
	})
	if err != nil || v.field == 0 {
		return err
	}
	plain, err := v.plain(t, 0)
	if err != nil {
		return fmt.Errorf("parameter %s: %w", name, err)
	}
	into[name] = plain
	return nil
}

// plainArray reads packed values, little end first; of booleans a count and
// bits, of texts NUL-ended ones.
func plainArray(t DataType, b []byte) (any, error) {
	out := []any{}
	switch t {
	case BooleanArray:
		if len(b) < 4 {
			return nil, fmt.Errorf("%w: a BooleanArray of %d bytes", ErrMalformed, len(b))
		}
		n := int(binary.LittleEndian.Uint32(b))
		if b = b[4:]; n < 0 || n > maxMetrics*10 || (n+7)/8 > len(b) {
			return nil, fmt.Errorf("%w: a BooleanArray of %d values in %d bytes", ErrMalformed, n, len(b))
		}
		for i := range n {
			out = append(out, b[i/8]&(0x80>>(i%8)) != 0)
		}
		return out, nil
	case StringArray:
		for len(b) > 0 {
			item, rest, _ := bytes.Cut(b, []byte{0})
			s, err := text(item)
			if err != nil {
				return nil, err
			}
			if out = append(out, s); len(out) > maxMetrics*10 {
				return nil, fmt.Errorf("a list of over %d values: %w", maxMetrics*10, mapping.ErrTooLarge)
			}
			b = rest
		}
		return out, nil
	}
	size := arraySize(t)
	if len(b)%size != 0 || len(b)/size > maxMetrics*10 {
		return nil, fmt.Errorf("%w: a %s of %d bytes", ErrMalformed, t, len(b))
	}
	for ; len(b) > 0; b = b[size:] {
		out = append(out, arrayItem(t, size, b))
	}
	return out, nil
}

func arraySize(t DataType) int {
	switch t {
	case FloatArray:
		return 4
	case DoubleArray:
		return 8
	}
	return integers[t].bits / 8
}

func arrayItem(t DataType, size int, b []byte) any {
	var wide [8]byte
	copy(wide[:], b[:size])
	bits := binary.LittleEndian.Uint64(wide[:])
	switch {
	case t == FloatArray:
		return mapping.SingleNumber(math.Float32frombits(uint32(bits)))
	case t == DoubleArray:
		return math.Float64frombits(bits)
	case integers[t].signed:
		shift := 64 - 8*size
		return int(int64(bits<<shift) >> shift)
	case bits > math.MaxInt64:
		return strconv.FormatUint(bits, 10)
	}
	return int(bits)
}

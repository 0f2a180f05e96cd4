package mapping

import (
	"errors"
	"fmt"
	"math"
	"time"

	"thingbridge/edge/alwayson"
)

const maxColumns = 1_000

// table makes an info table from a list of objects. Its columns are the
// definition's, or those found in the rows.
func (c *converter) table(def *alwayson.FieldDefinition, v any) (*alwayson.InfoTable, error) {
	rows, ok := v.([]any)
	if !ok {
		return nil, unwanted("an INFOTABLE as a list of objects", v)
	}
	objects := make([]map[string]any, len(rows))
	for i, row := range rows {
		if objects[i], ok = row.(map[string]any); !ok {
			return nil, fmt.Errorf("row %d: %w", i, unwanted("an object", row))
		}
	}
	columns := def.Fields
	if len(columns) == 0 {
		columns = inferColumns(objects)
	}
	if len(columns) > maxColumns {
		return nil, fmt.Errorf("an INFOTABLE of %d columns; at most %d are taken", len(columns), maxColumns)
	}
	cells := len(objects) * len(columns)
	if cells > maxCells-c.cells {
		return nil, fmt.Errorf("an INFOTABLE of %d cells; the tables of one message have at most %d, all together", cells, maxCells)
	}
	c.cells += cells
	t := &alwayson.InfoTable{Fields: make([]alwayson.Field, len(columns)), Rows: make([][]alwayson.Value, len(objects))}
	for i := range columns {
		t.Fields[i] = alwayson.Field{Name: columns[i].Name, Description: columns[i].Description, Type: columns[i].Type}
	}
	for i, object := range objects {
		row, err := c.row(columns, object)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
		t.Rows[i] = row
	}
	return t, nil
}

func (c *converter) row(columns []alwayson.FieldDefinition, object map[string]any) ([]alwayson.Value, error) {
	row := make([]alwayson.Value, len(columns))
	for i := range columns {
		v, err := c.convert(&columns[i], object[columns[i].Name])
		switch {
		case errors.Is(err, errNull) && columns[i].Required:
			return nil, fmt.Errorf("column %q is missing", columns[i].Name)
		case err != nil && !errors.Is(err, errNull):
			return nil, fmt.Errorf("column %q: %w", columns[i].Name, err)
		}
		row[i] = v
	}
	return row, nil
}

// inferColumns gives the columns that the rows have, by name; where the types
// of a column differ it is STRING for scalars, else JSON.
func inferColumns(rows []map[string]any) []alwayson.FieldDefinition {
	types := map[string]alwayson.BaseType{}
	for _, row := range rows {
		for name, v := range row {
			if v == nil {
				if _, seen := types[name]; !seen {
					types[name] = alwayson.TypeNothing
				}
				continue
			}
			types[name] = commonType(types, name, inferType(v))
		}
	}
	columns := make([]alwayson.FieldDefinition, 0, len(types))
	for _, name := range sortedKeys(types) {
		t := types[name]
		if t == alwayson.TypeNothing {
			t = alwayson.TypeString
		}
		columns = append(columns, alwayson.FieldDefinition{Name: name, Type: t})
	}
	return columns
}

func commonType(types map[string]alwayson.BaseType, name string, t alwayson.BaseType) alwayson.BaseType {
	have, seen := types[name]
	switch {
	case !seen || have == alwayson.TypeNothing || have == t:
		return t
	case isScalar(have) && isScalar(t):
		return alwayson.TypeString
	}
	return alwayson.TypeJSON
}

func isScalar(t alwayson.BaseType) bool {
	return t == alwayson.TypeNumber || t == alwayson.TypeString || t == alwayson.TypeBoolean
}

// ToJSON gives the decoded JSON form of a value: LONG and INTEGER as int,
// NUMBER as float64, DATETIME as RFC 3339 UTC text, BLOB and IMAGE as base64,
// INFOTABLE as a list of objects, NOTHING as nil. A JSON value is decoded; when
// it is no JSON it is text.
func ToJSON(v alwayson.Value) any {
	v = v.Unwrap()
	switch t := v.Type(); t {
	case alwayson.TypeNothing:
		return nil
	case alwayson.TypeNumber:
		if f := v.Number(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return nil
	case alwayson.TypeInteger, alwayson.TypeLong:
		return int(v.Int())
	case alwayson.TypeBoolean:
		return v.Bool()
	case alwayson.TypeDateTime:
		return FormatTime(v.Millis())
	case alwayson.TypeLocation:
		l := v.Location()
		return map[string]any{"latitude": l.Latitude, "longitude": l.Longitude, "elevation": l.Elevation}
	case alwayson.TypeBlob, alwayson.TypeImage:
		return base64Text(v.Bytes())
	case alwayson.TypeInfoTable:
		return tableJSON(v.Table())
	case alwayson.TypeJSON:
		if decoded, err := parseJSON([]byte(v.Text()), math.MaxInt); err == nil {
			return decoded
		}
	}
	return v.Text()
}

func tableJSON(t *alwayson.InfoTable) any {
	if t == nil {
		return []any{}
	}
	rows := make([]any, len(t.Rows))
	for i, cells := range t.Rows {
		row := make(map[string]any, min(len(t.Fields), len(cells))) // a row may have none of its cells
		for j := range t.Fields {
			if j < len(cells) && !cells[j].IsNothing() {
				row[t.Fields[j].Name] = ToJSON(cells[j])
			}
		}
		rows[i] = row
	}
	return rows
}

// AppendJSON appends the JSON form of a value.
func AppendJSON(dst []byte, v alwayson.Value) []byte { return appendAny(dst, ToJSON(v)) }

// FormatTime writes milliseconds since 1970 as RFC 3339 in UTC with milliseconds.
func FormatTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(timeLayout) }

// Equal reports whether a device's value b confirms the value a that was
// written: equal after conversion to the declared type, numbers within a
// relative 1e-9. A nil definition compares the values as they are.
func Equal(def *alwayson.FieldDefinition, a, b alwayson.Value) bool {
	a, b = a.Unwrap(), b.Unwrap()
	if def != nil {
		if c, err := Convert(def, ToJSON(a)); err == nil {
			a = c
		}
		if c, err := Convert(def, ToJSON(b)); err == nil {
			b = c
		}
	}
	return sameJSON(ToJSON(a), ToJSON(b))
}

func sameJSON(a, b any) bool {
	fa, aIsNumber := asFloat(a)
	fb, bIsNumber := asFloat(b)
	if aIsNumber && bIsNumber {
		if ia, ok := a.(int); ok {
			if ib, ok := b.(int); ok {
				return ia == ib
			}
		}
		return fa == fb || math.Abs(fa-fb) <= 1e-9*math.Max(math.Abs(fa), math.Abs(fb))
	}
	switch a := a.(type) {
	case map[string]any:
		m, ok := b.(map[string]any)
		if !ok || len(m) != len(a) {
			return false
		}
		for k, v := range a {
			if other, ok := m[k]; !ok || !sameJSON(v, other) {
				return false
			}
		}
		return true
	case []any:
		l, ok := b.([]any)
		if !ok || len(l) != len(a) {
			return false
		}
		for i := range a {
			if !sameJSON(a[i], l[i]) {
				return false
			}
		}
		return true
	case string, bool, nil:
		return a == b
	}
	return false
}

func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

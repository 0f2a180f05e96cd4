package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"sort"
	"strconv"

	"thingbridge/edge/alwayson"
)

// fromJSON reads a JSON value as the field f wants it; f.Type TypeVariant or
// TypeNothing means by its looks. False: it does not fit. null is NOTHING.
func fromJSON(raw json.RawMessage, f alwayson.FieldDefinition) (alwayson.Value, bool) {
	raw = bytes.TrimSpace(raw)
	looks := infer(raw)
	t := f.Type
	if t == alwayson.TypeVariant || t == alwayson.TypeNothing {
		t = looks
	}
	if looks == alwayson.TypeNothing {
		return alwayson.Value{}, len(raw) > 0
	}
	switch {
	case t == alwayson.TypeJSON:
		return alwayson.NewText(t, string(raw)), true
	case t == alwayson.TypeInfoTable:
		table, ok := tableFromJSON(raw, f.Fields)
		return alwayson.NewTable(table), ok
	case looks == alwayson.TypeString:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return alwayson.Value{}, false
		}
		if t.IsText() {
			return alwayson.NewText(t, s), true
		}
		return fromText(s, t)
	case t.IsText():
		return alwayson.NewText(t, string(raw)), true
	case t == alwayson.TypeLocation:
		var at struct{ Latitude, Longitude, Elevation float64 }
		if json.Unmarshal(raw, &at) != nil || looks != alwayson.TypeLocation {
			return alwayson.Value{}, false
		}
		return alwayson.NewLocation(alwayson.Location(at)), true
	case looks == alwayson.TypeBoolean:
		return numberAs(alwayson.NewBoolean(raw[0] == 't'), t)
	case looks == alwayson.TypeNumber:
		if t != alwayson.TypeNumber {
			if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
				return numberAs(alwayson.NewLong(n), t)
			}
		}
		n, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return alwayson.Value{}, false
		}
		return numberAs(alwayson.NewNumber(n), t)
	}
	return alwayson.Value{}, false
}

// jsonField is a field definition in a REST info table.
type jsonField struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	BaseType    string          `json:"baseType"`
	Ordinal     float64         `json:"ordinal"`
	Aspects     json.RawMessage `json:"aspects"`
}

// tableFromJSON reads {dataShape, rows} or a plain list of objects. Columns are
// those of the data shape, else the declared fields, else what the rows hold.
func tableFromJSON(raw json.RawMessage, declared []alwayson.FieldDefinition) (*alwayson.InfoTable, bool) {
	var full struct {
		DataShape struct {
			FieldDefinitions map[string]jsonField `json:"fieldDefinitions"`
		} `json:"dataShape"`
		Rows []map[string]json.RawMessage `json:"rows"`
	}
	if len(raw) > 0 && raw[0] == '[' {
		if json.Unmarshal(raw, &full.Rows) != nil {
			return nil, false
		}
	} else if json.Unmarshal(raw, &full) != nil {
		return nil, false
	}
	fields := declared
	if len(full.DataShape.FieldDefinitions) > 0 {
		fields = shapeFields(full.DataShape.FieldDefinitions)
	}
	if len(fields) == 0 {
		fields = inferFields(full.Rows)
	}
	table := &alwayson.InfoTable{}
	for _, f := range fields {
		table.Fields = append(table.Fields, alwayson.Field{Name: f.Name, Description: f.Description, Type: f.Type})
	}
	for _, row := range full.Rows {
		cells := make([]alwayson.Value, len(fields))
		for i, f := range fields {
			cell, ok := row[f.Name]
			if !ok {
				continue
			}
			if cells[i], ok = fromJSON(cell, f); !ok {
				return nil, false
			}
		}
		table.Rows = append(table.Rows, cells)
	}
	return table, true
}

func shapeFields(defs map[string]jsonField) []alwayson.FieldDefinition {
	names := make([]string, 0, len(defs))
	for name := range defs {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := defs[names[i]], defs[names[j]]
		if a.Ordinal != b.Ordinal {
			return a.Ordinal < b.Ordinal
		}
		return names[i] < names[j]
	})
	var fields []alwayson.FieldDefinition
	for _, name := range names {
		t, ok := alwayson.ParseBaseType(defs[name].BaseType)
		if !ok {
			t = alwayson.TypeVariant
		}
		fields = append(fields, alwayson.FieldDefinition{Name: name, Description: defs[name].Description, Type: t})
	}
	return fields
}

func inferFields(rows []map[string]json.RawMessage) []alwayson.FieldDefinition {
	types := map[string]alwayson.BaseType{}
	var names []string
	for _, row := range rows {
		for name, cell := range row {
			t := infer(cell)
			old, seen := types[name]
			switch {
			case !seen:
				names = append(names, name)
				types[name] = t
			case old == alwayson.TypeNothing:
				types[name] = t
			case t != old && t != alwayson.TypeNothing:
				types[name] = alwayson.TypeVariant
			}
		}
	}
	sort.Strings(names)
	var fields []alwayson.FieldDefinition
	for _, name := range names {
		t := types[name]
		if t == alwayson.TypeNothing {
			t = alwayson.TypeVariant
		}
		fields = append(fields, alwayson.FieldDefinition{Name: name, Type: t})
	}
	return fields
}

// appendJSON writes a value as REST shows it: DATETIME as milliseconds, IMAGE
// and BLOB as base64, LOCATION as an object, INFOTABLE as {dataShape, rows},
// JSON as it is, and null for NOTHING and for numbers that JSON cannot write.
func appendJSON(dst []byte, v alwayson.Value) []byte {
	v = v.Unwrap()
	switch t := v.Type(); t {
	case alwayson.TypeNothing:
		return append(dst, "null"...)
	case alwayson.TypeNumber:
		return appendFloat(dst, v.Number())
	case alwayson.TypeInteger, alwayson.TypeLong, alwayson.TypeDateTime:
		return strconv.AppendInt(dst, v.Int(), 10)
	case alwayson.TypeBoolean:
		return strconv.AppendBool(dst, v.Bool())
	case alwayson.TypeLocation:
		at := v.Location()
		dst = appendFloat(append(dst, `{"latitude":`...), at.Latitude)
		dst = appendFloat(append(dst, `,"longitude":`...), at.Longitude)
		dst = appendFloat(append(dst, `,"elevation":`...), at.Elevation)
		return append(dst, '}')
	case alwayson.TypeBlob, alwayson.TypeImage:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		return append(dst, '"')
	case alwayson.TypeInfoTable:
		return appendTableJSON(dst, v.Table())
	case alwayson.TypeJSON:
		if json.Valid([]byte(v.Text())) {
			return append(dst, v.Text()...)
		}
	}
	return appendText(dst, v.Text())
}

func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

func appendText(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // no string does that
		return append(dst, `""`...)
	}
	return append(dst, b...)
}

// appendTableJSON writes an info table in REST's shape.
func appendTableJSON(dst []byte, t *alwayson.InfoTable) []byte {
	if t == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"dataShape":{"fieldDefinitions":{`...)
	for i, f := range t.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, f.Name), ':')
		dst = appendText(append(dst, `{"name":`...), f.Name)
		dst = appendText(append(dst, `,"description":`...), f.Description)
		dst = appendText(append(dst, `,"baseType":`...), f.Type.String())
		dst = strconv.AppendInt(append(dst, `,"ordinal":`...), int64(i), 10)
		dst = append(dst, `,"aspects":{`...)
		for j, a := range f.Aspects {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, a.Name), ':')
			dst = appendJSON(dst, a.Value)
		}
		dst = append(dst, "}}"...)
	}
	dst = append(dst, `}},"rows":[`...)
	for i, row := range t.Rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		for j, f := range t.Fields {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, f.Name), ':')
			if j < len(row) {
				dst = appendJSON(dst, row[j])
			} else {
				dst = append(dst, "null"...)
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}
